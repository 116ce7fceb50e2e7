"""The JSON Schema of recipes: what can be built fits it, what is misspelt or out of range does not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from command_line import run
from diffusion_tricks import load_plugin
from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.plugin import read_record, recipe_schema
from diffusion_tricks.recipes.recipe import recipe_from
from test_nested import ENTRIES

ROOT = Path(__file__).resolve().parent.parent
PICTURES = sorted([*(ROOT / "docs" / "pictures").rglob("*.png"), *(ROOT / "examples").rglob("*.png")])


@pytest.fixture(scope="module")
def fits() -> Any:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid


def recorded() -> dict[str, Any]:
    found = {}
    for picture in PICTURES:
        try:
            found[str(picture.relative_to(ROOT))] = read_record(picture)["recipe"]
        except PictureError:
            continue
    return found


def test_the_recipe_of_every_picture_of_docs_and_examples_fits(fits: Any) -> None:
    recipes = recorded()
    assert len(recipes) > 10
    assert [name for name, recipe in recipes.items() if not fits(recipe)] == []


def test_every_trick_fits_and_one_option_more_does_not(fits: Any) -> None:
    assert set(host().entries("trick")) - set(ENTRIES) <= {"controlnet", "dps"}  # whose pictures must be there
    for name, options in ENTRIES.items():
        recipe = {"prompt": "a rose", "tricks": [{"trick": name, **options}]}
        recipe_from(recipe).build()
        assert fits(json.loads(json.dumps(recipe))), name
        assert not fits({"prompt": "a rose", "tricks": [{"trick": name, **options, "strenght": 1}]}), name


@pytest.mark.parametrize(
    "recipe",
    [
        {"sede": 1}, {"seed": -1}, {"seed": "one"}, {"size": [64]}, {"count": 0}, {"version": 2}, {"tricks": {}},
        {"tricks": [{"scale": 3}]}, {"tricks": [{"trick": "guidence"}]},
        {"tricks": [{"trick": "guidance", "scale": -1}]}, {"tricks": [{"trick": "hybrid", "far": "a skull"}]},
        {"tricks": [{"trick": "anagram", "views": [["flip"]]}]},
        {"tricks": [{"trick": "anagram", "reduction": "median", "prompts": ["a", "b"]}]},
        {"tricks": [{"trick": "hybrid", "far": "a", "near": {"trick": "hybrid", "far": "b"}}]},
        {"tricks": [{"trick": "hybrid", "far": "a", "near": {"prompt": "b", "tricks": []}}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_built_does_not_fit(recipe: dict[str, Any], fits: Any) -> None:
    with pytest.raises(UsageError):
        recipe_from(recipe).build()
    assert not fits(recipe)


@pytest.mark.parametrize(
    "near",
    [
        "a mushroom", {"trick": "hybrid", "far": "a", "near": "b"}, [{"trick": "guidance", "scale": 3}],
        {"prompt": "a duck", "tricks": [{"trick": "guidance", "scale": 3}]},
    ],
    ids=str,
)  # fmt: skip
def test_tricks_in_the_place_of_a_prompt_fit(near: Any, fits: Any) -> None:
    assert fits({"tricks": [{"trick": "hybrid", "far": "a skull", "near": near}]})


def test_it_has_the_tricks_of_plugins() -> None:
    with load_plugin(ROOT / "examples" / "plugins" / "dt-pag" / "dt_pag.py"):
        fits = Draft202012Validator(recipe_schema()).is_valid
        assert fits({"tricks": [{"trick": "pag", "scale": 2}]})
        assert not fits({"tricks": [{"trick": "pag", "scale": -2}]})


@pytest.mark.parametrize("name", ["saved.toml", "saved.json"])
def test_a_saved_recipe_names_its_schema_fits_it_and_is_read(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run("generate", "a rose", "-m", tiny, "--steps", "1", "--seed", "3", "-o", "a.png", "--save-recipe", name)
    assert made.code == 0, made.err
    text = Path(name).read_text()
    saved = json.loads(text) if name.endswith("json") else tomllib.loads(text)
    assert run("schema", "-o", "recipe.schema.json").lines == ["recipe.schema.json"]
    assert (tmp_path / saved["$schema"]).is_file()
    assert Draft202012Validator(json.loads(Path("recipe.schema.json").read_text())).is_valid(saved)
    again = run("run", name, "-m", tiny, "-o", "b.png")
    assert again.code == 0, again.err
    assert "$schema" not in read_record(Path("b.png"))["recipe"]


def test_the_command_prints_it_and_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("schema").json == recipe_schema()
    Path("mine.json").write_text("mine")
    outcome = run("schema", "-o", "mine.json")
    assert (outcome.code, Path("mine.json").read_text()) == (2, "mine")
    assert run("schema", "-o", "mine.json", "--force").code == 0
