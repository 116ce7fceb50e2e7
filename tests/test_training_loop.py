"""The training loop: it learns, it goes on exactly, it can be stopped, and it comes to no harm."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from diffusion_tricks.errors import NotANumber, OutputError, OutputFailed, UsageError
from diffusion_tricks.io import atomic
from diffusion_tricks.training import checkpoints, folder, loop, tasks
from diffusion_tricks.training.data.stream import Stream
from diffusion_tricks.training.feed import batches
from diffusion_tricks.training.interrupts import Interrupted, Interrupts
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.run import resume, train
from training_data import TINY, Stripes, data, trained

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def state(folder: Path) -> dict[str, Any]:
    """What the next step depends on."""
    found = checkpoints.last(folder)
    return {key: found[key] for key in ("network", "optimizer", "average", "random", "step")}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "options", [{"task": "class"}, {"task": "denoiser"}, {"objective": "flow", "optimizer": "adam"}]
)
def test_a_training_goes_on_exactly(tmp_path: Path, options: dict[str, Any]) -> None:
    trained(tmp_path / "whole", steps=12, **options)
    trained(tmp_path / "half", steps=6, **options)
    resume(tmp_path / "half", {"steps": 12, "workers": 2}, quiet=True, data=data())
    assert same(state(tmp_path / "whole"), state(tmp_path / "half"))
    assert not same(state(tmp_path / "whole")["network"], checkpoints.last(tmp_path / "whole")["average"])


def test_sheets_measures_and_threads_leave_the_training_as_it_is(tmp_path: Path) -> None:
    trained(tmp_path / "plain", steps=8, held_out=0, task="class")
    trained(
        tmp_path / "watched", steps=8, task="class", sheet_count=2, sheet_steps=2, workers=3, report=1, checkpoint=3
    )
    assert same(state(tmp_path / "plain"), state(tmp_path / "watched"))


def test_pictures_count_as_an_epoch(tmp_path: Path) -> None:
    """The data has 20, and goes on to be shuffled as a whole."""
    trained(tmp_path / "short", epochs=3, pictures=8, report=50, sheet_count=1, sheet_steps=1, keep_models=True)
    assert [row["epoch"] for row in rows(tmp_path / "short")] == [1, 2, 3]
    assert rows(tmp_path / "short")[-1]["step"] == 6
    names = [f"epoch-{epoch:04}" for epoch in (1, 2, 3)]
    assert sorted(file.stem for file in (tmp_path / "short" / "samples").iterdir()) == names
    assert sorted(file.name for file in (tmp_path / "short" / "models").iterdir()) == names
    trained(tmp_path / "long", steps=6)
    assert same(state(tmp_path / "short")["network"], state(tmp_path / "long")["network"])
    weights = [
        load_file(tmp_path / "short" / place / WEIGHTS) for place in ("models/epoch-0001", "models/epoch-0003", ".")
    ]
    assert not same(weights[0], weights[1])
    assert same(weights[1], weights[2])


@pytest.mark.parametrize("length", [{"steps": 20}, {"minutes": 1e-9}])
def test_sheets_of_epochs_that_do_not_come_are_made_at_their_share(
    tmp_path: Path, length: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = TrainOptions(
        **{**TINY, "out": str(tmp_path), "sheets": [1, 5, 20], "sheet_count": 1, "sheet_steps": 1, **length}
    )
    train(asked, data=data())
    places = [1, 5, 20] if "steps" in length else [1]
    assert sorted(f.stem for f in (tmp_path / "samples").iterdir()) == [f"step-{step:06}" for step in places]
    assert (
        "shorter than 20 epochs, so the sheets of epochs 1, 5, 20 are made at 5%, 25%, 100%" in capsys.readouterr().err
    )


def test_sheets_of_epochs_that_come_are_made_after_them(tmp_path: Path) -> None:
    for name, length in (("epochs", {"epochs": 2}), ("steps", {"steps": 10})):
        trained(tmp_path / name, sheets=[1, 2], sheet_count=1, sheet_steps=1, **length)
        made = sorted(file.stem for file in (tmp_path / name / "samples").iterdir())
        assert made == ["epoch-0001", "epoch-0002"]
    trained(tmp_path / "fewer", sheets=[1, 3], sheet_count=1, sheet_steps=1, epochs=2)
    assert sorted(file.stem for file in (tmp_path / "fewer" / "samples").iterdir()) == ["epoch-0001", "last"]


def test_a_run_gone_on_with_makes_the_sheets_that_are_left(tmp_path: Path) -> None:
    def press(count: int) -> None:
        if count == 20:
            os.kill(os.getpid(), signal.SIGINT)

    sheets = {"sheets": [1, 4], "sheet_count": 1, "sheet_steps": 1, "steps": 8}
    with pytest.raises(Interrupted):
        trained(tmp_path, Stripes(seen=press), **sheets)
    assert [file.stem for file in (tmp_path / "samples").iterdir()] == ["step-000002"]
    resume(tmp_path, quiet=True, data=data())
    assert sorted(file.stem for file in (tmp_path / "samples").iterdir()) == ["step-000002", "step-000008"]


def test_how_long_it_takes_is_said_after_the_first_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(TrainOptions(**{**TINY, "out": str(tmp_path), "steps": 25}), data=data())
    found = re.search(r"About (\d+) seconds for 25 steps at (\d+) images/s", capsys.readouterr().err)
    assert found
    assert abs(int(found[1]) - 5 * 4 / max(1, int(found[2]))) <= 1


def test_it_learns(tmp_path: Path) -> None:
    done = trained(tmp_path / "out", steps=80, lr=5e-3, report=20, objective="sample", schedule="linear")
    found = rows(tmp_path / "out")
    assert [row["step"] for row in found] == sorted({row["step"] for row in found})
    assert found[-1]["loss"] < found[0]["loss"] / 2
    assert found[-1]["held_out"] == done.held_out
    assert done.held_out is not None
    assert done.held_out < found[0]["loss"] / 2
    assert {"lr", "images_per_second", "seconds", "epoch"} <= found[0].keys()
    assert (tmp_path / "out" / "loss.png").is_file()
    assert (done.steps, done.folder) == (80, tmp_path / "out")
    assert done.images_per_second > 0


def test_batches_drawn_ahead_are_the_same_in_the_same_order() -> None:
    plain, ahead = (batches(Stream(Stripes(), 4, seed=5, position=3), workers) for workers in (0, 3))
    for _ in range(12):
        a, b = next(plain), next(ahead)
        assert torch.equal(a.pictures, b.pictures)
        assert a.captions == b.captions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    def press(count: int) -> None:
        if count == 20:
            os.kill(os.getpid(), number)

    trained(tmp_path / "whole", steps=9)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"saved at step 5; .*`resume=.*stopped"):
        trained(tmp_path / "stopped", Stripes(seen=press), steps=9)
    assert signal.getsignal(number) is before
    resume(tmp_path / "stopped", quiet=True, data=data())
    assert same(state(tmp_path / "whole"), state(tmp_path / "stopped"))
    with pytest.raises(UsageError, match="complete, at step 9; for more, raise `steps`"):
        resume(tmp_path / "stopped", quiet=True, data=data())


def test_a_closed_terminal_does_not_stop_what_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, before)


class Broken(Stripes):
    """Pictures that are no numbers from the 20th on."""

    def draw(self, indices: Any, random: Any) -> Any:
        batch = super().draw(indices, random)
        if self.drawn > 20:
            batch.pictures[:] = float("nan")
        return batch


def test_nan_stops_with_advice_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotANumber, match=r"step 6 is not a number.*step-00000004.pt, is kept.*lower `lr`"):
        trained(tmp_path / "out", Broken(), steps=20, checkpoint=2)
    assert [file.name for file in checkpoints.kept(tmp_path / "out")] == ["step-00000002.pt", "step-00000004.pt"]
    assert all(w.isfinite().all() for w in state(tmp_path / "out")["network"].values())


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.Learner, "sound", lambda self: self.optimizer.param_groups[0]["lr"] == 0)
    with pytest.raises(NotANumber, match="there is no checkpoint yet"):
        trained(tmp_path / "out", steps=4, checkpoint=2)


def test_a_full_disk_costs_no_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill, out = atomic._fill, tmp_path / "out"

    def full(temporary: Path, content: Any) -> None:
        if temporary.parent.name == "checkpoints" and len(content) > 100 and len(checkpoints.kept(out)) == 2:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        fill(temporary, content)

    monkeypatch.setattr(atomic, "_fill", full)
    with pytest.raises(OutputFailed, match=r"disk is full.*last whole checkpoint is step-00000004.pt.*`resume="):
        trained(out, steps=7, checkpoint=2)
    left = sorted(file.name for file in (out / "checkpoints").iterdir())
    assert left == ["model.json", "step-00000002.pt", "step-00000004.pt"]
    monkeypatch.undo()
    assert resume(out, quiet=True, data=data()).steps == 7


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=9, checkpoint=2, keep=2)
    assert [file.name for file in checkpoints.kept(tmp_path / "out")] == ["step-00000008.pt", "step-00000009.pt"]


def test_metrics_after_the_checkpoint_are_made_again(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=6, report=2)
    with (tmp_path / "out" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "loss": 1}\n{"step": 10, "lo')
    resume(tmp_path / "out", {"steps": 8}, quiet=True, data=data())
    assert [row["step"] for row in rows(tmp_path / "out")] == [2, 4, 5, 6, 8]  # an epoch ends at 5


def test_the_clock_ends_a_training_and_its_learning_rate(tmp_path: Path) -> None:
    done = trained(tmp_path / "out", minutes=1 / 60, lr_schedule="cosine", warm_up=0, report=1)
    assert 1 <= done.seconds < 20
    found = rows(tmp_path / "out")
    assert found[-1]["lr"] < found[0]["lr"]
    assert found[-1]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"channels_last": True}, {"clip": 0, "ema": 0}])
def test_ways_to_compute(tmp_path: Path, options: dict[str, Any]) -> None:
    assert trained(tmp_path / "out", steps=3, **options).loss < 10


def test_without_an_average_the_weights_themselves_are_saved(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=3, ema=0)
    found = checkpoints.last(tmp_path / "out")
    for own, average in zip(found["network"].values(), found["average"]["shadow_params"], strict=True):
        torch.testing.assert_close(own, average, atol=1e-6, rtol=0)


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=2)
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match=r"not empty; go on with it with `resume=.*`force=True`"):
        trained(tmp_path / "out", steps=2)
    asked = TrainOptions(width=8, levels=2, batch=4, steps=1, sheet_count=0, out=str(tmp_path / "out"), device="cpu")
    train(asked, force=True, quiet=True, data=data())
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    assert [file.name for file in checkpoints.kept(tmp_path / "out")] == ["step-00000001.pt"]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=2)
    checkpoints.kept(tmp_path / "out")[-1].write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match=r"step-00000002.pt is damaged; remove it"):
        resume(tmp_path / "out", {"steps": 4}, quiet=True, data=data())


def test_a_byte_that_is_wrong_anywhere_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    """What is read is what was written, or is refused: torch itself reads the wrong numbers."""
    numbers = torch.arange(64.0)
    file = checkpoints.write(tmp_path, 1, {"step": 1, "numbers": numbers}, 1)
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        try:
            assert same(checkpoints.last(tmp_path), {"step": 1, "numbers": numbers})  # a byte that says nothing
        except UsageError as error:
            refused += "is damaged; remove it" in str(error)
    assert refused > 4 * 64 // 7
    file.write_bytes(whole)
    assert same(checkpoints.last(tmp_path)["numbers"], numbers)


def test_a_model_older_than_its_last_checkpoint_is_saved_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two: what `resume` then says is complete is complete."""
    trained(tmp_path / "whole", steps=4, checkpoint=2)
    save, steps = folder.save_pipeline, iter((0, 2, 4))

    def killed(*arguments: Any) -> None:
        if next(steps) == 4:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(folder, "save_pipeline", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "out", steps=4, checkpoint=2)
    monkeypatch.undo()
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "out" / weights).read_bytes() != (tmp_path / "whole" / weights).read_bytes()
    assert resume(tmp_path / "out", quiet=True, data=data()).steps == 4
    assert (tmp_path / "out" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    with pytest.raises(UsageError, match="complete, at step 4"):
        resume(tmp_path / "out", quiet=True, data=data())


@pytest.mark.parametrize(("changes", "message"), [
    ({"task": "class"}, "--task cannot change"),
    ({"seed": 3}, "--seed cannot change"),
    ({"batch": 9}, "--batch cannot change"),
    ({"steps": 4, "epochs": 1}, "given 2 times"),
])  # fmt: skip
def test_what_would_be_another_training_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    trained(tmp_path / "out", steps=2)
    with pytest.raises(UsageError, match=message):
        resume(tmp_path / "out", changes, quiet=True, data=data())


def test_force_leaves_a_directory_that_holds_no_training_alone(tmp_path: Path) -> None:
    mine = tmp_path / "unet" / "mine.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(b"weights")
    asked = TrainOptions(**{**TINY, "task": "class", "steps": 1, "out": str(tmp_path)})
    with pytest.raises(OutputError, match="holds no training, so `force` leaves it alone"):
        train(asked, force=True, quiet=True, data=data())
    assert mine.read_bytes() == b"weights"


def test_a_training_comes_back_when_the_one_to_replace_it_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(TrainOptions(**{**TINY, "task": "class", "steps": 2, "out": str(out)}), quiet=True, data=data())
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    wrong = TrainOptions(**{**TINY, "task": "text", "steps": 1, "out": str(out)})
    with pytest.raises(UsageError):
        train(wrong, force=True, quiet=True, data=data())
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_refused_resume_changes_no_options(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(TrainOptions(**{**TINY, "task": "class", "steps": 3, "out": str(out)}), quiet=True, data=data())
    before = (out / "training.json").read_bytes()
    with pytest.raises(UsageError):
        resume(out, {"steps": 2}, quiet=True, data=data())
    with pytest.raises(UsageError, match="`lr_hold` 9 is looked at with `lr_schedule` inverse-sqrt alone"):
        resume(out, {"steps": 4, "lr_hold": 9}, quiet=True, data=data())
    assert (out / "training.json").read_bytes() == before


def test_a_change_of_the_network_is_learned_around(tmp_path: Path) -> None:
    given = []

    def change(network: torch.nn.Module) -> None:
        """The last layer stays as it is."""
        given.append(network)
        network.get_submodule("unet.conv_out").requires_grad_(False)

    asked = TrainOptions(**{**TINY, "out": str(tmp_path / "out"), "steps": 3, "ema": 0.0})
    train(asked, quiet=True, data=data(), change=change)
    (network,) = given
    torch.manual_seed(asked.seed)
    fresh = tasks.task_for(asked, Stripes(), tmp_path).network.state_dict()
    learned = network.state_dict()
    kept = [name for name, value in fresh.items() if torch.equal(value, learned[name])]
    assert kept == ["unet.conv_out.weight", "unet.conv_out.bias"]
    with pytest.raises(UsageError, match=r"a change, stays in this process; use `processes=1`"):
        train(asked.model_copy(update={"processes": 2, "out": str(tmp_path / "two")}), quiet=True, change=change)
    assert not (tmp_path / "two").exists()
