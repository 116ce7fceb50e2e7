"""The fields of jobs, by which pictures are told apart: its own, options of tricks, `seed`, `view`. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_tricks.plugin import UnknownName
from diffusion_tricks_batch.job_list import Listed
from diffusion_tricks_batch.results.made import Made

SEED, VIEW = "seed", "view"
OF_PICTURES = ("alignment", "concealment", "sep_min")
OF_VIEWS = ("alignment", "margin", "rank")
NAMES = ("id", "number")  # tell jobs apart, and nothing about them


@dataclass(frozen=True)
class Row:
    """What is measured of a picture, or of one view of it. index: which picture of its job. fields: what it is by."""

    job: str
    index: int
    fields: Mapping[str, Any]
    measures: Mapping[str, float]


def fields_of(job: Listed) -> dict[str, Any]:
    """What a job says, and what its tricks do, as `anagram.views`."""
    return {name: value for name, value in job.fields.items() if name not in NAMES} | dict(_of_tricks(job.fields))


def _of_tricks(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    tricks = fields.get("tricks")
    for entry in tricks if isinstance(tricks, list) else ():
        if isinstance(entry, Mapping) and "trick" in entry:
            yield from ((f"{entry['trick']}.{name}", value) for name, value in entry.items() if name != "trick")


def rows(made: Iterable[Made]) -> list[Row]:
    """A row for each picture."""
    return [Row(one.job.id, one.index, {SEED: one.seed} | fields_of(one.job), one.scores()) for one in made]


def rows_of_views(made: Iterable[Made]) -> list[Row]:
    """A row for each view of each picture, which is its field `view`."""
    return [
        Row(
            one.job.id, one.index, {SEED: one.seed} | fields_of(one.job) | {VIEW: view["name"]},
            {name: view[name] for name in OF_VIEWS if name in view},
        )
        for one in made
        for view in one.views
    ]  # fmt: skip


def check(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises UnknownName for a field that no job has."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownName("field of these jobs", name, known)


def known_fields(jobs: Iterable[Listed], *, views: bool) -> list[str]:
    """All fields there are. views: whether pictures have scores of their views."""
    own = dict.fromkeys(name for job in jobs for name in fields_of(job))
    return list(own | dict.fromkeys([SEED, *([VIEW] if views else [])]))


def key(value: Any) -> str:
    """Equal for equal values, whatever they are."""
    return json.dumps(value, sort_keys=True, default=str)


def grouped(items: Sequence[Row], by: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """The rows by their values of some fields: numbers in their order, others in that of the list."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in items:
        found.setdefault(tuple(key(row.fields.get(name)) for name in by), []).append(row)
    order = [_order(items, name) for name in by]
    ranks = {one: tuple(order[i][value] for i, value in enumerate(one)) for one in found}
    return {one: found[one] for one in sorted(found, key=ranks.__getitem__)}


def _order(items: Sequence[Row], name: str) -> dict[str, int]:
    values: dict[str, Any] = {key(row.fields.get(name)): row.fields.get(name) for row in items}
    numbers = all(isinstance(value, int | float) for value in values.values())
    ordered = sorted(values, key=lambda value: values[value]) if numbers else list(values)
    return {value: place for place, value in enumerate(ordered)}
