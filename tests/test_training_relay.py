"""The training that goes on for days: begun, killed, stopped, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training import checkpoints, folder, relay
from diffusion_tricks.training.levels import Levels
from diffusion_tricks.training.objectives import shares
from diffusion_tricks.training.options import options_from
from diffusion_tricks.training.rates import learning_rate, shift_after
from diffusion_tricks.training.relay_status import levels, status
from test_training_drawn import drawings

TINY = {
    "widths": "16,32", "batch": "2", "processes": "1", "compile": "false", "report": "2", "checkpoint": "4",
    "sheet_count": "0", "held_out": "4", "averages": "8", "size": "8", "warm_up": "1",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    drawings().write(tmp_path / "drawings.npz")
    yield tmp_path / "relay"
    relay.Relay(tmp_path / "relay").stop()


def begin(home: Path, *more: str) -> int:
    tiny = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    return relay.main(
        ["--home", str(home), "--drawings", str(home.parent / "drawings.npz"), "--nice", "1", *tiny, *more]
    )


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_runs_apart_from_a_copy_and_goes_on_after_a_kill_and_a_damaged_checkpoint(home, capsys):
    made = relay.Relay(home)
    assert begin(home) == 0
    until(lambda: len(checkpoints.kept(made.training)) >= 2)
    assert begin(home) == 2  # one runs
    assert "is running" in capsys.readouterr().err
    assert "running" in status(home, made.running)
    process = int(made.pid.read_text())
    assert os.getpriority(os.PRIO_PROCESS, process) == 1
    assert os.getsid(process) == process
    assert (home / "code" / "diffusion_tricks" / "training" / "relay.py").is_file()
    assert not list((home / "code").rglob("*.safetensors"))
    os.kill(process, signal.SIGKILL)
    until(lambda: not made.running)
    damaged = checkpoints.kept(made.training)[-1]
    damaged.write_bytes(b"half of it")
    whole = checkpoints.kept(made.training)[-2]
    reached = int(whole.stem.split("-")[1])
    assert begin(home) == 0
    until(lambda: any(int(file.stem.split("-")[1]) > reached for file in checkpoints.kept(made.training)))
    assert damaged.with_suffix(".damaged").is_file()
    assert relay.main(["--home", str(home), "--stop"]) == 0
    assert not made.running
    assert (made.training / "averages").is_dir()
    assert (made.training / "model_index.json").is_file()
    assert checkpoints.set_aside_damaged(made.training) == []
    steps = [row["step"] for row in folder.metrics(made.training)]
    assert steps == sorted(set(steps))  # what was made twice is noted once


def test_what_is_wrong_is_said_before_it_starts(home, capsys):
    assert begin(home, "--set", "batch=none") == 2
    assert "batch" in capsys.readouterr().err
    assert not (home / "relay.log").exists()
    assert relay.main(["--home", str(home), "--stop"]) == 0
    assert "not running" in capsys.readouterr().out


def test_a_cool_down_ends_in_the_hours_it_is_given():
    options = options_from({"batch": 10, "processes": 2}, "emoji-relay")
    rows = [{"step": 900, "images_per_second": 40.0}]
    changed = relay.cooling(options, rows, hours=0.5)
    assert changed == {"steps": 900 + 3600, "cool_down": 0.8}
    cooled = options.model_copy(update=changed | {"warm_up": 0, "lr_schedule": "constant"})
    rates = [learning_rate(cooled, step, step / 4500) for step in (900, 2700, 4500)]
    assert rates == pytest.approx([cooled.lr, cooled.lr / 2, 0])
    with pytest.raises(UsageError, match="nothing is measured"):
        relay.cooling(options, [], 1)


def test_the_rate_falls_with_the_root_of_the_steps_once_held():
    options = options_from({"lr": 1.0, "lr_schedule": "inverse-sqrt", "lr_hold": 100, "warm_up": 0, "steps": 9999})
    assert [learning_rate(options, step - 1, 0) for step in (1, 100, 400, 10_000)] == pytest.approx([1, 1, 0.5, 0.1])


def test_the_shift_ends_where_it_is_told_to():
    options = options_from({"shift": 4.0, "shift_end": 1.0, "shift_over": 1000})
    assert [shift_after(options, seen) for seen in (0, 500, 1000, 5000)] == pytest.approx([4, 2, 1, 1])
    u = torch.linspace(0, 1, 5)
    draw = shares(options)
    torch.testing.assert_close(draw(u, 1000), u)
    torch.testing.assert_close(draw(u, 0), 4 * u / (1 + 3 * u))


def test_losses_are_told_apart_by_noise_level():
    noted = Levels(1000)
    noted.note(torch.tensor([0, 99, 999]), torch.tensor([1.0, 2.0, 5.0]))
    assert noted.rounded() == [1.02, *[None] * 8, 5.0]
    again = Levels(1000)
    again.restore(noted.rounded())
    assert again.rounded() == noted.rounded()
    lines = levels(noted.rounded())
    assert len(lines) == 11
    assert lines[-1].count("#") == 40
    assert lines[2].endswith("-")


def test_status_says_pictures_hours_and_levels(tmp_path: Path):
    assert "nothing was begun" in status(tmp_path, False)
    training = tmp_path / "training"
    training.mkdir()
    folder.note_options(training, options_from({"steps": 1000, "batch": 8}, "emoji-relay"))
    row = {
        "step": 500, "epoch": 1, "loss": 0.25, "seen": 8000, "levels": [0.5] * 10, "lr": 1e-3, "seconds": 7200.0,
        "images_per_second": 4.0, "held_out": 0.3,
    }  # fmt: skip
    (training / folder.METRICS).write_text(json.dumps(row) + "\n")
    said = status(tmp_path, True)
    assert "8,000 of 16,000 pictures seen (50.0%), in 2.0 h" in said
    assert "4.0 pictures/s, 0.6 h left" in said
    assert "held out 0.3000" in said


def test_what_would_be_passed_over_is_said_at_once_and_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert relay.main(["--home", str(tmp_path), "--set", "lr_schedule=cosine", "--set", "lr_hold=9"]) == 2
    assert "`lr_hold` 9 is looked at with `lr_schedule` inverse-sqrt alone" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_has_read_enough_of_the_status_ends_no_command_badly(tmp_path: Path, unbuffered: str):
    unread, into = os.pipe()
    os.close(unread)
    ended = subprocess.run(
        [sys.executable, "-m", "diffusion_tricks.training.relay", "--home", str(tmp_path), "--status"],
        stdout=into, stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(into)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="a kernel without autogroups")
def test_a_relay_gives_way_as_a_session_too() -> None:
    """Linux shares the cores between sessions, whatever the niceness of what runs in them."""
    script = """
from pathlib import Path
from diffusion_tricks.training.relay import give_way
give_way(13)
import os
print(os.nice(0), Path("/proc/self/autogroup").read_text().split()[-1])
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["13", "13"]
