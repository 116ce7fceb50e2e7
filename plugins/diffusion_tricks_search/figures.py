"""The numbers of a search, how sure they are, and what may be compared with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Scorer
from diffusion_tricks.plugin import bootstrap, frechet_distance, kernel_distance
from diffusion_tricks_search.asked import Arm
from diffusion_tricks_search.trials import Trial

NAMES = {"alignment": "A  alignment", "concealment": "C  concealment", "joint": "J  sqrt(A C)", "sep_min": "sep_min"}
QUANTILES = {"q90": 0.9, "q95": 0.95}
COMPARED = """What may be compared with what:
- The table is of the first round alone, in which every pair and view has as many pictures; later rounds hold only what
  did well. Intervals are 95 % of a bootstrap over pairs and views, whose pictures are drawn together.
- All numbers are of this scorer ({scorer}), these {steps} steps and this size. Another CLIP gives other numbers: they
  compare with a paper's only where its own CLIP was named as the scorer.
- A of two pictures of one pair can be compared; of two pairs only roughly, as some texts are nearer to all pictures. C
  says which of its two texts a view is nearer to, not whether it shows either. J is the geometric mean of both. sep_min
  is against all texts that the scorer knows, and may be high where a picture shows nothing.
- The pictures that are kept were chosen by such scores, so theirs are too good to stand for the method: compare methods
  by the table."""
DISTANCES = """- FID and KID here are between features of this CLIP, of {n} readings of the pictures kept and as many
  ordinary pictures of the same prompts: never compare them with those of Inception's features. FID grows as pictures
  get fewer; KID does not, and may be below 0."""


def figures(tried: Sequence[Trial]) -> dict[str, dict[str, list[float]]]:
    """Of each measure mean, .9 and .95 quantile over the first round, each with the ends of its interval."""
    first = [trial for trial in tried if trial.round == 1]
    return {name: _figures(_of_arms(first, name)) for name in NAMES}


def _of_arms(trials: Sequence[Trial], name: str) -> Tensor:
    """A measure (arms pictures), as many pictures of each arm."""
    arms: dict[Arm, list[float]] = {}
    for trial in trials:
        arms.setdefault(trial.arm, []).append(float(trial.scores[name]))
    fewest = min(map(len, arms.values()))  # a round that was stopped is uneven
    return torch.tensor([values[:fewest] for values in arms.values()], dtype=torch.float64)


def _figures(of_arms: Tensor) -> dict[str, list[float]]:
    statistics: dict[str, Callable[[Tensor], Tensor]] = {"mean": partial(torch.mean, dim=1)}
    statistics |= {name: partial(torch.quantile, q=q, dim=1) for name, q in QUANTILES.items()}
    return {name: _with_interval(of_arms, of) for name, of in statistics.items()}


def _with_interval(of_arms: Tensor, of: Callable[[Tensor], Tensor]) -> list[float]:
    """A statistic of all pictures (arms pictures), and its interval where arms are drawn as a whole."""
    whole = torch.arange(len(of_arms))
    low, high = bootstrap(whole, lambda drawn: of(of_arms[drawn.long()].flatten(1)))
    return [float(of(of_arms.flatten()[None])[0]), low, high]


def distances(scorer: Scorer, seen: Sequence[Image], ordinary: Sequence[Image]) -> dict[str, Any]:
    """FID and KID between the features of two sets of pictures, 2 or more each."""
    x, y = scorer.pictures(seen), scorer.pictures(ordinary)
    return {"fid": frechet_distance(x, y), "kid": kernel_distance(x, y), "pictures": [len(x), len(y)]}


def counted(number: int, thing: str) -> str:
    """As 1 pair, or 2 pairs."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def report(data: dict[str, Any]) -> str:
    """What was found, to be read."""
    asked, table = data["asked"], data["figures"]
    lines = [
        f"{counted(data['tried'], 'picture')} tried of {counted(data['pairs'], 'pair')} through"
        f" {', '.join(asked['views'])}, {counted(data['steps'], 'step')} each;"
        f" {data['first']} of them in the first round:",
        "",
        f"{'':16}{'mean':>8}  {'95 %':16}{'.9':>8}  {'95 %':16}{'.95':>8}  95 %",
    ]
    for name, row in table.items():
        cells = [f"{value:8.3f}  {f'{low:.3f} to {high:.3f}':16}" for value, low, high in row.values()]
        lines.append(f"{NAMES[name]:16}{''.join(cells)}".rstrip())
    lines += [
        "",
        f"The best, by {asked['by']} of the full picture:",
        "",
        f"{'':44}{'A':>7}{'C':>7}{'J':>7}{'sep_min':>9}",
    ]
    for place, one in enumerate(data["kept"], 1):
        label = f"{place:3} {one['pair'][0]} | {one['pair'][1]}, {one['view']}, {one['seed']}"
        lines.append(
            f"{label:44}{one['alignment']:7.3f}{one['concealment']:7.2f}{one['joint']:7.3f}{one['sep_min']:9.3f}"
        )
    lines += ["", COMPARED.format(scorer=data["scorer"], steps=data["steps"])]
    if far := data.get("distances"):
        lines.append(DISTANCES.format(n=far["pictures"][0]))
        lines += ["", f"FID of CLIP features {far['fid']:.4f}, KID of CLIP features {far['kid']:.5f}"]
    return "\n".join(lines) + "\n"
