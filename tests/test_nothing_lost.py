"""What a run writes or removes is checked before it starts, and what it wrote is read back, without a model."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.errors import OutputError
from diffusion_tricks.generate import result
from diffusion_tricks.io import atomic
from diffusion_tricks.recipes.reading import read_recipe
from diffusion_tricks.recipes.record import check_save, read_record, save
from diffusion_tricks_cli.readback import read_back

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


def disk_refuses(ending: str, times: int = 99) -> Any:
    """A disk that becomes full whenever a file of that kind is written, for so many times."""
    left, fill = iter(range(times)), atomic._temporary

    def temporary(path: Path, data: Any) -> Any:
        full = path.suffix == ending and next(left, None) is not None
        return fill(path, _no_room if full else data)

    return mock.patch.object(atomic, "_temporary", temporary)


def _no_room(file: BinaryIO) -> None:
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("count", "lost"), [(1, 1), (3, 3), (3, 1)])
def test_a_recipe_of_pictures_that_failed_is_kept_whole_and_said(count: int, lost: int, tiny: Path) -> None:
    words = ["generate", "a", "-m", tiny, "--steps", 1, "--count", count, "-o", "out.png", "--save-recipe", "r.toml"]
    with disk_refuses(".png", lost):
        failed = run(*words)
    assert (failed.code, len(failed.lines)) == (1, count - lost)
    said = f"Note: r.toml is the whole recipe, though {lost} of its {count} pictures could not be written; make them "
    assert f"{said}anew with: diffusion-tricks run r.toml\n" in failed.err
    assert run("run", "r.toml", "-m", tiny).code == 0
    seeds = [read_record(path)["seed"] for path in sorted(Path().glob("r-*.png"))]
    assert seeds == [*range(read_recipe(Path("r.toml")).seed or 0, seeds[0] + count)]


def test_a_recipe_that_cannot_be_written_is_not_left_behind() -> None:
    with disk_refuses(".toml"):
        failed = run(*COVER, "-o", "v.png", "--save-recipe", "r.toml")
    assert (failed.code, failed.out) == (1, "v.png\n")
    assert "Error: r.toml could not be written: the disk is full" in failed.err
    assert sorted(contents()) == ["photo.png", "v.png"]


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
    def damaged(image: Any, path: Path, *arguments: Any, **named: Any) -> Any:
        encoded = save(image, path, *arguments, **named)
        whole = path.read_bytes()
        if damage == "another":
            Image.new("RGB", (8, 8)).save(path)
        else:
            path.unlink()
        if damage == "cut":
            path.write_bytes(whole[: len(whole) // 2])
        return encoded

    monkeypatch.setattr(result, "save", damaged)
    refused = run(*COVER, "-o", name)
    reason = "reads back with other pixels" if damage == "another" else "cannot be read back"
    assert (refused.code, f"{name} was written, but {reason}" in refused.err) == (1, True)


def test_a_picture_larger_than_pillow_reads_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """191 megapixels were, and ended in a traceback; the limits are made small here instead."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setenv("DIFFUSION_TRICKS_MAX_PIXELS", "1000")
    image = Image.linear_gradient("L").convert("RGB")
    encoded = save(image, "large.png", RECORD)
    assert read_back(Path("large.png"), encoded.raster, lossy=False).size == image.size
    assert read_record("large.png") == RECORD
    assert run("show", "large.png").code == 0
