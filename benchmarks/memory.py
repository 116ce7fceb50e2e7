"""What `--max-rows` saves: the memory that eight pictures take at once, with chunks of every size.

    python benchmarks/memory.py --model emoji --steps 4

Each setting runs in a process of its own, as the peak of a process never falls. Growth is what the run adds to the
peak of the loaded model after one small run: resident memory on the CPU, allocated memory on CUDA.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from diffusion_tricks.making import peak_memory_mb
from diffusion_tricks_plugins import Guidance
from speed import finished, opened

CHUNKS = (None, 8, 4, 2, 1)  # rows; None is all 16 at once


def growth(model_name: str, device: str, steps: int, rows: int | None) -> dict[str, Any]:
    """The peaks of this process before and after one run, in MB."""
    model = opened(model_name, device)
    request: dict[str, Any] = {"prompt": "a rabbit", "tricks": [Guidance(scale=4)], "steps": steps}
    finished(model, **request, max_rows=1)
    before = peak_memory_mb(model.device)
    finished(model, **request, count=8, max_rows=rows)
    after = peak_memory_mb(model.device)
    return {"max_rows": rows, "before_mb": before, "peak_mb": after, "growth_mb": round(after - before, 1)}


def apart(model_name: str, device: str, steps: int, rows: int | None) -> dict[str, Any]:
    """`growth`, measured in a fresh process."""
    words = [sys.executable, __file__, "--model", model_name, "--device", device, "--steps", str(steps)]
    done = subprocess.run([*words, "--only", str(rows or 0)], capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, a known name or a directory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", type=int, help="measure in this process, with so many rows; 0 is all")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(growth(given.model, given.device, given.steps, given.only or None)))
        return
    for rows in CHUNKS:
        print(json.dumps(apart(given.model, given.device, given.steps, rows)), flush=True)


if __name__ == "__main__":
    main()
