"""What `--max-rows` and `--memory` save: the memory that eight pictures take at once.

    python benchmarks/memory.py --model emoji --steps 4                     with chunks of every size
    python benchmarks/memory.py --model sd-size --device cuda --modes       in every mode of memory, and the time

Each setting runs in a process of its own, as the peak of a process never falls. Growth is what the run adds to the
peak of the loaded model after one small run: resident memory on the CPU, allocated memory on CUDA. sd-size and if-size
are Stable Diffusion 1.5 and DeepFloyd IF-I-M with random weights (`true_sizes`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import torch

from diffusion_tricks import Model, load_model
from diffusion_tricks.devices.peak import forget_peak, peak_memory_mb
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.types import MEMORY
from diffusion_tricks_plugins import Guidance
from speed import finished, settle
from true_sizes import of_true_size

CHUNKS = (None, 8, 4, 2, 1)  # rows; None is all 16 at once
SIZED = "-size"


def opened(name: str, device: str, mode: str = "auto") -> Model:
    """The model by name, `tiny`, or one of a true size."""
    if name.endswith(SIZED):
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        return load_model(of_true_size(name.removesuffix(SIZED), device, dtype), device=device, memory=mode)
    return load_model(tiny_pipeline("if") if name == "tiny" else name, device=device, memory=mode)


def growth(model_name: str, device: str, steps: int, rows: int | None, mode: str = "auto") -> dict[str, Any]:
    """The peaks of this process before and after one run of eight pictures, in MB, and how long that takes."""
    model = opened(model_name, device, mode)
    request: dict[str, Any] = {"prompt": "a rabbit", "tricks": [Guidance(scale=4)], "steps": steps}
    finished(model, **request, max_rows=1)
    before = peak_memory_mb(model.device)
    forget_peak(model.device)
    began = time.perf_counter()
    model.decode(finished(model, **request, count=8, max_rows=rows), rows)
    settle(model.device)
    seconds, after = time.perf_counter() - began, peak_memory_mb(model.device)
    peaks = {"before_mb": before, "peak_mb": after, "growth_mb": round(after - before, 1)}
    given_up = model.memory.given_up
    return {"max_rows": rows, "memory": mode, **peaks, "seconds": round(seconds, 1), "given_up": given_up}


def apart(model_name: str, device: str, steps: int, rows: int | None, mode: str = "auto") -> dict[str, Any]:
    """`growth`, measured in a fresh process."""
    words = [sys.executable, __file__, "--model", model_name, "--device", device, "--steps", str(steps)]
    only = ["--only", str(rows or 0), "--mode", mode]
    done = subprocess.run([*words, *only], capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, sd-size, if-size, a known name or a directory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--modes", action="store_true", help="every mode of memory instead of every size of chunks")
    parser.add_argument("--only", type=int, help="measure in this process, with so many rows; 0 is all")
    parser.add_argument("--mode", choices=MEMORY, default="auto", help="with --only: the mode of memory")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(growth(given.model, given.device, given.steps, given.only or None, given.mode)))
        return
    for rows, mode in [(None, mode) for mode in MEMORY] if given.modes else [(rows, "auto") for rows in CHUNKS]:
        print(json.dumps(apart(given.model, given.device, given.steps, rows, mode)), flush=True)


if __name__ == "__main__":
    main()
