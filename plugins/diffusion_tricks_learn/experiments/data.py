"""x ~ p(x): what a model learns from, as training draws it, and E[x | class], the mean of each class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from diffusion_tricks.plugin import to_images
from diffusion_tricks.training import Batch, Source, open_source, page_of
from diffusion_tricks_learn.figures import Tile, grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session
from diffusion_tricks_learn.trainings import alone

ROWS, COLUMNS = 5, 10


def data(session: Session, source: str = "digits", size: int | None = None) -> Iterator[Findings]:
    """A labelled sheet of training data, its classes, and their means.

    source: a word or a path that `open_source` knows. size: side in pixels; None is the data's own.
    """
    alone(session)
    opened = open_source(source, size=size)
    page = page_of(opened, ROWS, COLUMNS, session.seed)
    batch = _drawn(opened, session.either(500, 4000), session.seed)
    table = _table(opened.classes, batch)
    tiles: list[Tile] = list(to_images(_coloured(page.pictures)))
    classed = bool(opened.classes) and page.columns == len(opened.classes)
    seen = [name for name, row in zip(opened.classes, table, strict=False) if row["pictures"]]
    if classed and len(seen) == page.columns:
        means = [batch.pictures[batch.classes == i].mean(0) for i in range(page.columns)]
        tiles += to_images(_coloured(torch.stack(means)))
    rows = -(-len(tiles) // page.columns)
    tiles += [None] * (rows * page.columns - len(tiles))
    shown = [tiles[i : i + page.columns] for i in range(0, len(tiles), page.columns)]
    names = [""] * (rows - 1) + (["mean"] if rows > ROWS else [""])
    labels = {"columns": list(opened.classes), "rows": names} if classed else {"captions": _rows(page.captions, shown)}
    title = f"{source}: {len(opened):,} pictures of {opened.size} x {opened.size}, {_kind(opened)}, seed {session.seed}"
    numbers = {
        "pictures": len(opened), "size_px": opened.size, "channels": opened.channels, "classes": list(opened.classes),
        "measured_pictures": len(batch.pictures),
    }  # fmt: skip
    yield Findings(lambda: grid(shown, title=title, **labels), table, numbers, _said(opened, batch, table))


def _drawn(source: Source, count: int, seed: int) -> Batch:
    """Pictures of the source, none of them twice."""
    random = np.random.default_rng(seed)
    return source.draw(random.permutation(len(source))[:count].tolist(), random)


def _table(classes: tuple[str, ...], batch: Batch) -> list[Row]:
    """Of each class, else of all: how many there are, and mean and spread of their pixels, of which black is -1."""
    parts = [(name, batch.pictures[batch.classes == i]) for i, name in enumerate(classes)]
    return [
        {
            "class": name, "pictures": len(x), "share": len(x) / len(batch.pictures),
            "mean_of_pixels": float(x.mean()) if len(x) else float("nan"),
            "std_of_pixels": float(x.std(correction=0)) if len(x) else float("nan"),
        }
        for name, x in parts or [("all", batch.pictures)]
    ]  # fmt: skip


def _said(source: Source, batch: Batch, table: list[Row]) -> list[str]:
    std, mean = float(batch.pictures.std(correction=0)), float(batch.pictures.mean())
    said = [f"Pixels lie in -1..1, with mean {mean:.2f} and standard deviation {std:.2f}; noise has 0 and 1."]
    if len(source.classes) > 1:
        least, most = (pick(table, key=lambda row: row["pictures"]) for pick in (min, max))
        said.append(
            f"Of {len(batch.pictures)} pictures, class {most['class']} has most, {most['pictures']}, and class "
            f"{least['class']} fewest, {least['pictures']}."
        )
    return said


def _coloured(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.expand(-1, 3, -1, -1)


def _kind(source: Source) -> str:
    return "gray" if source.channels == 1 else "in colour"


def _rows(captions: list[str] | None, tiles: list[list[Tile]]) -> list[list[str]]:
    """The captions, as many in a row as there are tiles, empty where there is no picture."""
    words, across = list(captions or ()), len(tiles[0])
    words += [""] * (len(tiles) * across - len(words))
    return [words[i : i + across] for i in range(0, len(words), across)]
