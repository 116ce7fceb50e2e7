"""Fits what turns the scorer's cosines into shares that can be believed, on drawings that it never saw.

    python benchmarks/temperature.py drawings.npz

The scorer inside learnt from one set of drawings; the others of the file, as `training.data.sets` writes it, are held
out. The temperature is that of the smallest mean of -log p, where p is the softmax over the known captions that
`Scorer.margins` takes (temperature scaling, arXiv:1706.04599). What counts as alike is the cosine that best parts other
names of a thing from the names of other things. Both are written into `calibration.json` beside the scorer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.generate.score import EMBEDDED, Scorer, apart
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.sets import Drawings

LEARNT = "noto"  # the set that the scorer inside was trained on
TEMPERATURES = torch.logspace(-2.5, 0, 501, dtype=torch.float64)
SIDE = 64
BINS = 15  # of the calibration error


def likelihoods(own: Tensor, known: Tensor, others: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Of each picture (n) its own caption's -log p, and whether that is first with the first's share: (n 2).

    own: cosines (n).  known, others: cosines with all known captions, and which of them are others (n k).
    """
    logits = torch.cat([own[:, None], known.masked_fill(~others, -torch.inf)], 1).double() / temperature
    share, first = logits.softmax(1).max(1)
    return -logits.log_softmax(1)[:, 0], torch.stack([share, (first == 0).double()], 1)


def calibration_error(told: Tensor) -> float:
    """The mean distance of what is said of the first caption and how often that is right (n 2), over bins.

    arXiv:1706.04599, equation 3
    """
    bins = (told[:, 0] * BINS).long().clamp(max=BINS - 1)
    gaps = [(told[bins == b].mean(0).diff().abs() * (bins == b).sum()).item() for b in bins.unique()]
    return sum(gaps) / len(told)


def threshold(same: Tensor, other: Tensor) -> float:
    """The cosine that parts `same` (n), above it, from `other` (m), below it, with the fewest errors of both in shares.

    Of equally good ones, the middle.
    """
    tried = torch.linspace(0, 1, 501, dtype=torch.float64)
    errors = torch.stack([(same < c).double().mean() + (other >= c).double().mean() for c in tried])
    best = tried[errors <= errors.min() + 1e-9]
    return round(float(best[len(best) // 2]), 3)


def names_apart(scorer: Scorer, held: Drawings) -> tuple[Tensor, Tensor]:
    """Cosines of every other name of a thing with its first, and of every first name with the nearest of the others."""
    first = scorer.texts([with_article(names[0]) for names in held.names])
    rows = [(thing, with_article(name)) for thing, names in enumerate(held.names) for name in names[1:]]
    same = (scorer.texts([name for _, name in rows]) * first[[thing for thing, _ in rows]]).sum(1)
    return same, (first @ first.T).fill_diagonal_(-1).amax(1)


def held_out(held: Drawings) -> tuple[Tensor, Tensor]:
    """The drawings that the scorer never saw, on white (n 3 64 64) in -1..1, and their things (n)."""
    chosen = held.sets != held.kinds.index(LEARNT)
    parts = [F.interpolate(x.float() / 255, size=SIDE, mode="area") for x in held.pixels[chosen].split(256)]
    pixels = torch.cat(parts)
    return (pixels[:, :3] + 1 - pixels[:, 3:]) * 2 - 1, held.things[chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="print, and write nothing")
    given = parser.parse_args()
    held, scorer = Drawings.read(given.drawings), Scorer()
    alike = threshold(*names_apart(scorer, held))
    pixels, things = held_out(held)
    said = scorer.texts([with_article(names[0]) for names in held.names])
    seen, known = scorer.pictures(to_images(pixels)), scorer.texts(scorer.known)
    others = apart(said @ known.T, alike)[things]
    own, cosines = (seen * said[things]).sum(1), seen @ known.T
    losses = [float(likelihoods(own, cosines, others, float(t))[0].mean()) for t in TEMPERATURES]
    best = float(TEMPERATURES[min(range(len(losses)), key=losses.__getitem__)])
    found = {"temperature": round(best, 4), "alike": alike}
    print(f"{len(things)} drawings of {len(held.names)} things, sets {', '.join(k for k in held.kinds if k != LEARNT)}")
    for name, temperature in (("own", scorer.temperature), ("fitted", found["temperature"])):
        loss, told = likelihoods(own, cosines, others, temperature)
        right, gap = told[:, 1].mean(), calibration_error(told)
        print(
            f"{name:7} tau {temperature:.4f}  -log p {loss.mean():.3f}  right {right:.1%}  calibration error {gap:.3f}"
        )
    said_how = (
        f"fitted by benchmarks/temperature.py on {len(things)} drawings of {len(held.names)} things that the scorer"
        f" never saw ({', '.join(k for k in held.kinds if k != LEARNT)}): temperature by the smallest -log p of the own"
        " caption, alike by the fewest errors between other names of a thing and names of other things"
    )
    if not given.dry_run:
        (EMBEDDED / "calibration.json").write_text(json.dumps(found | {"how": said_how}, indent=2) + "\n")


if __name__ == "__main__":
    main()
