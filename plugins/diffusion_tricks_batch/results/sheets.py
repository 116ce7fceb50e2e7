"""Contact sheets: the pictures of a batch at a glance, each with its job, what it shows and its alignment."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from diffusion_tricks.plugin import PictureError, labelled_grid, read_picture
from diffusion_tricks_batch.results.made import Made
from diffusion_tricks_batch.telling.tables import short

ON_A_SHEET, ACROSS = 100, 10  # pictures
THUMB = 160  # pixels: of the longer side of a picture, at the most
ABOUT = 60  # characters that are said of one


def sheets(home: Path, made: Sequence[Made]) -> Iterator[tuple[str, bytes]]:
    """The name and the PNG of each sheet, one at a time: `sheet.png`, or `sheet-1.png` and so on."""
    parts = [made[start : start + ON_A_SHEET] for start in range(0, len(made), ON_A_SHEET)]
    for number, part in enumerate(parts):
        first = number * ON_A_SHEET + 1
        last = first + len(part) - 1
        count = f"pictures {first:,} to {last:,} of {len(made):,}" if len(parts) > 1 else ""
        title = ": ".join(filter(None, [home.resolve().name, count]))
        yield sheet_name(number, len(parts)), sheet(home, part, title)


def sheet_name(number: int, of: int) -> str:
    """The file of a sheet; number: from 0."""
    return "sheet.png" if of == 1 else f"sheet-{number + 1}.png"


def sheet(home: Path, made: Sequence[Made], title: str) -> bytes:
    """One sheet of pictures, as PNG."""
    across = min(ACROSS, len(made))
    tiles = [thumb(home / one.path) for one in made]
    page = labelled_grid(tiles, captions=[caption(one) for one in made], across=across, title=title)
    data = io.BytesIO()
    page.save(data, "PNG")
    return data.getvalue()


def thumb(path: Path) -> Image.Image | None:
    """A picture made small; None for one that is gone or damaged."""
    try:
        small = read_picture(path).srgb
    except PictureError:
        return None
    small.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    return small


def caption(one: Made) -> str:
    """The job, what the picture shows, and how well."""
    shows = " / ".join(dict.fromkeys(view["prompt"] for view in one.views)) or one.job.fields.get("prompt") or ""
    score = one.scores().get("alignment")
    lines = [one.job.id if one.job.pictures == 1 else f"{one.job.id}, {one.index + 1}", short(str(shows), ABOUT)]
    return "\n".join([*filter(None, lines), *([] if score is None else [f"A {score:.2f}"])])
