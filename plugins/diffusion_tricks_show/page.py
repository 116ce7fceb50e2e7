"""The page of one picture: it needs no network, and tells what there is to see only when asked."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from diffusion_tricks.plugin import fit
from diffusion_tricks_show.acts import Act, Distance, Frames, act_of
from diffusion_tricks_show.address import data_url, png_url
from diffusion_tricks_show.subject import Subject, instruction

TEMPLATES = Path(__file__).parent / "templates"
SIDE = 512  # pixels: of frames on the way, at the most
QUALITY = 85  # of these


def page_of(subject: Subject) -> str:
    """The page, as HTML."""
    views = [{"how": instruction(view), "says": view.prompt, **_act(act_of(subject, view))} for view in subject.views]
    puzzle = next((view["puzzle"] for view in views if view.get("puzzle")), None)
    home = next((view["how"] for view, shown in zip(views, subject.views, strict=True) if subject.is_home(shown)), None)
    data = {"picture": subject.address, "views": views, "puzzle": puzzle}
    return rendered("page.html.jinja", data=data, size=subject.image.size, made=_made(subject), home=home)


def _act(act: Act) -> dict[str, Any]:
    if isinstance(act, Distance):
        return {"kind": "distance", "sigma": act.sigma}
    if not isinstance(act, Frames):
        return {"kind": "turn", "quarters": act.quarters, "flipped": act.flipped, "negative": act.negative}
    *between, last = act.frames
    frames = [*(_small(frame) for frame in between), png_url(last)]
    puzzle = act.puzzle and {"labels": png_url(Image.fromarray(act.puzzle.labels)), "pieces": act.puzzle.data()}
    return {"kind": "frames", "frames": frames, "puzzle": puzzle}


def _made(subject: Subject) -> str:
    """By what, and from which seed."""
    record = subject.record or {}
    known = {"model": record.get("model"), "seed": record.get("seed")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)


def _small(image: Image.Image) -> str:
    scale = min(1.0, SIDE / max(image.size))
    data = io.BytesIO()
    fit(image, (round(image.width * scale), round(image.height * scale)), "stretch").save(data, "WEBP", quality=QUALITY)
    return data_url(data.getvalue(), "image/webp")


def rendered(template: str, **values: Any) -> str:
    """A template with its values; all text is escaped."""
    return str(_templates().get_template(template).render(**values))


@cache
def _templates() -> Any:
    """The templates, each read once: a gallery has thousands of pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
