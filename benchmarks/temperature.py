"""Fits what turns the scorer's cosines into shares that can be believed, on drawings that it never saw.

    python benchmarks/temperature.py drawings.npz --generated generated.npz

The scorer inside learnt from one set of drawings; the others of the file, as `training.data.sets` writes it, are held
out, and so is the last tenth of what the generator drew for it (`training.data.generated`). That is what it will judge,
so where it is given the temperature is fitted on it, and the drawings say what that is worth elsewhere.

The temperature is that of the smallest mean of -log p, where p is the softmax over the known captions that
`Scorer.margins` takes (temperature scaling, arXiv:1706.04599). What counts as alike is the cosine that best parts other
names of a thing from the names of other things. Both are written into `calibration.json` beside the scorer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.generate.score import EMBEDDED, Scorer, apart
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.generated import Generated, unseen
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


@dataclass(frozen=True)
class Held:
    """Pictures that the scorer never saw, in -1..1 (n 3 h w), the captions of all things, and the thing of each (n)."""

    name: str
    pixels: Tensor
    captions: list[str]
    things: Tensor


def drawn(file: Path) -> Held:
    """The last tenth of what a generator drew, as the scorer's training leaves it out."""
    made = unseen(Generated.read(file))
    return Held("generated", made.pixels.float() / 127.5 - 1, [with_article(name) for name in made.names], made.things)


def losses(scorer: Scorer, held: Held, alike: float) -> Callable[[float], tuple[Tensor, Tensor]]:
    """What `likelihoods` says of the pictures at a temperature."""
    said, known = scorer.texts(held.captions), scorer.texts(scorer.known)
    seen = scorer.pictures(to_images(held.pixels))
    others = apart(said @ known.T, alike)[held.things]
    return partial(likelihoods, (seen * said[held.things]).sum(1), seen @ known.T, others)


def fitted(at: Callable[[float], tuple[Tensor, Tensor]]) -> float:
    """The temperature of the least mean loss."""
    return round(min(TEMPERATURES.tolist(), key=lambda temperature: float(at(temperature)[0].mean())), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path)
    parser.add_argument("--generated", type=Path, help="what the scorer's training was given")
    parser.add_argument("--scorer", type=Path, default=EMBEDDED, help="a scorer's directory; default: the one inside")
    parser.add_argument("--dry-run", action="store_true", help="print, and write nothing")
    given = parser.parse_args()
    drawings, scorer = Drawings.read(given.drawings), Scorer(given.scorer)
    alike = threshold(*names_apart(scorer, drawings))
    sets = ", ".join(kind for kind in drawings.kinds if kind != LEARNT)
    held = [Held(sets, pixels, [with_article(names[0]) for names in drawings.names], things)
            for pixels, things in [held_out(drawings)]]  # fmt: skip
    held += [drawn(given.generated)] if given.generated else []
    found = {one.name: losses(scorer, one, alike) for one in held}
    last, at = held[-1], found[held[-1].name]
    best = fitted(at)
    for one in held:
        print(f"{len(one.things)} pictures of {len(set(one.things.tolist()))} things ({one.name})")
        for name, temperature in (("own", scorer.temperature), ("fitted", best)):
            loss, told = found[one.name](temperature)
            print(f"{name:7} tau {temperature:.4f}  -log p {loss.mean():.3f}  right {told[:, 1].mean():.1%}"
                  f"  calibration error {calibration_error(told):.3f}")  # fmt: skip
    how = (
        "fitted by benchmarks/temperature.py: temperature by the smallest -log p of the own caption on"
        f" {len(last.things)} pictures that the scorer never saw ({last.name}), alike by the fewest errors between"
        f" other names of {len(drawings.names)} things and names of other things"
    )
    if not given.dry_run:
        said, file = {"temperature": best, "alike": alike, "how": how}, given.scorer / "calibration.json"
        kept = json.loads(file.read_text()) if file.is_file() else {}  # such as `seen`, which is not fitted here
        file.write_text(json.dumps(kept | said, indent=2) + "\n")


if __name__ == "__main__":
    main()
