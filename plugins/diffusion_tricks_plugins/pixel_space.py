"""Pixel space: clean estimates are decoded, combined as pictures, and encoded again with what that loses.

    p = mean_i v_i^-1( D(z_i) )        z_i' = E( v_i(p) ) + z_i - E( D(z_i) )        LookingGlass, arXiv:2504.08902

The mean is weighted, or in least squares (`least_squares`). There any view will do, also one that would
make noise something else than noise. A view that cannot act on noise keeps noisy latents x_i of its own, tied to the
others' by p alone: synchronised diffusion, SyncTweedies, arXiv:2403.14370.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from diffusion_tricks.plugin import Asking, Prompted, UsageError, View, mean
from diffusion_tricks_plugins.least_squares import Weights, least_squares

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step

Space = Literal["auto", "latent", "pixel"]
Weigh = Callable[["Step", "list[Tensor]"], Weights]
UNSEEN = 1e-4  # weight of a view where it sees nothing of the picture: what no view sees is their continuation


def decoded(run: Run, latents: Sequence[Tensor]) -> list[Tensor]:
    """Clean latents (b c h w) as pictures (b 3 H W) in float32, all in one batch, no larger than the run allows."""
    import torch  # here, so that the options of tricks can be read without it

    pixels = run.model.decode(torch.cat(list(latents)).to(run.model.dtype), run.max_rows)
    return list(torch.split(pixels.float(), [len(z) for z in latents]))


def encoded(run: Run, pictures: Sequence[Tensor]) -> list[Tensor]:
    """Pictures (b 3 H W) as clean latents (b c h w) in float32, all in one batch, no larger than the run allows."""
    import torch

    pixels = torch.cat(list(pictures))
    latents = torch.cat([run.latents_of(part) for part in torch.split(pixels, run.max_rows or len(pixels))])
    return list(torch.split(latents.float(), [len(p) for p in pictures]))


def recombined(run: Run, estimates: Sequence[Estimate], combine: Callable[[list[Tensor]], Tensor]) -> Estimate:
    """Estimates of the same latents as one, whose picture is `combine` of their pictures (b 3 H W).

    What coding loses is added back as the mean of z - E(D(z)): equal estimates then come back as they are, where the
    sum would count it once for each. Their variances are averaged.
    """
    clean = [estimate.clean for estimate in estimates]
    pictures = decoded(run, clean)
    new, *same = encoded(run, [combine(pictures), *pictures])
    lost = sum((z - again for z, again in zip(clean, same, strict=True)), new * 0) / len(clean)
    return mean(estimates).with_clean(new + lost)


class Synchronised:
    """The views of an anagram over one run, all held together by the one picture that they show.

    A view that may act on the run's own noisy latents sees those; every other keeps noisy latents of its own.
    weigh: gives what each view weighs in a step, >= 0, sum > 0, for all pictures or for each of them (b 1 1 1); it is
    told what the views show (b 3 H W). solve: whether the picture is that of least squares, not the mean.
    Raises UsageError for a view that does not fit the size of the run.
    """

    def __init__(self, run: Run, views: Sequence[tuple[View, Prompted]], weigh: Weigh, solve: bool = False):
        self.run = run
        self.blank = blank(run)
        self.views = [view for view, _ in views]
        self.prompts = [prompt for _, prompt in views]
        self.weigh, self.solve = weigh, solve
        tied = [acts_on_noise(view, run, self.blank) for view in self.views]
        self.tied = [i for i, one in enumerate(tied) if one]
        self.apart = [i for i, one in enumerate(tied) if not one]
        self.noise = run.noise.fork(f"anagram {run.stage}")  # the sampler's stream stays what it was
        self.x: dict[int, Tensor] = {}  # noisy latents of the views apart
        self.clean: dict[int, Tensor] = {}  # and where they are going
        self.at: tuple[int, int] | None = None  # the step that x is for, and how often it was repeated

    def estimate(self, ask: Ask, step: Step) -> Asking:
        """Asks every view, and gives the estimate that leads to the picture of them all."""
        if ask.x is not step.x:
            raise UsageError("an anagram in pixel space must be asked about the run's own latents; name it before the"
                             " trick that shows it others")  # fmt: skip
        known: dict[int, Estimate] = {}
        if self.apart and self.at is None:
            known = yield from self._begun(ask, step)
        self._brought_to(step)
        missing = [i for i in range(len(self.views)) if i not in known]
        answers = yield [self._question(ask, i) for i in missing]
        known.update(zip(missing, answers, strict=True))
        return self._combined(ask, step, [known[i] for i in range(len(self.views))])

    def _question(self, ask: Ask, i: int) -> Ask:
        """What view i asks; one that has latents of its own moves only what the model sees beside them."""
        if i not in self.x:
            return self.views[i].through(ask.asking(self.prompts[i]))
        return self.views[i].through(ask.but(x=self.blank).asking(self.prompts[i])).but(x=self.x[i])

    def _begun(self, ask: Ask, step: Step) -> Generator[list[Ask], list[Estimate], dict[int, Estimate]]:
        """Gives every view apart its first latents, alpha E(v_i(D(z))) + sigma eps_i; z is the model's first idea.

        That is what the tied views are asked for; their answers are handed on.
        """
        answers = yield [self._question(ask, i) for i in self.tied] or [ask.asking(self.prompts[0])]
        clean = self.views[self.tied[0]].invert(answers[0].clean) if self.tied else answers[0].clean
        picture = decoded(self.run, [clean])[0]
        again, *starts = encoded(self.run, [picture, *(self.views[i].apply(picture) for i in self.apart)])
        eps = (ask.x - step.alpha * again) / step.sigma  # with what coding lost of the clean latents
        for i, start in zip(self.apart, starts, strict=True):
            fresh = self.noise.draw(self.run.latent_shape, eps.device)
            eps_i = noise_through(self.views[i], eps, fresh, self.run.model.family.scale)
            self.x[i] = (step.alpha * start + step.sigma * eps_i).to(ask.x.dtype)
        self.at = step.index, step.repeated
        return dict(zip(self.tied, answers, strict=False))

    def _brought_to(self, step: Step) -> None:
        """Takes the latents apart to the level of a step, by the first-order rule x' = alpha' z' + sigma' eps'."""
        now = step.index, step.repeated
        if self.at is None or self.at == now:
            return
        levels = self.run.levels
        before, after, wanted = levels[self.at[0]], levels[self.at[0] + 1], levels[step.index]
        for i, x in self.x.items():
            x_next = after.alpha * self.clean[i] + after.sigma / before.sigma * (x - before.alpha * self.clean[i])
            gone_back = step.index <= self.at[0]
            self.x[i] = (after.noised_again(x_next, wanted, self._fresh(x)) if gone_back else x_next).to(x.dtype)
        self.at = now

    def _fresh(self, x: Tensor) -> Tensor:
        return self.noise.draw(self.run.latent_shape, x.device)

    def _combined(self, ask: Ask, step: Step, estimates: list[Estimate]) -> Estimate:
        clean = [estimate.clean for estimate in estimates]
        pictures = decoded(self.run, clean)
        weights = self.weigh(step, pictures)
        whole = self._joined(pictures, [view.invert for view in self.views], weights)
        if self.solve:
            whole = least_squares(self.views, pictures, weights, start=whole)
        shown = [self._shown(i, whole, pictures[i]) for i in self.apart]
        new, *others = encoded(self.run, [whole, *shown, *pictures])
        lost = [z - again for z, again in zip(clean, others[len(shown) :], strict=True)]
        self.clean = {i: limited(self.run, z + lost[i]) for i, z in zip(self.apart, others, strict=False)}
        if self.tied:
            new = new + sum((self.views[i].invert(lost[i]) for i in self.tied), new * 0) / len(self.tied)
        return replace(estimates[0], x=ask.x, variance=self._variance(estimates, weights)).with_clean(new)

    def _shown(self, i: int, whole: Tensor, own: Tensor) -> Tensor:
        """What view i shows of the whole picture; where that does not reach, the view's own."""
        filled = self.views[i].filled(whole)
        return filled * self.views[i].apply(whole) + (1 - filled) * own

    def _joined(
        self, seen: Sequence[Tensor], inverses: Sequence[Callable[[Tensor], Tensor]], weights: Weights
    ) -> Tensor:
        """The mean of what the views see (b c h w), turned back, where they see it."""
        total = cover = seen[0] * 0
        for view, weight, invert, x in zip(self.views, weights, inverses, seen, strict=True):
            share = weight * view.seen(x).clamp(min=UNSEEN)
            total, cover = total + share * invert(x), cover + share
        return total / cover

    def _variance(self, estimates: Sequence[Estimate], weights: Weights) -> Tensor | None:
        variances = [estimate.variance for estimate in estimates if estimate.variance is not None]
        if len(variances) < len(estimates):
            return None
        return self._joined(variances, [view.invert_variance for view in self.views], weights)


def blank(run: Run) -> Tensor:
    """An empty picture (1 3 H W) of the size of a run, which every view of it must fit."""
    import torch

    return torch.zeros(1, 3, run.size[1], run.size[0], device=run.model.device)


def acts_on_noise(view: View, run: Run, picture: Tensor) -> bool:
    """Whether a view may show a run's own noisy latents: where those are pixels, if it keeps noise what it is.

    Where a VAE stands between them and the picture (1 3 H W), only if it changes nothing. Raises UsageError for a view
    that does not fit that.
    """
    return view.apply(picture) is picture or (view.orthogonal and run.model.family.scale == 1)


def limited(run: Run, clean: Tensor) -> Tensor:
    """Clean latents (b c h w) kept in range as the run's scheduler keeps its own: thresholded, clipped, or neither."""
    config = run.scheduler.config
    if config.get("thresholding"):  # dynamic, Imagen, arXiv:2205.11487, section 2.3
        highest = clean.abs().flatten(1).quantile(config["dynamic_thresholding_ratio"], dim=1)  # (b)
        reach = highest.clamp(1, config["sample_max_value"])[:, None, None, None]
        return clean.clamp(-reach, reach) / reach
    reach = config.get("clip_sample_range", 1.0)
    return clean.clamp(-reach, reach) if config.get("clip_sample") else clean


def noise_through(view: View, eps: Tensor, fresh: Tensor, scale: int = 1) -> Tensor:
    """Noise (b c h w) that goes with `eps` as a view goes with its picture, and is N(0, I) whatever the view does.

    Each place takes the noise of the place that the view shows there, if no other takes that; else it takes `fresh`.
    scale: pixels per latent.
    """
    import torch

    height, width = eps.shape[-2:]
    axes = [torch.arange(side * scale, device=eps.device, dtype=torch.float32) for side in (height, width)]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([rows, columns, columns])[None]  # (1 3 H W): every pixel's own place, as a picture
    middles = slice(scale // 2, None, scale)
    row, column, _ = ((view.apply(grid)[0, :, middles, middles] + 0.5) / scale).floor().long()
    source = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten()
    place = torch.arange(height * width, device=eps.device)
    asking = place.where(view.filled(grid)[0, 0, middles, middles].flatten() > 0.5, -1)
    taker = torch.full_like(place, -1).scatter_reduce(0, source, asking, "amax")
    takes = (taker[source] == place).reshape(height, width)
    return eps.flatten(2)[..., source].reshape(eps.shape).where(takes, fresh)


__all__ = ["Space", "Synchronised", "decoded", "encoded", "noise_through", "recombined"]
