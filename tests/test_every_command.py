"""Every option of every command reaches what is carried out: shortcuts, `make`, `run`, `rerun`, `plan` and `train`.

That an option then acts on pictures, `test_every_option` shows for `make`; here it is seen how the other commands hand
it on, and for the shortcuts that it is what `make` hands on. Nothing is computed but three trainings of two steps.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from PIL import Image

from command_line import Outcome, run
from diffusion_tricks.training import run as training
from diffusion_tricks.training.loop import Trained
from diffusion_tricks.training.options import TrainOptions, options_from
from diffusion_tricks_cli.commands import IDLE_IN_PLAN, SHORTCUTS
from diffusion_tricks_cli.common import common_options
from diffusion_tricks_cli.main import cli
from diffusion_tricks_cli.train_options import RUNNING, train_options
from test_every_option import COMMON as ACTING
from test_every_option import own_cases

BASE = "--seed 1"
# option: the words that give it another value than it has by default
WORDS = {
    "prompt": "-p y", "model": "-m ./other", "lora": "--lora a.safetensors", "seed": "--seed 2", "count": "--count 2",
    "best_of": "--best-of 2", "steps": "--steps 3", "stride": "--stride 250", "scheduler": "--scheduler ddim",
    "guidance": "--guidance 3", "distilled_guidance": "--distilled-guidance 9", "negative": "--negative z",
    "size": "--size 24x16", "upscaler": "--upscaler x4", "upscale_steps": "--upscale-steps 3",
    "upscale_guidance": "--upscale-guidance 3", "upscale_scheduler": "--upscale-scheduler ddim",
    "noise_level": "--noise-level 20", "enlarge": "--enlarge 2", "device": "--device cpu", "dtype": "--dtype bfloat16",
    "max_rows": "--max-rows 1", "memory": "--memory low", "quantize": "--quantize nf4", "compile": "--compile",
    "scorer": "--scorer clip", "dry_run": "--dry-run", "quiet": "--quiet", "json": "--json", "output": "-o a.png",
    "force": "--force", "no_metadata": "--no-metadata", "no_provenance": "--no-provenance",
    "keep_gps": "--keep-gps", "quality": "--quality 40",
    "steps_out": "--steps-out a.gif", "show": "--show both",
    "every": "--every 2", "save_recipe": "--save-recipe a.toml", "bundle": "--bundle", "picture": "--picture photo.png",
    "masks": "--masks .", "sweeps": "--sweep steps=1,2", "resume": "--resume", "on_error": "--on-error stop",
    "manifest": "--manifest a.jsonl",
}  # fmt: skip
LINES = {
    "generate": "generate", "edit": "edit photo.png", "inpaint": "inpaint photo.png --mask box:8,8,24,24",
    "outpaint": "outpaint photo.png --extend left=8",
    "anagram": "anagram a b", "hybrid": "hybrid --far a --near b", "cover": "cover photo.png --title Woods",
    "make": "make", "run": "run recipe.toml", "rerun": "rerun made.jpg", "plan": "plan",
}  # fmt: skip
CARRY_OUT = ("commands.carry_out", "commands.show_plan", "records.carry_out")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "made.jpg"):
        Image.new("RGB", (32, 32)).save(name)
    Path("recipe.toml").write_text('prompt = "x"\n')
    record = {"record": 1, "recipe": {"prompt": "x"}, "seed": 0, "run": {"dtype": "float32"}}
    Path("made.jpg.json").write_text(json.dumps(record))


def handed_on(line: str) -> tuple[Outcome, list[Any]]:
    """How a command ends, and what it would carry out: the recipe and the settings."""
    seen: list[Any] = []

    def noted(recipe: Any, settings: Any, *_: Any, **__: Any) -> None:
        seen.append((recipe.resolved().data(), asdict(settings)))

    with (
        mock.patch(f"diffusion_tricks_cli.{CARRY_OUT[0]}", noted),
        mock.patch(f"diffusion_tricks_cli.{CARRY_OUT[1]}", noted),
        mock.patch(f"diffusion_tricks_cli.{CARRY_OUT[2]}", noted),
        mock.patch("diffusion_tricks_cli.records._check_models"),
    ):
        return run(*shlex.split(line)), seen


def options(command: str) -> set[str]:
    """The names of the common options of a command that makes pictures."""
    with click.Context(cli) as ctx:
        return {str(option.name) for option in getattr(cli.get_command(ctx, command), "common", ())}


def given(line: str, option: str) -> tuple[str, str]:
    """A line without an option, and with it."""
    before = f"{line} {BASE}"
    return before, before.replace(BASE, WORDS[option]) if option == "seed" else f"{before} {WORDS[option]}"


def test_the_words_are_of_all_options() -> None:
    assert set(WORDS) == {*ACTING, "memory"} == {str(o.name) for o in common_options()} | {"picture"}


@pytest.mark.parametrize("command", LINES)
def test_common_options_reach_what_is_carried_out(command: str) -> None:
    """Each changes the recipe or the settings; `plan` refuses those that it would do nothing with."""
    assert options(command) >= {*WORDS} - {"picture"}
    for option in sorted(options(command)):
        before, after = (handed_on(line) for line in given(LINES[command], option))
        if command == "plan" and option in IDLE_IN_PLAN:
            said = "`plan` computes and writes no picture, and so does nothing with -"
            assert (after[0].code, after[0].err.startswith(f"Error: {said}"), after[1]) == (2, True, [])
        else:
            assert (after[0].code, len(after[1])) == (0, 1), (option, after[0].err)
            assert before[1] != after[1], f"{command}: {WORDS[option]} is not handed on"


def shortcut_cases() -> Iterator[tuple[str, str, str, str]]:
    """Shortcut and option, and the words without and with it that stand behind `make TRICK`."""
    names = {shortcut.trick: name for name, shortcut in SHORTCUTS.items() if shortcut.trick}
    for trick, option, *lines in own_cases():
        if trick in names and option not in WORDS:  # of a shortcut, the common one of that name says it
            without, with_it = (line.partition(f" {trick} ")[2] for line in lines)
            yield names[trick], option, without, with_it


@pytest.mark.parametrize(("name", "option", "without", "with_it"), shortcut_cases())
def test_own_options_of_a_shortcut_are_those_of_its_trick(name: str, option: str, without: str, with_it: str) -> None:
    shortcut = SHORTCUTS[name]
    first = "photo.png " if shortcut.picture else ""
    made = f"make {'--picture photo.png' if shortcut.picture else ''} {BASE} {shortcut.trick} {with_it}"
    before, after, as_make = (handed_on(line)[1] for line in (
        f"{name} {first}{without} {BASE}", f"{name} {first}{with_it} {BASE}", made,
    ))  # fmt: skip
    assert after
    assert before != after, f"{name}: {option} is not handed on"
    assert after == as_make


def test_rerun_reads_what_lies_elsewhere_where_that_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "far" / "far.png")
    recipe = {"picture": str(tmp_path / "far" / "far.png"), "tricks": [{"trick": "overlay", "title": "a"}]}
    Path("made.jpg.json").write_text(json.dumps({"record": 1, "recipe": recipe, "seed": 0}))
    assert handed_on("rerun made.jpg")[0].code == 2
    assert handed_on("rerun made.jpg --trust-paths")[0].code == 0


# option of `train`: words that give it another value
TRAIN = {
    "task": "--task class", "data": "--data shapes", "out": "--output a", "size": "--size 8",
    "channels": "--channels 3", "things": "--things 3", "taught": "--taught 2", "drawings": "--drawings a",
    "held_out": "--held-out 8",
    "objective": "--objective epsilon", "schedule": "--schedule linear", "timesteps": "--timesteps 9",
    "beta_start": "--beta-start 0.01", "beta_end": "--beta-end 0.5", "sigma": "--sigma 2",
    "draw": "--draw logit-normal", "logit_mean": "--logit-mean 1", "logit_std": "--logit-std 2", "shift": "--shift 2",
    "shift_end": "--shift-end 2", "shift_over": "--shift-over 9", "min_snr": "--min-snr 5",
    "below": "--below 9", "dropout": "--dropout 0.3", "crop": "--crop 8", "first_stage": "--first-stage emoji",
    "error": "--error absolute", "factor": "--factor 2", "max_noise_level": "--max-noise-level 9",
    "width": "--width 8", "widths": "--widths 8,16", "levels": "--levels 2", "layers": "--layers 2",
    "seen_before": "--seen-before 9", "start_from": "--from a", "epochs": "--epochs 3", "steps": "--steps 9",
    "minutes": "--minutes 1", "batch": "--batch 2", "optimizer": "--optimizer adam", "lr": "--lr 0.1",
    "lr_schedule": "--lr-schedule cosine", "lr_hold": "--lr-hold 9", "cool_down": "--cool-down 0.3",
    "lr_final": "--lr-final 0.3", "warm_up": "--warm-up 9", "weight_decay": "--weight-decay 0.3",
    "beta2": "--beta2 0.9", "clip": "--clip 3", "ema": "--ema 0.9", "profiles": "--profiles 0.1", "seed": "--seed 9",
    "precision": "--precision bfloat16", "device": "--device cpu", "channels_last": "--channels-last",
    "compile": "--compile", "processes": "--processes 2", "workers": "--workers 2", "sheets": "--sheets 2",
    "sheet_count": "--sheet-count 9", "sheet_steps": "--sheet-steps 9", "guidance": "--guidance 9",
    "sampling_steps": "--sampling-steps 9", "report": "--report 9", "checkpoint": "--checkpoint 9",
    "averages": "--averages 9", "keep": "--keep 9", "keep_models": "--keep-models", "labels": "--labels a,b",
    "pictures": "--pictures 9", "scheduler": "--scheduler ddpm",
}  # fmt: skip


def trained(line: str) -> tuple[Outcome, list[Any]]:
    """How `train` ends, and the training that it would begin or go on with."""
    seen: list[Any] = []

    def begun(asked: TrainOptions, **how: Any) -> Trained:
        seen.append((asked.model_dump(), how))
        return Trained(Path("t"), 1, 0.0, None, 0.0, 0.0)

    def gone_on(home: str, changes: dict[str, Any], **how: Any) -> Trained:
        seen.append((home, changes, how))
        return Trained(Path("t"), 1, 0.0, None, 0.0, 0.0)

    with mock.patch.object(training, "train", begun), mock.patch.object(training, "resume", gone_on):
        return run("train", *shlex.split(line)), seen


def test_options_of_train_reach_the_training() -> None:
    assert {str(option.name) for option in train_options()} == {*TRAIN, *RUNNING}
    before = trained("")[1]
    for option, words in TRAIN.items():
        outcome, after = trained(words)
        assert outcome.code == 0, outcome.err
        changed = {name for name, value in after[0][0].items() if value != before[0][0][name]}
        assert changed == {option}, words
        assert trained(f"--resume t {words}")[1][0][1].keys() == {option}


def test_how_to_run_a_training_reaches_it() -> None:
    plain, how = trained("")[1][0]
    assert how == {"force": False, "quiet": False}
    assert trained("--force --quiet")[1][0] == (plain, {"force": True, "quiet": True})
    assert trained("--preset flow")[1][0][0] == options_from({}, "flow").model_dump()
    assert trained("--resume t --quiet")[1] == [("t", {}, {"quiet": True})]
    assert trained("--json")[0].json["folder"] == trained("")[0].lines[0] == "t"


UNSEEN = {
    "things", "taught", "drawings",  # of files of drawings alone: tests/test_training_drawn.py
    "beta_start", "beta_end", "logit_mean", "logit_std", "lr_hold", "lr_final",  # of another choice beside them
}  # fmt: skip
TINY = {
    "data": "shapes", "width": 8, "levels": 1, "batch": 2, "steps": 2, "held_out": 2, "sheet_count": 1,
    "sheet_steps": 1, "device": "cpu",
}  # fmt: skip
ASKED: tuple[dict[str, Any], ...] = (
    {"task": "denoiser", "size": 8, "channels": 1},
    {"task": "class", "size": 8, "channels": 1, "ema": 0.0, "profiles": [0.1], "averages": 2},
    {"task": "upscale", "size": 16, "channels": 3, "crop": 8, "factor": 2, "sheet_count": 0, "held_out": 0},
)


def test_every_option_is_asked_for_in_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That none is taken and then passed over; what each does, the tests of trainings say."""
    read: set[str] = set()

    def noted(self: TrainOptions, name: str) -> Any:
        read.add(name)
        return object.__getattribute__(self, name)

    for index, options in enumerate(ASKED):
        asked = options_from({**TINY, **options, "out": str(tmp_path / str(index))})
        with monkeypatch.context() as patched:
            patched.setattr(TrainOptions, "__getattribute__", noted, raising=False)
            training.train(asked, quiet=True)
    assert {*TrainOptions.model_fields} - read <= UNSEEN


# option of `status` and `report`: words that give it another value
LOOKED = {
    "status": {"follow": "--follow --json", "as_json": "--json"},
    "report": {
        "by": "--by guidance", "output": "-o r.html", "force": "-o old.md --force", "as_json": "--json",
    },
}  # fmt: skip
BESIDE = {"follow": "--json", "force": "-o old.md"}  # what an option is compared with


@pytest.mark.parametrize("command", LOOKED)
def test_options_that_look_at_a_batch_act(command: str) -> None:
    from batches.noted import Noted, jobs

    made = Noted(Path("out"), jobs(1, guidance=3))
    made.worker("here", began=1.0)
    made.done("here", "j0", 2.0)
    made.write()
    Path("old.md").write_text("mine")
    with click.Context(cli) as ctx:
        found = cli.get_command(ctx, command)
    assert found is not None
    assert {str(one.name) for one in found.params if isinstance(one, click.Option)} - {"help"} == {*LOOKED[command]}
    for option, words in LOOKED[command].items():
        before, after = (run(command, "out", *shlex.split(line)) for line in (BESIDE.get(option, ""), words))
        assert after.code == 0, after.err
        assert (before.out, before.code) != (after.out, after.code), f"{command}: {words} does nothing"


# option of `batch`: the words that give it another value, and what of what is asked that changes
BATCH = {
    "jobs": "other.jsonl", "output": "-o elsewhere", "grid": "--grid seed=1-2", "resume": "--resume",
    "force": "--force", "seed": "--seed 9", "pictures": "--batch 3", "on_error": "--on-error stop",
    "retry": "--retry 5", "scores": "--no-scores", "scorer": "--scorer clip", "device": "--device cpu",
    "dtype": "--dtype bfloat16", "memory": "--memory low", "quantize": "--quantize nf4", "compile": "--compile",
    "max_rows": "--max-rows 1", "quality": "--quality 40", "no_metadata": "--no-metadata",
    "no_provenance": "--no-provenance", "keep_gps": "--keep-gps", "engine": "--engine steam",
    "workers": "--workers 2", "devices": "--devices cuda:0,cuda:1", "shard": "--shard 2/3",
    "address": "--engine ray --address auto", "collect": "--engine ray --collect",
    "dry_run": "--dry-run", "as_json": "--json", "quiet": "--quiet",
}  # fmt: skip
ASKED_OF_BATCH = {"jobs": "source", "on_error": "stop", "no_metadata": "metadata", "no_provenance": "provenance"}

FOLLOWING = {"devices": {"workers", "engine"}, "workers": {"engine"}, "shard": {"engine"}, "address": {"engine"},
             "collect": {"engine"}}  # from who is to work  # fmt: skip


def batched(words: str, jobs: str = "jobs.jsonl") -> dict[str, Any]:
    """What `batch` asks, flat, and how it speaks."""
    seen: list[dict[str, Any]] = []

    def noted(dry_run: bool, asked: Any, tell: Any) -> bool:
        plain = asdict(asked)
        seen.append({**plain, **plain.pop("how"), "dry_run": dry_run, "as_json": tell.as_json, "quiet": tell.quiet})
        return False

    jobs = "" if words == BATCH["jobs"] else jobs
    output = "" if "-o " in words else "-o out"
    with (
        mock.patch("diffusion_tricks_batch.commands.planned_only", partial(noted, True)),
        mock.patch("diffusion_tricks_batch.commands.carried_out", partial(noted, False)),
    ):
        outcome = run("batch", *shlex.split(f"{jobs} {output} {words}"))
    assert outcome.code == 0, outcome.err
    return seen[0]


def test_options_of_batch_reach_it() -> None:
    from diffusion_tricks_batch.commands import batch

    assert {param.name for param in batch.params} == {*BATCH}
    before = batched("")
    for option, words in BATCH.items():
        after = batched(words)
        changed = {name for name, value in after.items() if value != before[name] and name != "how"}
        assert changed == {ASKED_OF_BATCH.get(option, option), *FOLLOWING.get(option, ())}, words
