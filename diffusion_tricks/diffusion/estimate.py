"""A model's answer, with arithmetic that keeps the variance right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Estimate:
    """The model's answer, in its own parametrisation, with arithmetic that keeps the variance right.

    value: prediction (b c h w), float32.
    x: the latents that were asked about (b c h w).
    variance: the learned variance channels (b c h w), or None.

    Of the variance: a difference `a - b` of estimates is a direction towards `a` and keeps a's variance; an estimate
    moved along directions takes theirs (guidance: the conditional answer's), several directions their mean; a sum of
    estimates takes their mean; a factor leaves it alone. What a trick returns counts as one estimate again.
    """

    value: Tensor
    x: Tensor
    level: Level
    variance: Tensor | None = None
    direction: bool = False
    moved_along: bool = False  # the variance is that of directions it was moved along, no longer its own
    parts: int = 1  # how many variances went into the mean

    @property
    def noise(self) -> Tensor:
        """The noise estimate eps (b c h w)."""
        return self.level.noise(self.value, self.x)

    @property
    def clean(self) -> Tensor:
        """The model's present idea of the clean latents x0 (b c h w)."""
        return self.level.clean(self.value, self.x)

    def with_noise(self, eps: Tensor) -> Estimate:
        """The same estimate with another noise (b c h w); where alpha is 0 that says nothing of x0, which is kept."""
        if not self.level.alpha and self.level.prediction != "epsilon":
            return self
        return replace(self, value=self.level.from_noise(eps, self.x))

    def with_clean(self, x0: Tensor) -> Estimate:
        """The same estimate with other clean latents (b c h w)."""
        return replace(self, value=self.level.from_clean(x0, self.x))

    def detached(self) -> Estimate:
        """The same estimate, of which no gradient is kept."""
        variance = None if self.variance is None else self.variance.detach()
        return replace(self, value=self.value.detach(), x=self.x.detach(), variance=variance)

    def map(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """`function` of the prediction alone; a filter leaves the variance as it is."""
        return replace(self, value=function(self.value))

    def moved(self, invert: Callable[[Tensor], Tensor], spatial: Callable[[Tensor], Tensor], x: Tensor) -> Estimate:
        """Seen back through a view: the prediction by `invert`, the variance by `spatial`, asked about `x`."""
        variance = None if self.variance is None else spatial(self.variance)
        return replace(self, value=invert(self.value), variance=variance, x=x)

    def __neg__(self) -> Estimate:
        return replace(self, value=-self.value)

    def __sub__(self, other: Estimate) -> Estimate:
        _check_estimate(other)
        return replace(self, value=self.value - other.value, direction=self.direction or not other.direction)

    def __add__(self, other: Estimate) -> Estimate:
        _check_estimate(other)
        if self.direction and not other.direction:
            return other + self
        total = replace(self, value=self.value + other.value)
        if other.direction and not self.direction and not self.moved_along:
            return replace(total, variance=other.variance, parts=other.parts, moved_along=True)
        parts = self.parts + other.parts
        if self.variance is None or other.variance is None:
            return replace(total, variance=None, parts=parts)
        return replace(total, variance=(self.parts * self.variance + other.parts * other.variance) / parts, parts=parts)

    def __radd__(self, zero: int) -> Estimate:
        """For `sum(estimates)`, which starts at 0."""
        if not isinstance(zero, int) or zero != 0:
            _check_estimate(zero)
        return self

    def __rsub__(self, other: object) -> Estimate:
        _check_estimate(other)
        return NotImplemented

    def __mul__(self, factor: float | Tensor) -> Estimate:
        if isinstance(factor, Estimate):
            raise TypeError("an estimate is multiplied by a number or a tensor, got an Estimate; combine its pictures, "
                            "as in estimate.with_clean(estimate.clean * other.clean)")  # fmt: skip
        return replace(self, value=self.value * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        return replace(self, value=self.value / divisor)


def _check_estimate(other: object) -> None:
    """Raises TypeError for what is none, and says what to do instead."""
    if not isinstance(other, Estimate):
        raise TypeError(
            f"only estimates are added to an estimate and taken from it, got a {type(other).__name__}; change its "
            "prediction by estimate.map(lambda value: value + 1), its noise by estimate.with_noise(estimate.noise + 1) "
            "or its picture by estimate.with_clean"
        )


def mean(estimates: Iterable[Estimate], weights: Sequence[float] | None = None) -> Estimate:
    """The (weighted) mean of estimates of the same latents; their variances are averaged alike.

    weights: one per estimate, >= 0, sum > 0; None is all equal. Raises PluginError for no estimates, and for weights
    that are not so.
    """
    estimates = list(estimates)
    if not estimates:
        raise PluginError("expected at least one estimate to take the mean of, got none")
    weights = [1.0] * len(estimates) if weights is None else weights
    if len(weights) != len(estimates) or min(weights) < 0 or not sum(weights):
        raise PluginError(f"expected {len(estimates)} weights, >= 0 and not all 0, got {weights}")
    values = weighted_mean([e.value for e in estimates], weights)
    variances = [e.variance for e in estimates if e.variance is not None]
    variance = weighted_mean(variances, weights) if len(variances) == len(estimates) else None
    return replace(estimates[0], value=values, variance=variance, parts=1)


def weighted_mean(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum w_i x_i / sum w_i; equal weights are the plain mean to the last bit."""
    import torch  # here, so that a trick's options can be read without it

    if len(set(weights)) == 1:
        return torch.stack(list(tensors)).mean(0)
    return sum((w * x for w, x in zip(weights, tensors, strict=True)), torch.zeros_like(tensors[0])) / sum(weights)
