"""A search from its question to its pictures; it may be stopped anywhere, and goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusion_tricks import Model, Scorer, load_model, sample
from diffusion_tricks.plugin import UsageError, scorer_named
from diffusion_tricks_search.asked import Asked, seeds_of
from diffusion_tricks_search.bench import Bench, Tell, full
from diffusion_tricks_search.halving import timetable
from diffusion_tricks_search.log import Log, begin, check_free, found
from diffusion_tricks_search.outcome import compared, numbers, sheet, written
from diffusion_tricks_search.survivors import Kept, made, ranked, survivors, unranked
from diffusion_tricks_search.trials import Trial, explored, pictures, trial_from

LISTED = 12  # words; of those that are named in a remark


def silent(said: str) -> None:
    """Says it to nobody."""


@dataclass(frozen=True)
class Found:
    """What a search found. pictures: their files, the best first. others: sheet and report. data: all numbers."""

    pictures: list[Path]
    others: list[Path]
    data: dict[str, Any]


def search(
    asked: Asked | None, home: Path, model: Model | None = None, scorer: Scorer | None = None, *,
    device: str = "auto", max_rows: int | None = None, resume: bool = False, finish: bool = False,
    tell: Tell = silent, note: Tell = silent,
) -> Found:  # fmt: skip
    """Searches, and leaves pictures, scores, a sheet and a report in the folder `home`.

    asked: None for what a search in `home` was asked, with `resume`. model, scorer: else those that were asked for,
    on `device`. finish: no further ones are tried; what was found so far is made in full. tell: is told what is being
    done, note: what one should know.
    Raises UsageError and OutputError for what cannot be, and as `making` and `load_model` do.
    """
    begun = found(home) if resume else None
    if begun:
        check_same(begun.asked, asked)
    asked = begun.asked if begun else new(asked, home)
    tell("loading")
    model = model or load_model(asked.model, device=device)
    bench = Bench(model, scorer or scorer_named(asked.scorer, str(model.device)), max_rows)
    check(asked, bench.model)
    log = begun or begin(home, asked)
    for said in remarks(asked, bench):
        note(said)
    tried = so_far(log) if finish else list(explored(log, bench, tell))
    if not tried:
        raise UsageError(f"nothing was tried yet in {home}; go on without `finish`")
    for said in () if finish else unspent(len(tried), log, bench):
        note(said)
    again = bool(log.of("ranked"))
    unranked(log)
    kept = sorted(made(survivors(tried, asked), log, bench, tell), key=lambda one: -float(one.trial.scores[asked.by]))
    files = ranked(kept, log)
    return Found(files, *_told(tried, kept, files, log, bench, again, tell))


def _told(
    tried: list[Trial], kept: list[Kept], files: list[Path], log: Log, bench: Bench, again: bool,
    tell: Tell,
) -> tuple[list[Path], dict[str, Any]]:  # fmt: skip
    data = numbers(tried, kept, log, bench)
    if log.asked.fid:
        data["distances"] = compared(files, kept, log, bench, tell)
    return written(data, sheet(files, kept), log.path.parent, force=again), data


def new(asked: Asked | None, home: Path) -> Asked:
    """What a new search is asked. Raises UsageError where that is nothing, and OutputError as `check_free`."""
    if asked is None:
        raise UsageError(f"nothing says what to search; name pairs, or go on with what is in {home} by `resume`")
    check_free(home)
    return asked


def check(asked: Asked, model: Model) -> None:
    """Takes the first step of a full picture through each view, so that what must fail fails at once."""
    first = asked.arms[0]
    for view in asked.views:
        recipe = full(asked, replace(first, view=view), 0, model)
        steps = sample(
            model, tricks=recipe.build(), steps=recipe.steps, scheduler=recipe.scheduler, size=recipe.size
        )  # fmt: skip
        next(iter(steps))


def unspent(tried: int, log: Log, bench: Bench) -> Iterator[str]:
    """What is left of the budget, where the seeds ran out before it."""
    seeds, budget = seeds_of(log.asked.seeds), pictures(log, bench)
    table = timetable(len(log.asked.arms), budget, len(seeds))
    if (left := budget - tried) > 0 and sum(this.each for this in table) == len(seeds):
        yield f"{left} of {budget} pictures not spent, as the seeds ran out; give more seeds than {log.asked.seeds}"


def so_far(log: Log) -> list[Trial]:
    """What was tried before."""
    return [trial_from(line) for line in log.of("round")]


def remarks(asked: Asked, bench: Bench) -> Iterator[str]:
    """What should be known before so many pictures are made: which words the model was not taught."""
    words = bench.model.vocabulary
    unknown = list(words.unknown(text for pair in asked.pairs for text in pair)) if words else []
    if unknown:
        named = ", ".join(map(repr, unknown[:LISTED])) + (", ..." if len(unknown) > LISTED else "")
        yield f"the model {bench.model.name!r} was not taught {len(unknown)} of the words asked: {named}"


def check_same(begun: Asked, asked: Asked | None) -> None:
    """Raises UsageError where a search that goes on is asked something else than it was."""
    if asked is None or asked == begun:
        return
    was, new = begun.data(), asked.data()
    name = next(name for name in was if was[name] != new[name])
    told = "other pairs" if name == "pairs" else f"`{name}={new[name]!r}`, and was begun with {was[name]!r}"
    raise UsageError(f"this search is asked {told}; leave that out to go on, or begin another in a new folder")
