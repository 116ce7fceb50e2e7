"""What a step costs: rows through the denoiser, counted by the run and by the denoiser itself."""

from __future__ import annotations

from typing import Any

import pytest

from diffusion_tricks import Model, Trick, load_model, sample
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid

STEPS = 4
GUIDANCE = Guidance(scale=7)
ANAGRAM = Anagram(views=[("identity", "a rabbit"), ("rotate_cw", "a duck")])
HYBRID = Hybrid(far="a skull", near="a mushroom")
TRIPLE = Hybrid(far="a skull", mid="a rabbit", near="a mushroom")
CASES: dict[str, tuple[list[Trick[Any]], list[int]]] = {
    "plain": ([], [1] * STEPS),
    "guidance": ([GUIDANCE], [2] * STEPS),
    "guidance of scale 1": ([Guidance(scale=1)], [1] * STEPS),
    "guidance in its interval": ([Guidance(start=0.25, stop=0.75)], [1, 2, 2, 1]),
    "anagram": ([ANAGRAM], [2] * STEPS),
    "anagram and guidance": ([ANAGRAM, GUIDANCE], [4] * STEPS),
    "hybrid": ([HYBRID], [2] * STEPS),
    "hybrid and guidance": ([HYBRID, GUIDANCE], [3] * STEPS),
    "triple hybrid and guidance": ([TRIPLE, GUIDANCE], [4] * STEPS),
    "guidance first": ([GUIDANCE, HYBRID], [3] * STEPS),
}


# of equal rows, how many a step need not compute: far and near share their unconditional
SPARED = {"hybrid and guidance": 1, "triple hybrid and guidance": 2, "guidance first": 1}


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [1, 3])
def test_rows_per_step(model: Model, monkeypatch: pytest.MonkeyPatch, case: str, count: int) -> None:
    tricks, expected = CASES[case]
    calls: list[int] = []
    forward = model.family.predict

    def counted(x: Any, t: Any, rows: Any) -> Any:
        calls.append(len(x))
        return forward(x, t, rows)

    monkeypatch.setattr(model.family, "predict", counted)
    prompt = None if any(trick.brings_prompts for trick in tricks) else "a rocket"
    steps = list(sample(model, prompt=prompt, tricks=tricks, steps=STEPS, count=count))
    assert [step.rows for step in steps] == [rows * count for rows in expected]
    assert calls == [rows * count for rows in expected]  # all rows of a step go through in one call
    assert steps[-1].run.rows == sum(expected) * count
    assert [step.spared for step in steps] == [SPARED.get(case, 0) * count] * STEPS


def test_max_rows_cuts_the_calls_and_not_the_rows(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    forward = model.family.predict
    monkeypatch.setattr(model.family, "predict", lambda x, t, rows: calls.append(len(x)) or forward(x, t, rows))
    steps = list(sample(model, tricks=[ANAGRAM, GUIDANCE], steps=1, count=2, max_rows=3))
    assert calls == [3, 3, 2]
    assert steps[0].rows == 8
