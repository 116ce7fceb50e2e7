"""The best that were tried, made anew in full: at all steps, upscaled, each in a file with its record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import DiffusionTricksError, OutputError, read_record
from diffusion_tricks_search.asked import Arm, Asked
from diffusion_tricks_search.bench import Bench, Tell, full, scores_of
from diffusion_tricks_search.halving import chosen
from diffusion_tricks_search.log import Log
from diffusion_tricks_search.trials import Trial, trial_from

WORD = re.compile(r"[^\w]+")
LONGEST = 40  # letters of a prompt in the name of a file


def survivors(tried: Sequence[Trial], asked: Asked) -> list[Trial]:
    """Those to keep, the best first: the best of each pair, and further ones where that is too few."""
    return chosen(tried, lambda one: one.arm.pair, lambda one: float(one.scores[asked.by]), asked.keep)


def name_of(arm: Arm, seed: int, others: Collection[str] = ()) -> str:
    """The name of a picture's file, before it is ranked: `a-rabbit-a-duck-rotate_cw-3.png`; none of `others`."""
    words = [WORD.sub("-", text.lower()).strip("-")[:LONGEST].strip("-") for text in (arm.first, arm.second, arm.view)]
    name = "-".join([*words, str(seed)])
    digest = hashlib.sha256(repr(arm).encode()).hexdigest()[:8]
    return f"{name}.png" if f"{name}.png" not in others else f"{name}-{digest}.png"


@dataclass(frozen=True)
class Kept:
    """A picture in full: what it is of, with the scores of the full picture, and the name of its file."""

    trial: Trial
    name: str


def made(best: Iterable[Trial], log: Log, bench: Bench, tell: Tell) -> Iterator[Kept]:
    """Makes what is kept, one by one, each the same as its recipe alone gives.

    What the log has is not made again. Raises OutputError where a file stands in the way.
    """
    home = log.path.parent
    done = {trial_from(line["made"]).key: Kept(trial_from(line["made"]), line["name"]) for line in log.of("made")}
    for trial in best:
        kept = done.get(trial.key)
        if kept is None or not (home / kept.name).exists():
            tell(f"in full: {trial.arm.first} | {trial.arm.second}, {trial.arm.view}, seed {trial.seed}")
            others = {one.name for key, one in done.items() if key != trial.key}
            kept = _made(trial, name_of(trial.arm, trial.seed, others), log, bench)
            log.append([{"made": kept.trial.data(), "name": kept.name}])
            done[trial.key] = kept
        yield kept


def _made(trial: Trial, name: str, log: Log, bench: Bench) -> Kept:
    (result,) = bench.results(full(log.asked, trial.arm, trial.seed, bench.model))
    path = log.path.parent / name
    result.save(path, force=path.exists() and _is_ours(path, result.recipe))
    return Kept(replace(trial, scores=scores_of(result)), name)


def _is_ours(path: Path, recipe: Recipe) -> bool:
    """Whether a file is this very picture, of which the log was not told any more.

    The model is the search's; a record has but the name of its directory.
    """
    try:
        return bool(read_record(path)["recipe"] | {"model": None} == recipe.data() | {"model": None})
    except DiffusionTricksError:
        return False


def unranked(log: Log) -> None:
    """Gives the pictures the names back that they had before an earlier end of this search."""
    home = log.path.parent
    for line in log.of("ranked")[-1:]:
        for name, ranked in line["ranked"].items():
            if (home / ranked).exists() and not (home / name).exists():
                (home / ranked).rename(home / name)


def ranked(kept: Sequence[Kept], log: Log) -> list[Path]:
    """Puts the rank before the names of the pictures, 01 the best; gives their files.

    Raises OutputError where another file has one of these names.
    """
    home, width = log.path.parent, max(2, len(str(len(kept))))
    names = {one.name: f"{place:0{width}}-{one.name}" for place, one in enumerate(kept, 1)}
    if taken := next((name for name in names.values() if (home / name).exists()), None):
        raise OutputError(f"{home / taken} exists, and is none of this search's; move it away, and go on")
    log.append([{"ranked": names}])
    for name, new in names.items():
        (home / name).rename(home / new)
    return [home / new for new in names.values()]
