"""Films are what Pillow makes of all frames at once, and are kept nowhere but in a file that nobody sees."""

from __future__ import annotations

import errno
import gc
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from command_line import run
from diffusion_tricks.errors import OutputError, OutputFailed
from diffusion_tricks.io.animation import Animation
from diffusion_tricks_cli import film

Frames = list[Image.Image]
DURATION, LAST = 100, 1500


def noise(count: int, width: int = 40, height: int = 30, levels: int = 256) -> Frames:
    rng = np.random.default_rng(0)
    shape = (height, width, 3)
    return [
        Image.fromarray((rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8)) for _ in range(count)
    ]


def slides() -> Frames:
    """A square that moves over a gradient, and rests now and then."""
    ground = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None], (48, 64, 3)).copy()
    frames = []
    for left in (0, 3, 3, 3, 9, 9, 40, 40):
        frame = ground.copy()
        frame[10:20, left : left + 10] = (200, 30, 90)
        frames.append(Image.fromarray(frame))
    return frames


def seen(path: Path) -> list[tuple[bytes, int]]:
    """The pixels and the duration of every frame."""
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        return [(f.convert("RGB").tobytes(), f.info["duration"]) for f in ImageSequence.Iterator(image)]


def ours(frames: Frames, path: Path) -> Path:
    animation = Animation(path, DURATION, LAST)
    for frame in frames:
        animation.add(frame)
    animation.save()
    return path


@pytest.mark.parametrize(
    "frames",
    [noise(5), noise(4, 3, 2), noise(6, levels=2), noise(3, 300, 17, levels=4), slides(), slides()[:4], noise(1),
     [Image.new("RGB", (9, 9), color) for color in ("red", "red", "blue", "#ff0001")]],
    ids=["noise", "tiny", "two levels", "wide", "slides", "rests last", "one", "flat"],
)  # fmt: skip
def test_a_film_is_the_one_that_pillow_makes_of_all_its_frames(tmp_path: Path, frames: Frames) -> None:
    theirs = tmp_path / "theirs.gif"
    times = [DURATION] * (len(frames) - 1) + [LAST]
    frames[0].save(theirs, save_all=True, append_images=frames[1:], duration=times, loop=0)
    assert seen(ours(frames, tmp_path / "ours.gif")) == seen(theirs)


def test_a_frame_may_have_a_duration_of_its_own(tmp_path: Path) -> None:
    animation = Animation(tmp_path / "film.gif", DURATION, DURATION)
    for frame, duration in zip(noise(3), (40, None, 1200), strict=True):
        animation.add(frame, duration)
    animation.save()
    assert [duration for _, duration in seen(tmp_path / "film.gif")] == [40, DURATION, 1200]


def test_nothing_is_to_be_seen_before_it_is_whole(tmp_path: Path) -> None:
    animation = Animation(tmp_path / "film.gif", DURATION, LAST)
    for frame in noise(3):
        animation.add(frame)
    assert list(tmp_path.iterdir()) == []
    animation.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "film.gif").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"film\.gif exists"):
        ours(noise(2), tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 1


class FullDisk:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:  # as a file, which flushes first
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("before", [None, list.append])
def test_a_full_disk_costs_the_film_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(tempfile, "TemporaryFile", FullDisk)
    animation = Animation(tmp_path / "film.gif", DURATION, LAST)
    for frame in noise(3):
        animation.add(frame)
    with pytest.raises(OutputFailed, match=r"film\.gif could not be written: the disk is full"):
        animation.save(before=before and partial(before, told))
    assert list(tmp_path.iterdir()) == told == []


def test_what_is_to_be_told_of_it_before_is_the_whole_film(tmp_path: Path) -> None:
    animation, told = Animation(tmp_path / "film.gif", DURATION, LAST), list[Any]()
    for frame in noise(3):
        animation.add(frame)

    def before(files: Any) -> None:
        told.append(files)
        assert list(tmp_path.iterdir()) == []

    animation.save(before=before)
    assert told == [{tmp_path / "film.gif": (tmp_path / "film.gif").read_bytes()}]


@pytest.mark.parametrize(("name", "most"), [("film.gif", 3), ("strip.png", 3 * film.FEW)])
def test_only_what_is_shown_is_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    """Of films no more than the frame last added, of strips their few."""
    counts: list[int] = []
    to_images = film.to_images

    def counted(pixels: Any) -> Frames:
        counts.append(sum(isinstance(thing, Image.Image) for thing in gc.get_objects()))
        return to_images(pixels)

    monkeypatch.setattr(film, "to_images", counted)
    outcome = run("generate", "x", "-m", tiny, "--steps", 30, "--count", 3, "-o", tmp_path / "out.png",
                  "--steps-out", tmp_path / name)  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert len(counts) == (30 if name == "film.gif" else film.FEW)
    assert max(counts) - counts[0] <= most
