"""What an edit of a large photo costs, against the area that is made anew, and what one load saves for a folder.

    python benchmarks/editing.py                                 12, 50 and 100 megapixels, each command in a process
    python benchmarks/editing.py --megapixels 12 --areas 0.01    one of them
    python benchmarks/editing.py --folder 100                    a folder at once, and each photo of it by itself

Each command is measured in a fresh process, from its first import to the file that was read back. Memory is the peak
of that process; growth is what it is above that of a photo of `SMALL` megapixels, as a multiple of the photo's own
pixels, three bytes each. The photo is scikit-image's cup of coffee (CC0), enlarged.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from skimage import data

from diffusion_tricks.devices.peak import peak_memory_mb
from diffusion_tricks_cli.main import main as command_line

SMALL = 0.1  # megapixels; what is left of the cost is that of starting and of the model
MILLION = 1_000_000
WHOLE = 1.0  # share of a photo; an edit makes all of it anew
INPAINT, EDIT = "inpaint", "edit"


def photo(megapixels: float, path: Path) -> None:
    """Writes the cup of coffee at so many megapixels, 3:2, as a JPEG."""
    width = math.isqrt(round(megapixels * MILLION * 3 / 2))
    size = width, int(megapixels * MILLION) // width
    Image.fromarray(data.coffee()).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def mask(area: float) -> str:
    """An ellipse in the middle that covers a share of the photo, or all of it."""
    if area >= math.pi / 4:
        return "box:0%,0%,100%,100%"
    half = 50 * math.sqrt(area * 4 / math.pi)
    low, high = f"{50 - half:.3f}%", f"{50 + half:.3f}%"
    return f"ellipse:{low},{low},{high},{high}"


def words_of(command: str, source: str, area: float, told: argparse.Namespace, out: str) -> list[str]:
    """The command line of one edit."""
    masked = ["--mask", mask(area)] if command == INPAINT else ["--strength", "0.5"]
    model = ["-m", told.model, "--steps", str(told.steps), "--seed", "1", "--quiet"]
    return [command, source, "a sunflower", *masked, *model, "-o", out]


def run(words: Sequence[str]) -> None:
    """Runs a command. Raises SystemExit where it fails."""
    try:
        command_line(list(words))
    except SystemExit as ended:
        if ended.code:
            raise


def apart(words: Sequence[str]) -> dict[str, float]:
    """The seconds and the peak memory in MB of a command in a fresh process."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--only", json.dumps(list(words))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"seconds": time.perf_counter() - began, "peak_mb": float(done.stdout.splitlines()[-1])}


def cases(areas: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Each command, and the share of the photo that it makes anew."""
    yield from ((INPAINT, area) for area in areas)
    yield EDIT, WHOLE


def sizes(told: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each size of photo and case, the small one first."""
    small: dict[tuple[str, float], dict[str, float]] = {}
    for megapixels in (SMALL, *told.megapixels):
        source = folder / f"photo-{megapixels:g}.jpg"
        photo(megapixels, source)
        for case in cases(told.areas):
            out = str(folder / f"{megapixels:g}-{case[1]:g}.png")
            cost = apart(words_of(case[0], str(source), case[1], told, out))
            row = {"megapixels": megapixels, "command": case[0], "area": case[1]}
            yield row | against(cost, small.setdefault(case, cost), megapixels)


def against(cost: dict[str, float], small: dict[str, float], megapixels: float) -> dict[str, float]:
    """A cost beside that of the small photo: the ratio of the seconds, and the growth of memory."""
    growth = (cost["peak_mb"] - small["peak_mb"]) / (3 * megapixels)
    return {
        "seconds": round(cost["seconds"], 1), "times_small": round(cost["seconds"] / small["seconds"], 2),
        "peak_mb": round(cost["peak_mb"]), "growth": round(growth, 1),
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_folder(told: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Photos a minute of a folder, with one load and by single processes, and the ratio of the two."""
    for name in ("in", "together", "alone"):
        (folder / name).mkdir()
    for i in range(told.folder):
        photo(told.folder_megapixels, folder / "in" / f"{i:03}.jpg")
    together = apart(words_of(INPAINT, f"{folder}/in/*.jpg", told.areas[0], told, f"{folder}/together/{{stem}}.png"))
    alone = sum(
        apart(words_of(INPAINT, str(file), told.areas[0], told, str(folder / "alone" / f"{file.stem}.png")))["seconds"]
        for file in sorted((folder / "in").iterdir())
    )
    same = all(
        Image.open(file).tobytes() == Image.open(folder / "alone" / file.name).tobytes()
        for file in (folder / "together").iterdir()
        if file.suffix == ".png"
    )
    minutes = {"one_load": together["seconds"] / 60, "single": alone / 60}
    found = {f"a_minute_{name}": round(told.folder / spent, 1) for name, spent in minutes.items()}
    return found | {"ratio": round(alone / together["seconds"], 2), "same_pictures": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 50, 100])
    parser.add_argument("--areas", type=float, nargs="+", default=[0.01, 0.1, 0.5], help="shares that are inpainted")
    parser.add_argument("--folder", type=int, help="photos in a folder that is done at once, instead of the sizes")
    parser.add_argument("--folder-megapixels", type=float, default=1.0, help="of each of them")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.only:
        run(json.loads(told.only))
        print(peak_memory_mb(torch.device("cpu")))
        return
    with tempfile.TemporaryDirectory() as folder:
        if told.folder:
            print(json.dumps(of_folder(told, Path(folder))))
        else:
            print(table(list(sizes(told, Path(folder)))))


if __name__ == "__main__":
    main()
