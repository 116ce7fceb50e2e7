"""Outlines of pieces as lines to cut: each edge once, however many pieces it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from diffusion_tricks_print.page import Area, Path, Point

Edge = frozenset[tuple[float, float]]


def on(area: Area, size: tuple[int, int], outlines: Iterable[Iterable[Point]]) -> list[list[Point]]:
    """Outlines in pixels of a picture of that size, on the area that it fills."""
    x, y = area.width / size[0], area.height / size[1]
    return [[(area.x + right * x, area.y + down * y) for right, down in outline] for outline in outlines]


def cuts(outlines: Iterable[list[Point]], uncut: Iterable[list[Point]] = ()) -> list[Path]:
    """The edges of closed polygons as lines as long as can be, none of them twice: a knife follows each once.

    uncut: edges, from end to end, that are left out.
    """
    done: set[Edge] = {_edge(*ends) for ends in uncut}
    return [path for outline in outlines for path in _new(outline, done)]


def _new(outline: list[Point], done: set[Edge]) -> Iterator[Path]:
    """The runs of edges of one polygon that are not done yet; they are then."""
    run: list[Point] = []
    edges = list(zip(outline, [*outline[1:], outline[0]], strict=True))
    fresh = [_edge(*edge) not in done for edge in edges]
    if all(fresh):
        yield Path(tuple(outline), closed=True)
    for (start, end), new in zip(edges, fresh, strict=True):
        if new and not all(fresh):
            run = [*(run or [start]), end]
        elif run:
            yield Path(tuple(run))
            run = []
    if run:
        yield Path(tuple(run))
    done.update(_edge(*edge) for edge in edges)


def _edge(*ends: Point) -> Edge:
    return frozenset((round(x, 3), round(y, 3)) for x, y in ends)
