"""A model's answer, with arithmetic that keeps the variance right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor


Weights: TypeAlias = "Sequence[float | Tensor] | Tensor"  # one for each of several estimates


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
        return self._scaled(factor, lambda value, factor: value * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> Estimate:
        return self._scaled(divisor, lambda value, divisor: value / divisor)

    def _scaled(self, factor: float | Tensor, scale: Callable[[Tensor, Any], Tensor]) -> Estimate:
        """The prediction times or by a number, or a tensor that spreads to (b c h w): a weight for each place, say."""
        if isinstance(factor, Estimate):
            raise TypeError("an estimate is multiplied by a number or a tensor, got an Estimate; combine its pictures, "
                            "as in estimate.with_clean(estimate.clean * other.clean)")  # fmt: skip
        value = scale(self.value, factor)
        if value.shape != self.value.shape:
            came, own = (tuple(getattr(one, "shape", ())) for one in (factor, self.value))
            raise TypeError(f"a tensor of shape {came} does not spread to an estimate's, {own}; give (b 1 h w), say")
        return replace(self, value=value.to(self.value.dtype))


def _check_estimate(other: object) -> None:
    """Raises TypeError for what is none, and says what to do instead."""
    if not isinstance(other, Estimate):
        raise TypeError(
            f"only estimates are added to an estimate and taken from it, got a {type(other).__name__}; change its "
            "prediction by estimate.map(lambda value: value + 1), its noise by estimate.with_noise(estimate.noise + 1) "
            "or its picture by estimate.with_clean"
        )


def mean(estimates: Iterable[Estimate], weights: Weights | None = None) -> Estimate:
    """The (weighted) mean of estimates of the same latents; their variances are averaged alike.

    weights: one per estimate, >= 0, sum > 0: numbers, or tensors that spread to (b c h w), such as masks (b 1 h w); or
    one tensor of them all, (n ...); None is all equal. Raises PluginError for no estimates, and for weights that are
    not so; the values of tensors are not looked at, as a device would wait for that.
    """
    estimates = list(estimates)
    if not estimates:
        raise PluginError("expected at least one estimate to take the mean of, got none")
    weights = [1.0] * len(estimates) if weights is None else list(weights)
    numbers = [float(weight) for weight in weights if isinstance(weight, int | float)]
    none_left = not sum(numbers) and len(numbers) == len(weights)
    if len(weights) != len(estimates) or min(numbers, default=0) < 0 or none_left:
        raise PluginError(f"expected {len(estimates)} weights, >= 0 and not all 0, got {weights}")
    values = weighted_mean([e.value for e in estimates], weights)
    variances = [e.variance for e in estimates if e.variance is not None]
    variance = weighted_mean(variances, weights) if len(variances) == len(estimates) else None
    return replace(estimates[0], value=values, variance=variance, parts=1)


def weighted_mean(tensors: Sequence[Tensor], weights: Sequence[float | Tensor]) -> Tensor:
    """sum w_i x_i / sum w_i; equal numbers are the plain mean to the last bit."""
    import torch  # here, so that a trick's options can be read without it

    numbers = [weight for weight in weights if isinstance(weight, int | float)]
    if len(numbers) == len(weights) and len(set(numbers)) == 1:
        return torch.stack(list(tensors)).mean(0)
    total = sum((w * x for w, x in zip(weights, tensors, strict=True)), torch.zeros_like(tensors[0]))
    return total / sum(weights)
