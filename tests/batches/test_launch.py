"""Several workers on this machine: none of what they make is lost or made twice, whoever of them dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batches.faked import groups_of, lines, records_of
from diffusion_tricks.plugin import UsageError
from diffusion_tricks_batch.engines import launch
from diffusion_tricks_batch.engines.launch import Launch
from diffusion_tricks_batch.engines.leases import holdings
from diffusion_tricks_batch.engines.process import Process
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.rank import on_device
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.records import Records

HERE = Path(__file__).parent
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture(autouse=True)
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that make nothing, and need no torch; begun without accelerate, which takes seconds."""
    command = launch.Launch._command

    def changed(self: Launch, number: int) -> list[str]:
        *_, work, nth = command(self, number)
        return [sys.executable, str(HERE / "fake_rank.py"), work, nth]

    monkeypatch.setattr(launch.Launch, "_command", changed)
    monkeypatch.setattr(launch, "PAUSE", 0.02)
    path = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


def faking(monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    monkeypatch.setenv("FAKED", json.dumps(said))


def came(home: Path, groups: list[Group], workers: int = 2, retry: int = 1) -> Iterator[Outcome]:
    """What the engine gives."""
    records = Records(home)
    with records.mine("here") as ledger:
        site = Site(How(retry=retry), records, ledger, workers, ("cpu",) * workers)
        with closing(Launch(site)) as engine:
            for group in groups:
                engine.submit(group)
            yield from engine.results()
            assert not any(process.code for process in engine.processes)


def process_of(home: Path, worker: str) -> int:
    """The number of its process, once it is there."""
    path = Records(home).folder / f"{worker}.jsonl"
    end = time.monotonic() + 20
    while not (path.is_file() and path.read_bytes().endswith(b"\n")) and time.monotonic() < end:
        time.sleep(0.01)
    return int(json.loads(path.read_text().splitlines()[0])["process"])


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


def test_workers_share_the_groups_and_a_slow_one_takes_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is ten times slower; each has half of the groups at first."""
    faking(monkeypatch, slow={"0": 0.5, "1": 0.05})
    records_of(tmp_path)
    groups = groups_of(tmp_path, 20, jobs=1)
    told = list(came(tmp_path, groups))
    assert Counter(outcome.key for outcome in told) == {f"{n}-0": 1 for n in range(20)}
    assert not any(outcome.failure for outcome in told)
    done = Counter(worker for worker, _ in lines(tmp_path, "done"))
    assert done.total() == 20
    assert 1 <= done["worker-1"] <= 7
    assert not list(Records(tmp_path).folder.glob("*.log"))
    assert not holdings(Records(tmp_path).leases, "worker-1")


@needs_signals
def test_what_a_killed_worker_had_is_finished_by_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, as it is known that it is dead: else its leases would be stale after a minute only."""
    monkeypatch.setattr(launch, "FRUITLESS", 0)  # it is not begun again
    faking(monkeypatch, slow={"0": 0.1, "1": 0.1})
    records_of(tmp_path)
    begun, killed = time.monotonic(), 0
    told = Counter[str]()
    for outcome in came(tmp_path, groups_of(tmp_path, 8, jobs=2)):
        told[outcome.key] += 1
        assert outcome.failure is None
        if not killed and outcome.worker == "worker-1":
            killed = process_of(tmp_path, "worker-1")
            os.kill(killed, signal.SIGKILL)
    keys = {f"{n}-{i}": 1 for n in range(8) for i in range(2)}
    assert killed
    assert told == keys
    assert Counter(key for _, key in lines(tmp_path, "done")) == keys
    assert time.monotonic() - begun < 30


@needs_signals
@pytest.mark.parametrize(("retry", "workers"), [(0, 1), (0, 2), (1, 1), (1, 2), (3, 1)])
def test_a_job_that_kills_its_workers_fails_and_no_other(
    retry: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faking(monkeypatch, kill=["2-1"])
    records_of(tmp_path)
    told = {outcome.key: outcome for outcome in came(tmp_path, groups_of(tmp_path, 5, jobs=2), workers, retry)}
    assert set(told) == {f"{n}-{i}" for n in range(5) for i in range(2)}
    failures = {key: outcome.failure for key, outcome in told.items() if outcome.failure}
    assert set(failures) == {"2-1"}
    failure = failures["2-1"]
    assert failure.kind == "WorkerDied"
    assert re.fullmatch(r"worker-[12] ended with exit code -9 at this job", failure.message)
    assert Records(tmp_path).every().last("2-1")["kind"] == "WorkerDied"
    assert [key for _, key in lines(tmp_path, "begun")].count("2-1") == retry + 2


@needs_signals
@pytest.mark.parametrize("kill", [["0-0", "1-0"], ["0-0", "1-0", "2-0"]])
def test_a_worker_that_several_jobs_kill_makes_the_others(
    kill: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faking(monkeypatch, kill=kill)
    records_of(tmp_path)
    told = {outcome.key: outcome for outcome in came(tmp_path, groups_of(tmp_path, 4, jobs=1), workers=1)}
    assert {key for key, outcome in told.items() if outcome.failure} == set(kill)
    assert (tmp_path / "3-0.png").read_bytes() == b"3-0"


def test_where_no_worker_can_begin_all_jobs_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faking(monkeypatch, exits=3)
    records_of(tmp_path)
    told = list(came(tmp_path, groups_of(tmp_path, 3)))
    assert [outcome.failure and outcome.failure.kind for outcome in told] == ["WorkerDied"] * 6
    assert told[0].failure is not None
    assert re.fullmatch(r"no worker is left for this job; the last, worker-[12], ended with exit code 3 "
                        r"\(no such device\)", told[0].failure.message)  # fmt: skip


@needs_signals
def test_workers_end_with_what_has_begun_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left in the middle, as by Ctrl-C or `on_error`; and a worker whose parent is gone without a word."""
    faking(monkeypatch, slow={"0": 0.2, "1": 0.2})
    records_of(tmp_path)
    going = came(tmp_path, groups_of(tmp_path, 20))
    next(going)
    workers = [process_of(tmp_path, f"worker-{n}") for n in (1, 2)]
    assert all(map(is_there, workers))
    going.close()  # type: ignore[attr-defined]
    assert not any(map(is_there, workers))
    waits = "import time; from diffusion_tricks_batch.engines.process import end_with_parent as e; e(); time.sleep(60)"
    parent = (
        "import sys, os; from pathlib import Path; from diffusion_tricks_batch.engines.process import Process;"
        f"p = Process('a', [sys.executable, '-c', {waits!r}], Path({str(tmp_path / 'log')!r}));"
        "print(p._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    told = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=False)
    end = time.monotonic() + 20
    while is_there(int(told.stdout)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_there(int(told.stdout))


def test_nothing_is_begun_where_there_is_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records_of(tmp_path)
    monkeypatch.setattr(launch, "Process", None)
    assert list(came(tmp_path, [])) == []


def test_it_must_be_said_how_many(tmp_path: Path) -> None:
    records = records_of(tmp_path)
    with records.mine("here") as ledger, pytest.raises(UsageError, match="say how many by `workers`"):
        Launch(Site(How(), records, ledger))


def test_a_worker_has_a_device_and_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    devices = ["cuda:0", "cuda:3"]
    assert [on_device(How(), number, devices).device for number in range(3)] == ["cuda:0", "cuda:3", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert on_device(How(), 1, []).device == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [on_device(How(), number, []).device for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert on_device(How(device="cpu"), 1, []).device == "cpu"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert [launch.threads(workers) for workers in (1, 4, 5, 20)] == [12, 3, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launch.threads(4) == 7


def test_the_end_of_a_process_is_said_in_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Process("a", [sys.executable, "-c", "import sys; sys.exit(4)"], log)
    process._process.wait()
    assert process.why == "with exit code 4"
    launcher = "Traceback (most recent call last):\n  File launch.py\nCalledProcessError: Command '...' "
    log.write_text(f"{launcher}died with <Signals.SIGKILL: 9>.\n")
    assert process.why == "by SIGKILL"
    log.write_text(f"Traceback (most recent call last):\nUsageError: no\n{launcher}returned non-zero exit status 3.\n")
    assert process.why == "with exit code 3 (UsageError: no)"
