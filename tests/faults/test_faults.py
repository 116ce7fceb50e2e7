"""The harnesses at the size of CI; at full size by `python -m tests.faults --all`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from unittest import mock

import pytest

from faults import batch, many, streams, writes
from faults.harnesses import HARNESSES, Harness


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_the_promise_holds(harness: Harness, tmp_path: Path) -> None:
    tried = list(harness.failures(harness.small, tmp_path))
    assert [f"{name}: {wrong}" for name, wrong in tried if wrong] == []
    assert len(tried) > 1


def copied(temporary: Path, path: Path, *_: object) -> None:
    """Publishes as a program would that never heard of kills."""
    shutil.copyfile(temporary, path)


def placed_first(temporary: Path, path: Path) -> None:
    """Takes the place with an empty file, which is the whole one's name a moment later."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    os.replace(temporary, path)


@pytest.mark.parametrize(("name", "broken", "command"), [
    ("atomic._publish", copied, "a new PNG"), ("atomic._publish", copied, "a PNG in the place of another"),
    ("atomic.take_free_place", placed_first, "a recipe"),
])  # fmt: skip
def test_publishing_that_is_not_atomic_is_found(
    name: str, broken: Callable[..., None], command: str, tmp_path: Path
) -> None:
    """The harness of kills fails where the code that it tries is broken."""
    writes.after(command)
    found = []
    with mock.patch(f"diffusion_tricks.io.{name}", broken):
        for at in writes.places_of(command, ()):
            (tmp_path / str(at)).mkdir()
            with chdir(tmp_path / str(at)):
                found.append(writes.wrong_after_a_kill(command, (), at))
    assert any(wrong and "neither as before nor whole" in wrong for wrong in found), found


def test_a_journal_that_forgets_what_was_begun_is_found(tmp_path: Path) -> None:
    """The harness of many pictures fails where the code that it tries is broken."""
    command = "covers, with side-cars"
    many.after(command)
    wrong: list[str | None] = []
    with mock.patch("diffusion_tricks.io.ledger.Ledger.begin"):
        for at in range(12, 16):  # about when the first picture takes its place
            (tmp_path / str(at)).mkdir()
            with chdir(tmp_path / str(at)):
                wrong.append(many.wrong_after_a_kill(command, at))
    assert any("exists; pass --force" in str(one) for one in wrong)


def test_a_ledger_that_does_not_say_what_will_be_replaced_is_found(tmp_path: Path) -> None:
    """The harness of batches fails where the code that it tries is broken."""
    wrong: list[str | None] = []
    with mock.patch("diffusion_tricks.io.ledger.Ledger.foretell"):
        for at in range(40, 50, 3):  # about when a picture takes the place of an earlier one
            (tmp_path / str(at)).mkdir()
            with chdir(tmp_path / str(at)):
                wrong.append(batch.wrong_after_a_kill("anew, with other options", at))
    assert any("out/failed.jsonl" in str(one) for one in wrong)


def test_a_run_over_many_that_does_not_say_what_will_be_replaced_is_found(tmp_path: Path) -> None:
    """The harness of many pictures fails where the code that it tries is broken."""
    command = "anew, with films and recipes"
    many.after(command)
    wrong: list[str | None] = []
    with mock.patch("diffusion_tricks.io.ledger.Ledger.foretell"):
        for at in range(36, 46, 3):  # about when a picture takes the place of an earlier one
            (tmp_path / str(at)).mkdir()
            with chdir(tmp_path / str(at)):
                wrong.append(many.wrong_after_a_kill(command, at))
    assert any("has been changed since it was made" in str(one) for one in wrong)


def test_a_stream_that_raises_is_found(tmp_path: Path) -> None:
    """The harness of streams fails where the code that it tries is broken."""
    with chdir(tmp_path), mock.patch("diffusion_tricks_cli.streams.Lasting._silenced", side_effect=OSError("full")):
        assert streams.wrong_in_a_fork(streams.MAKES, {}) is None
        for to in ({1: "full"}, {2: "full"}, {1: "left"}):
            assert streams.wrong_in_a_fork(f"{streams.MAKES} --force --json", to)
