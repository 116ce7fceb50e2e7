"""Pictures a second that the model inside makes on a CPU, by all that may matter, over those of the default.

    python benchmarks/throughput.py                             5 turns of 16 pictures for each way
    python benchmarks/throughput.py --pictures 2 --turns 1 --steps 1 --only "8 at once" --only "2 processes"

Each way makes the same two-view anagrams (`made_together`), in turns within one run; a ratio is the median over turns
of what the way made a second over what the default made in the same turn. The first turn, of loading and of being
compiled, is not counted. `difference` is the largest of any channel, 0..1, from the default's pictures, by rounding
alone. Processes are of one thread each, and work at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion_tricks import Model, Recipe, TrickEntry, load_model, made_together

PAIRS = (("a rabbit", "a duck"), ("a pear", "a light bulb"), ("a rose", "a fish"), ("a castle", "a rocket"))
GO = "go\n"


@dataclass(frozen=True)
class Way:
    """How pictures are made. at_once: in one batch. processes: of one thread; 0 is this one, of all threads."""

    name: str
    at_once: int = 8
    dtype: str = "float32"
    channels_last: bool = True
    compiled: bool = False
    threads: int = 0
    processes: int = 0


DEFAULT = Way("8 at once")  # as `batch` does on a CPU: channels last
WAYS = (
    DEFAULT,
    *(Way(f"{count} at once", at_once=count) for count in (1, 2, 4, 16, 32)),
    Way("one thread", threads=1),
    Way("2 processes", processes=2),
    Way("channels first", channels_last=False),
    Way("bfloat16", dtype="bfloat16"),
    Way("bfloat16, channels first", dtype="bfloat16", channels_last=False),
    Way("compiled", compiled=True),
)


def recipes(count: int, steps: int, model: str) -> list[Recipe]:
    """Anagrams of known things, each with a seed of its own."""
    views = [[["identity", first], ["rotate_180", second]] for first, second in PAIRS]
    return [
        Recipe(model=model, seed=i, steps=steps, tricks=[TrickEntry(trick="anagram", views=views[i % len(views)])])
        for i in range(count)
    ]


class Maker:
    """Makes pictures in one way."""

    def __init__(self, way: Way, model_name: str):
        self.way, self.model_name = way, model_name

    @cached_property
    def model(self) -> Model:
        """The model, loaded when it is first asked."""
        way = self.way
        return load_model(
            self.model_name, device="cpu", dtype=way.dtype, compile=way.compiled, channels_last=way.channels_last
        )

    def __call__(self, asked: Sequence[Recipe]) -> list[np.ndarray]:
        """The pictures, of 0..1."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.way.threads or threads)
        made = []
        for first in range(0, len(asked), self.way.at_once):
            made += made_together(asked[first : first + self.way.at_once], self.model)
        torch.set_num_threads(threads)
        return [np.asarray(result.image, np.float32) / 255 for one in made for result in one()]


class Crew:
    """Processes that make pictures at once, each its share."""

    def __init__(self, way: Way, model: str, count: int, steps: int):
        share = str(-(-count // way.processes))
        words = ["--worker", "--pictures", share, "--steps", str(steps), "--model", model]
        self.members = [
            subprocess.Popen(
                [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for _ in range(way.processes)
        ]  # fmt: skip

    def __call__(self, asked: Sequence[Recipe]) -> list[np.ndarray]:
        """Waits until all have made theirs; gives none of them."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write(GO)
            member.stdin.flush()
        for member in self.members:
            assert member.stdout is not None
            if not member.stdout.readline():
                raise SystemExit("a process has ended")
        return []

    def close(self) -> None:
        """Ends them."""
        for member in self.members:
            member.communicate()


def work(given: argparse.Namespace) -> None:
    """A process of a `Crew`."""
    maker, asked = Maker(DEFAULT, given.model), recipes(given.pictures, given.steps, given.model)
    for _ in sys.stdin:
        maker(asked)
        print("made", flush=True)


def measure(ways: Sequence[Way], model: str, count: int, steps: int, turns: int) -> list[dict[str, Any]]:
    """A row for each way. count: pictures in a turn, at the least one batch."""
    makers: dict[str, Callable[[Sequence[Recipe]], list[np.ndarray]]] = {
        way.name: Crew(way, model, count, steps) if way.processes else Maker(way, model) for way in ways
    }
    rates = {way.name: list[float]() for way in ways}
    pictures = dict[str, list[np.ndarray]]()
    for turn in range(turns + 1):
        for way in ways if turn % 2 else ways[::-1]:
            asked = recipes(max(count, way.at_once), steps, model)
            began = time.perf_counter()
            pictures[way.name] = makers[way.name](asked)
            if turn:
                rates[way.name].append(len(asked) / (time.perf_counter() - began))
    for maker in makers.values():
        if isinstance(maker, Crew):
            maker.close()
    return [row(way, rates, pictures, ways[0].name) for way in ways]


def row(
    way: Way, rates: dict[str, list[float]], pictures: dict[str, list[np.ndarray]], default: str
) -> dict[str, Any]:  # fmt: skip
    """The rate of a way, over that of the default, and how far its pictures are from the default's."""
    ratio = statistics.median(ours / theirs for ours, theirs in zip(rates[way.name], rates[default], strict=True))
    both = [np.abs(a - b).max() for a, b in zip(pictures[way.name], pictures[default], strict=False)]
    difference = float(max(both)) if both else None
    return {"way": way.name, "per_second": statistics.median(rates[way.name]), "ratio": ratio, "difference": difference}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The table of README.md."""
    lines = ["| way | pictures a second / the default's | largest difference |", "|---|---|---|"]
    for one in rows:
        difference = "" if one["difference"] is None else f"{one['difference']:.3f}"
        lines.append(f"| {one['way']} | {one['ratio']:.2f} | {difference} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--pictures", type=int, default=16, help="in a turn")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[way.name for way in WAYS], help="beside the default")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    if given.worker:
        return work(given)
    ways = [way for way in WAYS if way == DEFAULT or not given.only or way.name in given.only]
    rows = measure(ways, given.model, given.pictures, given.steps, given.turns)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
