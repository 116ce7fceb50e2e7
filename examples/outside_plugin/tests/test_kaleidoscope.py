"""The plugin holds what every plugin must, and what its own names promise."""

from __future__ import annotations

import pytest
import torch
from kaleidoscope_trick.trick import MIRRORS, Kaleidoscope

from diffusion_tricks import load_model, sample
from diffusion_tricks.testing import check_trick, check_view, tiny_pipeline


@pytest.mark.parametrize("fold", [2, 4])
def test_the_trick_holds_what_every_trick_must(fold: int) -> None:
    check_trick(Kaleidoscope(fold=fold))


@pytest.mark.parametrize("shape", [(3, 16, 16), (4, 9, 15)])
def test_the_view_is_orthogonal(shape: tuple[int, int, int]) -> None:
    check_view("crosswise", shape)


@pytest.mark.parametrize("fold", [2, 4])
def test_the_picture_equals_its_mirror_images(fold: int) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    *_, last = sample(model, prompt="a rabbit", tricks=[Kaleidoscope(fold=fold)], seed=0, steps=4)
    for axes in MIRRORS[fold]:
        torch.testing.assert_close(last.x.flip(axes), last.x, atol=1e-5, rtol=0)
