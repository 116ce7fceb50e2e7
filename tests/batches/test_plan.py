"""Planning a list: what it looks at, and how often. Costs are counted in calls, which no busy machine changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diffusion_tricks import Recipe, likeness
from diffusion_tricks.errors import UsageError
from diffusion_tricks.plugin import paths
from diffusion_tricks.recipes import paths as of_recipes
from diffusion_tricks_batch import Asked
from diffusion_tricks_batch.lists import jobs as of_jobs
from diffusion_tricks_batch.lists import names
from diffusion_tricks_batch.plan import planned
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.traits import traits_of

BASE = {"steps": 2, "tricks": [{"trick": "anagram", "views": [["identity", "a {first}"], ["{view}", "a {second}"]]}]}
LOOKED_AT = {"recipe_from": 1, "build": 2, "_changed": 3}  # times for each job


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the functions that cost most was called."""
    counted = Counter[str]()

    def count(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def noted(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, name, noted)

    count(of_jobs, "recipe_from")
    count(Recipe, "build")
    count(of_recipes, "_changed")
    count(names, "_check_inside")
    return counted


def plan(count: int, output: str) -> None:
    views = ("rotate_cw", "flip")
    rows = [{"id": f"p{i}", "first": "rose", "second": f"thing {i}", "view": views[i % 2]} for i in range(count)]
    Path("jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ({"base": BASE}, *rows)))
    planned(Asked("jobs.jsonl", output, pictures=4), Records(Path("out")))


def test_each_job_of_a_list_costs_the_same_few_looks_however_long_it_is(calls: Counter[str]) -> None:
    found = []
    for count in (20, 40, 80):
        calls.clear()
        plan(count, "out/{id}.png")
        found.append(Counter(calls))
    for name, times in LOOKED_AT.items():
        assert found[1][name] - found[0][name] == 20 * times, name
        assert found[2][name] - found[1][name] == 40 * times, name


def test_a_folder_is_looked_at_once_whatever_lies_in_it(calls: Counter[str]) -> None:
    plan(40, "out/{view}/{first}/{id}.png")
    assert calls["_check_inside"] == 2


RECIPES: list[dict[str, Any]] = [
    {"prompt": "a", "steps": 2}, {"picture": "photo.png"},
    {"prompt": "a", "tricks": [{"trick": "guidance", "scale": 3}]},
    {"prompt": "a", "tricks": [{"trick": "sdedit", "image": "photo.png", "start_index": 1}], "lora": ["a.safetensors"]},
    {"tricks": [{"trick": "anagram", "views": [["identity", "picture:photo.png"], ["flip", "b"]]}]},
]  # fmt: skip


@pytest.mark.parametrize("data", RECIPES)
def test_the_traits_of_a_recipe_are_what_each_function_finds_alone(data: dict[str, Any]) -> None:
    Image.new("RGB", (8, 8)).save("photo.png")
    recipe = Recipe(**data)
    traits = traits_of(recipe)
    assert traits.recipe is recipe
    assert (traits.kind, traits.problem) == (likeness(recipe), None)
    assert list(traits.files) == paths(recipe)
    assert list(traits.pictures) == paths(recipe, of=["argument"])


@pytest.mark.parametrize(
    ("tricks", "message"),
    [
        ([{"trick": "guidance", "scale": 3}, {"trick": "guidance", "scale": 4}], "both fill the place 'guidance'"),
        ([{"trick": "anagram", "views": [["identity", "a"], ["flop", "b"]]}], "unknown view 'flop'"),
    ],
)
def test_tricks_that_cannot_be_are_among_the_traits(tricks: list[dict[str, Any]], message: str) -> None:
    problem = traits_of(Recipe(prompt="a", tricks=tricks)).problem
    assert isinstance(problem, UsageError)
    assert message in str(problem)
