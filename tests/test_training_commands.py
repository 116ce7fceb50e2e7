"""`diffusion-tricks train`: its help, its presets, and every way to get it wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from command_line import run
from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.loading.location import location_of
from diffusion_tricks.training import checkpoints, launch
from diffusion_tricks.training.folder import metrics
from diffusion_tricks.training.interrupts import Interrupted
from diffusion_tricks.training.network import text_encoder, unet, upscaler_unet
from diffusion_tricks.training.options import TrainOptions, check_looked_at, options_from
from diffusion_tricks.training.presets import PRESETS
from diffusion_tricks.training.progress import Progress, line
from training_data import trained

QUICK = (
    "train", "--data", "shapes", "--size", 16, "--width", 8, "--levels", 2, "--batch", 2, "--held-out", 2,
    "--device", "cpu", "--sheet-count", 0, "--quiet",
)  # fmt: skip


def test_one_command_trains_and_the_next_samples(tmp_path: Path) -> None:
    out = tmp_path / "circles"
    outcome = run(*QUICK, "--task", "class", "--steps", 2, "-o", out, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.json["steps"] == 2
    assert {"folder", "loss", "held_out", "seconds", "images_per_second"} <= outcome.json.keys()
    outcome = run("train", "--resume", out, "--steps", 3, "--quiet")
    assert (outcome.code, outcome.lines) == (0, [str(out)]), outcome.err
    outcome = run("generate", "circle", "-m", out, "-o", tmp_path / "circle.png", "--steps", 2, "--seed", 1)
    assert outcome.code == 0, outcome.err
    outcome = run("generate", "a triangle", "-m", out, "-o", tmp_path / "none.png", "--steps", 2)
    assert outcome.code == 2
    assert "unknown class 'a triangle'" in outcome.err


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sets_of_options_that_any_option_overrides(name: str) -> None:
    options = options_from({"lr": 0.5}, name)
    assert options.lr == 0.5
    drawn = dict.fromkeys(("emoji-relay", "emoji-gpu", "emoji-refiner", "emoji-upscaler"), "drawings.npz")
    assert options.data == (drawn | {"emoji": "emoji"}).get(name, "digits")


@pytest.mark.parametrize("choice", [{"lr_schedule": "cosine"}, {"optimizer": "adam"}, {"task": "text"}], ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_a_choice_leaves_out_what_of_the_preset_it_would_pass_over(name: str, choice: dict[str, str]) -> None:
    check_looked_at(options_from(choice, name))


def test_presets_of_the_model_inside() -> None:
    stages = [options_from({}, name) for name in ("emoji", "emoji-upscaler")]
    assert [(o.task, o.size, o.batch, o.lr, o.shift, o.minutes) for o in stages] == [
        ("text", 64, 16, 1e-3, 6.0, 300), ("upscale", 256, 8, 1e-3, 30.0, 60),
    ]  # fmt: skip
    for o in stages:
        assert (o.processes, o.device) == (2, "cpu"), "two of one GPU would fail"
        assert (o.objective, o.schedule, o.lr_schedule, o.beta2, o.ema) == ("v", "cosine", "cosine", 0.99, 0.999)
    upscaler = stages[1]
    assert (upscaler.crop, upscaler.factor, upscaler.max_noise_level, upscaler.sampling_steps) == (128, 4, 400, 1)
    assert (upscaler.first_stage, upscaler.error) == ("emoji", "absolute")


@pytest.mark.parametrize("name", ["emoji-relay", "emoji-gpu"])
def test_presets_of_the_second_generation_end_in_low_noise_with_an_average_that_is_chosen_afterwards(name: str) -> None:
    o = options_from({}, name)
    assert (o.task, o.size, o.objective, o.schedule, o.beta2) == ("text", 64, "v", "cosine", 0.99)
    assert (o.shift, o.shift_end, o.profiles) == (4.0, 1.0, [0.05, 0.1])
    assert o.averages is not None


def test_the_model_inside_fits_in_40_mb_whichever_way_it_is_trained() -> None:
    """In float16, both stages together."""
    for name in ("emoji", "emoji-relay", "emoji-gpu"):
        widths = options_from({}, name).channels_of_levels()
        second = options_from({}, "emoji-upscaler").channels_of_levels()
        assert widths
        assert second
        with torch.device("meta"):
            parts = (unet(64, widths), text_encoder(3000), upscaler_unet(256, second))
        assert 2 * sum(p.numel() for part in parts for p in part.parameters()) < 40e6
    refiner = location_of("emoji") / "refiner" / "unet" / "diffusion_pytorch_model.safetensors"
    assert refiner.stat().st_size < 3e6


def _kind(name: str) -> tuple[str, str]:
    options = options_from({}, name)
    return options.task, options.objective


def test_presets_repeat_the_exercises() -> None:
    denoiser = options_from({}, "denoiser")
    told = (denoiser.width, denoiser.batch, denoiser.optimizer, denoiser.lr, denoiser.epochs, denoiser.sigma)
    assert told == (128, 256, "adam", 1e-4, 5, 0.5)
    time = options_from({}, "time")
    told = (time.width, time.batch, time.optimizer, time.lr, time.epochs, time.timesteps)  # type: ignore[assignment]
    assert told == (64, 128, "adam", 2e-3, 20, 300)
    assert (time.lr_schedule, time.lr_final) == ("exponential", 0.1)
    shown = options_from({}, "class")
    assert (shown.guidance, shown.sheets, shown.dropout, shown.epochs) == (5.0, [1, 5, 10, 20], 0.1, 20)
    assert [options_from({}, name).scheduler for name in ("time", "class-quick", "flow", "flow-quick")] == [
        "ddpm", "ddpm", None, None,
    ]  # fmt: skip
    assert options_from({"objective": "flow"}, "class").scheduler is None
    for name in ("denoiser", "time", "class", "flow"):
        lesson = options_from({}, f"{name}-quick")
        assert (lesson.task, lesson.objective, lesson.width) == (*_kind(name), 16)
        assert name == "denoiser" or (lesson.timesteps, lesson.sheets, lesson.epochs) == (400, [1, 5, 20], 20)
        assert "minutes" in PRESETS[f"{name}-quick"][0]
        assert "core-hours" in PRESETS[name][0]
    assert (options_from({}, "class-quick").guidance, options_from({}, "class-quick").dropout) == (5, 0.1)
    flow = options_from({}, "flow")
    assert (flow.objective, flow.sheet_steps, flow.width) == ("flow", 50, 64)


def test_a_length_of_another_unit_takes_the_presets_place() -> None:
    options = options_from({"steps": 7}, "class")
    assert (options.steps, options.epochs, options.minutes) == (7, None, None)


WRONG = [
    (["--preset", "denoise"], "unknown preset 'denoise'; did you mean 'denoiser'?"),
    (["--task", "classes"], "got 'classes'"),
    (["--steps", 1, "--epochs", 1], "how long to train is given 2 times, by --epochs and --steps; give one"),
    (["--steps", 0], "expected a whole number of at least 1, got 0"),
    (["--widths", "8,x"], "widths must be numbers with commas, as in 16,32,64, got '8,x'"),
    (["--widths", "8,12"], "widths must be multiples of 8, got 8,12"),
    (["--levels", 6], "6 levels halve the side 5 times, which 16 pixels do not allow; use --levels 3"),
    (["--task", "denoiser", "--objective", "flow"], "objective 'flow' is none for it"),
    (["--scheduler", "ddpm", "--objective", "flow"], "scheduler 'ddpm' is none for a flow"),
    (["--beta-start", 0.5], "beta_start must be below beta_end"),
    (["--data", "shpaes"], "unknown data 'shpaes'; did you mean 'shapes'?"),
    (["--data", "no/such/folder"], "the folder no/such/folder does not exist"),
    (["--from", "nowhere"], "--from nowhere: expected the directory of a model, and there is none"),
    (["--task", "text", "--channels", 1], "use --channels 3"),
    (["--drawings", "nowhere"], "--drawings nowhere: expected a folder"),
    (["--task", "upscale"], "crops of 64 pixels cannot be cut of pictures of 16, to be enlarged 4 times"),
    (["--task", "upscale", "--objective", "flow"], "objective 'flow' is none for it"),
    (["--crop", 8], "--crop 8 is looked at with --task upscale alone, and --task is unconditional; change that"),
    (["--first-stage", "emoji"], "--first-stage emoji is looked at with --task upscale alone"),
    (["--factor", 2], "--factor 2 is looked at with --task upscale alone"),
    (["--max-noise-level", 9], "--max-noise-level 9 is looked at with --task upscale alone"),
    (["--sigma", 2], "--sigma 2.0 is looked at with --task denoiser alone"),
    (["--beta-start", 0.01], "--beta-start 0.01 is looked at with --schedule linear alone, and --schedule is cosine"),
    (["--logit-std", 2], "--logit-std 2.0 is looked at with --draw logit-normal alone, and --draw is uniform"),
    (["--weight-decay", 1, "--optimizer", "adam"], "--weight-decay 1.0 is looked at with --optimizer adamw alone"),
    (["--lr-hold", 9], "--lr-hold 9 is looked at with --lr-schedule inverse-sqrt alone"),
    (["--lr-final", 0.5], "--lr-final 0.5 is looked at with --lr-schedule exponential alone"),
    (["--resume", "nowhere"], "nowhere holds no training to go on with: it has no training.json"),
    (["--resume", "nowhere", "--force"], "leave out --preset and --force"),
]


def without(line: tuple[Any, ...], words: list[Any]) -> list[Any]:
    """A line without the options that other words give; each of them takes a value."""
    kept = list(line)
    for word in words:
        if str(word).startswith("--") and word in kept:
            del kept[kept.index(word) : kept.index(word) + 2]
    return kept


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[str(words) for words, _ in WRONG])
def test_bad_input_is_refused_and_leaves_nothing_behind(
    words: list[Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("train", "--quiet") if "--resume" in words else without(QUICK, words)
    outcome = run(*quick, *words)
    assert outcome.code == 2, outcome.err
    assert message in " ".join(outcome.err.split())
    assert list(tmp_path.iterdir()) == []


def test_data_without_classes_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (16, 16), (60 * i, 0, 0)).save(tmp_path / "pictures" / f"{i}.png")
    words = [word if word != "shapes" else tmp_path / "pictures" for word in QUICK]
    outcome = run(*words, "--task", "class", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "has no classes; use --task unconditional" in outcome.err
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = run(*QUICK, "-o", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file, expected a directory" in outcome.err
    trained(tmp_path / "out", steps=1)
    outcome = run(*QUICK, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert f"go on with it with --resume {tmp_path / 'out'}" in outcome.err


def test_ctrl_c_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise Interrupted("stopped and saved at step 5; go on with `resume='out'`")

    monkeypatch.setattr("diffusion_tricks.training.run.train", stopped)
    outcome = run(*QUICK, "-o", tmp_path / "out", "--json")
    assert outcome.code == 130
    assert "go on with --resume out\n" in outcome.err
    assert "saved at step 5" in json.loads(outcome.out)["error"]


def test_nan_ends_with_1(tmp_path: Path) -> None:
    outcome = run(*QUICK, "--steps", 30, "--lr", 1e30, "--clip", 0, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "is not a number" in outcome.err
    assert "Try a lower --lr" in outcome.err


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from diffusion_tricks_cli.main import cli\n"
        "try: cli.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("--preset", "--objective", "--min-snr", "--resume", "--processes", "-o, --output", "--from"):
        assert word in done.stdout


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_two_processes_train_one_model(device: str, tmp_path: Path) -> None:
    """Whatever the machine has: two that do not know of each other each note all steps, and write over each other."""
    asked = [device if word == "cpu" else word for word in QUICK]
    outcome = run(*asked, "--steps", 12, "--report", 4, "--processes", 2, "-o", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["steps"] == 12
    assert [row["step"] for row in metrics(tmp_path / "out")] == [4, 8, 12]
    assert len(checkpoints.last(tmp_path / "out")["random"]) == 2
    DiffusionPipeline.from_pretrained(tmp_path / "out")


def test_what_a_process_raised_is_raised_again() -> None:
    with pytest.raises(UsageError, match="no such thing") as raised:
        launch._outcome({"error": "UsageError", "message": "no such thing"}, [2, 2])
    assert raised.value.exit_code == 2
    with pytest.raises(UnknownName, match="unknown data"):
        launch._outcome({"error": "UnknownName", "message": "unknown data"}, [2, 2])
    with pytest.raises(Interrupted, match="saved"):
        launch._outcome({"error": "Interrupted", "message": "saved"}, [130, 130])
    with pytest.raises(Exception, match="ended by itself, with codes"):
        launch._outcome({}, [1, -9])


def test_the_line_says_loss_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    text = line(0.25, 50, 1.5, 0.0421, 310.0, 20.0)
    assert text == "[######                  ] step 50  epoch 1.5  loss 0.0421  310 images/s  01:00 left"
    assert line(0.5, 1, 0, 1, 2.25, 7300).endswith("2.2 images/s  2:01:40 left")
    progress = Progress()
    progress("first")
    progress("too soon")
    assert capsys.readouterr().err == "first\n"
    Progress(shown=False)("nothing")
    assert capsys.readouterr().err == ""


def test_options_know_what_they_are() -> None:
    assert TrainOptions(task="denoiser").objective == "sample"
    with pytest.raises(UsageError, match=r"lr: expected a number above 0"):
        options_from({"lr": 0})
