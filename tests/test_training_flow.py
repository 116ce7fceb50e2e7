"""Flow models sample right: every scheduler that follows a flow ends in the one picture that an exact flow knows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from diffusion_tricks import Model, UsageError, sample
from diffusion_tricks.diffusion.schedulers import FLOW_SCHEDULERS, SCHEDULERS, scheduler_for
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.types import Parts, Row, Size

PICTURE = torch.linspace(-0.9, 0.9, 48).reshape(1, 3, 4, 4)


class ExactFlow(Family):
    """u = (x - x0) / s, the velocity of x = (1 - s) x0 + s eps where the data set is one picture."""

    def __init__(self, total: int):
        self.total = total
        self.shape = Shape(3, (4, 4))

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        raise NotImplementedError

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        return [{} for _ in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        return (x - PICTURE) / (t / self.total)

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def exact_flow(shift: float = 1.0, total: int = 1000) -> Model:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=total, shift=shift)
    pipe = SimpleNamespace(scheduler=scheduler, components={})
    cpu = torch.device("cpu")
    return Model(pipe, "exact", cpu, torch.float32, Defaults(steps=10), opened=ExactFlow(total))


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("scheduler", [None, *FLOW_SCHEDULERS])
def test_every_scheduler_ends_in_the_picture(scheduler: str | None, shift: float) -> None:
    close = 1e-5 if scheduler in (None, "euler") else 5e-3  # the others round t to whole steps
    for step in sample(exact_flow(shift), seed=3, scheduler=scheduler):
        torch.testing.assert_close(step.estimate.clean, PICTURE, atol=close, rtol=0)
    torch.testing.assert_close(step.x, PICTURE, atol=close, rtol=0)


def test_each_step_of_eulers_lies_on_the_straight_line() -> None:
    steps = list(sample(exact_flow(total=50), seed=3))
    noise = torch.randn((3, 4, 4), generator=torch.Generator().manual_seed(3))[None]
    for step in steps:
        s = step.next_level.sigma
        torch.testing.assert_close(step.x, (1 - s) * PICTURE + s * noise, atol=1e-5, rtol=0)
        torch.testing.assert_close(step.estimate.noise, noise, atol=1e-4, rtol=0)
    assert (steps[0].alpha, steps[0].sigma) == (0, 1)


@pytest.mark.parametrize("name", sorted(SCHEDULERS.keys() - FLOW_SCHEDULERS.keys()))
def test_schedulers_that_follow_no_flow_say_so(name: str) -> None:
    with pytest.raises(UsageError, match="predicts a flow"):
        scheduler_for(FlowMatchEulerDiscreteScheduler(), name)
