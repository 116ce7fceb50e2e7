"""Which jobs share a batch: a function of the whole list, never of what is left of it. No torch here.

So a run that is stopped and resumed makes the same batches, and in them the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from diffusion_tricks import Recipe, likeness


@dataclass(frozen=True)
class Item:
    """A job as a worker needs it, as plain data.

    key: its id. recipe: as data, with a seed. asked: see `asked_of`. inputs: SHA-256 of each file that it reads, by its
    path. paths: of its pictures. make: whether they are to be written; else it is there for the others of its batch.
    ours: whether its files, as far as there are any, are replaced.
    """

    key: str
    recipe: Mapping[str, Any]
    asked: str
    inputs: Mapping[str, str]
    paths: tuple[str, ...]
    make: bool = True
    ours: bool = False


@dataclass(frozen=True)
class Group:
    """Jobs that share a batch. tries: that were made of it before."""

    number: int
    items: tuple[Item, ...]
    tries: int = 0

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def group_from(data: Mapping[str, Any]) -> Group:
    """A group from plain data."""
    items = tuple(Item(**{**one, "paths": tuple(one["paths"])}) for one in data["items"])
    return Group(data["number"], items, data["tries"])


def grouped(items: Sequence[tuple[Recipe, Item]], pictures: int) -> list[Group]:
    """The batches of a list of jobs, at most so many pictures in each: of those alike, in the order of the list."""
    alike: dict[Any, list[tuple[Recipe, Item]]] = {}
    for recipe, item in items:
        alike.setdefault(likeness(recipe), []).append((recipe, item))
    batches = [batch for kind in alike.values() for batch in _batches(kind, pictures)]
    return [Group(number, batch) for number, batch in enumerate(batches)]


def _batches(items: Iterable[tuple[Recipe, Item]], pictures: int) -> Iterator[tuple[Item, ...]]:
    batch: list[Item] = []
    held = 0
    for recipe, item in items:
        more = recipe.count * recipe.best_of
        if batch and held + more > pictures:
            yield tuple(batch)
            batch, held = [], 0
        batch.append(item)
        held += more
    if batch:
        yield tuple(batch)


def alone(group: Group, key: str) -> Group:
    """Another try of one job of a group, without the others."""
    return replace(group, items=tuple(item for item in group.items if item.key == key), tries=group.tries + 1)
