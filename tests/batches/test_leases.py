"""Leases on groups: one holder at a time, whoever tries, whoever is killed or stalled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diffusion_tricks.plugin import OutputError, OutputFailed, UsageError
from diffusion_tricks_batch.engines import leases as module
from diffusion_tricks_batch.engines.leases import Leases, freed, holdings, stale_after

QUICK = 0.6  # seconds after which the leases of some tests are stale

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "leases"


def in_processes(count: int, work: Callable[[int], None]) -> None:
    """Does some work in processes of their own, all of which must end well."""
    children = []
    for number in range(count):
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                work(number)
                code = 0
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * count


@contextlib.contextmanager
def holding(folder: Path, number: int, stale: float) -> Iterator[int]:
    """A process of its own that has a group and touches it; killed behind it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with Leases(folder, "other", stale) as leases:
            os.write(write, b"y" if leases.take(number) else b"n")
            signal.pause()
        os._exit(0)
    assert os.read(read, 1) == b"y"
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def soon(truth: Callable[[], bool], within: float = 5.0) -> bool:
    end = time.monotonic() + within
    while not (true := truth()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


def test_one_has_it_until_it_is_given_back(folder: Path) -> None:
    with Leases(folder, "a") as a, Leases(folder, "b") as b:
        assert a.take(3)
        assert a.holds(3)
        assert not b.take(3)
        assert not b.holds(3)
        assert not a.take(3), "nor does its holder get it twice"
        assert holdings(folder, "a") == [3]
        a.release(3)
        assert not a.holds(3)
        assert b.take(3)
        a.release(3)
        assert b.holds(3), "what another has is not given back"
    assert not list(folder.iterdir()), "nothing is left behind"


def test_it_says_who_has_it(folder: Path) -> None:
    with Leases(folder, "shard-1-of-2") as leases:
        leases.take(0)
        (file,) = (folder / "0").iterdir()
        said = json.loads(file.read_text())
    assert (said["worker"], said["process"]) == ("shard-1-of-2", os.getpid())
    assert abs(said["at"] - time.time()) < 60


def test_one_that_is_given_back_while_they_are_listed_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "7").mkdir(parents=True)
    (folder / "7" / "w.0123").write_text("{}")
    assert holdings(folder, "w") == [7]

    def gone(listed: Callable[..., object]) -> Callable[..., object]:
        def look(path: object = ".") -> object:
            if os.path.basename(os.fspath(path)) == "7":  # type: ignore[call-overload]
                raise FileNotFoundError(2, "No such file or directory")
            return listed(path)

        return look

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, gone(getattr(os, name)))
    assert holdings(folder, "w") == freed(folder, "w") == []


def test_never_two_holders_among_processes(folder: Path, tmp_path: Path) -> None:
    """Each holder makes a file that must not be there, and counts in one that only a holder may write to."""
    folder.mkdir(parents=True)
    total = tmp_path / "total"
    total.write_text("0")

    def work(nth: int) -> None:
        with Leases(folder, f"w{nth}", 30) as leases:
            done = 0
            while done < 40:
                if leases.take(7):
                    os.close(os.open(tmp_path / "inside", os.O_CREAT | os.O_EXCL))
                    total.write_text(str(int(total.read_text()) + 1))
                    os.unlink(tmp_path / "inside")
                    leases.release(7)
                    done += 1

    in_processes(4, work)
    assert total.read_text() == "160"


def test_a_stale_one_goes_to_exactly_one_of_many(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(30):
        dead = folder / str(number) / "dead.0123"
        dead.parent.mkdir()
        dead.write_text("{}")
        os.utime(dead, (1, 1))

    def work(nth: int) -> None:
        with Leases(folder, f"w{nth}", 30) as leases:
            for number in range(30):
                if leases.take(number):
                    os.close(os.open(tmp_path / f"taken-{number}", os.O_CREAT | os.O_EXCL))
            assert all(map(leases.holds, leases.held))
            (tmp_path / f"tried-{nth}").touch()
            assert soon(lambda: len(list(tmp_path.glob("tried-*"))) == 4, 30)  # and only then they are given back

    in_processes(4, work)
    assert len(list(tmp_path.glob("taken-*"))) == 30


def test_a_holder_that_works_is_not_stale_and_one_that_is_killed_is(folder: Path) -> None:
    with Leases(folder, "b", QUICK) as b:
        with holding(folder, 5, QUICK):
            end = time.monotonic() + 3 * QUICK
            while time.monotonic() < end:
                assert not b.take(5)
                time.sleep(QUICK / 10)
        assert soon(lambda: b.take(5))
        assert json.loads(next((folder / "5").iterdir()).read_text())["worker"] == "b"


def test_one_that_was_stalled_notices_that_it_has_lost_it(folder: Path) -> None:
    with Leases(folder, "b", QUICK) as b, holding(folder, 5, QUICK) as other:
        os.kill(other, signal.SIGSTOP)
        assert soon(lambda: b.take(5))
        os.kill(other, signal.SIGCONT)
        time.sleep(2 * QUICK)  # it touches what it thinks it has
        assert b.holds(5)
        assert holdings(folder, "other") == []


def test_the_holder_is_told_before_it_writes(folder: Path) -> None:
    a, b = Leases(folder, "a", 10), Leases(folder, "b", 10)  # not touched by threads: stalled
    a.take(1)
    os.utime(next((folder / "1").iterdir()), (1, 1))
    assert b.take(1)
    assert not a.holds(1)
    assert not a.held
    a.release(1)
    assert b.holds(1)


def test_what_was_just_taken_over_is_not_stale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even before its new holder writes to it."""
    a, b, c = (Leases(folder, name, 10) for name in "abc")
    a.take(1)
    os.utime(next((folder / "1").iterdir()), (1, 1))
    monkeypatch.setattr(module.Path, "write_text", lambda *_: None)
    assert b.take(1)
    assert not c.take(1)


def test_the_clock_of_a_host_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Leases(folder, "a") as a, Leases(folder, "b") as b:
        a.take(1)
        real = time.time()
        for now in (real - 1e6, real + 1e6):
            monkeypatch.setattr(module.time, "time", lambda now=now: now)
            assert not b.take(1)


def test_leases_of_the_dead_are_freed_at_once(folder: Path) -> None:
    dead = Leases(folder, "worker-1")
    assert dead.take(4)
    assert dead.take(9)
    other = Leases(folder, "worker-11")
    assert other.take(5)
    assert freed(folder, "worker-1") == [4, 9]
    assert not dead.holds(4)
    assert other.holds(5), "its name only begins like it"
    assert Leases(folder, "b").take(4)
    Leases(folder, "worker-11")
    assert not other.holds(5), "a worker that begins again leaves nothing of what it had"


def test_what_a_holder_left_as_it_was_killed_is_no_lease(folder: Path) -> None:
    (folder / "2").mkdir(parents=True)
    assert Leases(folder, "a").take(2)


def test_threads_share_leases(folder: Path) -> None:
    """A worker asks whether it still has a group in the thread that writes, and takes others meanwhile."""
    failed = []
    with Leases(folder, "a", QUICK) as leases:

        def ask() -> None:
            for _ in range(300):
                failed.extend(number for number in leases.held if not leases.holds(number))

        asking = threading.Thread(target=ask)
        asking.start()
        assert all(leases.take(number) for number in range(200))
        asking.join()
    assert not failed


@pytest.mark.parametrize("said", ["soon", "0", "-1", "inf", "nan"])
def test_a_wrong_time_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFUSION_TRICKS_STALE", said)
    with pytest.raises(UsageError, match=f"DIFFUSION_TRICKS_STALE must be a number of seconds above 0, got '{said}'"):
        stale_after()


def test_the_time_can_be_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Leases(folder, "a").stale == 60
    monkeypatch.setenv("DIFFUSION_TRICKS_STALE", "7.5")
    assert Leases(folder, "a").stale == 7.5


def test_a_folder_that_cannot_be(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"nothing can be written to .*file.leases"):
        Leases(tmp_path / "file" / "leases", "a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    leases = Leases(folder, "a")
    monkeypatch.setattr(module.Path, "write_text", full)
    with pytest.raises(OutputFailed, match=r"no lease can be written to .*: No space left on device"):
        leases.take(1)
