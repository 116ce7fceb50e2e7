"""How far the long training is, in words. No torch here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion_tricks.training import folder, replaced

RECENT = 20  # rows of metrics that the speed is a mean over
BAR = 40  # characters of the longest bar


def status(home: Path, running: bool) -> str:
    """Lines to read: whether it runs, pictures seen, speed, hours left, and the loss by noise level."""
    training = home / "training"
    if not (training / replaced.OPTIONS).is_file():
        return f"nothing was begun in {home}"
    options = json.loads((training / replaced.OPTIONS).read_text(encoding="utf-8"))
    rows = [row for row in folder.metrics(training) if "seen" in row]
    state = "running" if running else f"not running{_last_words(home / 'relay.log')}"
    if not rows:
        return f"{state}, in {home}; nothing is measured yet"
    return "\n".join([f"{state}, in {home}", *_progress(options, rows), *levels(rows[-1]["levels"])])


def _last_words(log: Path) -> str:
    """Why it ended, if it says so."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    said = [line for line in lines if line.strip()][-1:]
    return f" ({said[0]})" if said and said[0].startswith(("Error", "stopped", "Traceback")) else ""


def _progress(options: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    last = rows[-1]
    total = (options["steps"] or last["step"]) * last["seen"] / last["step"]
    speed = _mean([row["images_per_second"] for row in rows[-RECENT:]])
    held = [f"held out {row['held_out']:.4f}" for row in rows if row.get("held_out") is not None][-1:]
    cooling = ", cooling down at the end" if options["cool_down"] else ""
    hours = last["seconds"] / 3600
    return [
        f"{last['seen']:,} of {total:,.0f} pictures seen ({last['seen'] / total:.1%}), in {hours:.1f} h",
        f"{speed:.1f} pictures/s, {(total - last['seen']) / speed / 3600:.1f} h left{cooling}",
        ", ".join([f"loss {last['loss']:.4f}", *held, f"rate {last['lr']:.2e}"]),
    ]


def levels(means: Sequence[float | None]) -> list[str]:
    """A bar for each part of the timesteps, the least noisy first."""
    most = max((mean for mean in means if mean is not None), default=1.0) or 1.0
    parts = [f"{i / len(means):.1f}-{(i + 1) / len(means):.1f}" for i in range(len(means))]
    lines = ["loss by noise level, as shares of the schedule:"]
    for part, mean in zip(parts, means, strict=True):
        lines.append(f"  {part}  " + ("-" if mean is None else f"{mean:.4f}  {'#' * round(BAR * mean / most)}"))
    return lines


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
