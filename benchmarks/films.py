"""The memory that films of a run take: written frame by frame, and with all frames kept until the end.

    python benchmarks/films.py --frames 100 --count 4 --side 128

Each way runs in a process of its own, as the peak of a process never falls; growth is what the films add to it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from diffusion_tricks.devices.peak import peak_memory_mb
from diffusion_tricks.io.animation import Animation

CPU = torch.device("cpu")


def frame(seed: int, side: int) -> Image.Image:
    """Noise, of which a GIF can spare nothing."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def written(folder: Path, frames: int, count: int, side: int) -> None:
    """Every film as it grows."""
    films = [Animation(folder / f"{i}.gif", 100, 1500) for i in range(count)]
    for step in range(frames):
        for i, film in enumerate(films):
            film.add(frame(step * count + i, side))
    for film in films:
        film.save()


def kept(folder: Path, frames: int, count: int, side: int) -> None:
    """Every frame of every film, then the films by Pillow."""
    films: list[list[Image.Image]] = [[] for _ in range(count)]
    for step in range(frames):
        for i, film in enumerate(films):
            film.append(frame(step * count + i, side))
    for i, film in enumerate(films):
        film[0].save(folder / f"{i}.gif", save_all=True, append_images=film[1:], duration=100, loop=0)


WAYS = {"written": written, "kept": kept}


def growth(way: str, frames: int, count: int, side: int) -> dict[str, float]:
    """By how many MB the peak of this process grows, in how many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        WAYS[way](Path(folder), 2, 1, side)
        before, began = peak_memory_mb(CPU), time.perf_counter()
        (Path(folder) / "0.gif").unlink()
        WAYS[way](Path(folder), frames, count, side)
        seconds = time.perf_counter() - began
    return {"growth_mb": round(peak_memory_mb(CPU) - before, 1), "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--count", type=int, default=4, help="films at once")
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--only", choices=WAYS, help="measure one way, in this process")
    given = parser.parse_args()
    if given.only:
        print(json.dumps(growth(given.only, given.frames, given.count, given.side)))
        return
    words = ["--frames", given.frames, "--count", given.count, "--side", given.side]
    found = {}
    for way in WAYS:
        command = [sys.executable, __file__, *map(str, words), "--only", way]
        found[way] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(json.dumps({"way": way, **found[way]}), flush=True)
    for what in ("growth_mb", "seconds"):
        print(f"{what}: written / kept {found['written'][what] / max(found['kept'][what], 0.1):.3f}")


if __name__ == "__main__":
    main()
