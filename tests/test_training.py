"""The training of the embedded model: its steps, its loss, and that what it saves runs as any model does."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from diffusion_tricks import Recipe, load_model, make
from diffusion_tricks.training.network import schedule, text_encoder, train_tokenizer, unet
from diffusion_tricks.training.train import CHANNELS, Network, save, shifted_steps, started, velocity_loss

WORDS = ["a rabbit", "a duck", "a rabbit on a blue background", "a skull"] * 4


@pytest.mark.parametrize("shift", [1.0, 3.5, 8.0])
def test_steps_are_shifted_as_in_the_paper(shift: float) -> None:
    """arXiv:2403.03206, equation 23: t' = s t / (1 + (s - 1) t), here for evenly spread t."""
    steps = np.sort(shifted_steps(4000, 1000, shift).numpy())
    share = (np.arange(4000) + 0.5) / 4000
    assert np.abs(steps - 1000 * shift * share / (1 + (shift - 1) * share)).max() < 4
    assert steps.min() >= 0
    assert steps.max() <= 999


def test_the_loss_is_nothing_for_the_exact_velocity() -> None:
    x0, bars = torch.rand(4, 3, 8, 8) * 2 - 1, schedule().alphas_cumprod

    def exact(x: Tensor, t: Tensor, *tokens: Tensor) -> Tensor:
        alpha, sigma = bars[t].sqrt()[:, None, None, None], (1 - bars[t]).sqrt()[:, None, None, None]
        return alpha * (x - alpha * x0) / sigma - sigma * x0

    tokens = torch.zeros(4, 77).long(), torch.ones(4, 77).long()
    assert velocity_loss(exact, x0, tokens, bars, 1.0) < 1e-6  # type: ignore[arg-type]
    assert velocity_loss(lambda x, *_: x, x0, tokens, bars, 1.0) > 0.1  # type: ignore[arg-type]


def test_what_is_saved_is_a_model_and_can_be_gone_on_from(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(WORDS, vocabulary=60)
    network = Network(unet(64, CHANNELS), text_encoder(len(tokenizer)))
    save(network, EMAModel(network.parameters()), tokenizer, tmp_path)
    (result,) = make(Recipe(prompt="a rabbit", seed=0, steps=2), load_model(tmp_path))
    assert result.image.size == (64, 64)
    again, same = started(argparse.Namespace(from_weights=tmp_path, size=64, seed=1))
    assert len(same) == len(tokenizer)
    for name, weights in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], weights)
