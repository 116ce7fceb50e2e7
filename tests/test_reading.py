"""Files of others may be pipes, devices or without an end: none of them is waited for, and none fills the memory."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.errors import ModelError, RecipeError
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.io.reading import MOST, Unreadable, read_text
from diffusion_tricks.loading.checks import check_directory
from diffusion_tricks.loading.controlnet import check_source

Make = Callable[[Path], object]
SPECIAL: dict[str, Make] = {
    "a pipe": os.mkfifo,
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a hole": lambda file: file.touch() or os.truncate(file, 2**40),
}


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What waits for a pipe is ended by the test and not by its reader's."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_of_a_limited_size_are_read(tmp_path: Path, kind: str) -> None:
    SPECIAL[kind](tmp_path / "file")
    with pytest.raises(Unreadable, match=r"^cannot be read: (it is no regular file|Is a directory|it holds more than)"):
        read_text(tmp_path / "file")


def test_a_file_as_large_as_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b" " * (MOST - 2) + b"{}")
    assert read_object(tmp_path / "file", RecipeError) == {}


@pytest.mark.parametrize("kind", SPECIAL)
def test_recipes_and_records(tmp_path: Path, kind: str) -> None:
    SPECIAL[kind](tmp_path / "a.toml")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    SPECIAL[kind](tmp_path / "a.jpg.json")
    for command, file in (("run", "a.toml"), ("show", "a.jpg"), ("rerun", "a.jpg")):
        refused = run(command, tmp_path / file)
        assert (refused.code, refused.err[:6]) == (2, "Error:")


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a hole"])
@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "tokenizer/vocab.json", "unet/diffusion_pytorch_model.safetensors"]
)
def test_directories_of_models(tiny: Path, tmp_path: Path, kind: str, file: str) -> None:
    copied = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    (copied / file).unlink(missing_ok=True)
    SPECIAL[kind](copied / file)
    with pytest.raises(ModelError):
        check_directory(copied)
    refused = run("generate", "a", "-m", copied, "-o", tmp_path / "a.png")
    assert refused.code == 3
    assert file in refused.err or "is not a diffusers pipeline" in refused.err


def test_a_link_to_nothing_among_weights(tiny: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    (copied / "unet/extra.safetensors").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"extra\.safetensors is a link to what is not there"):
        check_directory(copied)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a hole"])
def test_networks(tmp_path: Path, kind: str) -> None:
    SPECIAL[kind](tmp_path / "config.json")
    with pytest.raises(ModelError, match=r"config\.json"):
        check_source(str(tmp_path), {}, "m")
