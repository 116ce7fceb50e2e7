"""A box over all is its prompt alone; halves are what the formula says; what is no box is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dt_regions import Areas
from torch import Tensor

from diffusion_tricks import Model, sample
from diffusion_tricks.testing import check_trick, run_command


def last(model: Model, prompt: str, *tricks: Areas, steps: int = 3) -> Tensor:
    """What the loop ends with, (b c h w)."""
    *_, step = sample(model, prompt=prompt, tricks=tricks, seed=0, steps=steps)
    return step.x


def test_it_holds_what_every_trick_must() -> None:
    check_trick(Areas(area=[("0,0,0.5,1", "a castle"), ("0.25,0,1,1", "a tree")]))


def test_a_box_over_all_is_its_prompt_alone(tiny_model: Model) -> None:
    areas = Areas(area=[("0,0,1,1", "a castle")])
    torch.testing.assert_close(last(tiny_model, "a hill", areas), last(tiny_model, "a castle"), atol=0.1, rtol=0)


def test_each_half_is_its_own(tiny_model: Model) -> None:
    areas = Areas(area=[("0,0,0.5,1", "a castle")])
    run = next(iter(sample(tiny_model, prompt="a hill", tricks=[areas], seed=0, steps=1))).estimate.noise
    hill, castle = (
        next(iter(sample(tiny_model, prompt=prompt, seed=0, steps=1))).estimate.noise
        for prompt in ("a hill", "a castle")
    )
    torch.testing.assert_close(run[..., :8], castle[..., :8])
    torch.testing.assert_close(run[..., 8:], hill[..., 8:])


@pytest.mark.parametrize("box", ["0,0,1", "a,0,1,1", "0.5,0,0.5,1", "0,0,2,1"])
def test_what_is_no_box_is_refused(box: str, tiny_folder: Path) -> None:
    outcome = run_command("make", "-m", tiny_folder, "-p", "a hill", "-o", "no.png", "areas", "--area", box, "a tree")
    assert (outcome.code, "expected a box" in outcome.err) == (2, True)
