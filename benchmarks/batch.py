"""What `batch` costs beside the bare loop, and how far workers go: two-view anagrams by the model inside.

    python benchmarks/batch.py                          1,000 pictures, then 400 by two workers, 200 by one thread
    python benchmarks/batch.py --jobs 48 --steps 2      a look at whether it runs: of short lists starting is the most

Runs are of the command line, each in a fresh process, and timed by what their ledger says; the memory is the
proportional set size of the process, read beside the number of pictures that the ledger holds. What a job costs beside
the bare loop (`made_together` alone, on the same groups) is measured in this process, in turns, with one thread, in
seconds of the processor: those of other threads count. 8 and 64 workers are simulated, see `pull_queue.py`. Linux.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from batch_runs import growth, run
from diffusion_tricks import load_model, made_together
from diffusion_tricks.plugin import recipe_from
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.engines.leases import Leases
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.records import Records, Timed
from diffusion_tricks_batch.results.after import after
from diffusion_tricks_batch.results.ours import Ours
from diffusion_tricks_batch.run import begun
from diffusion_tricks_batch.telling.standing import Standing
from diffusion_tricks_batch.work import Worker
from diffusion_tricks_search.pairs import pairs_of
from diffusion_tricks_show.gallery import make_gallery
from pull_queue import Queue

WORKERS = (1, 2, 8, 64)
GOALS = {"overhead": 1.03, "share": 0.95, "growth": 1.02}


def written_jobs(path: Path, count: int, steps: int, model: str) -> Path:
    """A list of two-view anagrams, of which each is of another pair while there are pairs."""
    things = sorted({thing for pair in pairs_of("pairs:easy") for thing in pair})
    pairs = list(combinations(things, 2))
    random.Random(0).shuffle(pairs)
    with path.open("w") as file:
        for number in range(count):
            first, second = pairs[number % len(pairs)]
            anagram = {"trick": "anagram", "views": [["identity", first], ["rotate_180", second]]}
            job = {"id": f"{number:05}", "model": model, "seed": number, "steps": steps, "tricks": [anagram]}
            file.write(json.dumps(job) + "\n")
    return path


def overhead(jobs: Path, folder: Path, groups_at_once: int) -> dict[str, Any]:
    """What a job costs over the bare loop, by the clocks of the processor and of the wall; and a list, by the job."""
    torch.set_num_threads(1)
    with ExitStack() as stack:
        work, ways = dict[str, tuple[Worker, Sequence[Group]]](), ("without scores", "with scores")
        for name, scores in zip(ways, (False, True), strict=True):
            asked = Asked(str(jobs), str(folder / name), how=How(scores=scores))
            records = Records(Path(asked.output))
            todo = begun(asked, records)
            ledger = stack.enter_context(records.mine("here"))
            work[name] = Worker(asked.how, ledger, "here"), todo.groups
        model = load_model(todo.jobs[0].recipe.model, channels_last=True)  # type: ignore[union-attr]
        seconds = {name: list[tuple[float, float]]() for name in ("bare", *work)}
        for first in range(0, len(todo.groups), groups_at_once):
            ways_now: dict[str, Callable[[], object]] = {
                "bare": bare(todo.groups[first : first + groups_at_once], model)
            }
            for name, (worker, groups) in work.items():
                ways_now[name] = lambda worker=worker, some=groups[first : first + groups_at_once]: [
                    *worker.outcomes(some)
                ]
            names = list(ways_now)
            for name in names if first // groups_at_once % 2 else names[::-1]:
                seconds[name].append(clocked(ways_now[name]))
    ratios = {name: [ratio(seconds[name], seconds["bare"], which) for which in (0, 1)] for name in work}
    alone = statistics.median(cpu for cpu, _ in seconds["bare"]) / (groups_at_once * len(todo.groups[0].items))
    return {"ratios": ratios, "bare": alone, "pages": pages(folder / ways[1]) / len(todo.jobs)}


def pages(home: Path) -> float:
    """Seconds of the processor for what is made of a run's pictures; the first time, which reads fonts, is left out."""
    for _ in range(2):
        ours = Ours(Records(home))
        ours.remove_others(set())
        ours.note("")
        seconds, _ = clocked(partial(after, Standing(home), gallery, others=False))
    return seconds


def gallery(folder: Path, page: Path, recursive: bool) -> None:
    """As the command line makes it, whose pictures are scored already."""
    make_gallery(folder, page, recursive=recursive, scores=False)


def planning(jobs: Path, folder: Path) -> float:
    """Seconds of the processor that each further job of a list costs before anything is made."""
    lines = jobs.read_text().splitlines(keepends=True)
    few = jobs.with_name("few.jsonl")
    few.write_text("".join(lines[: len(lines) // 2]))
    seconds = []
    for number, some in enumerate((few, few, jobs)):  # the first time it imports
        asked = Asked(str(some), str(folder / f"planned-{number}"))
        gc.collect()
        gc.freeze()  # as the command line does, so that no collection looks through what was imported
        seconds.append(clocked(partial(begun, asked, Records(Path(asked.output))))[0])
        gc.unfreeze()
    return max(0.0, seconds[2] - seconds[1]) / (len(lines) - len(lines) // 2)


def bare(groups: Sequence[Group], model: Any) -> Callable[[], object]:
    """The same groups, denoised alone."""
    recipes = [[recipe_from(item.recipe, item.key) for item in group.items] for group in groups]
    return lambda: [made_together(some, model) for some in recipes]


def clocked(way: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor, of all threads, and of the wall."""
    processor, wall = time.process_time(), time.perf_counter()
    way()
    return time.process_time() - processor, time.perf_counter() - wall


def ratio(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]], which: int) -> float:
    """The median of ours over theirs; the first turn, in which models are loaded, does not count."""
    pairs = [(a[which], b[which]) for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(a / b for a, b in pairs[1:] or pairs)


def leases(folder: Path, rounds: int = 200) -> tuple[float, float]:
    """Seconds to take a group and give it back, and to look at the journal of one other worker."""
    with Leases(folder / "leases", "one", 60.0) as held:
        began = time.perf_counter()
        for number in range(rounds):
            held.take(number)
            held.release(number)
        lease = (time.perf_counter() - began) / rounds
    journals = [Timed.begun(folder / f"{number}.jsonl", [{"worker": str(number)}]) for number in range(64)]
    ledger = Timed.found(journals[0].path)
    ledger.look()
    began = time.perf_counter()
    for _ in range(rounds):
        ledger.look()
    return lease, (time.perf_counter() - began) / rounds / len(journals[1:])


def queue_of(one: dict[str, Any], jobs: int, beside: dict[str, Any], group: int, costs: tuple[float, float]) -> Queue:
    """The model of the queue with what a run of one worker, one thread, has measured."""
    fixed = max(0.0, one["plan"] - beside["planned"] * jobs), max(0.0, one["after"] - beside["pages"] * jobs)
    return Queue(one["services"], group, one["start"], *costs, fixed[0], beside["planned"], fixed[1], beside["pages"])


def simulated(queue: Queue, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Speedups of lists by numbers of workers."""
    return [
        {"workers": workers, "linear_from": queue.linear_from(workers),
         "speedup": {n: round(queue.speedup(n, workers), 2) for n in lengths},
         "whole": {n: round(queue.speedup(n, workers, whole=True), 2) for n in lengths}}
        for workers in WORKERS
    ]  # fmt: skip


def checks(runs: Sequence[dict[str, Any]], group: int) -> list[dict[str, Any]]:
    """The work of each run over what is simulated, by its own service times and by those of one worker, one thread."""
    found = []
    for made in runs:
        for name, by in (("its own", made), ("one worker, one thread", runs[-1])):
            seconds = Queue(by["services"], group).worked(made["pictures"], made["workers"])
            which = f"{made['workers']} x {made['threads']}"
            found.append({"run": which, "by": name, "measured / simulated": round(made["work"] / seconds, 3)})
    return found


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All of it."""
    if Path(given.model).is_dir():  # a list names models beside it
        given.model = Path(shutil.copytree(given.model, folder / "model")).name
    lists = {count: written_jobs(folder / f"{count}.jsonl", count, given.steps, given.model)
             for count in {given.jobs, given.two, given.one, given.turns}}  # fmt: skip
    wanted = [(given.jobs, 1, 2, ()), (given.two, 2, 1, ()), (given.one, 1, 1, ("--no-scores",))]
    wanted[:2] = [(*some[:3], ("--no-scores",)) for some in wanted[:2]]
    runs = []
    for number, (count, workers, threads, options) in enumerate(wanted):
        made = run(lists[count], folder / f"run-{number}", workers, threads, "--batch", str(given.batch), *options)
        runs.append(made)
        print(line_of(made), flush=True)
    beside = overhead(lists[given.turns], folder, given.at_once) | {"planned": planning(lists[given.jobs], folder)}
    (folder / "leases").mkdir()
    queue = queue_of(runs[-1], given.one, beside, given.batch, leases(folder / "leases"))
    lengths = [1_000, 10_000, 100_000]
    return {
        "runs": [{**one, "growth": growth(one.pop("memory"))} for one in runs], "overhead": beside,
        "checks": checks(runs, given.batch), "lease": queue.lease, "look": queue.look,
        "simulated": simulated(queue, lengths),
    }  # fmt: skip


def line_of(made: dict[str, Any]) -> str:
    """One run to read."""
    rate = made["work"] / made["pictures"]
    grown = growth(made["memory"])
    text = (f"{made['workers']} x {made['threads']} threads: {made['pictures']} pictures, {1000 * rate:.0f} ms each; "
            f"plan {made['plan']:.1f} s, start {made['start']:.1f} s, work {made['work']:.1f} s, "
            f"after {made['after']:.1f} s; loop {made['share']:.1%} of the time")  # fmt: skip
    return text + (f"; memory x {grown:.3f}" if grown else "")


def table(report: dict[str, Any]) -> str:
    """The tables of README.md."""
    beside, first, second, _ = report["overhead"], *report["runs"]
    cost = {name: one["work"] / one["pictures"] for name, one in (("one", first), ("two", second))}
    ratios = beside["ratios"]
    rows = [
        ("a picture by 2 workers of 1 thread / by 1 worker of 2 threads", f"{cost['two'] / cost['one']:.2f}", ""),
        ("a job / the bare loop, without scores", f"{ratios['without scores'][0]:.3f}", f"<= {GOALS['overhead']}"),
        ("the same by the wall", f"{ratios['without scores'][1]:.3f}", ""),
        ("a job with scores / the bare loop", f"{ratios['with scores'][0]:.3f}", ""),
        ("planning / the bare loop", f"{beside['planned'] / beside['bare']:.4f}", ""),
        ("scores.csv, sheets and gallery / the bare loop", f"{beside['pages'] / beside['bare']:.4f}", ""),
        ("the loop / all the time of a run", f"{first['share']:.3f}", f">= {GOALS['share']}"),
        ("memory at the end / after 50 pictures", f"{first['growth'] or float('nan'):.3f}", f"<= {GOALS['growth']}"),
    ]  # fmt: skip
    lines = ["| measure | found | goal |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""]
    lengths = list(report["simulated"][0]["speedup"])
    lines += [f"| workers | {' | '.join(f'{n:,} jobs' for n in lengths)} | linear within 5 % from |",
              f"|{'---|' * (len(lengths) + 2)}"]  # fmt: skip
    for one in report["simulated"]:
        cells = [f"{one['speedup'][n]:.2f} ({one['whole'][n]:.2f})" for n in lengths]
        since = f"{one['linear_from']:,} jobs" if one["linear_from"] else "none looked at"
        lines.append(f"| {one['workers']} | {' | '.join(cells)} | {since} |")
    checked = [f"{one['run']} threads, by the service times of {one['by']}: {one['measured / simulated']:.3f}"
               for one in report["checks"]]  # fmt: skip
    costs = f"a lease {1000 * report['lease']:.1f} ms, a look at a journal {1000 * report['look']:.2f} ms"
    return "\n".join([*lines, "", f"{costs}; measured / simulated: {'; '.join(checked)}"])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="by one worker of two threads")
    parser.add_argument("--two", type=int, help="jobs by two workers of one thread  [default: 0.4 of them]")
    parser.add_argument("--one", type=int, help="jobs by one worker of one thread  [default: 0.2 of them]")
    parser.add_argument("--turns", type=int, help="jobs that are compared with the bare loop  [default: 0.16 of them]")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="pictures in a batch")
    parser.add_argument("--at-once", type=int, default=4, help="batches in a turn")
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args(words)
    for name, share in (("two", 0.4), ("one", 0.2), ("turns", 0.16)):
        if getattr(given, name) is None:
            setattr(given, name, max(2 * given.batch, round(share * given.jobs)))
    with tempfile.TemporaryDirectory() as folder:
        report = measure(given, Path(folder))
    print(table(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
