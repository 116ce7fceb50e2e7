"""Each trick whose `prepare` began is closed, once and in reverse, whatever ends the run."""

from __future__ import annotations

from typing import Any

import pytest

from diffusion_tricks import Model, Run, Step, Trick, UsageError, hookimpl, load_model, sample
from diffusion_tricks.testing.pipelines import tiny_pipeline, tiny_upscaler

TWO = {"prompt": "a", "size": (64, 64), "steps": 2, "upscale_steps": 2}


class Noting(Trick[Any]):
    """Notes when it is prepared and closed, and fails where it is told to."""

    def __init__(self, heard: list[str], mark: str, fails: str = "") -> None:
        super().__init__()
        self.heard, self.mark, self.fails = heard, mark, fails

    @hookimpl
    def prepare(self, run: Run) -> None:
        self.heard.append(f"prepare {self.mark}{run.stage}")
        if self.fails == f"prepare {run.stage}":
            raise UsageError("not here")

    @hookimpl
    def after_step(self, step: Step) -> None:
        if self.fails == f"step {step.run.stage}":
            raise UsageError("not now")

    @hookimpl
    def close(self, run: Run) -> None:
        self.heard.append(f"close {self.mark}{run.stage}")


def three(heard: list[str], fails: str) -> list[Noting]:
    return [Noting(heard, "a"), Noting(heard, "b", fails), Noting(heard, "c")]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())


def closed(heard: list[str]) -> list[str]:
    return [word.removeprefix("close ") for word in heard if word.startswith("close")]


@pytest.mark.parametrize(("fails", "expected"), [
    ("prepare 1", ["b1", "a1"]),  # c was never asked
    ("prepare 2", ["b2", "a2", "c1", "b1", "a1"]),
    ("step 1", ["c2", "b2", "a2", "c1", "b1", "a1"]),
    ("step 2", ["c1", "b1", "a1", "c2", "b2", "a2"]),  # the first stage was over
])  # fmt: skip
def test_whose_prepare_began_is_closed(model: Model, fails: str, expected: list[str]) -> None:
    heard: list[str] = []
    with pytest.raises(UsageError, match=r"not here|not now"):
        list(sample(model, tricks=three(heard, fails), **TWO))  # type: ignore[arg-type]
    assert closed(heard) == expected


def test_a_run_that_its_caller_leaves_is_closed(model: Model) -> None:
    heard: list[str] = []
    steps = sample(model, tricks=[Noting(heard, "a")], **TWO)  # type: ignore[arg-type]
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert closed(heard) == ["a2", "a1"]


def test_a_whole_run_closes_each_stage_as_it_ends(model: Model) -> None:
    heard: list[str] = []
    list(sample(model, tricks=[Noting(heard, "a")], **TWO))  # type: ignore[arg-type]
    assert heard == ["prepare a1", "prepare a2", "close a1", "close a2"]
