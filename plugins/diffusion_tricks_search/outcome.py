"""What a search leaves for people beside its pictures: a labelled sheet with all readings upright, and a report."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from diffusion_tricks import Recipe, labelled_grid
from diffusion_tricks.plugin import Shown, atomic_write, shown_in
from diffusion_tricks_search.asked import HOME
from diffusion_tricks_search.bench import Bench, Tell, few_steps, full
from diffusion_tricks_search.figures import distances, figures, report
from diffusion_tricks_search.log import Log
from diffusion_tricks_search.survivors import Kept
from diffusion_tricks_search.trials import Trial

SHEET, REPORT, NUMBERS = "sheet.png", "report.txt", "report.json"
SIDE = 192  # pixels of a reading on the sheet
ACROSS = 4  # readings in a row of it: two pictures


def sheet(files: Sequence[Path], kept: Sequence[Kept]) -> Image:
    """Every picture as it is and as it is seen, upright, with what it shows and its scores."""
    tiles, captions = list[Image | None](), list[str]()
    for place, (path, one) in enumerate(zip(files, kept, strict=True), 1):
        _, views = shown_in(path)
        tiles += [_small(view.picture) for view in views]
        captions += [_caption(view, f"{place}. ", one) for view in views]
    across = min(ACROSS, len(tiles))
    title = "each picture twice: as it is, and on its right as it is seen through its view"
    return labelled_grid(tiles, captions=captions, across=across, title=title)


def _caption(view: Shown, place: str, one: Kept) -> str:
    scores = one.trial.scores
    if view.name == HOME:
        return f"{place}{view.prompt}, seed {one.trial.seed}"
    numbers = f"A={scores['alignment']:.2f} C={scores['concealment']:.2f} J={scores['joint']:.2f}"
    return f"{view.prompt}, {view.name}: {numbers}"


def _small(image: Image) -> Image:
    from PIL.Image import Resampling

    scale = SIDE / max(image.size)
    size = round(image.width * scale), round(image.height * scale)
    return image.resize(size, Resampling.LANCZOS if scale < 1 else Resampling.NEAREST)


def numbers(tried: Sequence[Trial], kept: Sequence[Kept], log: Log, bench: Bench) -> dict[str, Any]:
    """All that the report says, as plain data."""
    asked = log.asked
    told = {key: value for key, value in asked.data().items() if key != "pairs"}
    first = sum(trial.round == 1 for trial in tried)
    return {
        "asked": told, "hash": asked.hash, "pairs": len({one.arm.pair for one in tried}),
        "tried": len(tried), "first": first, "steps": few_steps(asked, bench.model), "scorer": bench.scorer.name,
        "figures": figures(tried), "kept": [one.trial.data() for one in kept],
    }  # fmt: skip


def compared(files: Sequence[Path], kept: Sequence[Kept], log: Log, bench: Bench, tell: Tell) -> dict[str, Any]:
    """FID and KID of all readings against ordinary pictures of the same prompts, seeds, steps and size."""
    readings, ordinary = list[Image](), list[Image]()
    for path, one in zip(files, kept, strict=True):
        tell(f"ordinary pictures of {one.trial.arm.first}, {one.trial.arm.second}")
        like = full(log.asked, one.trial.arm, one.trial.seed, bench.model)
        for view in shown_in(path)[1]:
            readings.append(view.picture)
            plain: Recipe = like.model_copy(update={"tricks": [], "prompt": view.prompt})
            ordinary += [result.image for result in bench.results(plain)]
    return distances(bench.scorer, readings, ordinary)


def written(data: dict[str, Any], page: Image, home: Path, *, force: bool) -> list[Path]:
    """Writes sheet and report; gives their files."""
    picture = io.BytesIO()
    page.save(picture, "PNG")
    files = {
        SHEET: picture.getvalue(), REPORT: report(data).encode(),
        NUMBERS: json.dumps(data, indent=1, ensure_ascii=False).encode(),
    }  # fmt: skip
    for name, content in files.items():
        atomic_write(home / name, content, force=force)
    return [home / name for name in files]
