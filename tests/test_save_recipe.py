"""A recipe that was saved runs from elsewhere: its pictures and masks in other folders, or in a bundle."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from command_line import run
from diffusion_tricks.errors import RecipeError
from diffusion_tricks.recipes.reading import read_recipe
from diffusion_tricks.testing import tiny_pipeline

EDIT = (
    "inpaint", "photos/a.png", "a fish", "--mask", "masks/m.png & box:0,0,100%,50%", "--seed", 3, "--steps", 2,
    "--guidance", 1, "-o", "out/a.png",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    for folder in ("photos", "masks", "recipes", "out"):
        (work / folder).mkdir(parents=True)
    monkeypatch.chdir(work)
    Image.fromarray(data.astronaut()).resize((64, 48)).save("photos/a.png")
    mask = Image.new("L", (64, 48))
    mask.paste(255, (20, 10, 50, 40))
    mask.save("masks/m.png")
    return work


def pixels(path: Path | str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def test_paths_climb_within_a_common_folder(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(*EDIT, "--save-recipe", "recipes/r.toml")
    assert made.code == 0, made.err
    saved = tomllib.loads(Path("recipes/r.toml").read_text())
    assert saved["folder"] == ".."
    assert saved["tricks"][0]["image"] == "../photos/a.png"
    assert saved["tricks"][0]["mask"] == ["../masks/m.png & box:0,0,100%,50%"]
    before = pixels("out/a.png")
    moved = tmp_path / "moved"
    shutil.move(here, moved)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = run("run", "../moved/recipes/r.toml", "-o", "b.png")
    assert again.code == 0, again.err
    np.testing.assert_array_equal(pixels("b.png"), before)


def test_a_bundle_holds_copies(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "masks/m.png").rename("masks/a.png")
    line = [str(word).replace("m.png", "a.png") for word in EDIT]
    made = run(*line, "--save-recipe", "recipes/r.toml", "--bundle")
    assert made.code == 0, made.err
    before = pixels("out/a.png")
    saved = tomllib.loads(Path("recipes/r.toml").read_text())
    assert "folder" not in saved
    assert saved["tricks"][0]["image"] == "r-files/a.png"
    assert saved["tricks"][0]["mask"] == ["r-files/a-2.png & box:0,0,100%,50%"]
    assert Path("recipes/r-files/a.png").read_bytes() == Path("photos/a.png").read_bytes()
    shutil.copytree("recipes", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    assert run("run", "r.toml", "-o", "b.png").code == 0
    np.testing.assert_array_equal(pixels("b.png"), before)


def test_a_bundle_replaces_nothing_unless_asked(here: Path) -> None:
    (here / "recipes/r-files").mkdir()
    (here / "recipes/r-files/a.png").write_bytes(b"mine")
    refused = run(*EDIT, "--save-recipe", "recipes/r.toml", "--bundle")
    assert (refused.code, "a.png exists; pass --force" in refused.err) == (2, True), refused.err
    assert not Path("out/a.png").exists()
    assert run(*EDIT, "--save-recipe", "recipes/r.toml", "--bundle", "--force").code == 0
    refused = run(*EDIT, "--bundle", "--force")
    assert (refused.code, "name the recipe with --save-recipe" in refused.err) == (2, True)


def test_no_recipe_opens_the_users_own_folder(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    refused = run(*EDIT, "--save-recipe", "recipes/r.toml")
    assert refused.code == 2
    assert "photos/a.png lies outside the recipe's folder, and no folder below your own holds both" in refused.err
    assert "as photos/r.toml, or copy what it reads with --bundle" in refused.err
    text = 'folder = ".."\npicture = "../photos/a.png"\ntricks = [{trick = "overlay", title = "A"}]\n'
    Path("recipes/r.toml").write_text(text)
    with pytest.raises(RecipeError, match="is your own or above it, which no recipe may read"):
        read_recipe(Path("recipes/r.toml"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_recipe(Path("recipes/r.toml")).folder is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('picture = "../photos/a.png"', "leads out of the recipe's folder"),
        ('folder = ".."\npicture = "../../x.png"', "leads out of the recipe's folder"),
        ('folder = ".."\npicture = "/etc/x.png"', "leads out of the recipe's folder"),
        ('folder = "/etc"', "folder"),
        ('folder = "../photos"', "folder"),
    ],
)
def test_a_recipe_climbs_no_further_than_it_says(text: str, message: str) -> None:
    Path("recipes/r.toml").write_text(f'{text}\ntricks = [{{trick = "overlay", title = "A"}}]\n')
    with pytest.raises(RecipeError, match=message):
        read_recipe(Path("recipes/r.toml"))


def test_a_model_that_lies_elsewhere_keeps_its_name_alone_and_a_note_says_so(here: Path) -> None:
    """Also one whose name is all that was said."""
    for folder in (here / "model", here / "recipes" / "model"):
        tiny_pipeline("if").save_pretrained(folder)
    for folder, kept, noted in (("model", "model", True), ("recipes/model", "./model", False)):
        line = ("generate", "a cat", "-m", folder, "--steps", 2, "--guidance", 1, "-o", "out/a.png", "--force")
        made = run(*line, "--save-recipe", "recipes/r.toml")
        assert made.code == 0, made.err
        assert tomllib.loads(Path("recipes/r.toml").read_text())["model"] == kept
        note = "Note: recipes/r.toml keeps of the model its name alone, 'model', as it lies elsewhere; give it with -m"
        assert (note in made.err) == noted, made.err


def test_a_folder_that_is_called_like_a_known_model_is_not_that_model(here: Path) -> None:
    (here / "emoji").mkdir()
    made = run("generate", "a cat", "--steps", 1, "--guidance", 1, "-o", "a.png", "--save-recipe", "recipes/r.toml")
    assert (made.code, "as it lies elsewhere" in made.err) == (0, False), made.err
    assert "model" not in tomllib.loads(Path("recipes/r.toml").read_text())
