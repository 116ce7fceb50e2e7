"""What choosing is worth: a random candidate, the one aligned best, the one of the largest `sep_min`, and the ceiling.

    python benchmarks/selection.py --judge judge.pt                        the 50 pairs, four candidates each
    python benchmarks/selection.py --judge judge.pt --others 50            other pairs, to choose a rule on
    python benchmarks/selection.py --judge judge.pt --scorer DIR --scorer embedded
    python benchmarks/selection.py --judge judge.pt --ways illusions.json  among the ways of `illusions.py --json`
    python benchmarks/selection.py --judge judge.pt --ways illusions.json --among-pairs --only mean

Every pair of `reach_pairs.toml` is made as an anagram from so many seeds; the scorer sees all of them, and the judge of
`reach.py`, which has no part in the choice, says which candidates show both things: both captions within the first five
of all emoji. random: their share. ceiling: the pairs with at least one. place: the judge's place of the worse view over
that of a random pick, geometric means; below 1 is better. Intervals are the bootstrap's, over pairs.

Among pairs, as `search` chooses, one picture of each is there, and the best quarter of them is kept. auc: how often a
picture that shows both things is ranked above one that does not; .5 is chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path

import torch
from torch import Tensor

from anagrams import Judged, Pair, chosen_pairs, entry, judged, opened, parser, read, write
from diffusion_tricks import Scorer
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.metrics import bootstrap
from measures import FIRST, Bench

INSIDE = "embedded"
Candidates = Sequence[Judged]
Rule = Callable[[Candidates], Candidates]  # those it may end with, each as likely


def any_of_them(all_of_them: Candidates) -> Candidates:
    """A blind choice."""
    return all_of_them


def by_alignment(candidates: Candidates) -> Candidates:
    """The one whose worst view is aligned best."""
    return [max(candidates, key=lambda one: one.alignment)]


def by_sep_min(candidates: Candidates) -> Candidates:
    """The one of the largest margin in its weakest view."""
    return [max(candidates, key=lambda one: (one.sep_min, one.alignment))]


def by_judge(candidates: Candidates) -> Candidates:
    """The one of the best worse place: what no choice exceeds."""
    return [min(candidates, key=lambda one: max(one.places))]


RULES: dict[str, Rule] = {
    "random pick": any_of_them, "pick by alignment": by_alignment, "pick by sep_min": by_sep_min, "ceiling": by_judge,
}  # fmt: skip


def met(rule: Rule, made: Sequence[Candidates]) -> Tensor:
    """How often each pair is met (n), 0..1."""
    picked = [rule(candidates) for candidates in made]
    return torch.tensor([sum(one.success for one in some) / len(some) for some in picked])


def log_places(rule: Rule, made: Sequence[Candidates]) -> Tensor:
    """The logarithm of the judge's place of the worse view, of each pair (n)."""
    picked = [rule(candidates) for candidates in made]
    return torch.tensor([sum(log(max(one.places)) for one in some) / len(some) for some in picked])


def table(made: Sequence[Candidates]) -> str:
    """Every rule's share of pairs with its interval, how far it is above the random pick, and its places over those."""
    blind, blind_places = met(any_of_them, made), log_places(any_of_them, made)
    lines = [f"{'rule':18} {'met':>6} {'95 %':>16}  {'above random':>12} {'95 %':>18}  {'place':>6} {'95 %':>14}"]
    for name, rule in RULES.items():
        own = met(rule, made)
        gain, places = own - blind, log_places(rule, made) - blind_places
        (low, high), (under, over) = bootstrap(own), bootstrap(gain)
        least, most = torch.tensor(bootstrap(places)).exp().tolist()
        shares = f"{own.mean():6.1%} {low:6.1%} to {high:6.1%}"
        above = f"{gain.mean():+12.1%} {under:+7.1%} to {over:+7.1%}"
        lines.append(f"{name:18} {shares}  {above}  {places.mean().exp():6.2f} {least:5.2f} to {most:5.2f}")
    return "\n".join(lines)


RANKS: dict[str, Callable[[Judged], float]] = {
    "alignment": lambda one: one.alignment,
    "sep_min": lambda one: one.sep_min,
    "concealment": lambda one: one.concealment,
    "joint": lambda one: (max(one.alignment, 0) * one.concealment) ** 0.5,
}  # fmt: skip
KEPT = 4  # one in so many


def kept(rank: Callable[[Judged], float], one_each: Sequence[Judged]) -> list[Judged]:
    """The best of them by a rank, one in `KEPT`."""
    return sorted(one_each, key=rank, reverse=True)[: max(1, len(one_each) // KEPT)]


def auc(rank: Callable[[Judged], float], one_each: Sequence[Judged]) -> float:
    """How often one that is met is ranked above one that is not, ties for half; 0.5 where there are not both."""
    ranks, met = torch.tensor([rank(one) for one in one_each]), torch.tensor([one.success > 0 for one in one_each])
    apart = ranks[met][:, None] - ranks[~met]
    return float(((apart > 0).double() + 0.5 * (apart == 0)).mean()) if apart.numel() else 0.5


def among_pairs(one_each: Sequence[Judged], again: int = 4000) -> str:
    """What is met of the best quarter by each rank, its gain over all, and the ranks' auc, with intervals."""
    draws = torch.randint(len(one_each), (again, len(one_each)), generator=torch.Generator().manual_seed(0)).tolist()
    samples = [[one_each[i] for i in draw] for draw in draws]
    lines = [f"{'kept by':12} {'met':>6}  {'above all':>10} {'95 %':>18}  {'auc':>4} {'95 %':>12}"]
    for name, rank in RANKS.items():
        gains = torch.tensor([share(kept(rank, some)) - share(some) for some in samples])
        areas = torch.tensor([auc(rank, some) for some in samples])
        (low, high), (least, most) = (x.quantile(torch.tensor([0.025, 0.975])).tolist() for x in (gains, areas))
        best = share(kept(rank, one_each))
        gain = f"{best - share(one_each):+10.1%} {low:+7.1%} to {high:+7.1%}"
        lines.append(f"{name:12} {best:6.1%}  {gain}  {auc(rank, one_each):4.2f} {least:4.2f} to {most:4.2f}")
    return "\n".join([f"all of them  {share(one_each):6.1%}", *lines])


def share(some: Sequence[Judged]) -> float:
    """How many of them are met, 0..1."""
    return sum(one.success for one in some) / len(some)


def candidates(
    bench: Bench, scorers: dict[str, Scorer], view: str, pair: Pair, seed: int, of: int
) -> dict[str, Candidates]:
    """The pictures of one pair, by who scored them."""
    made = bench.make(tricks=[entry(view, pair)], count=of, seed=seed)
    views = [shown(one.recipe, one.image) for one in made]
    return {
        name: [judged(bench, scorer, seen, pair, one.seed) for seen, one in zip(views, made, strict=True)]
        for name, scorer in scorers.items()
    }


def of_ways(file: Path, only: Sequence[str] = ()) -> list[Candidates]:
    """The pictures of each pair that our ways made, or those that are named."""
    made = read(file)
    ours = [made[name] for name in only or made if not name.startswith("plain")]
    return [[one for row in pair for one in row] for pair in zip(*ours, strict=True)]


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__, of=4, seed=1000)
    options.add_argument(
        "--scorer", action="append", help=f"a CLIP; may be given several times; default: {INSIDE}, the one inside"
    )
    options.add_argument("--ways", type=Path, metavar="JSON", help="make nothing, choose among what this holds")
    options.add_argument("--only", action="append", default=[], metavar="WAY", help="of --ways; several times")
    options.add_argument(
        "--among-pairs", action="store_true", help="keep the best quarter of all pairs, by the first picture of each"
    )
    options.add_argument("--first-stage", action="store_true", help="leave out the stages that enlarge")
    return options.parse_args()


def measured(given: argparse.Namespace) -> dict[str, list[Candidates]]:
    """The candidates of every pair, by who scored them."""
    bench = opened(given, given.first_stage)
    scorers = {name: Scorer(None if name == INSIDE else name) for name in given.scorer or [INSIDE]}
    made: dict[str, list[Candidates]] = {name: [] for name in scorers}
    for number, (view, pair) in enumerate(chosen_pairs(given)):
        found = candidates(bench, scorers, view, pair, given.seed + given.of * number, given.of)
        for name, rows in made.items():
            rows.append(found[name])
        count = sum(one.success for one in next(iter(found.values())))
        bench.tell(f"{view}: {pair[0].prompt}, {pair[1].prompt}: {count:.0f} of {given.of}")
    return made


def main() -> None:
    given = arguments()
    made = {str(given.ways): of_ways(given.ways, given.only)} if given.ways else measured(given)
    for name, rows in made.items():
        print(f"{name}: {len(rows)} pairs, {len(rows[0])} candidates each, both captions within the first {FIRST}")
        print(among_pairs([pair[0] for pair in rows]) if given.among_pairs else table(rows))
    write(given.json, made)


if __name__ == "__main__":
    main()
