"""A picture of values that are no numbers names who made the first of them: model, scheduler, or a trick."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import Recipe, Run, Start, Step, Trick, hookimpl, make
from diffusion_tricks.errors import DiffusionTricksError, ModelError, PluginError, UsageError
from diffusion_tricks.generate.batch import _decoded
from diffusion_tricks.sampling.begin import Sampling, begin
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.testing import exact_model

PICTURE = torch.zeros(1, 3, 4, 4)
NAN = float("nan")


class Spoils(Trick[Any]):
    """Makes one value no number, in one step and one hook."""

    name = "spoils"

    def __init__(self, where: str, index: int = 2):
        super().__init__()
        self.where, self.index = where, index

    def now(self, where: str, step: Step) -> bool:
        return where == self.where and step.index == self.index

    @hookimpl
    def before_step(self, step: Step) -> None:
        if self.now("before", step):
            step.x = step.x * NAN

    @hookimpl
    def estimate_noise(self, ask: Any, step: Step) -> Any:
        (answer,) = yield [ask]
        return answer * NAN if self.now("estimate", step) else answer

    @hookimpl
    def after_step(self, step: Step) -> None:
        if self.now("after", step):
            step.x = step.x * NAN


class Passes(Trick[Any]):
    """Neither of those on either side of the culprit is blamed."""

    name = "passes"

    @hookimpl
    def estimate_noise(self, ask: Any, step: Step) -> Any:
        (answer,) = yield [ask]
        return answer * 1.0


def blamed(tricks: list[Trick[Any]], model: Any = None, change: Any = None) -> DiffusionTricksError:
    run = begin(model or exact_model(PICTURE), Sampling(prompt="a", steps=4), tricks)
    if change is not None:
        change(run)
    for _ in denoise(run):
        pass
    with pytest.raises(DiffusionTricksError) as caught:
        _decoded(run)
    return caught.value


@pytest.mark.parametrize("where", ["before", "estimate", "after"])
def test_a_trick_is_named(where: str) -> None:
    error = blamed([Passes(), Spoils(where), Passes()][:2])
    assert isinstance(error, PluginError)
    assert str(error).startswith("trick 'spoils' made values that are no numbers (NaN) in step 3 of 4 of the model's ")


def test_the_model_is_named() -> None:
    model = exact_model(PICTURE)
    predict, calls = model.family.predict, []

    def spoilt(x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        calls.append(1)
        return predict(x, *arguments, **named) * (NAN if len(calls) == 2 else 1)

    model.family.predict = spoilt  # type: ignore[method-assign]
    error = blamed([Passes()], model)
    assert isinstance(error, ModelError)
    assert str(error).startswith("the model gave values that are no numbers (NaN) in step 2 of 4, expected a picture; ")


def test_the_scheduler_is_named() -> None:
    def change(run: Run) -> None:
        step = run.scheduler.step

        def spoilt(*arguments: Any, **named: Any) -> Any:
            return (step(*arguments, **named)[0] * NAN,)

        run.scheduler.step = spoilt

    error = blamed([Passes()], change=change)
    assert isinstance(error, UsageError)
    assert str(error).startswith(
        "scheduler 'ddpm' (DDPMScheduler) made values that are no numbers (NaN) in step 1 of 4; "
    )


def test_the_start_and_the_decoder_are_told_apart() -> None:
    class Starts(Trick[Any]):
        """From no numbers."""

        name = "starts"
        place = "start"

        @hookimpl
        def start(self, run: Run) -> Start:
            return Start(torch.full((1, 3, 4, 4), NAN), 1)

    assert str(blamed([Starts()])).startswith("the latents that the run began with hold values that are no numbers")
    model = exact_model(PICTURE)
    model.family.decode = lambda latents: latents * NAN  # type: ignore[method-assign]
    assert str(blamed([], model)).startswith("the model decoded its latents to values that are no numbers (NaN)")


def test_the_model_inside_runs_where_a_scheduler_made_no_numbers() -> None:
    (result,) = make(Recipe(prompt="a rabbit", scheduler="euler-a", steps=3))
    assert result.image.size == (64, 64)
