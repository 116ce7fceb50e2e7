"""Balance between the views of an anagram, so that none of them dominates the others: Anagram-MTL, arXiv:2412.02693.

    score       eps = sum_i a_i eps_i,  a_i ~ w_i s_i^-(1 + f),  sum_i a_i = 1
                s_i = cos( CLIP(D(x0_i)), CLIP(prompt_i) ), the clean estimate as view i sees it; f = 0..1, how far the
                schedule has come: what a view lacks counts more and more
    variance    eps = c sum_i a_i eps_i,  c = 1 / sqrt(sum_ij rho_ij a_i a_j)
                rho_ij = eps_i . eps_j / (|eps_i| |eps_j|), of the estimates turned back; rho_ii = 1

The a_i of `variance` are the weights w_i, those that a mean has. The mean of noises that differ has less than unit
variance, and c gives back what is lacking: c >= 1, and 1 where all agree. In pixel space, where pictures are combined
and not noises, `score` weighs the pictures. The paper asks a CLIP that was trained on
noisy pictures; here any CLIP will do, as it is shown the clean estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.plugin import Prompted, mean, shown_by, to_images
from diffusion_tricks_plugins.pixel_space import Synchronised

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Estimate, Scorer, Step

Balance = Literal["off", "score", "variance"]
LEAST = 0.01  # of a cosine: a view that shows less of its prompt is taken to show this much
SMALLEST = 1e-12  # of a variance: what divides
DIGITS = 5  # of what is reported


@dataclass
class Notes:
    """Of one run: what holds views together in pixel space; CLIP, if it is asked; and what was found in each step."""

    synchronised: Synchronised | None = None
    scorer: Scorer | None = None
    found: list[tuple[int, dict[str, Tensor]]] = field(
        default_factory=list
    )  # the step, and numbers per picture (b ...)

    def note(self, step: Step, **numbers: Tensor) -> None:
        """Keeps numbers of every picture (b ...) of a step."""
        self.found.append((step.index, numbers))

    def rows(self, stage: int, index: int) -> Iterator[dict[str, Any]]:
        """What was found of one picture, as plain data."""
        for step, numbers in self.found:
            yield {"stage": stage, "step": step} | {name: rounded(x[index].tolist()) for name, x in numbers.items()}


def rounded(value: Any) -> Any:
    """A number, or a list of them, to so many digits."""
    return [rounded(one) for one in value] if isinstance(value, list) else round(value, DIGITS)


def rectification(noises: Tensor, weights: Tensor) -> Tensor:
    """c = 1 / sqrt(sum_ij rho_ij a_i a_j) of each picture (b).

    noises: estimates of the same latents (n b c h w).  weights: a, one per estimate (n), sum 1.
    """
    unit = noises.float().flatten(2)
    unit = unit / unit.norm(dim=2, keepdim=True).clamp(min=SMALLEST)  # (n b d)
    correlation = (unit[:, None] * unit[None]).sum(3)  # (n n b)
    variance = (correlation * weights[:, None, None] * weights[None, :, None]).sum((0, 1))
    power: Tensor = variance.clamp(min=SMALLEST).rsqrt()
    return power


def rectified(estimates: Sequence[Estimate], weights: Sequence[float]) -> tuple[Estimate, Tensor]:
    """The weighted mean of estimates of the same latents, with the variance of one, and the factors c (b)."""
    import torch

    noises = torch.stack([estimate.noise for estimate in estimates])
    shares = torch.tensor(weights, device=noises.device) / sum(weights)
    factor = rectification(noises, shares)
    together = mean(estimates, weights)
    return together.with_noise(together.noise * factor[:, None, None, None]), factor


def lacking(scores: Tensor, weights: Sequence[float], fraction: float) -> Tensor:
    """a_i ~ w_i s_i^-(1 + f) of each picture (n b), sum 1.

    scores: cosines (n b); those below `LEAST` count as that.  fraction: f, 0..1.
    """
    import torch

    wanted = scores.clamp(min=LEAST) ** -(1 + fraction)
    wanted = wanted * torch.tensor(weights, device=scores.device)[:, None]
    return wanted / wanted.sum(0)


def scores_of(scorer: Scorer, pictures: Sequence[Tensor], said: Sequence[Prompted]) -> Tensor:
    """How well each view's picture (b 3 H W), in -1..1, shows its prompt: cosines (n b).

    Where tricks stand in the place of the prompt, they say what should be seen, and the worst of that counts.
    A value that is no number counts as 0 here: it stays in the estimate, where whoever made it is named.
    """
    import torch

    seen = [
        shown_by(str(i), image, prompt)
        for i, (pixels, prompt) in enumerate(zip(pictures, said, strict=True))
        for image in to_images(pixels.nan_to_num(0.0, 1.0, -1.0))
    ]
    flat = [one for shown in seen for one in shown]
    cosines = scorer.similarity([one.picture for one in flat], [one.prompt for one in flat]).diagonal()
    worst = [part.amin() for part in torch.split(cosines, [len(shown) for shown in seen])]
    return torch.stack(worst).reshape(len(pictures), -1)


def weights_by_score(
    notes: Notes, step: Step, shown: Callable[[], Sequence[Tensor]], said: Sequence[Prompted], weights: Sequence[float]
) -> Tensor:
    """What each view weighs by what it lacks (n b), noted; in a rehearsal, what was asked.

    shown: gives the clean estimates as the views see them, as pictures (b 3 H W).
    """
    import torch

    if notes.scorer is None:
        even = torch.tensor(weights, device=step.x.device) / sum(weights)
        return even[:, None].expand(-1, step.run.count)
    scores = scores_of(notes.scorer, shown(), said).to(step.x.device)
    shares = lacking(scores, weights, step.fraction)
    notes.note(step, weights=shares.T, scores=scores.T)
    return shares


def weighed(estimates: Sequence[Estimate], shares: Tensor) -> Estimate:
    """sum_i a_i eps_i of estimates of the same latents; their learned variances are averaged.

    shares: a, one per estimate and picture (n b), sum 1.
    """
    parts: list[Estimate] = [
        estimate * share[:, None, None, None] for estimate, share in zip(estimates, shares, strict=True)
    ]
    total, *others = parts
    for part in others:
        total = total + part
    return total


__all__ = ["Balance", "Notes", "lacking", "rectification", "rectified", "scores_of", "weighed", "weights_by_score"]
