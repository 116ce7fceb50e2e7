"""Which jobs share a batch: a function of the whole list, never of what is left of it. No torch here.

So a run that is stopped and resumed makes the same batches, and in them the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from diffusion_tricks_batch.traits import Traits


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


def grouped(items: Sequence[tuple[Traits, Item]], pictures: int) -> list[Group]:
    """The batches of a list of jobs, at most so many pictures in each: of those alike, in the order of the list.

    Those of one model stand together, as only one is held at a time.
    """
    models: dict[str, dict[Hashable, list[tuple[Traits, Item]]]] = {}
    for traits, item in items:
        alike = models.setdefault(traits.recipe.model, {})
        alike.setdefault(traits.kind, []).append((traits, item))
    batches = [batch for alike in models.values() for kind in alike.values() for batch in _batches(kind, pictures)]
    return [Group(number, batch) for number, batch in enumerate(batches)]


def kinds(recipes: Iterable[Traits]) -> list[Traits]:
    """The first recipe of each kind that can share a batch."""
    return list({one.kind: one for one in reversed([*recipes])}.values())[::-1]


def _batches(items: Iterable[tuple[Traits, Item]], pictures: int) -> Iterator[tuple[Item, ...]]:
    batch: list[Item] = []
    held = 0
    for traits, item in items:
        recipe = traits.recipe
        more = recipe.count * recipe.best_of
        if batch and held + more > pictures:
            yield tuple(batch)
            batch, held = [], 0
        batch.append(item)
        held += more
    if batch:
        yield tuple(batch)


def again(group: Group, keys: Collection[str]) -> Group:
    """Another try of some jobs of a group, beside the same others, so that their pictures are the same."""
    items = tuple(replace(item, make=item.make and item.key in keys) for item in group.items)
    return replace(group, items=items, tries=group.tries + 1)


def but(group: Group, keys: Collection[str]) -> Group:
    """A group of which some jobs are not to be made, and are there for the others only."""
    return replace(group, items=tuple(replace(one, make=one.make and one.key not in keys) for one in group.items))


def halves(group: Group, keys: Collection[str]) -> list[Group]:
    """Some jobs of a group in two smaller ones, for which there may be memory."""
    items = tuple(item for item in group.items if item.key in keys)
    middle = len(items) // 2
    return [replace(group, items=half) for half in (items[:middle], items[middle:]) if half]
