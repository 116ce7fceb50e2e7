"""What a sweep leaves beside its pictures: labelled grids, `sweep.csv`, and a contact sheet that needs no network."""

from __future__ import annotations

import base64
import csv
import html
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.atomic import atomic_write_all
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.io.pictures import encode_picture, read_picture
from diffusion_tricks_cli.many.jobs import Job
from diffusion_tricks_cli.many.run import Tally
from diffusion_tricks_cli.sweep.axes import Axis

CSV, PAGE, GRID = "sweep.csv", "sweep.html", "sweep.png"
THUMB = 320  # pixels: of the longer side of a picture in a grid, at the most
WIDEST = 8  # pictures in a row of a sweep of one option
NUMBERS = ("seed", "width", "height", "steps", "rows_total", "changed_outside", "seam")
SCORES = ("alignment", "concealment", "sep_min")
STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;background:#eeeef1;color:#222}table{border-spacing:6px}"
    "th{font-weight:600;padding:.2em .6em;text-align:center}th[scope=row]{text-align:right}"
    "td{text-align:center;color:#b23a14}img{display:block;image-rendering:pixelated;min-width:112px}caption,h2{"
    "font-weight:600;text-align:left;padding:.4em 0}"
)


@dataclass(frozen=True)
class Page:
    """One grid: what sets it apart from the others, the two axes, and the place of each job, row by row."""

    about: Mapping[str, str]
    rows: Sequence[str]
    columns: Sequence[str]
    jobs: Sequence[int]


@dataclass(frozen=True)
class Sheets:
    """The sheets of a sweep, in a folder."""

    home: Path
    axes: Sequence[Axis]
    jobs: Sequence[Job]

    @property
    def pages(self) -> list[Page]:
        """The grids: the first two options span each, all others and the pictures have grids of their own."""
        across = self.axes[:2]
        spanned = {axis.word for axis in across}
        groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for number, job in enumerate(self.jobs):
            apart = tuple((key, value) for key, value in job.about.items() if key not in spanned)
            groups.setdefault(apart, []).append(number)
        rows = across[0].texts if len(across) > 1 else ()
        return [
            Page(dict(apart), rows, across[-1].texts, _in_order(self.jobs, found, across))
            for apart, found in groups.items()
        ]

    @property
    def grids(self) -> list[Path]:
        """The file of each grid."""
        if len(self.pages) == 1:
            return [self.home / GRID]
        return [self.home / f"sweep-{number}.png" for number in range(1, len(self.pages) + 1)]

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [self.home / CSV, self.home / PAGE, *self.grids]

    def write(self, tally: Tally) -> list[str]:
        """Writes them, in the place of older ones; gives what is to be said of grids that are too large."""
        tiles = [_tile(tally.facts.get(number)) for number in range(len(self.jobs))]
        made = {self.home / CSV: self._table(tally).encode(), self.home / PAGE: self._contact(tiles, tally).encode()}
        notes = []
        for path, page in zip(self.grids, self.pages, strict=True):
            try:
                made[path] = encode_picture(self._grid(page, tiles), path)
            except UsageError as error:
                notes.append(f"{path} is not drawn: {error}; {PAGE} shows all pictures")
        atomic_write_all(made, force=True)
        return notes

    def _grid(self, page: Page, tiles: Sequence[Image.Image | None]) -> Image.Image:
        names = [axis.name for axis in self.axes[:2]]
        shown = [tiles[number] for number in page.jobs]
        title = _title(page, names)
        columns = [f"{names[-1]} {text}" for text in page.columns]
        if page.rows:
            rows = [f"{names[0]} {text}" for text in page.rows]
            return labelled_grid(shown, rows=rows, columns=columns, title=title)
        return labelled_grid(shown, captions=columns, across=min(len(columns), WIDEST), title=title)

    def _table(self, tally: Tally) -> str:
        """A line for each picture; columns of what no picture has are left out."""
        rows = [
            {**_numbers(tally.facts.get(number)), **job.about, **_error(tally, number)}
            for number, job in enumerate(self.jobs)
        ]
        rows = [row | ({"path": _from(self.home, row["path"])} if "path" in row else {}) for row in rows]
        order = [*self.jobs[0].about, "path", *NUMBERS, *SCORES, "error"]
        columns = [name for name in dict.fromkeys(order) if any(name in row for row in rows)]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _contact(self, tiles: Sequence[Image.Image | None], tally: Tally) -> str:
        names = [axis.name for axis in self.axes[:2]]
        title = " by ".join(names)
        tables = "\n".join(self._rows(page, names, tiles, tally) for page in self.pages)
        head = f"<!doctype html>\n<meta charset=utf-8>\n<title>{html.escape(title)}</title>\n<style>{STYLE}</style>"
        return f"{head}\n<h1>{html.escape(title)}</h1>\n{tables}\n"

    def _rows(self, page: Page, names: Sequence[str], tiles: Sequence[Image.Image | None], tally: Tally) -> str:
        across = len(page.columns)
        heads = "".join(f"<th scope=col>{html.escape(f'{names[-1]} {text}')}" for text in page.columns)
        lines = [f"<tr><td>{heads}"]
        for start, name in zip(range(0, len(page.jobs), across), page.rows or [""], strict=True):
            cells = "".join(
                f"<td>{_linked(tiles[number], tally.facts.get(number), self.home)}"
                for number in page.jobs[start : start + across]
            )
            lines.append(f"<tr><th scope=row>{html.escape(f'{names[0]} {name}' if name else '')}{cells}")
        caption = ", ".join(f"{key} {value}" for key, value in page.about.items())
        return f"<table><caption>{html.escape(caption)}</caption>\n" + "\n".join(lines) + "\n</table>"


def _in_order(jobs: Sequence[Job], numbers: Sequence[int], across: Sequence[Axis]) -> list[int]:
    """The numbers of jobs row by row."""
    at = {tuple(jobs[number].about[axis.word] for axis in across): number for number in numbers}
    return [at[texts] for texts in itertools.product(*(axis.texts for axis in across))]


def _title(page: Page, names: Sequence[str]) -> str:
    return ", ".join([" by ".join(names), *(f"{key} {value}" for key, value in page.about.items())])


def _tile(facts: Sequence[Mapping[str, Any]] | None) -> Image.Image | None:
    if not facts:
        return None
    image = read_picture(facts[0]["path"]).srgb
    image.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    return image


def _numbers(facts: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    if not facts:
        return {}
    one, scores = facts[0], facts[0].get("score") or {}
    return {"path": one["path"]} | {name: one[name] for name in NUMBERS if name in one} | dict(_scores(scores))


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, scores[name]) for name in SCORES if name in scores)


def _error(tally: Tally, number: int) -> dict[str, str]:
    if number in tally.facts:
        return {}
    return {"error": str(tally.failures[number]["message"]) if number in tally.failures else "not begun"}


def _from(home: Path, path: str) -> str:
    return Path(os.path.relpath(path, home)).as_posix()


def _linked(tile: Image.Image | None, facts: Sequence[Mapping[str, Any]] | None, home: Path) -> str:
    if tile is None or not facts:
        return "not made"
    data = base64.b64encode(encode_picture(tile, Path("tile.png"))).decode()
    address = quote(_from(home, facts[0]["path"]))
    return f'<a href="{address}"><img alt="{html.escape(address)}" src="data:image/png;base64,{data}"></a>'
