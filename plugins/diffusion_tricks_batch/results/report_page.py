"""A report to be read: as text, as Markdown, or as a page with figures that needs no network."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_batch.results.figures import MOST, intervals
from diffusion_tricks_batch.telling.tables import columns, counted, said, short

WIDE = 100  # characters
TEMPLATES = Path(__file__).parent / "templates"
HOW = (
    "Intervals are 95 % of a bootstrap over {of}. A difference is of the second value less the first, over pairs "
    "that are alike in all other fields; where its interval holds no 0, the two differ; one value has no interval."
)


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    title: str
    names: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """All tables of a report that have rows."""
    every = (_scores(data), *_differences(data), *_failures(data), _throughput(data))
    return [one for one in every if one.rows]


def _scores(data: Mapping[str, Any]) -> Table:
    by, measures = data["by"], data["measures"]
    first, *groups = data["scores"]
    rows = [[*(["all"] + [""] * (len(by) - 1) if by else []), str(first["n"]), *_measured(first, measures)]]
    rows += [[*_values(one["of"]), str(one["n"]), *_measured(one, measures)] for one in groups]
    return Table(f"Scores of {data['of']}", [*by, "n", *measures], rows if measures else [])


def _differences(data: Mapping[str, Any]) -> Iterator[Table]:
    for field in data["by"]:
        own = [one for one in data["differences"] if one["field"] == field]
        rows = [
            [_value(one["first"]), _value(one["second"]), str(one["pairs"]), *_measured(one, data["measures"], "+")]
            for one in own
        ]
        yield Table(f"What {field} makes", ["first", "second", "pairs", *data["measures"]], rows)


def _failures(data: Mapping[str, Any]) -> Iterator[Table]:
    kinds = data["failures"]["kinds"]
    yield Table("Failures", ["kind", "jobs"], [[kind, str(number)] for kind, number in kinds.items()])
    by = data["failures"]["by"]
    rows = [[*_values(one["of"]), str(one["jobs"]), *(str(one["failed"].get(kind, 0)) for kind in kinds)] for one in by]
    yield Table("Failures by field", [*(by[0]["of"] if by else ()), "jobs", *kinds], rows)


def _throughput(data: Mapping[str, Any]) -> Table:
    every = data["throughput"]
    rows = [_speed(one["worker"], one) for one in every["workers"]]
    rows += [_speed("all", every)] if len(rows) > 1 else []
    return Table("Speed", ["worker", "pictures", "seconds", "pictures/s", "denoising"], rows)


def _speed(name: str, one: Mapping[str, Any]) -> list[str]:
    rate, share = one["pictures_per_second"], one["denoising"]
    return [
        name, str(one["pictures"]), f"{one['seconds']:.1f}", "-" if rate is None else f"{rate:.3g}",
        "-" if share is None else f"{100 * share:.1f} %",
    ]  # fmt: skip


def _measured(one: Mapping[str, Any], measures: Sequence[str], sign: str = "") -> list[str]:
    return [_interval(one[name], sign) for name in measures]


def _interval(value: Mapping[str, float | None] | None, sign: str) -> str:
    if value is None:
        return "-"
    mean, *ends = (format(value[end], f"{sign}.3f") for end in ("mean", "low", "high") if value[end] is not None)
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def _values(of: Mapping[str, Any]) -> list[str]:
    return [_value(value) for value in of.values()]


def _value(value: Any) -> str:
    return short(said(value))


def heading(data: Mapping[str, Any]) -> str:
    """What it is about, in a line."""
    return f"{data['folder']}: {counted(data['pictures'], 'picture')} of {counted(data['jobs'], 'job')}"


def how(data: Mapping[str, Any]) -> str:
    """How the numbers are to be read."""
    return HOW.format(of=data["of"])


def as_text(data: Mapping[str, Any]) -> str:
    """The tables, for a terminal."""
    parts = [f"{one.title}\n" + "\n".join(columns(one.names, one.rows)) for one in tables(data)]
    return "\n\n".join([heading(data), *parts, textwrap.fill(how(data), WIDE)])


def as_markdown(data: Mapping[str, Any]) -> str:
    """The tables, as Markdown."""
    parts = [f"## {one.title}\n\n" + "\n".join(_of_markdown(one)) for one in tables(data)]
    return "\n\n".join([f"# {_escaped(heading(data))}", *parts, how(data)]) + "\n"


def _of_markdown(table: Table) -> Iterator[str]:
    for row in (table.names, ["---"] * len(table.names), *table.rows):
        yield "| " + " | ".join(map(_escaped, row)) + " |"


def _escaped(text: str) -> str:
    for mark in "\\|<*_`":
        text = text.replace(mark, f"\\{mark}")
    return text


def as_page(data: Mapping[str, Any]) -> str:
    """The tables and figures, as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    shown = [Markup(figure) for figure in figures(data)]  # our own SVG: matplotlib escapes its texts
    return made.get_template("report.html.jinja").render(
        heading=heading(data), how=how(data), tables=tables(data), figures=shown, most=_left_out(data)
    )


def figures(data: Mapping[str, Any]) -> Iterator[str]:
    """One for each measure, where scores are told apart."""
    first, *groups = data["scores"]
    for measure in data["measures"] if groups else ():
        mean = first[measure]["mean"] if first[measure] else None
        yield intervals(groups, measure, mean, f"{measure} by {', '.join(data['by'])}")


def _left_out(data: Mapping[str, Any]) -> str:
    number = len(data["scores"]) - 1
    return f"The figures show the first {MOST} of {number}." if number > MOST else ""


WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    ".html": as_page, ".htm": as_page, ".md": as_markdown, ".txt": lambda data: as_text(data) + "\n",
}  # fmt: skip


def writer_for(path: Path) -> Callable[[Mapping[str, Any]], str]:
    """What writes a report of that kind. Raises UsageError for a kind that there is not."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"expected a report as {', '.join(WRITERS)}, got {path}; choose one of these endings")
    return WRITERS[path.suffix.lower()]
