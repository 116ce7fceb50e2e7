"""The best of several pictures, by their scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from diffusion_tricks.errors import UsageError
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Score, Scorer, groups
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.generate.strip import versions
from diffusion_tricks.recipes.recipe import Recipe


def scored(results: Iterable[Result], scorer: Scorer, of: int = 1) -> Iterator[Result]:
    """The best of every `of` results that follow each other, with its score, and all candidates' among its facts.

    The one whose worst view is aligned best is kept, the first of those that are equal. They are scored as they were
    made, before tricks wrote on them. Costs are added up.
    """
    for index, candidates in enumerate(groups(results, of)):
        scores = [scorer.score(shown(one.recipe, one.unfinished or one.image)) for one in candidates]
        best = max(range(len(scores)), key=lambda i: scores[i].order)
        facts = _facts(candidates, scores, best)
        yield replace(candidates[best], index=index, facts=facts, score=scores[best])


def _facts(candidates: Sequence[Result], scores: Sequence[Score], best: int) -> dict[str, Any]:
    """Those of the best, with its score, and for several the others', and what all of them cost."""
    facts = candidates[best].facts | {"score": scores[best].data()}
    notes = [*facts.get("notes", ()), *outside_notes(scores[best])]
    if len(candidates) == 1:
        return facts | ({"notes": notes} if notes else {})
    rows = [
        {
            "seed": result.seed, "sep_min": score.sep_min, "alignment": score.alignment,
            "concealment": score.concealment,
        }
        for result, score in zip(candidates, scores, strict=True)
    ]  # fmt: skip
    sums = {key: round(sum(one.facts[key] for one in candidates), 3) for key in ("rows_total", "seconds")}
    kept = _kept(candidates[best], scores[best], len(candidates))
    return facts | sums | {"candidates": rows, "notes": [*notes, kept]}


def _kept(result: Result, score: Score, count: int) -> str:
    """Which candidate was kept, and how well its weakest view does, in a sentence."""
    weakest = min(score.views, key=lambda view: view.alignment)
    place = f"{weakest.prompt!r} comes at rank {weakest.rank} of all that the scorer knows"
    return f"kept seed {result.seed}, the best of {count}; in its weakest view, {weakest.name}, {place}"


def outside_notes(score: Score) -> list[str]:
    """A sentence for each prompt that is outside what the scorer knows, and for views that look like nothing known."""
    notes = [
        f"the scorer knows nothing like {prompt!r}, so its score says little; name a larger CLIP with `scorer`"
        for prompt in score.outside
    ]
    if strange := " and ".join(dict.fromkeys(score.strange)):
        notes.append(f"the scorer knows no pictures like this one ({strange}), so its score says little; the one inside"
                     " knows emoji, not photographs: name a larger CLIP with `scorer`")  # fmt: skip
    return notes


def check_candidates(recipe: Recipe) -> None:
    """Raises UsageError for a recipe of which there are no candidates to choose from."""
    if recipe.best_of > 1 and recipe.picture is not None:
        raise UsageError(
            f"a picture that is only finished has no candidates, got best_of {recipe.best_of}; leave it out"
        )
    if recipe.best_of > 1 and len(versions(recipe.build())) > 1:
        raise UsageError(f"a strip of variants has no best one, got best_of {recipe.best_of}; leave one of them out")
