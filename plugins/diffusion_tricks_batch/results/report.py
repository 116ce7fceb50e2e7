"""The numbers of a batch: scores by field with how sure they are, differences, failures, and how fast it went.

Intervals are 95 % of a bootstrap over pictures (Efron 1979). A difference of two values of a field is over pairs of
jobs that are alike in all other fields, whose pictures are drawn as a pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch

from diffusion_tricks.plugin import bootstrap
from diffusion_tricks_batch.results.fields import (
    OF_PICTURES,
    OF_VIEWS,
    VIEW,
    Row,
    check,
    fields_of,
    grouped,
    key,
    known_fields,
    rows,
    rows_of_views,
)
from diffusion_tricks_batch.results.made import pictures
from diffusion_tricks_batch.results.throughput import throughput
from diffusion_tricks_batch.telling.standing import Standing

MOST_VALUES = 5  # of a field: all pairs of so many are compared, of more each with the first


def report(standing: Standing, by: Sequence[str] = ()) -> dict[str, Any]:
    """The numbers of a batch, as plain data. Raises UnknownName for a field that there is not.

    by: fields of the jobs, options of tricks as `anagram.views`, `seed`, or, unless a field is called so, `view`: then
    the numbers are of single views.
    scores: of all, and of each combination of values, n, and of each measure its mean and the low and high ends of its
    interval. differences: of each field, the second value less the first. failures: by kind, and by value.
    throughput: see `throughput`.
    """
    made = list(pictures(standing))
    fields = dict.fromkeys(name for job in standing.jobs.values() for name in fields_of(job))
    check(by, known_fields(standing.jobs.values(), views=any(one.views for one in made)))
    of_views = VIEW in by and VIEW not in fields
    measured = rows_of_views(made) if of_views else rows(made)
    measures = [name for name in (OF_VIEWS if of_views else OF_PICTURES) if any(name in r.measures for r in measured)]
    return {
        "folder": standing.records.home.resolve().name, "jobs": len(standing.jobs), "pictures": len(made),
        "by": list(by), "of": "views" if of_views else "pictures", "measures": measures,
        "scores": [scored(measured, measures), *_by_value(measured, by, measures)],
        "differences": [one for name in by for one in differences(measured, name, measures, fields)],
        "failures": failures(standing, by), "throughput": throughput(standing),
    }  # fmt: skip


def scored(measured: Sequence[Row], measures: Sequence[str]) -> dict[str, Any]:
    """n, and each measure's mean and interval, of rows."""
    return {"n": len(measured)} | {name: interval(_values(measured, name)) for name in measures}


def _by_value(measured: Sequence[Row], by: Sequence[str], measures: Sequence[str]) -> list[dict[str, Any]]:
    groups = grouped(measured, by).values() if by else ()
    return [{"of": {name: one[0].fields.get(name) for name in by}} | scored(one, measures) for one in groups]


def _values(measured: Iterable[Row], name: str) -> list[float]:
    return [float(row.measures[name]) for row in measured if name in row.measures]


def interval(values: Sequence[float]) -> dict[str, float | None] | None:
    """The mean, and the ends of its 95 % interval: None of one value; None for all where there are no values."""
    if not values:
        return None
    known = torch.tensor(values, dtype=torch.float64)
    low, high = bootstrap(known) if len(values) > 1 else (None, None)
    return {"mean": float(known.mean()), "low": low, "high": high}


def differences(
    measured: Sequence[Row], name: str, measures: Sequence[str], fields: Iterable[str]
) -> list[dict[str, Any]]:  # fmt: skip
    """What one value of a field makes of the scores beside another, wherever jobs are alike in the other fields."""
    by_value = grouped(measured, [name])
    values = {one: group[0].fields.get(name) for one, group in by_value.items()}
    pairs = list(combinations(by_value, 2)) if len(by_value) <= MOST_VALUES else [
        (next(iter(by_value)), other) for other in list(by_value)[1:]
    ]  # fmt: skip
    others = None if name == VIEW and VIEW not in fields else [one for one in fields if not _says(one, name)]
    alike = {one: _alike(group, others) for one, group in by_value.items()}
    compared = [
        {"field": name, "first": values[one], "second": values[other]} | _difference(alike[one], alike[other], measures)
        for one, other in pairs
    ]
    return [one for one in compared if one["pairs"]]


def _says(field: str, name: str) -> bool:
    """Whether a field says what another does: `tricks` all options of tricks, and the other way round."""
    return field == name or (field == "tricks" and "." in name) or ("." in field and name == "tricks")


def _alike(group: Iterable[Row], others: Sequence[str] | None) -> dict[str, list[Row]]:
    """The rows by all that they are to be alike in: the other fields, or the picture itself."""
    found: dict[str, list[Row]] = {}
    for row in group:
        same = row.job if others is None else [row.fields.get(name) for name in others]
        found.setdefault(key([same, row.index]), []).append(row)
    return found


def _difference(
    first: Mapping[str, list[Row]], second: Mapping[str, list[Row]], measures: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    both = [one for one in first if one in second]
    return {"pairs": len(both)} | {
        name: interval(
            [
                _mean(_values(second[one], name)) - _mean(_values(first[one], name))
                for one in both
                if _values(first[one], name) and _values(second[one], name)
            ]
        )
        for name in measures
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def failures(standing: Standing, by: Sequence[str]) -> dict[str, Any]:
    """How many jobs failed by the kind of their error, and by the values of fields, of how many."""
    failed = {job.id: kind for job, kind in standing.failures()}
    jobs = [Row(job.id, 0, fields_of(job), {}) for job in standing.jobs.values()]
    named = [name for name in by if any(name in row.fields for row in jobs)]
    groups = grouped(jobs, named).values() if named else ()
    counted = [
        {
            "of": {name: one[0].fields.get(name) for name in named}, "jobs": len(one),
            "failed": dict(Counter(failed[row.job] for row in one if row.job in failed)),
        }
        for one in groups
    ]  # fmt: skip
    return {"kinds": dict(Counter(failed.values())), "by": [one for one in counted if one["failed"]]}
