"""The commands `mask`, which shows a mask on its picture, and `verify`, which counts what an edit changed. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from diffusion_tricks_plugins.kept import Pixels
    from diffusion_tricks_plugins.masks import Mask

F = TypeVar("F", bound=Callable[..., Any])
GRAMMAR = """
\b
A mask is a form, or several in an expression:
  box:25%,0%,75%,40%     x0,y0,x1,y1, in pixels or percent
  box:200x100+20+10      so wide and high, from x,y on
  ellipse:...            the ellipse in that box
  circle:50%,50%,40      x,y and radius
  poly:10,10 90,20 50,80 points of a closed line
  mask.png               a file: white is made new
  alpha, alpha:FILE      what is transparent in it
  color:#0f0~12          no channel more than 12 of 255 away
  luma:>70%              brighter, or darker: luma:<30%
  words:"the hat"        what CLIPSeg finds
  saliency               what catches the eye
\b
In order of binding, the first the most:
  M grow:8  M shrink:4  M feather:12  M blur:3  M holes
  ! M                    all but
  M & M                  in both
  M ^ M                  in one of them
  M + M   M - M          in either; in the first alone
Brackets are brackets. A name with a space or a sign in it stands in double quotes.
"""
EXAMPLES = {
    "mask": "Example:\n\n\b\n  diffusion-tricks mask photo.png --mask 'luma:>70% & box:0,0,100%,30%' -o preview.png",
    "verify": (
        "Example:\n\n\b\n  diffusion-tricks verify photo.png out.png --mask box:25%,0%,75%,40%\n"
        "  diffusion-tricks verify photo.png wide.png --at 200,0"
    ),
}
MASKING = (
    click.option("--mask", "masks", multiple=True, metavar="EXPR", help="What is made new; several are their union."),
    click.option("--mask-fit", is_flag=True, help="Resize a mask file of another size to the picture's."),
    click.option("--invert", is_flag=True, help="Make new what the mask keeps, and keep the rest."),
    click.option("--segmenter", help="Another CLIPSeg for words: a directory or a hub name."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)  # fmt: skip


def masking(command: F) -> F:
    """The options that say a mask, for a command."""
    for option in reversed(MASKING):
        command = option(command)
    return command


@click.command("mask", epilog=f"{GRAMMAR}\n{EXAMPLES['mask']}", short_help="what a mask covers of a picture")
@click.argument("picture", type=click.Path())
@masking
@click.option("-o", "--output", type=click.Path(), help="Show the mask on the picture in this file.")
@click.option("--plain", is_flag=True, help="Write the mask itself, white where all is made new.")
@click.option("--force", is_flag=True, help="Replace an older file.")
def mask_command(picture: str, as_json: bool, **options: Any) -> None:
    """Show what a mask covers of a picture: its edge, its box, and how much of the picture it is."""
    facts = masked(picture, **options)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in _told(facts).items():
        click.echo(f"{name + ':':<9}{value}")
    _say_notes(facts)


def masked(
    picture: str, *, masks: tuple[str, ...], mask_fit: bool, invert: bool, segmenter: str | None, output: str | None,
    plain: bool, force: bool,
) -> dict[str, Any]:  # fmt: skip
    """What there is to say of a mask on a picture, which is drawn if that was asked for."""
    from PIL import Image

    from diffusion_tricks.plugin import UsageError, read_picture, write_picture
    from diffusion_tricks_plugins.masks import files_in, read_mask
    from diffusion_tricks_plugins.masks.preview import preview

    if not masks:
        raise UsageError("nothing says what is made new; name it with `mask`, as box:25%,0%,75%,40%")
    if (plain or force) and output is None:
        raise UsageError(f"`{'plain' if plain else 'force'}` is of a file that is written; name it with `output`")
    read = read_picture(picture)
    mask = read_mask(masks, read, fit=mask_fit, invert=invert, segmenter=segmenter)
    facts = {"path": output} if output is not None else {}
    if output is not None:
        shown = Image.fromarray(mask.weights) if plain else preview(read.image, mask)
        write_picture(shown, output, force=force, inputs=[picture, *(f for one in masks for f in files_in(one))])
    return facts | facts_of(mask)


def facts_of(mask: Mask) -> dict[str, Any]:
    """A mask in numbers: the pixels that it touches, those that it makes new in part, and the box around them."""
    covered, soft = int((mask.weights > 0).sum()), int(((mask.weights > 0) & (mask.weights < 255)).sum())
    height, width = mask.weights.shape
    return {
        "width": width, "height": height, "mask_pixels": covered, "soft_pixels": soft,
        "percent": round(100 * covered / mask.weights.size, 3), "box": list(mask.bounds),
        **({"notes": list(mask.notes)} if mask.notes else {}),
    }  # fmt: skip


def _told(facts: dict[str, Any]) -> dict[str, str]:
    left, top, right, bottom = facts["box"]
    of = f"{facts['mask_pixels']:,} of {facts['width'] * facts['height']:,} pixels"
    return {
        "covered": f"{facts['percent']:g} %, {of}",
        "box": f"{left},{top},{right},{bottom}, {right - left} x {bottom - top} pixels",
        "edge": f"soft: {facts['soft_pixels']:,} pixels are blends" if facts["soft_pixels"] else "hard",
        **({"written": facts["path"]} if "path" in facts else {}),
    }


@click.command("verify", epilog=EXAMPLES["verify"], short_help="what an edit changed outside its mask")
@click.argument("before", type=click.Path(), metavar="IN")
@click.argument("after", type=click.Path(), metavar="OUT")
@masking
@click.option("--at", metavar="X,Y", help="OUT is larger: where in it the left top corner of IN lies, in pixels.")
def verify_command(before: str, after: str, as_json: bool, **options: Any) -> None:
    """Count the pixels outside the mask in which OUT differs from IN, both as they lie on the disk, at full depth.

    Also the largest of these differences, and the seam: how much rougher the mask's edge is than its surroundings, 1
    where it is not. Exit code 1 if any pixel outside changed. A mask is what mask --help says. Of a picture that was
    extended --at says where the old one lies, all of which is to be kept.
    """
    facts = verified(before, after, **options)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        largest = f"largest difference {facts['largest']} of {2 ** facts['depth'] - 1}"
        click.echo(
            f"{facts['changed_outside']:,} of {facts['kept_pixels']:,} pixels outside the mask changed, {largest}"
        )
        click.echo(f"seam {'none' if facts['seam'] is None else facts['seam']}")
        _say_notes(facts)
    if facts["changed_outside"]:
        click.get_current_context().exit(1)


def verified(
    before: str, after: str, *, masks: tuple[str, ...], mask_fit: bool, invert: bool, segmenter: str | None,
    at: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What an edit changed of a picture outside a mask, or of all of it where that lies `at` a place of a larger one.

    Raises UsageError for pictures whose sizes do not go together.
    """
    import numpy as np

    from diffusion_tricks.plugin import UsageError, read_picture
    from diffusion_tricks_plugins.kept import alike, differing, kept_hash, read_pixels, seam
    from diffusion_tricks_plugins.masks import read_mask

    old, new = read_pixels(before), read_pixels(after)
    where = _place(at, (before, old), (after, new))
    if masks:
        mask = read_mask(masks, read_picture(before), fit=mask_fit, invert=invert, segmenter=segmenter)
    elif at is not None and not (mask_fit or invert or segmenter):
        mask = None
    else:
        raise UsageError("nothing says what was made new; name it with `mask`, or with `at` where the old picture lies")
    kept = np.zeros(new.shape[:2], bool)
    kept[where] = True if mask is None else mask.weights == 0
    told = {"seam": seam(new, kept), "kept_sha256": kept_hash(new, kept)}
    old, new = alike(old, new[where])
    changed = differing(old, new) & kept[where]
    gaps = abs(old[changed].astype(int) - new[changed])
    return {
        "path": after, "before": before, "changed_outside": int(changed.sum()), "kept_pixels": int(kept.sum()),
        "largest": int(gaps.max()) if len(gaps) else 0, "depth": old.dtype.itemsize * 8, **told,
        **({"notes": list(mask.notes)} if mask and mask.notes else {}),
    }  # fmt: skip


def _place(at: str | None, before: tuple[str, Pixels], after: tuple[str, Pixels]) -> tuple[slice, slice]:
    """The rows and columns of the picture after that the one before lies in. Raises UsageError."""
    from diffusion_tricks.plugin import UsageError

    (height, width), (high, wide) = before[1].shape[:2], after[1].shape[:2]
    if at is None and (height, width) != (high, wide):
        raise UsageError(
            f"{before[0]} is {width} x {height} pixels and {after[0]} {wide} x {high}; expected an edit of the same "
            "size, or, of a picture that was extended, where the old one lies in it: `at`, as 200,0"
        )
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", at or "0,0")
    if found is None:
        raise UsageError(f"`at` {at!r}: expected x and y in pixels, as 200,0")
    x, y = int(found[1]), int(found[2])
    if x + width > wide or y + height > high:
        raise UsageError(f"{before[0]}, {width} x {height} pixels, at {x},{y} does not lie within {after[0]}, {wide} x"
                         f" {high} pixels; expected the place that the record of {after[0]} says")  # fmt: skip
    return slice(y, y + height), slice(x, x + width)


def _say_notes(facts: dict[str, Any]) -> None:
    for note in facts.get("notes", ()):
        click.echo(f"Note: {note}", err=True)
