"""A process that is killed leaves nothing at a final name, and what it leaves elsewhere goes with the next."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks.io import atomic
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.leftovers import AGE, alone, held, is_free, sweep
from diffusion_tricks.training import folder

KILLED = """
import errno, os, sys
from diffusion_tricks.io import publish
from diffusion_tricks.io.atomic import atomic_write

def lacking(*_):
    raise OSError(errno.EOPNOTSUPP, "no such thing here")

def killed(*_):
    os._exit(9)

where, lacks = sys.argv[2], sys.argv[3].split()
for name in lacks:
    module, _, function = name.partition(".")
    setattr({"os": os, "publish": publish}[module], function, lacking)
module, _, function = where.partition(".")
setattr({"os": os, "publish": publish}[module], function, killed)
atomic_write(sys.argv[1], b"data" * 1000)
"""


def aged(path: Path) -> Path:
    before = time.time() - 2 * AGE
    os.utime(path, (before, before))
    return path


@pytest.fixture(autouse=True)
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_swept", set())


@pytest.mark.parametrize(
    ("where", "lacks"),
    [
        ("os.fsync", ""),
        ("os.link", ""),
        ("publish._renamed_exclusively", "os.link"),
        ("os.rename", "os.link publish._renamed_exclusively"),
    ],
)
def test_a_kill_leaves_nothing_at_the_final_name(tmp_path: Path, where: str, lacks: str) -> None:
    target = tmp_path / "a.png"
    done = subprocess.run([sys.executable, "-c", KILLED, target, where, lacks], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".diffusion-tricks-")
    aged(left)
    atomic_write(tmp_path / "b.png", b"next")
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


def test_what_somebody_holds_is_left(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom diffusion_tricks.io.leftovers import held\n"
        "with held(Path(sys.argv[1])):\n print('held', flush=True)\n time.sleep(600)"
    )
    file = tmp_path / ".diffusion-tricks-1.tmp"
    file.touch()
    with subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        aged(file)
        sweep(tmp_path, ".diffusion-tricks-*.tmp")
        assert file.exists()
        holder.kill()
        holder.wait()
        sweep(tmp_path, ".diffusion-tricks-*.tmp")
        assert not file.exists()


@pytest.mark.parametrize(("number", "free"), [("EBADF", True), ("ENOLCK", True), ("EAGAIN", False), ("EACCES", False)])
def test_a_lock_that_cannot_be_told_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, free: bool
) -> None:
    """But what may be held is not swept."""
    file = tmp_path / "j.jsonl"
    file.touch()

    def refused(descriptor: int, kind: int) -> None:
        raise OSError(getattr(errno, number), "")

    monkeypatch.setattr("fcntl.flock", refused)
    with alone(file) as mine:
        assert mine is free
    assert is_free(file) is free
    aged(file)
    sweep(tmp_path, "*.jsonl")
    assert file.exists()


def test_what_is_held_alone_is_open_for_writing_as_locks_over_nfs_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that may not be, as on a folder, for reading."""
    import fcntl

    modes: list[int] = []

    def locked(descriptor: int, kind: int) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(fcntl, "flock", locked)
    (tmp_path / "j.jsonl").write_text("{}")
    for path in (tmp_path / "j.jsonl", tmp_path):
        with alone(path) as mine:
            assert mine
    assert modes == [os.O_RDWR, os.O_RDONLY]
    assert (tmp_path / "j.jsonl").read_text() == "{}"


def test_any_number_may_ask_whether_a_file_is_free(tmp_path: Path) -> None:
    file = tmp_path / "j.jsonl"
    file.touch()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_free, [file] * 400))
        with alone(file):
            assert not any(pool.map(is_free, [file] * 40))


def test_what_is_new_or_none_of_ours_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine.tmp").touch()
    (tmp_path / ".diffusion-tricks-new.tmp").touch()
    (tmp_path / ".diffusion-tricks-link.tmp").symlink_to(aged(tmp_path / "mine.tmp"))
    os.mkfifo(tmp_path / ".diffusion-tricks-pipe.tmp")
    aged(tmp_path / ".diffusion-tricks-pipe.tmp")
    before = sorted(tmp_path.iterdir())
    sweep(tmp_path, ".diffusion-tricks-*.tmp")
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_in_the_making_is_swept(tmp_path: Path) -> None:
    class Pipe:
        def save_pretrained(self, place: Path) -> None:
            (place / "model_index.json").write_text("{}")

    for name in (".model-killed", ".model-held"):
        (tmp_path / name / "unet").mkdir(parents=True)
        aged(tmp_path / name)
    with held(tmp_path / ".model-held"):
        folder.save_pipeline(tmp_path, Pipe(), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".model-held",
        "diffusion_tricks.json",
        "model_index.json",
    ]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_what_is_replaced_keeps_its_mode(tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    file, modes, fill = tmp_path / "a.png", [], atomic._fill
    file.touch()
    file.chmod(mode)

    def seen(temporary: Path, data: Any) -> None:
        modes.append(temporary.stat().st_mode & 0o777)
        fill(temporary, data)

    monkeypatch.setattr(atomic, "_fill", seen)
    atomic_write(file, b"new", force=True)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", mode)
    assert modes[0] & ~(mode | 0o600) == 0  # nobody sees more of it meanwhile
