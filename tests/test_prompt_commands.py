"""Prompts with weights, schedules and tails on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import run
from diffusion_tricks.testing import tiny_pipeline


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("if", "qwen"):
        tiny_pipeline(kind).save_pretrained(folder / kind)
    return folder


def test_a_plan_shows_what_is_asked_when(models: Path) -> None:
    words = ("plan", "-m", str(models / "if"), "-p", "a [cat:dog:0.4] AND fog", "--steps", "10")
    assert "prompts:       'a cat' from step 0; 'a dog' from step 4" in run(*words).out
    said = json.loads(run(*words, "--json").out)["prompt_schedules"]
    assert said == {"a [cat:dog:0.4]": [[0, "a cat"], [4, "a dog"]]}
    assert "prompts:" not in run(*words[:4], "a cat").out


def test_a_prompt_in_brackets_is_no_trick(models: Path) -> None:
    words = ("plan", "-m", str(models / "if"), "--json", "--steps", "4")
    one = json.loads(run(*words, "anagram", "[a cat:a dog:0.5]", "[fog]").out)
    assert one["prompt_schedules"] == {"[a cat:a dog:0.5]": [[0, "a cat"], [2, "a dog"]]}
    nested = json.loads(run(*words, "anagram", "[", "hybrid", "--far", "[a:b:0.5]", "--near", "c", "]", "x").out)
    assert list(nested["prompt_schedules"]) == ["[a:b:0.5]"]
    assert any("hybrid" in line for line in nested["tree"])
    outcome = run(*words, "anagram", "[", "fog", "]", "x")
    assert outcome.code == 2
    assert "a prompt alone needs no brackets" in outcome.err


def test_what_is_left_out_of_a_prompt_is_noted_and_its_weights_are_recorded(models: Path, tmp_path: Path) -> None:
    prompt = "a (red:1.4) cat " + "on a meadow " * 8 + "at night"
    out = tmp_path / "a.png"
    outcome = run("generate", prompt, "-m", str(models / "if"), "--steps", "2", "--seed", "1", "-o", str(out))
    assert outcome.code == 0
    assert "longer than the 77 tokens that the model reads; it was not told" in outcome.err
    assert outcome.err.rstrip().endswith("at night'")
    assert json.loads(run("show", str(out), "--json").out)["recipe"]["prompt"] == prompt


def test_weights_that_nothing_heeds_are_a_usage_error(models: Path, tmp_path: Path) -> None:
    words = ("-m", str(models / "qwen"), "--steps", "2", "-o", str(tmp_path / "a.png"))
    outcome = run("generate", "a (red:1.4) cat", *words)
    assert outcome.code == 2
    assert "cannot weigh the words of a prompt" in outcome.err


def test_a_gradients_memory_is_told(models: Path, tmp_path: Path) -> None:
    words = ("plan", "-m", str(models / "if"), "-p", "a", "clip-guidance", "--gradient", "1")
    assert "gradients:     1 row is differentiated" in run(*words).out
    told = json.loads(run(*words, "--json").out)
    assert told["rows_differentiated"] == 1
    assert f"for it, {told['gradient_mb']} MB in float32" in run(*words).out
    unknown = run("plan", "-m", str(models / "qwen"), "-p", "a", "clip-guidance", "--gradient", "1")
    assert "how much cannot be told" in unknown.out
    assert json.loads(run("plan", "-m", str(models / "if"), "-p", "a", "--json").out)["gradient_mb"] == 0
