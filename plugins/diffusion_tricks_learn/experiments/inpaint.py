"""x_t = m x_t + (1 - m) (sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps)      RePaint, arXiv:2201.09865, equation 8

m is 1 where the picture is made new. What it keeps is compared pixel by pixel, with the file that was written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks import Recipe, Result, TrickEntry
from diffusion_tricks.plugin import atomic_write, read_picture
from diffusion_tricks_learn.asked import prompt_for, quoted
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.report import png
from diffusion_tricks_learn.session import Session, stem

Places = NDArray[np.bool_]  # (h w) of a picture
BOX, ADDED = "box:25%,0%,75%,40%", "a top hat"


def inpaint(session: Session, picture: str, mask: str = BOX, prompt: str | None = None) -> Iterator[Findings]:
    """The masked part of a picture made new by several seeds, and how many pixels have changed elsewhere.

    mask: as the trick takes it, a file (white = new), alpha, box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1.
    """
    model = session.load()
    asked, before = prompt_for(model, prompt, ADDED), read_picture(picture).image
    entry = TrickEntry(trick="inpaint", image=picture, mask=mask)
    trick: Any = entry.build()
    new: Places = trick.mask_of(read_picture(picture)).weights > 0
    count = session.either(2, 5)
    session.clock.expect(model.defaults.steps)
    results = session.make(Recipe(prompt=asked, count=count, tricks=[entry]))
    changed = [differing(before, written(result.image)) for result in results]
    scores = session.clip_scores([around(result) for result in results], [asked] * count) if asked else []
    table: list[Row] = [
        {
            "seed": result.seed, "new_pixels": int(new.sum()), "changed_inside_pixels": int((places & new).sum()),
            "changed_outside_pixels": int((places & ~new).sum()),
            **({"clip_score": scores[i]} if scores else {}), "seconds": result.facts["seconds"],
        }
        for i, (result, places) in enumerate(zip(results, changed, strict=True))
    ]  # fmt: skip
    told = [
        f"seed {row['seed']}" + (f"\nscore {row['clip_score']:.2f}" if scores else "")
        + f"\n{row['changed_outside_pixels']} pixels changed outside"
        for row in table
    ]  # fmt: skip
    title = f"Inpainting: {session.name()}, {quoted(asked)}, mask {mask}"
    yield Findings(
        lambda: grid(
            [
                [before, black_and_white(new), *(result.image for result in results)],
                [None, None, *map(black_and_white, changed)],
            ],
            columns=[stem(picture), "mask: white is made new", *told],
            rows=["", "what has changed: white"],
            title=title,
        ),
        table,
        {"mask": mask, "prompt": asked, "kept_pixels": int((~new).sum())},
        said(table, int((~new).sum())),
        {f"inpainted-{result.seed}.png": result.image for result in results},
    )


def written(image: Image.Image) -> Image.Image:
    """A picture as its file gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        atomic_write(path, png(image))
        return read_picture(path).image


def differing(a: Image.Image, b: Image.Image) -> Places:
    """Where two pictures differ, in any of their channels."""
    places: Places = (np.asarray(a.convert("RGBA")) != np.asarray(b.convert("RGBA"))).any(axis=2)
    return places


def around(result: Result) -> Image.Image:
    """The mask with the surroundings that the model has seen."""
    return result.image.crop(tuple(result.facts["region"]))


def black_and_white(places: Places) -> Image.Image:
    """Places as a picture."""
    return Image.fromarray(places.astype(np.uint8) * 255)


def said(table: list[Row], kept: int) -> list[str]:
    """Whether anything has changed where it should not, and whether all has where it should."""
    outside, inside = (sum(row[f"changed_{where}_pixels"] for row in table) for where in ("outside", "inside"))
    new = sum(row["new_pixels"] for row in table)
    return [
        f"Of {kept * len(table):,} pixels outside the mask {outside or 'not one'} changed, in the files as they were"
        " written: in every step the known part is put back in with the noise of that step, and at the end as it is.",
        f"Of {new:,} inside {inside:,} changed. The known part is what the model continues, so the new fits to it:"
        " colours and edges go on over the mask's rim.",
    ]
