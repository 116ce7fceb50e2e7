"""How a batch stands, to be read by people and programs. No torch here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from diffusion_tricks.plugin import Line
from diffusion_tricks_batch.telling.pace import clock, seconds_left
from diffusion_tricks_batch.telling.standing import Seen, Standing
from diffusion_tricks_batch.telling.tables import columns, counted

POLL = 1.0  # seconds from look to look


def status(standing: Standing, now: float) -> dict[str, Any]:
    """How a batch stands, as plain data. now: in seconds since 1970.

    jobs, made, kept, left: how many. failed: how many, by the kind of their error. pictures: made in this session.
    pictures_per_second: of late, and once it has ended on the whole. seconds_left: None where that is not known.
    going_on: whether anybody is at work. stale: workers that left jobs unfinished, and are gone. workers: each with
    its host, the seconds since its last sign of life, its pictures, and how fast they come.
    """
    states = standing.states()
    going = standing.at_work(now)
    busy = [one for one in standing.workers.values() if is_of(one, standing)]
    workers = busy or going  # without the process that but brings work to others
    pictures = sum(one.pace.pictures for one in workers if one.pace)
    rate = _rate(standing, going, pictures)
    left = states["left"] * _pictures_per_job(standing)
    return {
        "jobs": len(standing.jobs), "made": states["made"], "kept": states["kept"],
        "failed": dict(sorted(Counter(kind for _, kind in standing.failures()).items())), "left": states["left"],
        "pictures": pictures, "pictures_per_second": rate, "seconds_left": seconds_left(left, rate) if going else None,
        "going_on": bool(going), "stale": [one.name for one in workers if one.is_stale(now)],
        "workers": [_worker(one, one in going, now) for one in workers],
    }  # fmt: skip


def is_of(worker: Seen, standing: Standing) -> bool:
    """Whether it has worked in this session, or left something unfinished in an earlier one."""
    made = worker.pace is not None and worker.pace.pictures > 0 and worker.last >= standing.session
    return made or bool(worker.at_work)


def _pictures_per_job(standing: Standing) -> float:
    return sum(job.pictures for job in standing.jobs.values()) / max(1, len(standing.jobs))


def _rate(standing: Standing, going: list[Seen], pictures: int) -> float | None:
    """Pictures a second: of late while there are workers, else over the whole session."""
    if going:
        return sum(one.pace.rate or 0.0 for one in going if one.pace) or None
    seconds = max((one.last for one in standing.workers.values()), default=0.0) - standing.session
    return pictures / seconds if pictures and seconds > 0 else None


def _worker(worker: Seen, going: bool, now: float) -> dict[str, Any]:
    pace = worker.pace
    return {
        "worker": worker.name, "host": worker.host, "seconds_since": round(max(0.0, now - worker.sign), 1),
        "pictures": pace.pictures if pace else 0, "pictures_per_second": pace.rate if pace else None,
        "going_on": going, "stale": worker.is_stale(now),
    }  # fmt: skip


def all_done(data: dict[str, Any]) -> bool:
    """Whether every job is done, and none failed."""
    return not data["failed"] and not data["left"]


def sentence(data: dict[str, Any]) -> str:
    """How it stands, in a line."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in data["failed"].items())
    failed = f", {sum(data['failed'].values())} failed ({kinds})" if kinds else ""
    left = f", {data['left']} left" if data["left"] else ""
    return f"{counted(data['jobs'], 'job')}: {data['made']} made, {data['kept']} kept{failed}{left}; {_pace(data)}"


def _pace(data: dict[str, Any]) -> str:
    rate = data["pictures_per_second"]
    speed = "" if rate is None else f"{rate:.3g} pictures/s"
    if data["going_on"]:
        return f"goes on, {speed}, {clock(data['seconds_left'])} left" if speed else "goes on"
    ended = "ended" if not data["left"] else "stopped"
    return f"{ended}, {speed}" if speed else ended


def told(data: dict[str, Any]) -> str:
    """All of it, to be read."""
    lines = [sentence(data)]
    if data["workers"]:
        rows = [_row(one) for one in data["workers"]]
        lines += ["", *columns(["worker", "host", "last sign of life", "pictures", "pictures/s", ""], rows)]
    if data["left"] and not data["going_on"]:
        lines += ["", "Nobody is at work. The same `batch` with `resume` goes on with it."]
    return "\n".join(lines)


def _row(worker: dict[str, Any]) -> list[str]:
    rate = worker["pictures_per_second"]
    state = "stale" if worker["stale"] else "" if worker["going_on"] else "ended"
    ago = f"{clock(worker['seconds_since'])} ago"
    return [worker["worker"], worker["host"], ago, str(worker["pictures"]), f"{rate:.3g}" if rate else "-", state]


def events(
    standing: Standing, now: Callable[[], float] = time.time, rest: Callable[[float], None] = time.sleep
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What happens, until nothing is left or nobody is at work: each an object with its `event`.

    `status` at first and after what is new, with what `status` says; `done` and `failed`, with the job's `id` and the
    `worker`; and at last `end`, as `status`.
    """
    data = status(standing, now())
    while data["going_on"] and data["left"]:
        yield {"event": "status", **data}
        new: list[tuple[Seen, Line]] = []
        while not new and standing.at_work(now()):
            rest(POLL)
            new = standing.read()
        yield from (one for worker, line in new for one in event(worker, line))
        data = status(standing, now())
    yield {"event": "end", **data}


def event(worker: Seen, line: Line) -> Iterator[dict[str, Any]]:
    """What a line of the ledger says of a job, once it is done or failed."""
    if "done" in line:
        facts = [{name: one[name] for name in ("path", "seed") if name in one} for one in line.get("facts", ())]
        yield {"event": "done", "id": line["done"], "worker": worker.name, "at": line.get("at"), "pictures": facts}
    if key := line.get("failed", line.get("refused")):
        yield {
            "event": "failed", "id": key, "worker": worker.name, "at": line.get("at"),
            "kind": line.get("kind"), "message": line.get("message"),
        }  # fmt: skip
