"""Journals: lines that last, of which a torn last one does not count."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from diffusion_tricks.plugin import Journal, OutputError, OutputFailed, UsageError

LINES = [{"a": 1}, {"b": "ü"}]


def test_what_was_appended_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "j.jsonl"
    journal = Journal.begun(path, LINES[:1])
    journal.append(LINES[1:])
    assert path.read_text() == '{"a": 1}\n{"b": "ü"}\n'
    assert journal.lines == Journal.found(path).lines == LINES
    assert journal.of("b") == LINES[1:]


def test_on_a_full_disk_a_journal_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.begun(tmp_path / "j.jsonl", LINES[:1])
    before = journal.path.read_bytes()

    def synced(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", synced)
        with pytest.raises(OutputFailed, match=r"j.jsonl could not be written: the disk is full"):
            journal.append(LINES[1:])
    assert (journal.path.read_bytes(), journal.lines) == (before, LINES[:1])
    journal.append(LINES[1:])
    assert Journal.found(journal.path).lines == LINES


@pytest.mark.parametrize("torn", ['{"c": ', '{"c": 1}', "x" * 10_000])
def test_a_torn_last_line_is_removed_and_written_over(tmp_path: Path, torn: str) -> None:
    """Also one that is whole but for its end, which nobody can have relied on."""
    path = tmp_path / "j.jsonl"
    Journal.begun(path, LINES)
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())
    journal = Journal.found(path)
    assert journal.lines == LINES
    assert path.read_bytes() == whole
    journal.append([{"d": 2}])
    assert Journal.found(path).lines == [*LINES, {"d": 2}]


@pytest.mark.parametrize("line", [b"[1]\n", b"x\n", b"\xff\n", b"\0\0\0\n"])
def test_damage_within_is_told(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'{"b": 2}\n')
    with pytest.raises(UsageError, match="line 2 is no object of JSON"):
        Journal.found(path)


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Journal.found(path)
    journal = Journal.begun(path, LINES)
    with pytest.raises(OutputError, match="exists"):
        Journal.begun(path, LINES)
    with pytest.raises(OutputError, match="nothing can be written to"):
        Journal.begun(path / "below" / "k.jsonl", LINES)
    with journal.alone(), pytest.raises(OutputError, match="another run writes to"), Journal.found(path).alone():
        pass
    with journal.alone(), pytest.raises(OutputError, match="another run writes to"):
        Journal.found(path).check_free()
    with journal.alone():
        pass
    journal.check_free()
