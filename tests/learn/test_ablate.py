"""`learn ablate`: what is taken from a network is gone, and what is compared is comparable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.training import open_source
from diffusion_tricks_learn.experiments.ablate import AT_ONCE, VARIANTS, ablate, without_skips, without_time
from diffusion_tricks_learn.findings import Findings
from diffusion_tricks_learn.session import Session


def answer(unet: Any, t: int = 10) -> Tensor:
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return unet(x, t).sample


def test_without_skips_the_way_up_is_given_zeros() -> None:
    unet = tiny_pipeline("ddpm").unet
    before, met = answer(unet), []
    for block in unet.up_blocks:
        width = block.resnets[0].in_channels
        block.resnets[0].register_forward_pre_hook(lambda module, args, width=width: met.append(args[0]))
    without_skips(unet)
    assert not torch.allclose(answer(unet), before)
    own = (16, 16)  # channels that come from below: of the middle, then of the first block on the way up
    assert [x[:, channels:].abs().max() for x, channels in zip(met, own, strict=True)] == [0, 0]
    assert all(x[:, :channels].abs().max() > 0 for x, channels in zip(met, own, strict=True))


def test_without_time_all_timesteps_are_one() -> None:
    unet = tiny_pipeline("ddpm").unet
    assert not torch.allclose(answer(unet, 10), answer(unet, 900))
    without_time(unet)
    torch.testing.assert_close(answer(unet, 10), answer(unet, 900), rtol=0, atol=0)


@pytest.fixture(scope="module")
def parts() -> list[Findings]:
    return list(ablate(Session(seed=2), size=8, steps=2))


def test_each_network_is_shown_as_it_is_done(parts: list[Findings]) -> None:
    assert [part.done for part in parts] == [0.25, 0.5, 0.75, 1.0]
    assert [[row["network"] for row in part.table] for part in parts][-1] == list(VARIANTS)
    assert len({row["weights"] for row in parts[-1].table}) == 1
    assert [row["predicts"] for row in parts[-1].table] == ["eps", "eps", "eps", "x0"]
    assert parts[-1].figure.width >= 1000


def test_the_variance_of_the_data_is_what_its_mean_leaves(parts: list[Findings]) -> None:
    import numpy as np

    held, random = open_source("shapes", size=8, channels=1, held_out=True, seed=2), np.random.default_rng(2)
    x = held.draw(random.permutation(len(held))[:256].tolist(), random).pictures.numpy().astype(np.float64)
    assert abs(parts[-1].numbers["variance_of_data"] - x.var(0).mean()) < 1e-6


def test_what_is_said_follows_the_numbers(parts: list[Findings]) -> None:
    rows = {row["network"]: row for row in parts[-1].table}
    ratio = rows["without skips"]["held_out_mse"] / rows["normal"]["held_out_mse"]
    assert parts[0].says == []
    assert f"{ratio:.2f} times" in parts[-1].says[0]
    assert f"{rows[AT_ONCE]['held_out_mse']:.3f}" in parts[-1].says[2]


def test_the_same_seed_learns_the_same(parts: list[Findings]) -> None:
    again = next(ablate(Session(seed=2), size=8, steps=2))
    assert again.table[0]["held_out_mse"] == parts[0].table[0]["held_out_mse"]
    assert again.figure.tobytes() == parts[0].figure.tobytes()
