"""How long the first picture takes to come, in fresh processes: as ratios to the imports that it cannot do without.

    python benchmarks/start.py --repeats 7

bare imports    torch, and the two classes of diffusers that the model inside is made of
cold generate   diffusion-tricks generate "a rabbit" --steps 1
help            diffusion-tricks generate --help

The ways take turns. A ratio is the median over the repeats of (way / bare imports); by the wall, and by the processor's
time, which other work on the machine disturbs less. What the seconds of a cold run go into is told by `-X importtime`,
which costs a little itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

BARE = "import torch; from diffusers import IFPipeline, UNet2DConditionModel"
PROGRAM = "from diffusion_tricks_cli.entry import main; main()"
GOAL = 1.5
SELF = re.compile(r"^import time:\s*(\d+) \|", re.MULTILINE)  # microseconds of a module without those it imports


class Took(NamedTuple):
    """Seconds by the wall, and of the processor."""

    wall: float
    cpu: float


def ways(picture: Path) -> dict[str, list[str]]:
    """What is compared, as commands."""
    program = [sys.executable, "-c", PROGRAM, "generate"]
    return {
        "bare imports": [sys.executable, "-c", BARE],
        "cold generate": [
            *program,
            "a rabbit",
            "--steps",
            "1",
            "--seed",
            "0",
            "--quiet",
            "--force",
            "-o",
            str(picture),
        ],
        "help": [*program, "--help"],
    }


def timed(command: Sequence[str]) -> Took:
    """What a fresh process takes. Raises CalledProcessError where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measured(repeats: int, commands: dict[str, list[str]]) -> dict[str, list[Took]]:
    """Each way so many times, in turns; once more before, for the disk."""
    for command in commands.values():
        timed(command)
    rounds = [{name: timed(command) for name, command in commands.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in commands}


def shares(command: Sequence[str]) -> dict[str, float]:
    """What part of the wall time of a cold run is imports, loading with all else, and computing; they add up to 1."""
    began = time.perf_counter()
    python, *rest = command
    done = subprocess.run([python, "-X", "importtime", *rest, "--json"], check=True, capture_output=True, text=True)
    wall = time.perf_counter() - began
    imports = sum(map(int, SELF.findall(done.stderr))) / 1e6 / wall
    computing = json.loads(done.stdout)["seconds"] / wall
    return {"imports": imports, "loading and all else": 1 - imports - computing, "computing": computing}


def table(found: dict[str, list[Took]], parts: dict[str, float]) -> str:
    """The results, in Markdown."""
    bare = found["bare imports"]
    lines = ["| way | ratio, wall | ratio, processor | goal |", "|---|---|---|---|"]
    for name, took in found.items():
        pairs = list(zip(took, bare, strict=True))
        wall, cpu = (statistics.median(a[i] / b[i] for a, b in pairs) for i in range(2))
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {f'<= {GOAL}' if name == 'cold generate' else ''} |")
    lines += ["", "| of a cold run | share |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {100 * share:.0f} % |" for name, share in parts.items())])


def main(args: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    repeats = parser.parse_args(args).repeats
    with tempfile.TemporaryDirectory() as folder:
        commands = ways(Path(folder) / "rabbit.png")
        print(table(measured(repeats, commands), shares(commands["cold generate"])))


if __name__ == "__main__":
    main()
