"""The command line: its promised forms, what it prints where, records, recipes and plans, on a tiny model."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFont
from skimage import data
from torch import Tensor

from command_line import Outcome, run
from diffusion_tricks import Step, Trick, TrickOptions, load_model, sample
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.strip import labels, strip
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.io.terminal import Line, meter
from diffusion_tricks.model.model import Model
from diffusion_tricks.recipes.reading import read_recipe
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import read_record, save
from diffusion_tricks.testing import exact_model
from diffusion_tricks_cli.film import Films, chosen, label_of
from diffusion_tricks_cli.main import COMMANDS, plugin_options
from diffusion_tricks_cli.output import named
from diffusion_tricks_cli.progress import Progress
from diffusion_tricks_plugins import TRICKS, Guidance, Inpaint

PROGRAM = [sys.executable, "-m", "diffusion_tricks_cli"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a photo of a cat."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.chelsea()).resize((113, 75)).save("photo.png")
    Image.fromarray(data.astronaut()).save("picture.png")
    return tmp_path


def pixels(path: str | Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def made(tiny: Path, command: str, *more: object) -> Outcome:
    name, *words = shlex.split(command)
    quick = () if "--steps" in words else ("--steps", 2)
    outcome = run(name, "-m", tiny, *quick, *words, *more)
    assert outcome.code == 0, outcome.err
    return outcome


PROMISED = [
    ('generate "a rocket" -o out.png', (16, 16)),
    ('edit photo.png "a rocket" --strength 0.6 -o out.png', (113, 75)),
    ('edit photo.png "a rocket" --start-index 7 --fit pad -o out.png', (113, 75)),
    ('inpaint photo.png "a top hat" --mask box:25%,0%,75%,40% -o out.png', (113, 75)),
    ('anagram --view identity "a rabbit" --view rotate_cw "a duck" -o out.png', (16, 16)),
    ('anagram "a rabbit" "a duck" -o out.png', (16, 16)),
    ('hybrid --far "a skull" --near "a mushroom" -o out.png', (16, 16)),
    ('make -p "a rocket" -o out.png', (16, 16)),
    ('make -o out.png anagram --view identity "a rabbit" --view rotate_cw "a duck" guidance --scale 8', (16, 16)),
    ('make -p "a hat" sdedit photo.png --strength 0.7 inpaint --mask ellipse:10,10,60,60 guidance --scale 7 -o out.png',
     (113, 75)),
]  # fmt: skip


@pytest.mark.parametrize(("command", "size"), PROMISED)
def test_promised_forms_write_the_picture_and_print_its_path_alone(
    tiny: Path, command: str, size: tuple[int, int]
) -> None:
    outcome = made(tiny, command)
    assert outcome.out == "out.png\n"
    assert Image.open("out.png").size == size


def test_a_cover_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.generate.make.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    outcome = run("cover", "picture.png", "--title", "The Whispering Woods", "--author", "A. Writer", "-o", "out.png")
    assert (outcome.code, outcome.out) == (0, "out.png\n")
    changed = (pixels("out.png") != pixels("picture.png")).any(axis=2)
    assert 0.002 < changed.mean() < 0.2


FACTS = {
    "path", "seed", "width", "height", "model", "device", "steps", "rows_per_step", "rows_total", "seconds",
    "peak_memory_mb", "recipe",
}  # fmt: skip


def test_json_prints_one_object_per_picture(tiny: Path) -> None:
    outcome = made(tiny, 'generate "a rocket" --json --count 2 --seed 5 --device cpu')
    first, second = map(json.loads, outcome.lines)
    assert set(first) >= FACTS
    assert [(f["path"], f["seed"]) for f in (first, second)] == [("generate-5.png", 5), ("generate-6.png", 6)]
    assert (first["steps"], first["rows_per_step"], first["rows_total"]) == (2, 2, 4)
    assert (first["model"], first["device"], first["width"]) == ("tiny-if", "cpu", 16)
    assert first["recipe"]["tricks"] == [{"trick": "guidance", "scale": 7.0}]


def test_inpainting_reports_and_keeps_every_pixel_outside(tiny: Path) -> None:
    outcome = made(tiny, 'inpaint photo.png "a top hat" --mask box:20,10,60,50 -o out.png --json')
    assert outcome.json["changed_outside"] == 0
    outside = np.ones((75, 113), bool)
    outside[10:50, 20:60] = False
    assert (pixels("out.png")[outside] == pixels("photo.png")[outside]).all()


def test_a_jpeg_claims_nothing_about_the_pixels_outside(tiny: Path) -> None:
    outcome = made(tiny, 'inpaint photo.png "a top hat" --mask box:20,10,60,50 -o out.jpg --json')
    assert outcome.json["changed_outside"] is None
    assert "Warning: out.jpg: JPEG changes pixels everywhere" in outcome.err


def test_pictures_of_a_count_are_the_single_ones(tiny: Path) -> None:
    made(tiny, 'generate "a rocket" --seed 5 --count 3 -o all.png')
    made(tiny, 'generate "a rocket" --seed 7 -o one.png')
    assert (pixels("all-2.png") == pixels("one.png")).all()
    assert (pixels("all-0.png") != pixels("one.png")).any()


def test_names_hold_seed_and_index() -> None:
    assert named("out.png", [5]) == [Path("out.png")]
    assert named("out.png", [5, 6]) == [Path("out-0.png"), Path("out-1.png")]
    assert named("a/{seed}.png", [5, 6]) == [Path("a/5.png"), Path("a/6.png")]
    assert named("{index}-{seed}.png", [5, 6]) == [Path("0-5.png"), Path("1-6.png")]


def test_a_shortcut_prints_the_make_line_it_stands_for(tiny: Path) -> None:
    outcome = made(tiny, "edit photo.png \"a 'rocket'\" --strength 0.6 --seed 3 --size 16x32 -o out.png")
    stands_for = shlex.split(outcome.err.partition("same as: diffusion-tricks ")[2].splitlines()[0])
    assert stands_for[0] == "make"
    again = run(*stands_for, "--force", "--json")
    assert again.json["recipe"] == read_record("out.png")["recipe"] | {"model": str(tiny)}


def test_quiet_says_nothing_on_stderr(tiny: Path) -> None:
    assert made(tiny, 'generate "a rocket" -o out.png --quiet').err == ""


def test_enlarging(tiny: Path) -> None:
    made(tiny, 'generate "a rocket" -o out.png --enlarge 4')
    assert Image.open("out.png").size == (64, 64)


def test_a_prompt_per_picture(tiny: Path) -> None:
    made(tiny, "make -p rocket -p duck --seed 1 -o out.png")
    made(tiny, "make -p duck --seed 2 -o duck.png")
    assert (pixels("out-1.png") == pixels("duck.png")).all()


def test_rerun_gives_the_same_pixels(tiny: Path) -> None:
    made(tiny, 'inpaint photo.png "a hat" --mask box:20,10,60,50 --scheduler euler-a -o out.png')
    outcome = run("rerun", "out.png", "-m", tiny, "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert (pixels("again.png") == pixels("out.png")).all()


def test_rerun_computes_as_the_picture_was_computed(tiny: Path) -> None:
    made(tiny, "generate x --seed 1 --dtype bfloat16 --max-rows 1 --device cpu -o out.png")
    assert read_record("out.png")["run"] == {"device": "cpu", "dtype": "bfloat16", "max_rows": 1}
    again = run("rerun", "out.png", "-m", tiny, "--json", "-o", "again.png")
    assert (again.json["device"], again.json["dtype"], again.json["max_rows"]) == ("cpu", "bfloat16", 1)
    assert (pixels("again.png") == pixels("out.png")).all()
    other = run("rerun", "out.png", "-m", tiny, "--json", "-o", "other.png", "--dtype", "float32").json
    assert (other["dtype"], other["max_rows"]) == ("float32", 1)


def test_rerun_on_a_machine_without_the_device(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tiny, "generate x --seed 1 --device cpu -o out.png")
    record = read_record("out.png")
    record["run"]["device"] = "cuda:99"
    monkeypatch.setattr("diffusion_tricks_cli.records.read_record", lambda _: record)
    outcome = run("rerun", "out.png", "-m", tiny, "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert "out.png was made on cuda:99, which is not here; pixels may differ a little" in outcome.err
    assert run("rerun", "out.png", "-m", tiny, "-o", "b.png", "--device", "cuda:99").code == 3


def test_rerun_on_a_machine_without_a_compiler(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tiny, "generate x --seed 1 --device cpu -o out.png")
    record = read_record("out.png")
    record["run"]["compile"] = True
    monkeypatch.setattr("diffusion_tricks_cli.records.read_record", lambda _: record)
    monkeypatch.setattr("shutil.which", lambda name: None)
    outcome = run("rerun", "out.png", "-m", tiny, "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert "out.png was made with --compile, and there is no C++ compiler here; pixels may differ" in outcome.err
    assert (pixels("again.png") == pixels("out.png")).all()
    refused = run("rerun", "out.png", "-m", tiny, "-o", "b.png", "--compile")
    assert (refused.code, "there is no C++ compiler here; leave --compile out" in refused.err) == (2, True)


def test_rerun_finds_the_font_beside_the_picture(folder: Path) -> None:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    (folder / "away").mkdir()
    Path("away/Brush.ttf").write_bytes(font.font_bytes)
    cover = ["cover", "picture.png", "--title", "/a/b", "--font", folder / "away/Brush.ttf", "-o", "out.png"]
    assert run(*cover).code == 0
    assert read_record("out.png")["recipe"]["tricks"] == [{"trick": "overlay", "title": "/a/b", "font": "Brush.ttf"}]
    outcome = run("rerun", "out.png", "-o", "again.png")
    assert (outcome.code, "was made from 'Brush.ttf'" in outcome.err) == (2, True)
    Path("away/Brush.ttf").rename("Brush.ttf")
    assert run("rerun", "out.png", "-o", "again.png").code == 0
    assert (pixels("again.png") == pixels("out.png")).all()


def test_a_cover_of_a_picture_made_by_a_model_is_marked_as_one(tiny: Path) -> None:
    made(tiny, 'generate "a rocket" --enlarge 16 -o generated.png')
    for source, kind in {"generated.png": "edited", "photo.png": None, "picture.png": None}.items():
        assert run("cover", source, "--title", "A", "-o", f"cover-{source}").code == 0
        assert read_picture(f"cover-{source}").provenance == kind
    assert run("cover", "cover-generated.png", "--author", "B", "-o", "twice.jpg").code == 0
    assert read_picture("twice.jpg").provenance == "edited"


@pytest.mark.parametrize("command", ["edit photo.png x", "inpaint photo.png x --mask box:20,10,60,50"])
def test_an_edited_picture_keeps_the_colour_space_of_its_source(tiny: Path, command: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.open("photo.png").save("photo.png", icc_profile=icc)
    made(tiny, f"{command} -o out.png")
    assert Image.open("out.png").info["icc_profile"] == icc


def test_rerun_looks_beside_the_picture_and_names_what_is_missing(tiny: Path, folder: Path) -> None:
    made(tiny, 'edit photo.png "a hat" -o out.png')
    (folder / "elsewhere").mkdir()
    for name in ("photo.png", "out.png"):
        Path(name).rename(folder / "elsewhere" / name)
    outcome = run("rerun", "elsewhere/out.png", "-m", tiny, "-o", "again.png")
    assert outcome.code == 0, outcome.err
    (folder / "elsewhere" / "photo.png").unlink()
    outcome = run("rerun", "elsewhere/out.png", "-m", tiny, "-o", "once-more.png")
    assert outcome.code == 2
    assert "was made from 'photo.png', which is neither beside it nor in the current folder" in outcome.err


def test_rerun_asks_for_the_directory_of_a_model_it_cannot_know(tiny: Path) -> None:
    made(tiny, 'generate "a hat" -o out.png')
    outcome = run("rerun", "out.png")
    said = "out.png was made with the model 'tiny-if', which is no known name, and no directory or file here"
    assert (outcome.code, outcome.err) == (2, f"Error: {said}; give it with -m\n")


@pytest.mark.parametrize("command", ["-m", "--upscaler"])
@pytest.mark.parametrize("spelt", ["absolute", "climbing", "link"])
def test_rerun_of_a_strangers_picture_reaches_no_model_elsewhere(
    tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, spelt: str
) -> None:
    made(tiny, "generate x --seed 1 -o out.png")
    (folder / "link").symlink_to(tiny)
    name = {"absolute": str(tiny), "climbing": os.path.relpath(tiny), "link": "link"}[spelt]
    record = read_record("out.png")
    record["recipe"] |= {"model": name} if command == "-m" else {"model": "emoji", "upscaler": [name]}
    save(Image.open("out.png"), "out.png", record, force=True)
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_, **__: pytest.fail("a model was loaded"))
    refused = run("rerun", "out.png", "-o", "again.png")
    what = "model" if command == "-m" else "upscaler"
    said = f"out.png was made with the {what} {name!r}, which lies outside the current folder; give it with {command}"
    trust = "or pass --trust-paths if you trust who made the picture"
    assert (refused.code, refused.err) == (2, f"Error: {said}, {trust}\n")


def test_rerun_reaches_elsewhere_where_it_is_trusted(tiny: Path, folder: Path) -> None:
    made(tiny, 'edit photo.png "a hat" -o out.png')
    (folder / "sub").mkdir()
    Path("photo.png").rename("sub/photo.png")
    Path("photo.png").symlink_to("/etc/hostname")
    record = read_record("out.png")
    record["recipe"]["model"] = str(tiny)
    save(Image.open("out.png"), "out.png", record, force=True)
    refused = run("rerun", "out.png", "-m", tiny, "-o", "again.png")
    assert (refused.code, "'photo.png', which is a link to what lies elsewhere; put" in refused.err) == (2, True)
    record["recipe"]["tricks"][0]["image"] = str(folder / "sub/photo.png")
    save(Image.open("out.png"), "out.png", record, force=True)
    outcome = run("rerun", "out.png", "--trust-paths", "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert (pixels("again.png") == pixels("out.png")).all()


def test_show_prints_the_record(tiny: Path) -> None:
    made(tiny, 'generate "a rocket" --seed 3 -o out.png')
    shown = run("show", "out.png")
    assert shown.code == 0
    assert "seed:     3" in shown.out
    assert 'prompt = "a rocket"' in shown.out
    assert run("show", "out.png", "--json").json == read_record("out.png")
    assert str(tiny.parent) not in shown.out


ESCAPES = "\x1b]0;x\x07\x1b[31m\x9b2J\u202e\u2028\r\x7f"


@pytest.mark.parametrize("command", ["show out.png", "show out.png --json", "rerun out.png", "score out.png"])
def test_nothing_of_a_strangers_record_reaches_the_terminal_raw(folder: Path, command: str) -> None:
    recipe = {"model": f"./m{ESCAPES}", "prompt": f"a {ESCAPES}\n", "tricks": [{"trick": f"t{ESCAPES}"}]}
    recipe = recipe if command.startswith("rerun") else recipe | {"tricks": []}
    record = {"record": 1, "recipe": recipe, "model": ESCAPES, "seed": ESCAPES}
    record |= {kind: {f"k{ESCAPES}": f"v{ESCAPES}"} for kind in ("versions", "plugins")}
    save(Image.new("RGB", (8, 8)), "out.png", record)
    said = run(*command.split())
    assert set("\x1b\x07\x9b\u202e\u2028\r\x7f").isdisjoint(said.out + said.err)
    if command.endswith("--json"):
        assert said.json == record


@pytest.mark.parametrize("key", ["run", "plugins", "versions"])
def test_a_record_of_the_wrong_shape_is_damaged(folder: Path, key: str) -> None:
    save(Image.new("RGB", (8, 8)), "out.png", {"record": 1, "recipe": {}, key: [1]})
    for command in ("show", "rerun"):
        outcome = run(command, "out.png")
        assert (outcome.code, f"record is damaged, expected an object as its '{key}'" in outcome.err) == (2, True)


def test_no_metadata_and_no_provenance_leave_the_file_bare(tiny: Path) -> None:
    made(tiny, 'generate "a rocket" --seed 3 -o bare.png --no-metadata --no-provenance')
    assert not Image.open("bare.png").info
    made(tiny, 'generate "a rocket" --seed 3 -o full.png')
    assert {"diffusion-tricks", "parameters"} <= set(Image.open("full.png").info)
    assert b"trainedAlgorithmicMedia" in Path("full.png").read_bytes()
    assert (pixels("bare.png") == pixels("full.png")).all()


@pytest.mark.parametrize("name", ["recipe.toml", "recipe.json"])
def test_a_saved_recipe_makes_the_same_picture(tiny: Path, folder: Path, name: str) -> None:
    made(tiny, f'edit photo.png "a hat" -o out.png --save-recipe {name}')
    assert read_recipe(Path(name)).tricks[0].options["image"] == "photo.png"
    outcome = run("run", folder / name, "-m", tiny, "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert (pixels("again.png") == pixels("out.png")).all()


def test_options_override_a_recipe(tiny: Path) -> None:
    made(tiny, 'generate "a hat" --seed 1 -o out.png --save-recipe recipe.toml')
    outcome = run("run", "recipe.toml", "-m", tiny, "--seed", 4, "--count", 2, "--json", "-o", "{seed}.png")
    assert [json.loads(row)["path"] for row in outcome.lines] == ["4.png", "5.png"]


def test_prompts_on_the_command_line_bring_their_count(tiny: Path) -> None:
    Path("recipe.toml").write_text('prompt = ["a", "b"]\n')
    for words, count in {"": 2, "-p x -p y -p z": 3, "-p x": 2, "-p x -p y --count 2": 2}.items():
        planned = run("run", "recipe.toml", "-m", tiny, "--dry-run", "--json", *words.split())
        assert planned.json["count"] == count, words


def test_a_saved_recipe_names_a_model_beside_it_and_of_others_the_name_alone(tiny: Path, folder: Path) -> None:
    far = made(tiny, 'generate "a hat" --seed 1 -o out.png --save-recipe far.toml')
    assert read_recipe(Path("far.toml")).model == "tiny-if"
    assert "far.toml keeps of the model its name alone, 'tiny-if'" in far.err
    assert "unknown model 'tiny-if'" in run("run", "far.toml").err
    shutil.copytree(tiny, folder / "near")
    made(folder / "near", 'generate "a hat" --seed 1 -o b.png --save-recipe near.toml')
    assert 'model = "./near"' in Path("near.toml").read_text().splitlines()
    (folder / "sub").mkdir()
    os.chdir("sub")
    outcome = run("run", "../near.toml", "-o", "again.png")
    assert outcome.code == 0, outcome.err
    assert (pixels("again.png") == pixels("../out.png")).all()


def test_steps_out_says_where_there_is_nothing_to_show(tiny: Path) -> None:
    outcome = made(tiny, 'edit photo.png "a hat" --strength 0 --steps-out film.gif -o out.png --json')
    note = "no step was run, so film.gif was not written"
    assert f"Note: {note}" in outcome.err
    assert outcome.json["notes"] == [note]
    assert not Path("film.gif").exists()


def test_the_film_is_decoded_by_the_model_with_its_limit_of_rows(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int | None]] = []
    decode = Model.decode

    def counted(self: Model, latents: Any, max_rows: int | None = None) -> Any:
        decoded.append((len(latents), max_rows))
        return decode(self, latents, max_rows)

    monkeypatch.setattr(Model, "decode", counted)
    made(tiny, "generate x --count 2 --max-rows 1 -o out.png --steps-out film.gif")
    assert decoded == [(2, 1)] * 3  # two steps, and the picture


def test_steps_out_shows_every_step_as_a_film_or_a_strip(tiny: Path) -> None:
    made(tiny, 'generate "a hat" --seed 1 -o out.png --steps-out film.gif --steps 5')
    with Image.open("film.gif") as film:
        assert (film.format, film.n_frames) == ("GIF", 5)
        assert film.size == frame_size(["clean estimate"], f"a hat, seed 1, {tiny.name}")
    made(tiny, 'generate "a hat" --seed 1 --count 2 -o o.png --steps-out strip.png --steps 5')
    model = load_model(str(tiny), device="cpu")
    steps = list(sample(model, prompt="a hat", tricks=[Guidance(scale=7)], seed=2, steps=5))
    expected = sheet_of(steps, [step.estimate.clean for step in steps], title=f"a hat, seed 2, {tiny.name}")
    assert abs(expected - pixels("strip-1.png")).max() <= 1  # one picture at a time, or two


def frame_size(names: list[str], title: str) -> tuple[int, int]:
    captions = ["1\n2\n3", *[""] * (len(names) - 1)]
    return labelled_grid(
        [Image.new("RGB", (16, 16))] * len(names), columns=names, captions=captions, title=title, tile=128
    ).size


def sheet_of(steps: list[Step], *rows: list[Tensor], **labels: Any) -> np.ndarray[Any, Any]:
    """The labelled sheet of one row or two of latents in pixel space (1 3 h w), a column for each step."""
    tiles = [to_images(x)[0] for row in rows for x in row]
    said = [f"step {step.index}\nt = {int(step.t)}\nalpha-bar {step.alpha**2:.3f}" for step in steps]
    captions = [*[""] * len(steps) * (len(rows) - 1), *said]
    page = labelled_grid(
        tiles, captions=captions, across=len(steps), tile=128, **{"rows": ["clean estimate"], **labels}
    )
    return np.asarray(page).astype(int)


def test_show_and_every_say_what_of_which_steps_is_seen(tiny: Path) -> None:
    options = "--seed 2 --steps 6 --scheduler ddim"
    made(tiny, f'generate "a hat" {options} -o both.png --steps-out strip.png --show both --every 2')
    made(tiny, f'generate "a hat" {options} -o noisy.png --steps-out noisy-strip.png --show noisy --every 4')
    model, tricks = load_model(str(tiny), device="cpu"), [Guidance(scale=7)]
    steps = list(sample(model, prompt="a hat", tricks=tricks, seed=2, steps=6, scheduler="ddim"))
    some = [steps[i] for i in (0, 2, 4, 5)]  # every second, and the last
    noisy = [steps[i - 1].x if i else Noise([2]).draw((3, 16, 16)) for i in (0, 2, 4, 5)]
    title = f"a hat, seed 2, {tiny.name}"
    both = sheet_of(some, noisy, [s.estimate.clean for s in some], rows=["noisy, x_t", "clean estimate"], title=title)
    assert abs(both - pixels("strip.png")).max() <= 1
    few = [noisy[0], noisy[2], noisy[3]]
    expected = sheet_of([steps[0], steps[4], steps[5]], few, rows=["noisy, x_t"], title=title)
    assert abs(expected - pixels("noisy-strip.png")).max() <= 1


def test_a_film_of_both_has_them_side_by_side(tiny: Path) -> None:
    made(tiny, "generate x --seed 1 -o out.png --steps-out film.gif --steps 5 --show both --every 3")
    size = frame_size(["noisy, x_t", "clean estimate"], f"x, seed 1, {tiny.name}")
    with Image.open("film.gif") as film:
        assert (getattr(film, "n_frames", 1), film.size) == (3, size)


def test_many_steps_of_a_strip_stand_in_several_rows(tiny: Path) -> None:
    made(tiny, "generate x -o out.png --steps-out strip.png --steps 14 --every 1 --show both")
    tiles = [Image.new("RGB", (16, 16))] * 48
    captions = ["1\n2\n3"] * 48
    rows = ["noisy, x_t", "clean estimate"] * 2
    captions[:12] = captions[24:36] = [""] * 12
    expected = labelled_grid(tiles, rows=rows, captions=captions, across=12, tile=128, title="x")
    assert Image.open("strip.png").size == expected.size


@pytest.mark.parametrize("option", ["--show both", "--every 2"])
def test_what_is_shown_of_steps_needs_a_place_for_them(tiny: Path, option: str) -> None:
    outcome = run("generate", "x", "-m", tiny, *option.split(), "-o", "out.png")
    assert outcome.code == 2
    assert f"{option.split()[0]} is of --steps-out, which is missing" in outcome.err


def test_labels_of_levels_and_noise_that_can_be_seen() -> None:
    """A schedule that adds noise without bound says sigma, and its noisy pictures are scaled to a spread of about 1."""
    model = exact_model(torch.zeros(1, 3, 8, 8))
    for scheduler, said in (("ddim", "step 0\nt = 900\nalpha-bar 0.000"), ("euler", "step 0\nt = 999\nsigma 157")):
        step = next(iter(sample(model, prompt="x", steps=10, scheduler=scheduler, seed=0)))
        assert label_of(step) == said
        films = Films([Path("a.png")], 1, "noisy")
        films(step)
        assert 0.5 < float(films._latents(step, "noisy").std()) < 1.5


def test_few_frames_of_many_hold_the_first_and_the_last() -> None:
    assert chosen(5, 12) == {0, 1, 2, 3, 4}
    few = chosen(50, 12)
    assert (len(few), min(few), max(few)) == (12, 0, 49)


@pytest.mark.parametrize(
    ("chain", "order", "rows"),
    [
        ("-p x --guidance 1", ["guidance"], [1, 1]),
        ("-p x", ["guidance"], [2, 2]),
        ("guidance --scale 7 anagram a b", ["anagram", "guidance"], [4, 4]),
        ("hybrid --far a --near b", ["hybrid", "guidance"], [3, 3]),
        ("hybrid --far a --near b --mid c", ["hybrid", "guidance"], [4, 4]),
        ("-p x guidance --stop 0.5", ["guidance"], [2, 1]),
        ("anagram a b --reduction alternate", ["anagram", "guidance"], [2, 2]),
        ("-p x --size 16 sdedit photo.png --strength 0.5", ["sdedit", "guidance"], [2]),
        ("-p x --scheduler heun", ["guidance"], [2, 2, 2]),
    ],
)
def test_plan_tells_order_and_rows_without_loading_a_model(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, chain: str, order: list[str], rows: list[int]
) -> None:
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_: pytest.fail("a model was loaded"))
    planned = run("plan", "-m", tiny, "--steps", 2, *shlex.split(chain), "--json")
    assert planned.code == 0, planned.err
    assert (planned.json["order"], planned.json["rows"]) == (order, rows)
    assert (planned.json["rows_total"], planned.json["size"]) == (sum(rows), [16, 16])


@pytest.mark.parametrize("chain", ["-p x", "hybrid --far a --near b", "-p x sdedit photo.png --sweep"])
def test_a_plan_foretells_what_the_run_reports(tiny: Path, chain: str) -> None:
    planned = run("plan", "-m", tiny, "--steps", 2, *shlex.split(chain), "--json").json
    facts = made(tiny, f"make {chain} --json -o out.png").json
    for key in ("steps", "rows_per_step", "rows_total", "model"):
        assert facts[key] == planned[key], key


def test_plan_for_people(tiny: Path) -> None:
    planned = run("plan", "-m", tiny, "--steps", 4, "guidance", "--stop", "0.5", "anagram", "a", "b")
    assert "nesting:       anagram > guidance > model" in planned.out
    assert "rows per step: 4 in 2 steps, 2 in 2 steps" in planned.out
    assert "rows spared" not in planned.out
    shared = run("plan", "-m", tiny, "--steps", 4, "hybrid", "--far", "a skull", "--near", "a duck")
    assert "rows total:    12 a picture\nrows spared:   4, asked more than once and computed once" in shared.out


def test_dry_run_writes_nothing_and_prints_plan_and_recipe(tiny: Path, folder: Path) -> None:
    before = sorted(folder.iterdir())
    outcome = run("generate", "a rocket", "-m", tiny, "--dry-run", "-o", "out.png", "--steps", 3)
    assert outcome.code == 0
    assert "rows total:    6 a picture" in outcome.out
    assert 'prompt = "a rocket"' in outcome.out
    assert sorted(folder.iterdir()) == before


def test_lists() -> None:
    plugins = run("plugins", "--json", "--check").json
    assert plugins[0]["status"] == "ok"
    assert plugins[0]["tricks"] == list(TRICKS)
    assert run("plugins").lines[0].endswith("(built in)  ok")
    assert "emoji" in [row["name"] for row in run("models", "--json").json]
    assert run("models").lines[0].startswith("emoji")
    assert "rotate_cw" in [row["name"] for row in run("views", "--json").json]
    told = run("views", "rotate_cw", "rotate_cw|negate").lines
    assert [line.split("  ")[-1].strip() for line in told] == [
        "turn the page a quarter clockwise",
        "turn the page a quarter clockwise, then look at its negative",
    ]


OUTSIDE = """
from diffusion_tricks import Trick, TrickOptions, hookimpl, option
import click

class Options(TrickOptions):
    much: float = option(1.0, "how much", ge=0, le=2)

class Brighter(Trick[Options]):
    Options = Options
    name = "brighter"

    @hookimpl
    def finish_image(self, run, image, index):
        return image.point(lambda value: min(255, value + round(100 * self.options.much)))

@hookimpl
def register_tricks(register):
    register("brighter", "outside:Brighter", summary="adds light")

@hookimpl
def register_commands(cli):
    @cli.command()
    def hello():
        "Says hello."
        click.echo("hello")
"""


def test_a_plugin_file_brings_tricks_and_commands(tiny: Path, folder: Path) -> None:
    Path("outside.py").write_text(OUTSIDE)
    made(tiny, "make -p x --seed 1 -o plain.png")
    made(tiny, "make -p x --seed 1 brighter --much 0.5 -o out.png --plugin outside.py")
    assert (pixels("out.png") == np.minimum(pixels("plain.png").astype(int) + 50, 255)).all()
    assert "--much FLOAT RANGE" in run("--plugin", "outside.py", "make", "brighter", "--help").out
    assert run("--plugin=outside.py", "hello").out == "hello\n"
    assert "Says hello." in run("--plugin", "outside.py", "--help").out
    assert run("make", "-p", "x", "brighter").code == 2


def test_plugin_options_are_read_wherever_they_stand() -> None:
    arguments = ["--plugin", "a.py", "make", "x", "--no-plugin=b", "--", "--plugin", "c"]
    assert plugin_options(arguments) == (["a.py"], ["b"], ["make", "x", "--", "--plugin", "c"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(tiny: Path) -> None:
    terminal, unwanted, pipe = Terminal(), Terminal(), io.StringIO()
    model = load_model(str(tiny), device="cpu")
    all_of_them = [Progress(1, True, terminal), Progress(1, False, unwanted), Progress(1, True, pipe)]
    for progress in all_of_them:
        progress.say("loading ...")
    for step in sample(model, prompt="x", steps=2):
        for progress in all_of_them:
            progress(step)
    for progress in all_of_them:
        progress.clear()
    said = terminal.getvalue().split("\r")
    assert [row.strip() for row in said[:2]] == ["", "loading ..."]
    assert re.findall(r"step (\d)/2  rows (\d)", said[2] + said[3]) == [("1", "1"), ("2", "1")]
    assert said[-2:] == [" " * len(said[-3].rstrip("\r")), ""]  # the line is empty, and what follows begins in it
    assert "\n" not in terminal.getvalue()
    assert (unwanted.getvalue(), pipe.getvalue()) == ("", "")


def test_the_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "step 5/20  rows 4"
    assert meter(0.25, 2.0, text) == "[######                  ] step 5/20  rows 4  00:06 left"
    assert meter(1.0, 100.0, text).endswith("00:00 left")
    assert meter(0.5, 7300.0, text).endswith("2:01:40 left")
    monkeypatch.setenv("COLUMNS", "20")
    narrow = Terminal()
    Line(narrow).show(meter(0.25, 2.0, text))
    assert narrow.getvalue() == "\r[######            "  # a longer one would leave its first part on the screen


def examples() -> list[str]:
    found = []
    for command in COMMANDS:
        text = run(command, "--help").out
        found += [row.strip() for row in text.partition("Example:")[2].splitlines() if row.strip()]
    for trick in ("sdedit", "inpaint", "anagram", "hybrid", "components", "picture", "phase", "guidance",
                  "clip-guidance", "overlay", "cache"):  # fmt: skip
        found.append(run("make", trick, "--help").lines[-1].strip())
    return found


@pytest.mark.parametrize("command", examples())
def test_every_command_ends_its_help_with_an_example_that_works(tiny: Path, command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "diffusion-tricks"
    if words[0] in {"run", "rerun", "show", "score"}:
        made(tiny, "generate x -o out.png --save-recipe recipe.toml")
    makes = words[0] not in {"show", "score", "plugins", "models", "views", "cover"}
    quick = ["--steps", "2"] if makes and "--steps" not in words else []
    small = ["-m", str(tiny)] if makes and words[0] != "train" else []
    if "-m" in words:
        at = words.index("-m")
        del words[at : at + 2]
    enough = ["--size", "32", "--enlarge", "2"] if "overlay" in words and "--enlarge" not in words else []
    outcome = run(*words, *small, *quick, *enough)
    assert outcome.code == 0, outcome.err
    assert outcome.out


def test_every_command_has_help_with_an_example() -> None:
    assert set(COMMANDS) <= {shlex.split(row)[1] for row in examples()}


def test_help_and_lists_never_import_torch() -> None:
    lines = [["--help"], ["--version"], ["plugins"], ["models"], ["views"], ["make", "--help"], ["anagram", "--help"],
             ["make", "inpaint", "--help"], ["hybrid", "--help"], ["edit", "--help"], ["plan", "--help"],
             ["score", "--help"], ["train", "--help"]]  # fmt: skip
    code = (
        "import sys, contextlib, io\nfrom diffusion_tricks_cli.main import main\n"
        f"for line in {lines!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n        main(line)\n"
        "    assert not {'torch', 'diffusers', 'transformers', 'scipy', 'fontTools', 'tqdm'} & set(sys.modules), line\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", [[], ["score"], ["train"]])
def test_help_takes_little_time(command: list[str]) -> None:
    def cpu_seconds() -> float:
        before = os.times()
        subprocess.run([*PROGRAM, *command, "--help"], check=True, capture_output=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(cpu_seconds() for _ in range(3)) < 0.8  # 0.3 alone; other tests share the core


def test_the_installed_program_runs(tiny: Path) -> None:
    arguments = ["generate", "a rocket", "-m", str(tiny), "--steps", "2", "-o", "out.png"]
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "out.png\n")
    assert [row for row in done.stderr.splitlines() if not row.startswith("same as: ")] == []


def test_interrupted_it_leaves_no_partial_file_and_exits_130(tiny: Path, folder: Path) -> None:
    before = sorted(folder.iterdir())
    arguments = ["generate", "a rocket", "-m", str(tiny), "--steps", "1000", "--count", "8", "-o", "out.png"]
    arguments += ["--steps-out", "film.gif"]
    # in the background of a shell script SIGINT would be ignored, and so it would be in the command
    process = subprocess.Popen(
        [*PROGRAM, *arguments, "--scheduler", "ddpm"], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the make line: it has begun
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert sorted(folder.iterdir()) == before


def test_costs_of_a_strip_are_summed_to_whole_milliseconds() -> None:
    parts = [Result(Image.new("RGB", (2, 2)), 0, 0, Recipe(), None, {"seconds": s, "steps": 3}) for s in (0.1, 0.2)]
    assert (strip(parts).facts["seconds"], strip(parts).facts["steps"]) == (0.3, 6)
    counted = [replace(part, facts=part.facts | {"changed_outside": 2}) for part in parts]
    assert strip(counted).facts["changed_outside"] == 2
    assert strip(counted, ["changed_outside"]).facts["changed_outside"] == 2 * len(parts)
    assert Inpaint.sums == ("changed_outside",)


def test_a_strip_is_labelled_and_notes_what_is_the_same() -> None:
    def part(colour: str) -> Result:
        return Result(Image.new("RGB", (64, 64), colour), 7, 0, Recipe(prompt="a hat"), None, {"notes": ["one"]})

    results, named = [part("red"), part("blue"), part("red")], ["start index 1", "start index 3", "start index 5"]
    page = strip(results, named=named)
    images = [result.image for result in results]
    assert pixels_of(page.image) == pixels_of(labelled_grid(images, columns=named, title="a hat, seed 7"))
    same = "the pictures of start index 1 and start index 5 are the same to the bit; more `steps` may part them"
    assert page.facts["notes"] == ["one", same]
    assert strip(results[:2], named=named[:2]).facts["notes"] == ["one"]
    assert (page.facts["width"], page.facts["height"]) == page.image.size


def pixels_of(image: Image.Image) -> tuple[tuple[int, int], bytes]:
    return image.size, image.tobytes()


def test_variants_are_named_by_what_differs() -> None:
    class Three(Trick[TrickOptions]):
        def variants(self) -> list[dict[str, Any]]:
            return [{"sweep": False, "start_index": 1}, {"sweep": False, "strength": 0.5, "scale": 2.0}]

    assert labels([Three()]) == ["start index 1", "strength 0.5, scale 2"]
    assert labels([Inpaint(image="a.png", mask="alpha")]) == [""]
