"""What a run writes or removes is checked before it starts, and what it wrote is read back, without a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.errors import OutputError
from diffusion_tricks.recipes.record import check_save, read_record, save
from diffusion_tricks_cli import output

COVER = ("cover", "photo.png", "--title", "A")
RECORD = {"record": 1, "recipe": {}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (80, 60), "navy").save("photo.png")


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir()}


@pytest.mark.parametrize("name", ["v.png", "v.jpg"])
def test_the_record_of_an_earlier_picture_goes_by_force_alone(name: str) -> None:
    save(Image.new("RGB", (8, 8)), "v.tif", RECORD)
    Path("v.tif.json").rename(f"{name}.json")
    before = contents()
    words = [*COVER, "-o", name, *(["--no-metadata"] if name == "v.jpg" else [])]
    refused = run(*words)
    said = f"{name}.json holds the record of an earlier picture, which would speak of {name}; pass --force"
    assert (refused.code, said in refused.err) == (2, True)
    assert run(*words, "--dry-run").code == 2
    with pytest.raises(OutputError, match="holds the record of an earlier picture"):
        save(Image.new("RGB", (8, 8)), name, None)
    assert contents() == before
    assert run(*words, "--force").code == 0
    assert not Path(f"{name}.json").exists()


def test_what_is_no_record_is_nobodys_target() -> None:
    Path("v.png.json").write_text('{"mine": 1}')
    check_save("v.png", force=False)
    assert run(*COVER, "-o", "v.png", "--force").code == 0
    assert Path("v.png.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("picture", ["v.jpg", "v.png", "./v.png"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_recipe_is_not_saved_where_a_record_stands(picture: str, force: list[str]) -> None:
    refused = run(
        *COVER, "-o", picture, "--save-recipe", os.path.join(os.getcwd(), Path(picture).name + ".json"), *force
    )
    assert (refused.code, "is where the record of a picture stands" in refused.err) == (2, True)
    assert sorted(contents()) == ["photo.png"]


@pytest.mark.parametrize("flag", ["-o", "--save-recipe", "--steps-out"])
def test_an_empty_name_is_none(flag: str) -> None:
    refused = run("generate", "a", flag, "")
    said = f"Error: {flag} expects the name of a file, got an empty one; name one, or leave {flag} out\n"
    assert (refused.code, refused.err) == (2, said)


@pytest.mark.parametrize("name", ["v.png", "v.jpg", "v.webp"])
@pytest.mark.parametrize("damage", ["removed", "cut", "another"])
def test_a_file_that_is_damaged_as_it_is_written_is_said(
    name: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(image: Image.Image, path: Path, *arguments: Any, **named: Any) -> None:
        save(image, path, *arguments, **named)
        whole = path.read_bytes()
        if damage == "another":
            Image.new("RGB", (8, 8)).save(path)
        else:
            path.unlink()
        if damage == "cut":
            path.write_bytes(whole[: len(whole) // 2])

    monkeypatch.setattr(output, "save", damaged)
    refused = run(*COVER, "-o", name)
    reason = "reads back with other pixels" if damage == "another" else "cannot be read back"
    assert (refused.code, f"{name} was written, but {reason}" in refused.err) == (1, True)


def test_a_picture_larger_than_pillow_reads_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """191 megapixels were, and ended in a traceback; the limits are made small here instead."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setenv("DIFFUSION_TRICKS_MAX_PIXELS", "1000")
    image = Image.linear_gradient("L").convert("RGB")
    save(image, "large.png", RECORD)
    assert output._verified(Path("large.png"), image, {"seed": 1}) == {"seed": 1}
    assert read_record("large.png") == RECORD
    assert run("show", "large.png").code == 0
