"""Tricks ask, the core answers: `Ask`, `Estimate`, and `resolve()`, which answers all that is pending in one batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.diffusion.conditioning import Condition, Control
    from diffusion_tricks.hookspecs import Asking
    from diffusion_tricks.registry.view import View

PLACE = "estimate_noise"  # the hook that asks


@dataclass(frozen=True, eq=False)
class Ask:
    """One question to the model: what noise is in `x`, seen as `prompt`?

    x: noisy latents (b c h w) at the present level, before the scheduler's input scaling.
    prompt: one text for all pictures, or one per picture.
    condition: what the model sees beside `x`, or None: an upscaler the small picture, one that inpaints what is known.
    controls: pictures that a second network makes more arguments of, such as a ControlNet.

    Whatever moves `x` moves these with it: ask through a view by `View.through`, or by `moved`.
    """

    x: Tensor
    prompt: Prompt
    condition: Condition | None = None
    controls: tuple[Control, ...] = ()

    def but(self, **changes: Any) -> Ask:
        """The same question with another `x` or `prompt`; for an `x` that is moved, see `moved`."""
        return replace(self, **changes)

    def moved(self, apply: Callable[[Tensor], Tensor], **changes: Any) -> Ask:
        """The question with `x` and all pictures beside it moved by `apply` (b c h w); and with other `changes`."""
        condition = None if self.condition is None else self.condition.moved(apply)
        controls = tuple(control.moved(apply) for control in self.controls)
        return replace(self, x=apply(self.x), condition=condition, controls=controls, **changes)

    def through(self, view: View, **changes: Any) -> Ask:
        """The question seen through a view, with all pictures beside `x`; and with other `changes`."""
        condition = None if self.condition is None else self.condition.through(view)
        controls = tuple(control.through(view) for control in self.controls)
        return replace(self, x=view.apply(self.x), condition=condition, controls=controls, **changes)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for asks that must have the same answer: the same tensors, the same prompt."""
        beside = tuple((id(control.network), id(control.condition)) for control in self.controls)
        return id(self.x), id(self.condition), beside, self.prompt

    @property
    def rows(self) -> list[str | None]:
        """The prompt of every picture of the batch."""
        return list(self.prompt) if isinstance(self.prompt, tuple) else [self.prompt] * len(self.x)


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

    def map(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """`function` of the prediction alone; a filter leaves the variance as it is."""
        return replace(self, value=function(self.value))

    def moved(self, invert: Callable[[Tensor], Tensor], spatial: Callable[[Tensor], Tensor], x: Tensor) -> Estimate:
        """Seen back through a view: the prediction by `invert`, the variance by `spatial`, asked about `x`."""
        variance = None if self.variance is None else spatial(self.variance)
        return replace(self, value=invert(self.value), variance=variance, x=x)

    def __sub__(self, other: Estimate) -> Estimate:
        return replace(self, value=self.value - other.value, direction=self.direction or not other.direction)

    def __add__(self, other: Estimate) -> Estimate:
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
        return self if zero == 0 else NotImplemented

    def __mul__(self, factor: float) -> Estimate:
        return replace(self, value=self.value * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        return replace(self, value=self.value / divisor)


def mean(estimates: Iterable[Estimate], weights: Sequence[float] | None = None) -> Estimate:
    """The (weighted) mean of estimates of the same latents; their variances are averaged alike.

    weights: one per estimate, >= 0, sum > 0; None is all equal.
    """
    estimates = list(estimates)
    weights = [1.0] * len(estimates) if weights is None else weights
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


@dataclass(frozen=True)
class Layer:
    """One trick's `estimate_noise`, with the name it is known by."""

    name: str
    estimate: Callable[[Ask], Asking | None]


def resolve(
    asks: Sequence[Ask],
    layers: Sequence[Layer],
    answer: Callable[[list[Ask]], list[Estimate]],
    spared: Callable[[int], None] = lambda rows: None,
) -> list[Estimate]:
    """Answers `asks` through `layers`, the outermost first; `answer` is the model.

    What a trick asks is answered by the next trick inside it. All generators of one depth step together, so all
    that is pending there is answered in one call, and equal asks (`Ask.key`) are answered once.
    spared: is told how many rows the model is spared by that.
    """
    once = list({ask.key: ask for ask in asks}.values())
    if layers:
        answers = _through(once, layers[0], layers[1:], answer, spared)
    else:
        answers = answer(once)
        spared(sum(len(ask.x) for ask in asks) - sum(len(ask.x) for ask in once))
    known = {ask.key: estimate for ask, estimate in zip(once, answers, strict=True)}
    return [known[ask.key] for ask in asks]


def _through(
    asks: list[Ask],
    layer: Layer,
    inner: Sequence[Layer],
    answer: Callable[[list[Ask]], list[Estimate]],
    spared: Callable[[int], None],
) -> list[Estimate]:
    """Runs one generator of `layer` per ask, all in lockstep."""
    running = [guarded(layer.name, PLACE, _started, layer, ask) for ask in asks]
    done: dict[int, Estimate] = {}
    sent: dict[int, list[Estimate] | None] = dict.fromkeys(range(len(asks)))
    while sent:
        questions: dict[int, list[Ask]] = {}
        for i, answers in sent.items():
            turn = guarded(layer.name, PLACE, _turn, layer, running[i], answers, asks[i])
            if isinstance(turn, Estimate):
                done[i] = turn
            else:
                questions[i] = turn
        flat = [ask for pending in questions.values() for ask in pending]
        replies = iter(resolve(flat, inner, answer, spared) if flat else [])
        sent = {i: [next(replies) for _ in pending] for i, pending in questions.items()}
    return [done[i] for i in range(len(asks))]


def _started(layer: Layer, ask: Ask) -> Asking:
    return layer.estimate(ask) or _passed_on(ask)


def _passed_on(ask: Ask) -> Asking:
    """Stands for a trick that has nothing to say to an ask and gives None."""
    answers = yield [ask]
    return answers[0]


def _turn(layer: Layer, generator: Asking, answers: list[Estimate] | None, ask: Ask) -> list[Ask] | Estimate:
    """What the generator asks next, or its estimate when it is done."""
    if not isinstance(generator, Generator):
        raise _unfit(layer, f"be a generator: yield lists of asks, and return one estimate; it gave {_kind(generator)}")
    try:
        asked = generator.send(answers)  # type: ignore[arg-type]
    except StopIteration as stop:
        return _checked(layer, stop.value, ask)
    if not isinstance(asked, list | tuple) or not all(isinstance(one, Ask) for one in asked):
        raise _unfit(layer, f"yield a list of asks, as in `answers = yield [ask]`; it yielded {_kind(asked)}")
    return list(asked)


def _checked(layer: Layer, value: object, ask: Ask) -> Estimate:
    if not isinstance(value, Estimate):
        raise _unfit(layer, f"return an Estimate, a combination of the answers it was sent; it returned {_kind(value)}")
    if value.value.shape != ask.x.shape:
        came, expected = tuple(value.value.shape), tuple(ask.x.shape)
        raise _unfit(layer, f"return an estimate of the shape it was asked about, {expected}; it returned {came}")
    return replace(value, direction=False, moved_along=False, parts=1)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _unfit(layer: Layer, expected: str) -> PluginError:
    return PluginError(f"trick {layer.name!r}: {PLACE} must {expected}")
