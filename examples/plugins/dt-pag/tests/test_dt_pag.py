"""The estimate is what the formula says of two networks, one of which is changed by hand."""

from __future__ import annotations

from pathlib import Path

import torch
from dt_pag import Perturbed, alone
from torch import Tensor

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.plugin import Attention
from diffusion_tricks.testing import check_trick, run_command, tiny_pipeline
from diffusion_tricks_plugins import Guidance


def noise_of(model: Model, *tricks: object) -> Tensor:
    """What is found in the first step, (b c h w)."""
    return next(iter(sample(model, prompt="a rose", tricks=tricks, seed=0, steps=1))).estimate.noise  # type: ignore[arg-type]


def small() -> Model:
    """A tiny Stable Diffusion, whose middle has self-attention."""
    return load_model(tiny_pipeline("sd"), device="cpu")


def test_it_holds_what_every_trick_must() -> None:
    check_trick(Perturbed(), small())


def test_it_is_linear_in_its_scale_and_zero_is_off() -> None:
    model = small()
    none, one, two = (noise_of(model, Perturbed(scale=scale)) for scale in (0, 1, 2))
    torch.testing.assert_close(none, noise_of(model))
    torch.testing.assert_close(two - none, 2 * (one - none), atol=1e-5, rtol=0)
    assert float((one - none).abs().max()) > 1e-5


def test_it_is_the_built_in_one() -> None:
    torch.testing.assert_close(noise_of(small(), Perturbed(scale=3)), noise_of(small(), Guidance(scale=1, pag=3)))


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "sd")  # pyright: ignore[reportUnknownMemberType]
    words = ("make", "-m", tmp_path / "sd", "-p", "a rose", "--steps", 2, "-o", tmp_path / "rose.png", "pag")
    outcome = run_command(*words, "--scale", 2)
    assert outcome.code == 0, outcome.err


def test_attention_to_the_text_is_left_alone() -> None:
    assert Attention(alone).change is alone
