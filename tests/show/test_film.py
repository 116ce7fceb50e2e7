"""Films: every view at rest is the view to the pixel, in frames and in files; times add up; captions are whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageSequence

from command_line import run
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.generate.shown import seen_through
from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.trick import Shown
from diffusion_tricks.registry.view import view_named
from diffusion_tricks_show.film import Pace, Shot, eased, shots, timetable, with_home
from diffusion_tricks_show.films import write_film
from diffusion_tricks_show.subject import Subject, instruction, same, subject_of
from show.illusions import HYBRID, TURNED, made, pattern

VIEWS = (
    "flip", "mirror", "rotate_cw", "rotate_180", "rotate:30", "negate", "skew", "patches:4,seed=3", "inner_circle",
    "jigsaw:4,seed=3", "hinge",
)  # fmt: skip
NESTED = [
    {"trick": "anagram", "views": [["identity", HYBRID[0]], ["flip", {"trick": "hybrid", "far": "c", "near": "d"}]]}
]
TRIPLE = [{**HYBRID[0], "mid": "a tree"}]
COLOUR, MOTION = ([{**HYBRID[0], "split": split}] for split in ("color", "motion"))


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    return made(tmp_path / "turned.png", TURNED)


def own_size(subject: Subject, pace: Pace) -> list[Shot]:
    return list(shots(subject, Pace(**{**vars(pace), "size": subject.image.width, "captions": False})))


def rests(subject: Subject) -> list[Image.Image]:
    return [shot.image for shot in own_size(subject, Pace(fps=4)) if shot.rests]


@pytest.mark.parametrize("tricks", [TURNED, HYBRID, NESTED, TRIPLE, COLOUR, MOTION],
                         ids=["anagram", "hybrid", "nested", "triple", "colour", "motion"])  # fmt: skip
def test_views_at_rest_are_the_views_to_the_pixel(tmp_path: Path, tricks: list[dict[str, object]]) -> None:
    subject = subject_of(made(tmp_path / "a.png", tricks))
    stops = [*subject.views, *subject.views[-2:0:-1]]
    for image, view in zip(rests(subject), stops, strict=True):
        assert same(image, view.picture)
        assert view.frame is not None
        assert same(view.frame(1.0), view.picture)
        assert same(view.frame(0.0), subject.image)
        between = view.frame(0.3)
        assert between.size == subject.image.size
        assert subject.is_home(view) or not (same(between, subject.image) or same(between, view.picture))


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_where_it_starts_and_ends(tmp_path: Path, name: str) -> None:
    assert name.partition(":")[0] in host().entries("view")
    subject = subject_of(made(tmp_path / "a.png", []), [("identity", "a"), (name, "b")])
    assert same(rests(subject)[1], seen_through(name, pattern()))
    assert same(rests(subject)[0], pattern())


def test_what_moves_starts_and_ends_slowly() -> None:
    at = [eased(i / 100, "smooth") for i in range(101)]
    assert (at[0], at[50], at[100]) == (0, pytest.approx(0.5), 1)
    assert max(b - a for a, b in pairwise(at)) == pytest.approx(0.015, abs=1e-4), "the slope of 3t^2 - 2t^3 is 3/2"
    assert at[1] < 0.001
    assert [eased(i / 10, "linear") for i in range(11)] == [i / 10 for i in range(11)]


@pytest.mark.parametrize("fps", [1, 7, 25, 60])
@pytest.mark.parametrize("boomerang", [True, False])
@pytest.mark.parametrize("home", [(True, False), (True, False, False), (False, True, True, False)])
def test_the_times_add_up(home: tuple[bool, ...], boomerang: bool, fps: int) -> None:
    table = timetable(home, Pace(fps=fps, seconds=30, hold=1.5, boomerang=boomerang))
    assert sum(moment.ticks for moment in table) == 30 * fps
    held = [moment.view for moment in table if moment.share == 1 and moment.ticks == round(1.5 * fps)]
    forth = list(range(len(home)))
    assert held[: len(home)] == forth
    assert held == forth + (forth[-2:0:-1] if boomerang else []) or any(a and b for a, b in pairwise(home))


def test_a_boomerang_goes_back_the_way_it_came() -> None:
    table = timetable((True, False), Pace(fps=25, easing="linear"))
    shares = [moment.share for moment in table if moment.ticks == 1]
    half = len(shares) // 2
    assert np.allclose(shares[:half], shares[half:][::-1])
    assert all(a < b for a, b in pairwise(shares[:half]))


def test_a_film_that_is_too_short_says_so() -> None:
    with pytest.raises(UsageError, match=r"a film of 2 s has no time for 2 rests of 1\.2 s"):
        timetable((True, False), Pace(seconds=2))


def test_captions_are_whole_and_the_picture_stands_alone(tmp_path: Path) -> None:
    """A long one is wrapped; no letter touches an edge, and none the picture."""
    long = "an unbelievably long-winded description of Donaudampfschifffahrtsgesellschaftskapitänsmützen in a wood " * 3
    subject = subject_of(made(tmp_path / "a.png", []), [("identity", "a"), ("flip", long)])
    (_, last) = [shot for shot in shots(subject, Pace(fps=4)) if shot.rests]
    below = last.image.crop((0, 256, *last.image.size))
    ink = ImageChops.invert(below.convert("L")).point(lambda value: 255 * (value > 8)).getbbox()
    assert ink is not None
    assert ink[0] >= 2
    assert ink[1] >= 2
    assert ink[2] <= below.width - 2
    assert ink[3] <= below.height - 2
    assert same(last.image.crop((0, 0, 256, 256)), seen_through("flip", pattern()).resize((256, 256), Image.LANCZOS))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("band 1", "go far away, or squint"),
        ("band 2", "come nearer, for finer shapes"),
        ("band 3", "come nearer still, for finer shapes"),
        ("box:0,0,33%,100%", "look at the left part alone"),
        ("box:33%,0,67%,100%", "look at the middle part alone"),
        ("ellipse:32,40,64,64", "look at the lower right part alone"),
        ("circle:50%,50%,20%", "look at this part alone"),
        ("masks/hat.png", "look at this part alone"),
        ('words:"the hat"', "look at this part alone"),
        ("part 2 of 3", "look at part 2 of 3"),
        ("from afar", "go far away, or squint"),
        ("box:0,0,100%,50% > flip", f"look at the upper part alone, then {view_named('flip').instruction()}"),
        ("held to the ear", "held to the ear"),
    ],
)
def test_an_instruction_tells_what_to_do(name: str, words: str) -> None:
    assert instruction(Shown(name, pattern(), "a")) == words


def frames(path: Path) -> list[tuple[Image.Image, float]]:
    with Image.open(path) as film:
        assert film.info["loop"] == 0
        return [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_a_film_as_a_reader_sees_it(turned: Path, kind: str) -> None:
    """Pillow's readers of the three formats, which is how others see them: views without loss, but for a GIF's."""
    film = turned.with_suffix(f".{kind}")
    words = ["film", turned, "-o", film, "--fps", 10, "--seconds", 4, "--hold", 1, "--size", 64, "--no-captions"]
    assert run(*words).lines == [str(film)]
    seen = frames(film)
    assert sum(duration for _, duration in seen) == pytest.approx(4000, abs=1)
    held = [frame for frame, duration in seen if duration >= 999]
    for frame, view in zip(held, subject_of(turned).views, strict=True):
        off = np.abs(np.asarray(frame, int) - np.asarray(view.picture, int))
        assert off.max() == 0 if kind != "gif" else off.mean() < 6


def test_an_mp4_is_what_it_shows(turned: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    film = turned.with_suffix(".mp4")
    words = ["-o", film, "--fps", 10, "--seconds", 4, "--hold", 1, "--size", 63, "--no-captions"]
    assert run("film", turned, *words).code == 0
    reader = ffmpeg.read_frames(str(film))
    about = next(reader)
    seen = [np.frombuffer(frame, np.uint8).reshape(64, 64, 3).astype(int) for frame in reader]
    assert (about["size"], about["fps"], len(seen)) == ((64, 64), 10, 40)
    for at, view in zip((5, 25), subject_of(turned).views, strict=True):
        expected = np.asarray(view.picture.resize((63, 63), Image.LANCZOS), int)
        assert np.abs(seen[at][:63, :63] - expected).mean() < 8  # of 8 bits, in 4:2:0


def test_without_imageio_ffmpeg_a_sentence(turned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    outcome = run("film", turned, "-o", turned.with_suffix(".mp4"))
    assert (outcome.code, "pip install 'diffusion-tricks[film]'" in outcome.err) == (3, True)
    assert [file.name for file in turned.parent.iterdir()] == ["turned.png"]
    with pytest.raises(PluginError, match="imageio-ffmpeg"):
        write_film(turned.with_suffix(".mp4"), iter(()), 25, 0, force=False, source=turned)


@pytest.mark.parametrize("kind", ["webp", "apng"])
def test_frames_are_written_as_they_are_computed(turned: Path, tmp_path: Path, kind: str) -> None:
    """When one is asked for, those before it are in the file."""
    from diffusion_tricks_show.films import write_apng, write_webp

    sizes: list[int] = []
    table = own_size(subject_of(turned), Pace(fps=5))
    with (tmp_path / "film").open("wb", buffering=0) as file:

        def asked() -> Iterator[Shot]:
            for shot in table:
                sizes.append(file.tell())
                yield shot

        if kind == "webp":
            write_webp(file, asked(), 5)
        else:
            write_apng(file, asked(), 5, len(table))
    assert all(after - before > 100 for before, after in pairwise(sizes))


def test_what_is_said_takes_the_place_of_the_record(tmp_path: Path) -> None:
    pattern().save(tmp_path / "bare.png")
    words = ["--view", "identity", "a", "--view", "flip", "b", "--fps", 4, "-o", tmp_path / "a.gif"]
    assert run("film", tmp_path / "bare.png", *words).code == 0


def refused(*words: object) -> str:
    outcome = run(*words)
    assert outcome.code == 2, outcome.err
    return outcome.err


def test_bad_input_is_a_sentence(tmp_path: Path, turned: Path) -> None:
    pattern().save(tmp_path / "bare.png")
    pattern(64, 48).save(tmp_path / "wide.png")
    plain = made(tmp_path / "plain.png", [], prompt="a rocket")
    bare, gif = tmp_path / "bare.png", tmp_path / "a.gif"
    for command in ("film", "page"):
        output = tmp_path / ("a.gif" if command == "film" else "a.html")
        said = refused(command, bare, "-o", output)
        assert "carries no diffusion-tricks record" in said
        assert '--view flip "a duck"' in said
        assert "unknown view 'flp'" in refused(command, bare, "--view", "flp", "a", "-o", output)
        assert "square" in refused(command, tmp_path / "wide.png", "--view", "rotate_cw", "a", "-o", output)
        assert "does not exist" in refused(command, turned, "-o", tmp_path / "no" / output.name)
    assert "is never overwritten" in refused("page", turned, "-o", turned, "--force")
    assert "shows one thing, as it is" in refused("film", plain, "-o", gif)
    assert "got '.avi'" in refused("film", turned, "-o", tmp_path / "a.avi")
    assert "up to 50 frames a second" in refused("film", turned, "-o", gif, "--fps", 60)
    gif.write_bytes(b"mine")
    assert "pass --force" in refused("film", turned, "-o", gif)
    assert gif.read_bytes() == b"mine"
    assert run("film", turned, "-o", gif, "--force", "--fps", 2).code == 0
    (tmp_path / "a.json").write_text(json.dumps({}))
    assert "Error" in refused("film", tmp_path / "a.json", "-o", tmp_path / "b.gif")


@pytest.mark.parametrize("words", [
    ["--fps", 5], ["--seconds", 9], ["--hold", 2], ["--easing", "linear"], ["--no-boomerang"],
    ["--no-captions"], ["--view", "flip", "a cat"],
], ids=lambda words: words[0])  # fmt: skip
def test_every_option_acts(turned: Path, words: list[object]) -> None:
    films = []
    for name, more in (("before", []), ("after", words)):
        film = turned.with_name(f"{name}.apng")
        assert run("film", turned, "-o", film, "--size", 64, *more).code == 0
        films.append(film.read_bytes())
    assert films[0] != films[1]


def test_the_size_is_of_the_picture(turned: Path) -> None:
    for words, width in (([], 256), (["--size", 80], 80)):
        film = turned.with_name(f"{width}.apng")
        assert run("film", turned, "-o", film, "--fps", 2, "--no-captions", *words).code == 0
        assert frames(film)[0][0].size == (width, width)


def test_a_single_view_begins_at_the_picture(tmp_path: Path) -> None:
    subject = subject_of(made(tmp_path / "a.png", []), [("flip", "b")])
    assert [view.name for view in with_home(subject)] == ["identity", "flip"]
    assert same(rests(subject)[0], pattern())
