"""Recipes go to JSON and TOML and back, and say what is wrong with one that is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks import Recipe, TrickEntry
from diffusion_tricks.errors import RecipeError, UnknownName, UsageError
from diffusion_tricks.recipes.paths import mapped, paths
from diffusion_tricks.recipes.reading import anchored, read_recipe
from diffusion_tricks.recipes.recipe import VERSION, recipe_from
from diffusion_tricks.registry.options import TrickOptions, option
from diffusion_tricks_plugins import Anagram, Guidance

TEXTS = ['say "hi"', "a\nb", "a\r\nb\\", "tab\there", "élan 兎 🐇", "'''", '"""', "", "back\\slash\n", "\x1f"]
FULL = Recipe(
    model="emoji", prompt=["a rabbit", "a duck"], negative="", guidance=3.5, size=(64, 32), steps=7, scheduler="ddim",
    seed=5, count=2, enlarge=4,
    tricks=[
        TrickEntry(trick="sdedit", image="photo.png", strength=0.5),
        TrickEntry(trick="anagram", views=[("identity", "a rabbit"), ("patches:8,seed=3", "a duck")], weights=[1, 0.5]),
        TrickEntry(trick="guidance", scale=4.0, negative="a cat"),
    ],
)  # fmt: skip


@pytest.mark.parametrize("form", ["json", "toml"])
@pytest.mark.parametrize("recipe", [FULL, Recipe(), Recipe(prompt="a"), *(Recipe(prompt=t, negative=t) for t in TEXTS)])
def test_a_recipe_survives_its_file(tmp_path: Path, recipe: Recipe, form: str) -> None:
    file = tmp_path / f"recipe.{form}"
    file.write_text(getattr(recipe, f"to_{form}")(), encoding="utf-8", newline="")
    read = read_recipe(file)
    expected = anchored(recipe, tmp_path, "")
    assert json.loads(read.to_json()) == json.loads(expected.to_json())
    assert read.prompt == recipe.prompt
    assert [trick.options for trick in read.tricks if trick.trick == "guidance"] == [
        trick.options for trick in recipe.tricks if trick.trick == "guidance"
    ]


def test_a_recipe_says_only_what_was_said_and_its_version() -> None:
    assert Recipe(prompt="a").data() == {"prompt": "a", "version": VERSION}
    assert "null" not in Recipe(tricks=[TrickEntry(trick="guidance", negative=None)]).to_json()


def test_the_tricks_are_built_in_order_with_their_options() -> None:
    views = [["identity", "a rabbit"], ["flip", "a duck"]]
    tricks = [{"trick": "anagram", "views": views}, {"trick": "guidance", "scale": 3}]
    anagram, guidance = recipe_from({"tricks": tricks}).build()
    assert isinstance(anagram, Anagram)
    assert isinstance(guidance, Guidance)
    assert anagram.options.views == [("identity", "a rabbit"), ("flip", "a duck")]
    assert guidance.options.scale == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"promt": "a"}, r"^where: promt: Extra inputs are not permitted, got 'a'; did you mean 'prompt'\?$"),
        ({"steps": "many"}, "^where: steps: expected a whole number, got 'many'$"),
        ({"steps": 0}, "^where: steps: expected at least 1, got 0$"),
        ({"size": 0}, r"^where: size\.0: expected at least 1, got 0; size\.1: expected at least 1, got 0$"),
        ({"size": [64]}, r"^where: size\.1: Field required$"),
        ({"size": [64, 0]}, r"^where: size\.1: expected at least 1, got 0$"),
        ({"guidance": -1}, "^where: guidance: expected at least 0, got -1$"),
        ({"seed": -1}, "^where: seed: "),
        ({"seed": 2**63}, "^where: seed: "),
        ({"prompt": 7}, "^where: prompt"),
        ({"tricks": [{"scale": 3}]}, r"^where: tricks\.0\.trick: Field required$"),
        ({"tricks": "anagram"}, "^where: tricks: expected a list, got 'anagram'$"),
        (
            {"version": VERSION + 1},
            f"^where: the recipe has version {VERSION + 1}, this program reads up to {VERSION}",
        ),
        ({"version": VERSION + 1, "new_key": 1}, f"^where: the recipe has version {VERSION + 1}"),
        ({"version": 0}, "^where: version: expected at least 1, got 0$"),
        ({"version": str(VERSION + 1)}, "^where: version: expected at most 1, got '2'$"),
        (["a"], "^where: Input should be a valid dictionary"),
    ],
)
def test_a_recipe_that_is_wrong_says_where(data: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from(data, "where")


def test_an_unknown_trick_or_option_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown trick 'anagrm'; did you mean 'anagram'"):
        recipe_from({"tricks": [{"trick": "anagrm"}]}).build()
    with pytest.raises(UsageError, match="guidance: scael: Extra inputs are not permitted, got 3"):
        recipe_from({"tricks": [{"trick": "guidance", "scael": 3}]}).build()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", b"{", r"r\.json is not valid JSON: "),
        ("r.JSON", b"{", r"r\.JSON is not valid JSON: "),
        ("r.toml", b"prompt = ", r"r\.toml is not valid TOML: "),
        ("r.toml", b"prompt = 'a'\nprompt = 'b'", r"r\.toml is not valid TOML: "),
        ("r.toml", b"\xff\xfe", r"r\.toml cannot be read as text in UTF-8: .*; expected TOML"),
        ("missing.toml", None, r"missing\.toml cannot be read: No such file"),
        ("r.toml", b"promt = 'a'", r"r\.toml: promt: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / name)


def with_picture(path: str) -> Recipe:
    return Recipe(tricks=[TrickEntry(trick="sdedit", image=path, strength=0.5)])


def test_pictures_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for path in ("photo.png", "deep/photo.png", "deep/../photo.png"):
        file = tmp_path / "recipe.toml"
        file.write_text(with_picture(path).to_toml())
        assert paths(read_recipe(file)) == [tmp_path / path]
    file.write_text(Recipe(picture="photo.png").to_toml())
    assert read_recipe(file).picture == str(tmp_path / "photo.png")


@pytest.mark.parametrize("path", ["../photo.png", "deep/../../photo.png", "/etc/passwd", "link/photo.png"])
@pytest.mark.parametrize("where", ["trick", "picture"])
def test_a_path_that_leads_out_of_the_recipes_folder(tmp_path: Path, path: str, where: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    file = folder / "recipe.toml"
    file.write_text((with_picture(path) if where == "trick" else Recipe(picture=path)).to_toml())
    with pytest.raises(
        RecipeError, match=f"recipe.toml: the path '{path}' leads out of the recipe's folder; put the pic"
    ):
        read_recipe(file)


def test_only_files_are_paths(tmp_path: Path) -> None:
    recipe = Recipe(prompt="a/b", tricks=[
        TrickEntry(trick="inpaint", image="photo.png", mask="box:1,2,3,4"), TrickEntry(trick="inpaint", mask="alpha"),
        TrickEntry(trick="inpaint", mask="mask.png"), TrickEntry(trick="overlay", title="a/b.png"),
    ])  # fmt: skip
    assert paths(recipe) == [Path("photo.png"), Path("mask.png")]
    changed = mapped(recipe, lambda path: f"there/{path}")
    assert [entry.options for entry in changed.tricks] == [
        {"image": "there/photo.png", "mask": "box:1,2,3,4"}, {"mask": "alpha"}, {"mask": "there/mask.png"},
        {"title": "a/b.png"},
    ]  # fmt: skip
    assert paths(recipe) == [Path("photo.png"), Path("mask.png")]  # the recipe itself is as it was


def test_seeds_may_be_listed() -> None:
    listed = Recipe(seed=[3, 9, 4, 20], prompt="a")
    assert (listed.count, listed.seeds, listed.single(1).seed) == (4, [3, 9, 4, 20], 9)
    assert recipe_from(json.loads(listed.to_json())) == listed
    assert recipe_from(tomllib.loads(listed.to_toml())) == listed
    best = Recipe(seed=range(1, 9), best_of=4, prompt="a")  # every four of them are the candidates of one picture
    assert (best.count, best.seeds, best.candidates().seeds) == (2, [1, 5], list(range(1, 9)))
    assert Recipe(seed=[5], best_of=3).candidates().seeds == [5, 6, 7]
    assert Recipe(seed=[1, 2], prompt=["a", "b"]).single(1).prompt == "b"
    for seed, message in (
        [[], "at least one"],
        [[1, 1], "that differ"],
        [[1, True], "a whole number"],
        [[1, -1], "least 0"],
    ):
        with pytest.raises(RecipeError, match=message):
            Recipe(seed=seed)


def test_seeds_count_up_and_are_drawn_once() -> None:
    assert Recipe(seed=5, count=3).seeds == [5, 6, 7]
    drawn = Recipe(prompt="a").resolved()
    assert drawn.seed is not None
    assert drawn.resolved() == drawn
    assert len({Recipe().resolved().seed for _ in range(8)}) == 8
    with pytest.raises(RecipeError, match="the recipe's seed is not drawn yet"):
        _ = Recipe().seeds


def test_the_recipe_of_one_picture_alone() -> None:
    single = FULL.single(1)
    assert (single.seed, single.count, single.prompt) == (6, 1, "a duck")
    assert single.tricks == FULL.tricks
    assert Recipe(seed=5, count=3, prompt="a").single(2).prompt == "a"


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FULL.steps = 3  # type: ignore[misc]


def test_a_font_is_a_path_only_where_it_looks_like_a_file(tmp_path: Path) -> None:
    fonts = ["Brush.TTF", "fonts/brush", "DejaVu Serif", "brush.woff2", "dejavu serif bold"]
    recipe = Recipe(tricks=[TrickEntry(trick="overlay", title="a", font=font) for font in fonts])
    assert paths(recipe) == [Path("Brush.TTF"), Path("fonts/brush"), Path("brush.woff2")]
    kept = [entry.options["font"] for entry in anchored(recipe, tmp_path, "").tricks]
    assert kept == [str(tmp_path / "Brush.TTF"), str(tmp_path / "fonts/brush"), fonts[2],
                    str(tmp_path / "brush.woff2"), fonts[4]]  # fmt: skip
    with pytest.raises(RecipeError, match="leads out of the recipe's folder"):
        anchored(Recipe(tricks=[TrickEntry(trick="overlay", title="a", font="../Brush.ttf")]), tmp_path, "")


@pytest.mark.parametrize("font", ["~/Brush.ttf", "~root/Brush.ttf", "~\0.ttf"])
def test_a_home_is_outside_of_every_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, font: str) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(tricks=[TrickEntry(trick="overlay", title="a", font=font)])
    with pytest.raises(RecipeError, match="leads out of the recipe's folder"):
        anchored(recipe, Path(), "")


def test_a_folder_called_like_a_home_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(tricks=[TrickEntry(trick="overlay", title="a", font="./~/Brush.ttf")])
    assert anchored(recipe, Path(), "").tricks[0].options["font"] == str(tmp_path / "~/Brush.ttf")


def test_every_path_of_a_list_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options(TrickOptions):
        many: list[str] = option([], "pictures", path=True)

    monkeypatch.setattr(Guidance, "Options", Options)
    recipe = Recipe(tricks=[TrickEntry(trick="guidance", many=["a.png", "b.png"])])
    assert paths(recipe) == [Path("a.png"), Path("b.png")]
    assert mapped(recipe, str.upper).tricks[0].options == {"many": ["A.PNG", "B.PNG"]}


@pytest.mark.parametrize("model", ["./mine", "mine", "models/mine", "./not-there", "a/b/c"])
def test_a_model_directory_is_looked_for_beside_the_recipe(tmp_path: Path, model: str) -> None:
    for folder in ("mine", "models/mine"):
        (tmp_path / folder).mkdir(parents=True)
    assert anchored(Recipe(model=model), tmp_path, "").model == str(tmp_path / model)


@pytest.mark.parametrize("model", ["emoji", "sdxl", "google/ddpm-cat-256", "emojy"])
def test_names_of_models_are_left_alone(tmp_path: Path, model: str) -> None:
    (tmp_path / "emoji").mkdir()
    assert anchored(Recipe(model=model), tmp_path, "").model == model


@pytest.mark.parametrize("model", ["/srv/model", "../model", "./../model", "a/../../model", "link"])
def test_a_model_outside_the_recipes_folder(tmp_path: Path, model: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    with pytest.raises(RecipeError, match="leads out of the recipe's folder; put the picture or model beside"):
        anchored(Recipe(model=model), tmp_path / "inside", "")


def test_several_prompts_are_several_pictures() -> None:
    assert Recipe(prompt=["a", "b"], seed=3).seeds == [3, 4]
    assert recipe_from({"prompt": ["a", "b"], "count": 1}).count == 1
    assert (Recipe(prompt="ab").count, Recipe().count, Recipe(prompt=[]).count) == (1, 1, 1)


def test_one_number_is_the_side_of_a_square():
    assert Recipe.model_validate({"size": 64}).size == Recipe(size=(64, 64)).size == (64, 64)
    assert Recipe.model_validate({"size": 64}).data()["size"] == Recipe(size=(64, 64)).data()["size"]
