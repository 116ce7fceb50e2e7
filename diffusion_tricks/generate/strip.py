"""Several versions of one run, in one strip: a trick names variants of its options, and all are made from one seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.trick import Trick

if TYPE_CHECKING:
    from PIL import Image

    from diffusion_tricks.generate.result import Result

SUMS = ("steps", "rows_total", "seconds")
PEAKS = ("rows_per_step", "peak_memory_mb")


def versions(tricks: Sequence[Trick[Any]]) -> list[list[Trick[Any]]]:
    """The tricks of every run that has to be made: one list of them, or one for each variant that a trick asks for.

    Raises UsageError where two tricks ask for variants, naming both.
    """
    i, variants = _asking(tricks)
    if variants is None:
        return [list(tricks)]
    return [[*tricks[:i], tricks[i].but(**changes), *tricks[i + 1 :]] for changes in variants]


def labels(tricks: Sequence[Trick[Any]]) -> list[str]:
    """What tells each of the `versions` from the others, such as "start index 3"; one empty text where there is one."""
    _, variants = _asking(tricks)
    if variants is None:
        return [""]
    said = [{(name, repr(value)) for name, value in changes.items()} for changes in variants]
    common = set.intersection(*said)
    return [
        ", ".join(_said(name, value) for name, value in changes.items() if (name, repr(value)) not in common)
        for changes in variants
    ]


def _asking(tricks: Sequence[Trick[Any]]) -> tuple[int, list[dict[str, Any]] | None]:
    """The place of the trick that asks for variants, and those; None where none does."""
    asking = [
        (i, variants)
        for i, trick in enumerate(tricks)
        if (variants := guarded(trick.label(), "variants", trick.variants)) is not None
    ]
    if len(asking) > 1:
        names = " and ".join(repr(tricks[i].label()) for i, _ in asking)
        raise UsageError(f"{names} both ask for a strip of variants, and a picture holds one strip; leave one out")
    return asking[0] if asking else (0, None)


def _said(name: str, value: Any) -> str:
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"


def strip(results: Sequence[Result], sums: Collection[str] = (), named: Sequence[str] = ()) -> Result:
    """One result whose picture shows those of `results` from left to right, with their names; costs are added up.

    sums: names of other facts that are. named: what each is called. Those that came out the same are noted.
    """
    if len(results) == 1:
        return results[0]
    prompt, seed = results[0].recipe.prompt, f"seed {results[0].seed}"
    title = f"{prompt}, {seed}" if isinstance(prompt, str) and prompt else seed
    page = labelled_grid([result.image for result in results], columns=named, across=len(results), title=title)
    facts = _facts([result.facts for result in results], page, (*SUMS, *sums))
    notes = [*facts.get("notes", ()), *_same(results, named)]
    facts |= {"notes": notes} if notes else {}
    return replace(results[0], image=page, facts=facts, unfinished=None, raster=None, source=None, kept=None)


def _same(results: Sequence[Result], named: Sequence[str]) -> list[str]:
    """A note for each group of pictures that are equal to the bit."""
    groups: dict[bytes, list[str]] = {}
    for result, name in zip(results, named, strict=False):
        groups.setdefault(result.image.tobytes(), []).append(name)
    return [
        f"the pictures of {', '.join(names[:-1])} and {names[-1]} are the same to the bit; more `steps` may part them"
        for names in groups.values()
        if len(names) > 1
    ]


def _facts(each: list[dict[str, Any]], page: Image.Image, sums: Collection[str]) -> dict[str, Any]:
    """The first run's facts, with sums and peaks over all, and every note once."""
    facts = each[0] | {"width": page.width, "height": page.height, "variants": len(each)}
    facts |= {name: round(sum(one[name] for one in each), 3) for name in sums if name in facts}
    facts |= {name: max(one[name] for one in each) for name in PEAKS if name in facts}
    notes = list(dict.fromkeys(note for one in each for note in one.get("notes", ())))
    return facts | ({"notes": notes} if notes else {})
