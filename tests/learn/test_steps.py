"""Few steps and many: what is counted, and the sentences that follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.steps import said, steps
from diffusion_tricks_learn.findings import Row, last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, session_of


def test_every_way_is_counted(tiny: Path) -> None:
    found = last(steps(Session(str(tiny)), steps=(2, 4), prompts=("a fox", "a rocket")))
    assert [(row["scheduler"], row["steps"]) for row in found.table] == [("ddpm", 2), ("ddpm", 4), ("dpm++2m", 2)]
    assert [row["denoiser_calls"] for row in found.table] == [4, 8, 4], "two rows a step, for guidance"
    scores = found.numbers["clip_scores"]
    assert list(scores) == ["ddpm, 2", "ddpm, 4", "dpm++2m, 2"]
    for row, of in zip(found.table, scores.values(), strict=True):
        assert list(of) == ["a fox", "a rocket"]
        assert row["clip_score"] == pytest.approx(sum(of.values()) / 2)
        assert row["seconds"] > 0


def test_in_full_the_solver_goes_its_longest_way_too(tiny: Path) -> None:
    found = last(steps(Session(str(tiny), full=True), steps=(2, 3), prompts=("a fox",)))
    assert [(row["scheduler"], row["steps"]) for row in found.table][2:] == [("dpm++2m", 2), ("dpm++2m", 3)]


def test_a_scheduler_that_is_named_is_the_only_one() -> None:
    found = last(steps(session_of(exact_model(pattern())), steps=(2, 5), prompts=("x",), scheduler=("ddim",)))
    assert {row["scheduler"] for row in found.table} == {"ddim"}
    assert found.table[0]["clip_score"] == pytest.approx(found.table[1]["clip_score"]), "it knows one picture"


@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_flow", "tiny_plain"])
def test_other_kinds_of_models(kind: str, request: pytest.FixtureRequest) -> None:
    found = last(steps(Session(str(request.getfixturevalue(kind))), steps=(2,)))
    assert ("clip_score" in found.table[0]) == (kind != "tiny_plain")
    assert found.table[0]["scheduler"] == ("its own" if kind == "tiny_flow" else "ddpm")
    assert found.figure.width > 100


def row(scheduler: str, steps: int, score: float, sharpness: float = 0.05) -> Row:
    return {"scheduler": scheduler, "steps": steps, "clip_score": score, "sharpness": sharpness,
            "denoiser_calls": 2 * steps, "seconds": steps / 10}  # fmt: skip


@pytest.mark.parametrize(
    ("solver", "told"), [(0.29, "5 steps look like 100"), (0.27, "5 steps do not yet look like 100")]
)
def test_the_sentences_follow_the_numbers(solver: float, told: str) -> None:
    ddpm = [row("ddpm", 5, 0.2, 0.02), row("ddpm", 100, 0.3)]
    rows = [*ddpm, row("dpm++2m", 5, solver, 0.04), row("dpm++2m", 100, 0.3)]
    *each, compared = said(rows)
    assert len(each) == 2
    assert "in 20 times the time" in each[0]
    assert told in compared
    assert "10 calls of the denoiser instead of 200, at 80% of the sharpness (5 of ddpm: 40%)" in compared
