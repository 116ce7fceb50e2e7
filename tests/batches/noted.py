"""Ledgers of batches written by hand, line by line, with pictures of one colour: no model, and none of its code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

VIEWS = (("identity", "a rabbit"), ("flip", "a duck"))


@dataclass
class Noted:
    """A batch in a folder. jobs: as their list says them. lines: of each worker's journal."""

    home: Path
    jobs: Sequence[Mapping[str, Any]]
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def worker(self, name: str, host: str = "elsewhere", began: float | None = None, **more: Any) -> None:
        """A worker, at work since then."""
        self.lines[name] = [{"worker": name, "host": host, "process": 1}]
        if began is not None:
            self.add(name, at=began, began={"jobs": len(self.jobs), "kept": 0} | more)

    def add(self, name: str, **line: Any) -> None:
        self.lines[name].append(line)

    def done(
        self, name: str, key: str, at: float, *, alignment: float = 0.5, seconds: float = 0.0,
        begun: float | None = None, picture: bool = False, folder: str = "",
    ) -> None:  # fmt: skip
        """A job that one picture was made of."""
        path, seed = f"../{folder}{key}.png", int(sha256(key.encode()).hexdigest()[:4], 16)
        if picture:
            place = self.home / "ledger" / path
            place.resolve().parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (seed % 256, 90, 200)).save(place.resolve())
        facts = {"path": path, "seed": seed, "index": 0, "width": 16, "height": 16, "score": score(alignment)}
        self.add(name, begun=key, at=at - 1 if begun is None else begun)
        self.add(name, done=key, at=at, inputs=[], recipe="r", outputs={path: "d"}, facts=[facts], seconds=seconds)

    def write(self, torn: str = "") -> Path:
        """Puts it on the disk. torn: what stands behind the last line of each journal."""
        ledger = self.home / "ledger"
        ledger.mkdir(parents=True, exist_ok=True)
        (ledger / "run.json").write_text(json.dumps({"batch": 1, "seed": 1, "pictures": 8}))
        listed = [{"id": one["id"], "fields": dict(one), "pictures": 1, "problem": None} for one in self.jobs]
        (ledger / "jobs.json").write_text(json.dumps({"jobs": listed}))
        for name, lines in self.lines.items():
            (ledger / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines) + torn)
        return self.home


def score(alignment: float, views: Iterable[tuple[str, str]] = VIEWS) -> dict[str, Any]:
    """A score whose first view shows its prompt better by 0.1 than the second."""
    each = [
        {"name": name, "prompt": prompt, "alignment": alignment + 0.1 * (1 - n), "rank": 1 + n, "margin": 0.25 * n}
        for n, (name, prompt) in enumerate(views)
    ]
    return {"views": each, "alignment": alignment, "concealment": 0.75, "sep_min": 0.0}


def jobs(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Jobs j0, j1 and so on."""
    return [{"id": f"j{n}", **fields} for n in range(count)]
