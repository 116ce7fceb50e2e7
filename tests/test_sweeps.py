"""Sweeps: exact values, the right option, a file for each, and sheets that say what is where."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import Outcome, run
from diffusion_tricks.errors import DiffusionTricksError, UnknownName, UsageError
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks_cli.sweep.axes import axes_of, axis_of
from diffusion_tricks_cli.sweep.cells import combined

EDIT = recipe_from({"prompt": "a", "tricks": [{"trick": "sdedit", "image": "a.png"}]})
TWO = recipe_from({
    "tricks": [{"trick": "guidance", "scale": 3.0}, {"trick": "controlnet", "image": "a.png", "network": "n"}]
})  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("said", "texts", "values"),
    [
        ("strength=0.2:0.9:0.1", "0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("strength=1:0:-0.25", "1 0.75 0.5 0.25 0", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("strength=.1:.35:.1", "0.1 0.2 0.3", [0.1, 0.2, 0.3]),
        ("guidance=3,5,7.5", "3 5 7.5", [3.0, 5.0, 7.5]), ("guidance=100:300:100", "100 200 300", [100, 200, 300]),
        ("seed=1-4,9", "1 2 3 4 9", [1, 2, 3, 4, 9]), ("steps=1:3", "1 2 3", [1, 2, 3]),
        ("size=32,64x48", "32 64x48", [[32, 32], [64, 48]]), ("scheduler=ddim,euler", "ddim euler", ["ddim", "euler"]),
        ("prompt=a, b|c", "a, b/c", ["a, b", "c"]), ("sdedit.fit=crop,pad", "crop pad", ["crop", "pad"]),
        ("best-of=2", "2", [2]),
    ],
)  # fmt: skip
def test_values_are_read_exactly(said: str, texts: str, values: list[object]) -> None:
    axis = axis_of(said, EDIT)
    assert axis.texts == tuple(texts.split("/" if "|" in said else " "))
    assert list(axis.values) == values


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("strenght=1", "unknown option to sweep 'strenght'; did you mean 'strength'?"),
        ("strength", "such as strength=0.2:0.9:0.1 or guidance=3,5,7, got 'strength'"),
        ("strength=", "got 'strength='"), ("strength=1,,2", "holds an empty value"),
        ("strength=1.5", "the sweep of strength: 1.5 is not in the range 0<=x<=1"),
        ("strength=0:1:0", "goes from 0 to 1 by 0"), ("strength=1:0:0.1", "goes from 1 to 0 by 0.1"),
        ("seed=0:5000", "no way of at most 1,000 steps"), ("seed=4-1", "goes from 4 to 1 by 1"),
        ("steps=2.5", "'2.5' is not a valid integer"), ("scheduler=edim", "did you mean 'ddim'"),
        ("guidance=3,3", "names 3 twice"), ("image=a,b", "is a picture, and cannot be swept"),
        ("count=2", "unknown option to sweep 'count'"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_told(said: str, why: str) -> None:
    with pytest.raises(DiffusionTricksError) as error:
        axis_of(said, EDIT)
    assert why in str(error.value)


def test_a_name_is_of_the_recipe_or_of_the_first_trick_that_has_it() -> None:
    assert axis_of("network=x,y", TWO).put(TWO, "x").tricks[1].options["network"] == "x"
    with pytest.raises(UsageError, match=r"scale is an option of guidance and of controlnet; say guidance.scale or"):
        axis_of("scale=1,2", TWO)
    axis = axis_of("controlnet.scale=1,2", TWO)
    changed = axis.put(TWO, 2.0)
    assert (changed.tricks[0].options["scale"], changed.tricks[1].options["scale"]) == (3.0, 2.0)
    assert axis.word == "controlnet_scale"
    with pytest.raises(UsageError, match="guidance is swept twice"):
        axes_of(["guidance=1", "guidance=2"], EDIT)
    with pytest.raises(UnknownName, match=r"guidance\.scale"):
        axis_of("guidance.skale=1", TWO)


def test_steps_take_the_place_of_a_stride() -> None:
    assert axis_of("steps=3", EDIT).put(Recipe(stride=50), 3) == Recipe(steps=3)


def test_the_last_option_changes_fastest() -> None:
    axes = axes_of(["seed=1,2", "strength=0.1,0.2"], EDIT)
    texts = [values for _, values in combined(EDIT, axes)]
    assert texts == [("1", "0.1"), ("1", "0.2"), ("2", "0.1"), ("2", "0.2")]
    with pytest.raises(UsageError, match="start_index"):
        list(combined(EDIT, axes_of(["strength=0.5", "start_index=2"], EDIT)))  # of which one is given


def generate(tiny: Path, *words: str) -> Outcome:
    return run("generate", "a fish", "-m", str(tiny), "--seed", "1", "--steps", "1", *words)


def table(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).open(newline="")))


def test_a_sweep_keeps_its_files_and_shows_them_side_by_side(tiny: Path) -> None:
    outcome = generate(tiny, "--sweep", "seed=1-2", "--sweep", "guidance=1,3,5", "-o", "out/")
    names = [f"generate-seed-{seed}-guidance-{scale}.png" for seed in (1, 2) for scale in (1, 3, 5)]
    assert (outcome.code, outcome.lines) == (0, [f"out/{name}" for name in names])
    assert "side by side in out/sweep.html and out/sweep.png, in numbers in out/sweep.csv" in outcome.err
    rows = table("out/sweep.csv")
    assert [row["path"] for row in rows] == names
    assert [(row["seed"], row["guidance"], row["rows_total"]) for row in rows][:2] == [("1", "1", "1"), ("1", "3", "2")]
    assert generate(tiny, "--seed", "2", "--guidance", "3", "-o", "single.png").code == 2  # the seed is given twice
    words = ["generate", "a fish", "-m", str(tiny), "--seed", "2", "--steps", "1", "--guidance", "3"]
    assert run(*words, "-o", "single.png").code == 0
    assert Path("single.png").read_bytes() == Path("out", names[4]).read_bytes()
    with Image.open("out/sweep.png") as grid:  # three columns, two rows, of 16 pixels seven times enlarged
        assert grid.width > 3 * 112
        assert grid.height > 2 * 112
    page = Path("out/sweep.html").read_text()
    assert page.count("<img") == page.count("data:image/png;base64,") == 6
    assert set(re.findall(r'href="([^"]+)"', page)) == set(names)
    assert not re.search(r"https?:|<script|<link", page)
    assert all(f">{label}" in page for label in ("seed 1", "seed 2", "guidance 1", "guidance 5"))
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    Path("out", names[0]).unlink()
    again = generate(tiny, "--sweep", "seed=1-2", "--sweep", "guidance=1,3,5", "-o", "out/", "--resume")
    assert "1 made (of those there before: 1 a file is gone), 5 kept" in again.err
    shown = {path: data for path, data in before.items() if path.name != "manifest.jsonl"}
    assert {path: path.read_bytes() for path in shown} == shown


def test_a_third_option_has_a_grid_for_each_value_and_one_alone_a_row(tiny: Path) -> None:
    sweeps = ["--sweep", "guidance=1,3", "--sweep", "seed=1-2", "--sweep", "steps=1,2"]
    assert generate(tiny, *sweeps, "-o", "out/{steps}/{seed}-{guidance}.png").code == 0
    assert [path.name for path in sorted(Path("out").glob("sweep*.png"))] == ["sweep-1.png", "sweep-2.png"]
    page = Path("out/sweep.html").read_text()
    assert "<caption>steps 1</caption>" in page
    assert "<caption>steps 2</caption>" in page
    assert "<h1>guidance by seed</h1>" in page
    assert re.findall(r"<th scope=col>([^<\n]+)", page) == ["seed 1", "seed 2"] * 2
    assert re.findall(r"<th scope=row>([^<\n]+)", page) == ["guidance 1", "guidance 3"] * 2
    assert Path("out/2/1-3.png").is_file()
    assert generate(tiny, "--sweep", "guidance=1,3").code == 0
    assert Path("generate-sweep/generate-guidance-3.png").is_file()
    with Image.open("generate-sweep/sweep.png") as grid:
        assert grid.width > grid.height


def test_many_pictures_are_swept_and_what_fails_stays_empty(tiny: Path) -> None:
    Path("in").mkdir()
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("in/a.png")
    Path("in/b.png").write_text("no picture")
    words = ["edit", "in/", "a", "-m", str(tiny), "--steps", "2", "--seed", "1", "-o", "out/"]
    outcome = run(*words, "--sweep", "strength=0.5,1")
    assert outcome.code == 1
    rows = table("out/sweep.csv")
    assert [(row["file"], row["strength"], row["path"]) for row in rows] == [
        ("in/a.png", "0.5", "a-strength-0.5.png"), ("in/a.png", "1", "a-strength-1.png"), ("in/b.png", "0.5", ""),
        ("in/b.png", "1", ""),
    ]  # fmt: skip
    assert "is not a picture that can be read" in rows[2]["error"]
    assert Path("out/sweep.html").read_text().count("not made") == 2


def test_the_strip_of_strengths_keeps_its_word(tiny: Path) -> None:
    """`edit --sweep` without a value, and with one."""
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("a.png")
    words = ["edit", "a.png", "a", "-m", str(tiny), "--steps", "2", "--seed", "1", "--json", "--dry-run"]
    assert json.loads(run(*words, "--sweep").out)["recipe"]["tricks"][0]["sweep"] is True
    swept = run(*words, "--sweep", "strength=0.5,1").lines
    assert [json.loads(line).get("strength") for line in swept] == ["0.5", "1", None]
    assert run(*words, "--sweep=strength=0.5,1").lines == swept
    assert [path.name for path in Path().iterdir()] == ["a.png"]  # nothing was made
    chained = run("make", "-p", "a", "-m", str(tiny), "--dry-run", "--json", "--sweep", "strength=1", "sdedit", "a.png")
    assert json.loads(chained.lines[0])["strength"] == "1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "seed=1", "--count", "2"], "a sweep makes one picture for each value, got count 2"),
        (["--sweep", "seed=1", "--masks", "."], "--masks are of pictures that are edited"),
        (["--sweep", "seed=1", "-o", "-"], "-o - writes one picture"),
        (["--sweep", "guidance=1", "-o", "sweep.csv"], "expected a name that ends in"),
        (["--sweep", "guidance=1", "-o", "{seed}/{steps}.png"], "unknown placeholder '{steps}'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_made(tiny: Path, words: list[str], said: str) -> None:
    outcome = generate(tiny, *words)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert list(Path().iterdir()) == []


def test_what_is_swept_need_not_be_said_otherwise(tiny: Path) -> None:
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("a.png")
    assert run("cover", "a.png", "--sweep", "title=a,b", "-o", "out/").code == 0
    assert sorted(path.name for path in Path("out").glob("a-*")) == ["a-title-a.png", "a-title-b.png"]
    Path("masks").mkdir()
    Image.new("L", (16, 16), 255).save("masks/a.png")
    words = ["inpaint", "a.png", "a", "--masks", "masks", "-m", str(tiny), "--steps", "1", "-o", "m/"]
    assert run(*words, "--sweep", "seed=1,2").code == 0


def test_sheets_of_an_earlier_sweep_are_not_replaced_unasked(tiny: Path) -> None:
    Path("out").mkdir()
    Path("out/sweep.csv").write_text("mine")
    outcome = generate(tiny, "--sweep", "seed=1", "-o", "out/")
    assert (outcome.code, "out/sweep.csv exists; pass --force" in outcome.err) == (2, True)
    assert Path("out/sweep.csv").read_text() == "mine"
