"""Several versions of one run, in one strip: a trick names variants of its options, and all are made from one seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.trick import Trick

if TYPE_CHECKING:
    from diffusion_tricks.generate.result import Result

SUMS = ("steps", "rows_total", "seconds")
PEAKS = ("rows_per_step", "peak_memory_mb")


def versions(tricks: Sequence[Trick[Any]]) -> list[list[Trick[Any]]]:
    """The tricks of every run that has to be made: one list of them, or one for each variant that a trick asks for.

    Raises UsageError where two tricks ask for variants, naming both.
    """
    asking = [
        (i, variants)
        for i, trick in enumerate(tricks)
        if (variants := guarded(trick.label(), "variants", trick.variants)) is not None
    ]
    if not asking:
        return [list(tricks)]
    if len(asking) > 1:
        names = " and ".join(repr(tricks[i].label()) for i, _ in asking)
        raise UsageError(f"{names} both ask for a strip of variants, and a picture holds one strip; leave one out")
    i, variants = asking[0]
    return [[*tricks[:i], tricks[i].but(**changes), *tricks[i + 1 :]] for changes in variants]


def strip(results: Sequence[Result], sums: Collection[str] = ()) -> Result:
    """One result whose picture shows those of `results` from left to right, tops aligned; costs are added up.

    sums: names of other facts that are.
    """
    if len(results) == 1:
        return results[0]
    page = side_by_side([result.image for result in results])
    return replace(results[0], image=page, facts=_facts([result.facts for result in results], page, (*SUMS, *sums)))


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right, tops aligned."""
    page = Image.new(images[0].mode, (sum(image.width for image in images), max(image.height for image in images)))
    left = 0
    for image in images:
        page.paste(image, (left, 0))
        left += image.width
    return page


def _facts(each: list[dict[str, Any]], page: Image.Image, sums: Collection[str]) -> dict[str, Any]:
    """The first run's facts, with sums and peaks over all, and every note once."""
    facts = each[0] | {"width": page.width, "height": page.height, "variants": len(each)}
    facts |= {name: round(sum(one[name] for one in each), 3) for name in sums if name in facts}
    facts |= {name: max(one[name] for one in each) for name in PEAKS if name in facts}
    notes = list(dict.fromkeys(note for one in each for note in one.get("notes", ())))
    return facts | ({"notes": notes} if notes else {})
