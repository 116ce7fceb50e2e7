import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import DiffusionTricksError, recipe_from


@dataclass(frozen=True)
class Job:
    id: str
    number: int
    recipe: Any
    fields: Any
    problem: Any = None


def read_jobs(source, axes=(), stream=None):
    out = []
    for n, l in enumerate(Path(source).read_text().splitlines()):
        d = json.loads(l)
        try:
            out.append(Job(d["id"], n, recipe_from({k: v for k, v in d.items() if k not in ("id", "failed")}), d))
        except DiffusionTricksError as e:
            out.append(Job(d["id"], n, None, d, e))
    return out
