"""Runs of `batch` by its command line, each in a fresh process, and what they took as their ledgers say it. Linux."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import Journal, Line
from diffusion_tricks_batch.records import FOLDER

DONE = b'{"done": '
AT_ONCE = 0.005  # seconds within which the lines of one group's beginning are noted
SETTLED = 50  # pictures after which memory is to stay as it is
LOOKS = 0.5  # seconds from one look at the memory to the next


def run(jobs: Path, out: Path, workers: int, threads: int, *options: str) -> dict[str, Any]:
    """What a run of the command line took, by phases, and its memory as pictures came."""
    command = [sys.executable, "-m", "diffusion_tricks_cli", "batch", str(jobs), "-o", str(out), "--quiet", *options]
    command += ["--workers", str(workers)] if workers > 1 else []
    began = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    ) as process:
        memory = list(watched(process, out))
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}: {' '.join(command)}")
    return phases(out, began, time.time()) | {"workers": workers, "threads": threads, "memory": memory}


def watched(process: subprocess.Popen[bytes], out: Path) -> Iterator[tuple[int, int]]:
    """How many pictures there are, and the process's own memory in KB, again and again until it ends."""
    while process.poll() is None:
        done = sum(path.read_bytes().count(DONE) for path in (out / FOLDER).glob("*.jsonl"))
        if kilobytes := memory_of(process.pid):
            yield done, kilobytes
        time.sleep(LOOKS)


def memory_of(pid: int) -> int:
    """The proportional set size of a process in KB; 0 where it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def phases(out: Path, began: float, ended: float) -> dict[str, Any]:
    """What a run spent, in seconds: plan, start of workers, work, what came after; and on each group."""
    journals = [Journal.seen(path).lines for path in sorted((out / FOLDER).glob("*.jsonl"))]
    said = {name: line for lines in journals for line in lines for name in ("began", "ended") if name in line}
    cycles = [cycle for lines in journals if (cycle := cycles_of(lines))]
    services = [seconds for cycle in cycles for seconds in cycle[1][1:]]
    typical = statistics.median(services)
    planned = said["began"]["at"]
    ready = statistics.mean(first + seconds[0] - typical for first, seconds, _ in cycles)
    last = max(end for *_, end in cycles)
    return {
        "pictures": said["ended"]["ended"]["made"], "share": said["ended"]["ended"]["share"], "services": services,
        "plan": planned - began, "start": ready - planned, "work": last - ready, "after": ended - last,
    }  # fmt: skip


def cycles_of(lines: Sequence[Line]) -> tuple[float, list[float], float] | None:
    """When a worker began, the seconds from each group to the next, of the last to its end, and that end."""
    begins, done = list[float](), list[float]()
    for before, line in zip([{}, *lines], lines, strict=False):
        if "done" in line:
            done.append(line["at"])
        elif "begun" in line and not ("begun" in before and line["at"] - before["at"] < AT_ONCE):
            begins.append(line["at"])
    if not begins or not done:
        return None
    ends = [*begins[1:], done[-1]]
    return begins[0], [end - begin for begin, end in zip(begins, ends, strict=True)], done[-1]


def growth(memory: Sequence[tuple[int, int]]) -> float | None:
    """The most memory of the last tenth of the pictures over the most after the first 50, to 100; None if short."""
    most = max((done for done, _ in memory), default=0)
    early = [kilobytes for done, kilobytes in memory if SETTLED <= done <= 2 * SETTLED]
    late = [kilobytes for done, kilobytes in memory if done >= most * 0.9]
    return max(late) / max(early) if early and most > 2 * SETTLED else None
