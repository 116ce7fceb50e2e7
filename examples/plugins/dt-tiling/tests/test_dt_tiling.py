"""Padding and shift make the network blind to where the edge is, and the model is afterwards as it was."""

from __future__ import annotations

from pathlib import Path

import torch
from dt_tiling import Tile
from torch import Tensor
from torch.nn import Conv2d

from diffusion_tricks import Model, sample
from diffusion_tricks.testing import check_trick, run_command


def noise_of(model: Model, x: Tensor, *tricks: Tile) -> Tensor:
    """What is found in latents x (b c h w), (b c h w)."""
    return next(iter(sample(model, prompt="a rose", tricks=tricks, seed=0, steps=1, latents=x))).estimate.noise


def test_it_holds_what_every_trick_must() -> None:
    check_trick(Tile())


def test_a_shift_of_what_it_sees_shifts_what_it_finds(tiny_model: Model) -> None:
    """By the strides of the network, whose samples lie on a grid."""
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    tile = Tile(shift=False)
    moved = noise_of(tiny_model, x.roll(8, -1), tile).roll(-8, -1)
    torch.testing.assert_close(moved, noise_of(tiny_model, x, tile), atol=1e-4, rtol=0)
    plain = noise_of(tiny_model, x.roll(8, -1)).roll(-8, -1)
    assert float((plain - noise_of(tiny_model, x)).abs().max()) > 0.01


def test_the_model_is_afterwards_as_it_was(tiny_model: Model) -> None:
    list(sample(tiny_model, prompt="a rose", tricks=[Tile()], seed=0, steps=2))
    parts = tiny_model.pipe.unet.modules()
    assert {part.padding_mode for part in parts if isinstance(part, Conv2d)} == {"zeros"}


def test_the_command_line_knows_it(tiny_folder: Path, tmp_path: Path) -> None:
    words = ("make", "-m", tiny_folder, "-p", "a rose", "--steps", 2, "-o", tmp_path / "tile.png", "tile")
    assert run_command(*words).code == 0
