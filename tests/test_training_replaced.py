"""`train --force` loses no training: the old one is there until the new one is complete, whatever happens to that."""

from __future__ import annotations

import errno
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks.errors import NotANumber, OutputError, OutputFailed
from diffusion_tricks.io import atomic, leftovers
from diffusion_tricks.training import checkpoints, folder, replaced, run
from diffusion_tricks.training.folder import OWN
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.run import train
from training_data import TINY, data


class Killed(BaseException):
    """Nothing that is called by a process that is killed."""


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def written(out: Path, word: str, *, checkpoint: bool = True) -> dict[str, bytes]:
    """What a training leaves, without one."""
    (out / "checkpoints").mkdir(parents=True)
    (out / "unet").mkdir()
    for name in ("training.json", "metrics.jsonl", "unet/config.json", "model_index.json"):
        (out / name).write_text(f'{{"word": "{word}"}}')
    if checkpoint:
        (out / "checkpoints/step-00000001.pt").write_text(word)
    return contents(out)


def options(out: Path) -> TrainOptions:
    return TrainOptions(**{**TINY, "steps": 2, "out": str(out)})


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the new training fail, after its first checkpoint if there is to be one."""

    def install(error: BaseException, checkpoint: bool) -> None:
        def go_on(home: Path, *_: Any) -> None:
            if checkpoint:
                checkpoints.write(home, 3, {"step": 3}, 1)
            (home / "metrics.jsonl").write_text("{}\n")
            raise error

        monkeypatch.setattr(run, "_gone_on", go_on)

    return install


@pytest.mark.parametrize("error", [NotANumber("nan"), OutputFailed("full"), KeyboardInterrupt(), MemoryError()])
def test_a_training_comes_back_when_the_new_one_comes_to_nothing(tmp_path: Path, fails: Any, error: Any) -> None:
    before = written(tmp_path, "old")
    fails(error, checkpoint=False)
    with pytest.raises(type(error)):
        train(options(tmp_path), force=True, quiet=True, data=data())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [NotANumber("nan"), OutputFailed("full"), KeyboardInterrupt()])
def test_both_are_kept_where_the_new_one_can_be_gone_on_with(tmp_path: Path, fails: Any, error: Any) -> None:
    before = written(tmp_path, "old")
    fails(error, checkpoint=True)
    kept = f"an earlier training is kept in {tmp_path / '.replaced'} until the one in {tmp_path} is complete"
    with pytest.raises(type(error)), pytest.warns(UserWarning, match=kept):
        train(options(tmp_path), force=True, quiet=True, data=data())
    assert contents(tmp_path / ".replaced") == before
    assert [file.name for file in checkpoints.kept(tmp_path)] == ["step-00000003.pt"]
    with pytest.raises(type(error)), pytest.warns(UserWarning, match=r"replaced, .*\.replaced-2 until"):
        train(options(tmp_path), force=True, quiet=True, data=data())  # a third
    assert contents(tmp_path / ".replaced") == before


def test_a_full_disk_in_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(tmp_path, "old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_fill", full)
    with pytest.raises(OutputFailed, match="the disk is full"):
        train(options(tmp_path), force=True, quiet=True, data=data())
    assert contents(tmp_path) == before


def test_it_is_forgotten_once_the_new_one_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(out, "old")
    train(TrainOptions(**{**TINY, "steps": 1, "out": str(out)}), force=True, quiet=True, data=data())
    assert not list(out.glob(".*"))
    assert json.loads((out / "training.json").read_text())["steps"] == 1


@pytest.mark.parametrize("at", range(12))
def test_wherever_it_is_killed_the_old_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Killed at every rename, in hiding as in bringing back: the next command has the training whole again."""
    before, count, rename = written(tmp_path, "old"), iter(range(100)), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if next(count) == at:
            raise Killed
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    monkeypatch.setattr(replaced, "hide", _hide_without_care)
    try:
        folder.begun(tmp_path, options(tmp_path), force=True)
        (tmp_path / "unet").mkdir()  # of the new one
        replaced.bring_back(tmp_path, OWN)
    except Killed:
        pass
    monkeypatch.undo()
    with warnings.catch_warnings(action="ignore"):
        folder.hidden_found(tmp_path)
    assert contents(tmp_path) == before


def _hide_without_care(home: Path, names: Any) -> None:
    """As a process that is killed leaves it."""
    (home / ".replaced").mkdir()
    for name in sorted(names, key=lambda name: name != "training.json"):
        if (home / name).exists():
            (home / name).rename(home / ".replaced" / name)


def test_an_interrupt_while_it_is_hidden_brings_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = written(tmp_path, "old"), Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "unet":
            monkeypatch.undo()
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.begun(tmp_path, options(tmp_path), force=True)
    assert contents(tmp_path) == before


def test_a_hidden_one_is_found_and_said(tmp_path: Path) -> None:
    written(tmp_path / ".replaced", "old")
    (tmp_path / "training.json").write_text("{}")  # the new one got no further
    with (
        pytest.warns(UserWarning, match="the training that was to be replaced is back, as the new one came to nothing"),
        pytest.raises(OutputError, match="is there and not empty; go on with it"),
    ):
        folder.begun(tmp_path, options(tmp_path), force=False)
    assert json.loads((tmp_path / "training.json").read_text()) == {"word": "old"}
    assert not (tmp_path / ".replaced").exists()


@pytest.mark.parametrize("name", ["samples/mine.txt", "checkpoints/notes/mine", "unet/mine.bin", "averages/mine"])
def test_force_touches_nothing_where_another_file_lies_among_those_of_a_training(tmp_path: Path, name: str) -> None:
    written(tmp_path, "old")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    before, first = contents(tmp_path), "/".join(name.split("/")[:2])
    with pytest.raises(OutputError, match=f"{first} is no part of a training, so `force` leaves all in {tmp_path} as"):
        folder.begun(tmp_path, options(tmp_path), force=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("name", "kind"), [("samples", "directory"), ("loss.png", "file"), ("unet", "directory")])
def test_what_stands_in_the_place_of_a_trainings_files_is_named(tmp_path: Path, name: str, kind: str) -> None:
    written(tmp_path, "old", checkpoint=True)
    (tmp_path / "training.json").write_text(json.dumps(options(tmp_path).model_dump(mode="json")))
    (tmp_path / "unet" / "config.json").unlink()
    (tmp_path / "unet").rmdir()
    if kind == "file":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("nowhere")
    said = f"{tmp_path / name} is no {kind}, expected that of a training; move it away"
    for work in (lambda: folder.begun(tmp_path, options(tmp_path), force=True), lambda: run.resume(tmp_path)):
        with pytest.raises(OutputError, match=said):
            work()


def test_averages_go_with_their_training_and_names_like_hidden_ones_stay(tmp_path: Path) -> None:
    written(tmp_path, "old")
    for name in ("averages/seen-0000000002.safetensors", ".replaced-mine/training.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    folder.begun(tmp_path, options(tmp_path), force=True)
    assert not (tmp_path / "averages").exists()
    replaced.forget(tmp_path)
    assert contents(tmp_path).keys() == {"training.json", ".replaced-mine/training.json"}


def test_a_directory_in_which_another_trains_is_left_alone(tmp_path: Path) -> None:
    """Also by its other name, and while what it replaces is still hidden in it."""
    home, other = tmp_path / "it", tmp_path / "other"
    train(options(home), data=data(), quiet=True)
    other.symlink_to(home)
    replaced.hide(home, OWN)
    folder.note_options(home, options(home))
    before = contents(home)
    with leftovers.alone(home) as mine:
        assert mine
        for again in (lambda: train(options(other), data=data(), force=True), lambda: run.resume(other, {"steps": 4})):
            with pytest.raises(OutputError, match=r"another training is writing to .*other; stop it first"):
                again()
    assert contents(home) == before
    with pytest.warns(UserWarning, match="is back, as the new one came to nothing"):
        assert run.resume(home, {"steps": 4}, data=data(), quiet=True).steps == 4


def test_while_it_runs_nobody_else_takes_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, taken = tmp_path / "it", list[bool]()
    go_on, forget = run.go_on, replaced.forget

    def free() -> bool:
        with leftovers.alone(home) as free:
            return free

    def noting(*args: Any, **named: Any) -> Any:
        taken.append(not free())
        return go_on(*args, **named)

    def forgetting(home: Path) -> None:
        taken.append(not free())
        forget(home)

    monkeypatch.setattr(run, "go_on", noting)
    monkeypatch.setattr(replaced, "forget", forgetting)
    train(options(home), data=data(), quiet=True)
    run.resume(home, {"steps": 4}, data=data(), quiet=True)
    train(options(home), data=data(), quiet=True, force=True)
    assert taken == [True] * 6
    assert free(), "given back"
