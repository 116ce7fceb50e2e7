"""How fast a batch went, from its ledger. No torch here."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import Any

from diffusion_tricks.plugin import Line
from diffusion_tricks_batch.telling.standing import Standing


def throughput(standing: Standing) -> dict[str, Any]:
    """How fast pictures came, over all sessions of a batch.

    workers: each with its pictures; the seconds from the beginning of its first batch to the end of its last, session
    by session; and denoising, the share of these, 0..1, that the network took. seconds: of all workers together.
    pictures_per_second: of all of them, as if they had worked at one time.
    """
    journals = {name: seen.journal.lines for name, seen in sorted(standing.workers.items())}
    sessions = sorted(float(line["at"]) for lines in journals.values() for line in lines if "began" in line)
    workers = [one for name, lines in journals.items() if (one := _worker(name, lines, sessions))["pictures"]]
    seconds, denoised = (sum(one[name] for one in workers) for name in ("seconds", "denoised"))
    return {
        "pictures": sum(one["pictures"] for one in workers), "seconds": seconds,
        "pictures_per_second": sum(one["pictures_per_second"] or 0.0 for one in workers) or None,
        "denoising": _ratio(denoised, seconds),
        "workers": [{name: value for name, value in one.items() if name != "denoised"} for one in workers],
    }  # fmt: skip


def _worker(name: str, lines: Sequence[Line], sessions: Sequence[float]) -> dict[str, Any]:
    pictures = sum(len(line.get("facts", ())) for line in lines if "done" in line)
    seconds = sum(_span(part) for part in _parts(lines, sessions))
    denoised = sum(float(line.get("seconds", 0.0)) for line in lines)
    return {
        "worker": name, "pictures": pictures, "seconds": round(seconds, 3), "denoised": denoised,
        "pictures_per_second": _ratio(pictures, seconds), "denoising": _ratio(denoised, seconds),
    }  # fmt: skip


def _parts(lines: Iterable[Line], sessions: Sequence[float]) -> Iterable[list[Line]]:
    """The lines of each session that say of jobs that they were begun, done, or failed."""
    parts: dict[int, list[Line]] = {}
    for line in lines:
        if {"begun", "done", "failed"} & line.keys() and "at" in line:
            parts.setdefault(bisect(sessions, float(line["at"])), []).append(line)
    return parts.values()


def _span(lines: Sequence[Line]) -> float:
    begun = [float(line["at"]) for line in lines if "begun" in line]
    ended = [float(line["at"]) for line in lines if "begun" not in line]
    return max(0.0, max(ended) - min(begun)) if begun and ended else 0.0


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 and part else None
