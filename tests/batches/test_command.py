"""The command `batch`: what it prints, what it would do, grids, and what it refuses; and the same from Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import diffusion_tricks_batch
from command_line import Outcome, run
from diffusion_tricks import Recipe
from diffusion_tricks.errors import OutputError, UnknownName, UsageError
from diffusion_tricks.generate.make import make
from diffusion_tricks.plugin import pictures_that_fit, plan
from diffusion_tricks_batch import Asked, How, batch
from diffusion_tricks_batch.how import how_from
from diffusion_tricks_batch.say import in_flags


@pytest.fixture(autouse=True)
def here(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, "tiny")
    Image.linear_gradient("L").resize((32, 32)).save("in.png")


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"a {name}", "seed": 1, "steps": 1, "model": "./tiny", **more}


def made(jobs: list[dict[str, Any]], *more: str) -> Outcome:
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    return run("batch", "jobs.jsonl", "-o", "out", "--no-scores", *more)


COVER = {"id": "cover", "picture": "in.png", "tricks": [{"trick": "overlay", "title": "Woods"}]}
BAD = {"id": "bad", "prompt": "a", "stepps": 1}


def test_a_path_is_printed_for_each_picture_and_nothing_else() -> None:
    outcome = made([job("a"), COVER, job("b")], "--quiet")
    assert (outcome.code, outcome.err) == (0, "")
    assert sorted(outcome.lines) == ["out/a.png", "out/b.png", "out/cover.png"]


def test_json_prints_an_object_for_each_picture_each_failure_and_all() -> None:
    outcome = made([job("a"), BAD], "--json")
    assert outcome.code == 1
    bad, good, whole = map(json.loads, outcome.lines)
    assert (bad["id"], bad["kind"], bad["error"][:22]) == ("bad", "RecipeError", "line 2 of jobs.jsonl: ")
    assert {name: good[name] for name in ("id", "path", "seed", "width", "height", "steps")} == {
        "id": "a", "path": "out/a.png", "seed": 1, "width": 16, "height": 16, "steps": 1,
    }  # fmt: skip
    told = {name: whole["batch"][name] for name in ("jobs", "made", "kept", "failed", "left", "kinds")}
    assert told == {"jobs": 2, "made": 1, "kept": 0, "failed": 1, "left": 0, "kinds": {"RecipeError": 1}}
    assert 0 < whole["batch"]["share"] <= 1
    again = [json.loads(line) for line in made([job("a"), BAD], "--json", "--resume").lines]
    assert again[0] == good | {"kept": True}


def test_pictures_are_those_of_their_single_runs() -> None:
    assert made([job("a"), job("b"), COVER]).code == 0
    single = make(Recipe(prompt="a b", seed=1, steps=1, model="./tiny"))[0].image
    assert abs(_pixels(Image.open("out/b.png")) - _pixels(single)).max() <= 1
    assert run("cover", "in.png", "--title", "Woods", "-o", "cover.png").code == 0
    assert _pixels(Image.open("out/cover.png")).tolist() == _pixels(Image.open("cover.png")).tolist()


def _pixels(image: Image.Image) -> Any:
    import numpy as np

    return np.asarray(image.convert("RGB")).astype(int)


def test_what_would_be_made_is_told_and_nothing_is_written() -> None:
    jobs = [job("a"), job("b", count=1, steps=2), COVER, BAD, job("m", model="./nothing")]
    outcome = made(jobs, "--dry-run", "--batch", "4")
    assert (outcome.code, outcome.files, Path("out").exists()) == (1, (), False)
    assert outcome.lines[:3] == ["a  out/a.png  new", "b  out/b.png  new", "cover  out/cover.png  new"]
    assert outcome.lines[3].startswith("bad  error: line 4 of jobs.jsonl: unknown field 'stepps'")
    assert outcome.lines[4].startswith("m  error: unknown model 'nothing'")
    rows = sum(sum(plan(Recipe(prompt="a", model="./tiny", steps=steps)).rows) for steps in (1, 2))
    assert outcome.lines[5:] == [
        "jobs:          5: 3 to make, 0 kept, 2 that cannot be made", "pictures:      3", "batches:       3",
        f"rows total:    {rows}",
    ]  # fmt: skip
    told = [json.loads(line) for line in made(jobs, "--dry-run", "--json").lines]
    assert told[0] == {"id": "a", "paths": ["out/a.png"], "state": "new"}
    assert (told[3]["state"], told[3]["kind"]) == ("cannot be made", "RecipeError")
    assert told[-1]["batch"] == {
        "jobs": 5, "make": 3, "kept": 0, "failed": 2, "pictures": 3, "batches": 3, "rows_total": rows, "exact": True,
    }  # fmt: skip


def test_of_a_batch_that_was_begun_it_is_told_what_is_left() -> None:
    assert made([job("a"), job("b")]).code == 0
    Path("out/b.png").unlink()
    outcome = made([job("a"), job("b"), job("c")], "--dry-run", "--resume")
    assert [line.split("  ")[-1] for line in outcome.lines[:3]] == ["kept", "a file is gone", "new"]
    assert "3: 2 to make, 1 kept, 0 that cannot be made" in outcome.out
    assert made([job("a")], "--dry-run").code == 2
    assert not Path("out/b.png").exists()


def test_a_grid_needs_no_list() -> None:
    words = ["batch", "--grid", "prompt=a rabbit,a duck", "--grid", "model=./tiny", "--grid", "steps=1"]
    outcome = run(*words, "--grid", "seed=1-2", "-o", "out", "--no-scores", "--quiet")
    assert outcome.code == 0
    assert len(outcome.lines) == 4


def test_a_grid_goes_over_a_recipe_in_a_file() -> None:
    Path("r.toml").write_text('prompt = "a {animal}"\nmodel = "./tiny"\nsteps = 1\n')
    words = ["batch", "r.toml", "--grid", "animal=rabbit,duck", "-o", "out/{animal}.png", "--no-scores"]
    assert sorted(run(*words).lines) == ["out/duck.png", "out/rabbit.png"]


def test_a_grid_of_a_thousand_is_planned() -> None:
    Path("r.toml").write_text('prompt = "a rabbit"\nmodel = "./tiny"\nsteps = 2\n')
    words = ["batch", "r.toml", "--grid", "seed=0-249", "--grid", "guidance=2,3,4,5", "-o", "out", "--dry-run"]
    outcome = run(*words, "--batch", "8")
    assert outcome.code == 0
    assert outcome.lines[-4:] == [
        "jobs:          1000: 1000 to make, 0 kept, 0 that cannot be made", "pictures:      1000",
        "batches:       125", "rows total:    4000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["batch", "-o", "out"], 2, "name a list of jobs, or a recipe and a --grid over it"),
        (["batch", "none.jsonl", "-o", "out"], 2, "none.jsonl cannot be read"),
        (["batch", "jobs.jsonl", "-o", "out/{idd}.png"], 2, "unknown placeholder '{idd}'; did you mean '{id}'?"),
        (["batch", "jobs.jsonl", "-o", "out/x.png"], 2, "would both be written to out/x.png"),
        (["batch", "jobs.jsonl", "-o", "out", "--batch", "0"], 2, "expected a number of pictures, or auto, got '0'"),
        (["batch", "jobs.jsonl", "-o", "out", "--device", "abacus"], 2, "unknown device 'abacus'"),
        (["batch", "jobs.jsonl", "-o", "out", "--engine", "steam"], 2, "unknown engine 'steam'"),
        (["batch", "jobs.jsonl", "-o", "out", "--scorer", "./none"], 3, "none"),
        (["batch", "jobs.jsonl", "-o", "out", "--quality", "50"], 2, "--quality is of JPEG"),
        (["batch", "jobs.jsonl", "-o", "out", "--grid", "seed"], 2, "a grid is such as seed=0-99"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(words: list[str], code: int, said: str) -> None:
    Path("jobs.jsonl").write_text("".join(json.dumps(job(name)) + "\n" for name in "ab"))
    outcome = run(*words)
    assert (outcome.code, outcome.files) == (code, ()), outcome.err
    assert said in outcome.err


def test_flags_are_those_of_the_command_line_and_words_those_of_python() -> None:
    assert made([job("a")]).code == 0
    assert "go on with it by --resume, begin anew by --force" in made([job("a")]).err
    with pytest.raises(OutputError, match="go on with it by `resume`"):
        batch(Asked("jobs.jsonl", "out"))
    assert in_flags("give `force`") == "give `force`"  # there is no command line here


def test_help_imports_no_torch_and_ends_with_examples() -> None:
    code = "import sys; from diffusion_tricks_cli.main import cli; cli(['batch', '--help'], standalone_mode=False); " \
           "assert 'torch' not in sys.modules"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "diffusion-tricks batch out/failed.jsonl -o out --resume" in done.stdout


def test_the_package_offers_what_scripts_need_and_imports_it_late() -> None:
    code = (
        "import sys; from diffusion_tricks_batch import Asked, How; Asked('a', 'b'); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for name in diffusion_tricks_batch.__all__:
        assert getattr(diffusion_tricks_batch, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        diffusion_tricks_batch.nothing  # noqa: B018


def test_a_script_is_told_of_each_job() -> None:
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (job("a"), BAD)))
    told: list[str] = []
    tally = batch(
        Asked("jobs.jsonl", "out", how=How(device="cpu", scores=False)),
        lambda todo: lambda outcome: told.append(outcome.key),
    )
    assert told == ["bad", "a"]
    assert tally.made["a"].facts[0]["seed"] == 1
    assert tally.kinds == {"RecipeError": 1}


def test_settings_cross_as_plain_data() -> None:
    how = How(device="cpu", retry=3, quality=80)
    assert how_from(json.loads(json.dumps(how.data()))) == how


def test_how_many_pictures_fit_is_the_rows_that_fit_by_the_rows_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """pictures = floor(0.9 free / (64 width tokens bytes)) / rows, of the formula in devices/capacity."""
    import torch

    from diffusion_tricks.devices import capacity

    free, recipe = 10**9, Recipe(prompt="a", steps=1)  # the model inside: 64 x 64 pixels, guidance asks two rows
    monkeypatch.setattr(capacity, "free_memory", lambda device: free)
    config = json.loads((Path(capacity.__file__).parents[1] / "models/emoji/unet/config.json").read_text())
    rows = int(0.9 * free / (64 * config["block_out_channels"][0] * 64 * 64 * torch.float32.itemsize))
    assert pictures_that_fit(recipe, device="cpu") == rows // 2 > 1
    assert pictures_that_fit(recipe.model_copy(update={"guidance": 1.0}), device="cpu") == rows
    assert pictures_that_fit(recipe, device="cpu", dtype="bfloat16") in {rows, rows + 1}
    assert pictures_that_fit(Recipe(picture="in.png", tricks=COVER["tricks"]), device="cpu") is None
    monkeypatch.setattr(capacity, "free_memory", lambda device: 1)
    assert pictures_that_fit(recipe, device="cpu") == 1
    with pytest.raises(UsageError):
        pictures_that_fit(recipe, device="abacus")
    with pytest.raises(UnknownName):
        pictures_that_fit(recipe.model_copy(update={"model": "nothing"}))
