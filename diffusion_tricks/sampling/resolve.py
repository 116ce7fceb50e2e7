"""Tricks ask, the model answers: all that is pending at one depth goes through the model in one batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from diffusion_tricks.diffusion.ask import Ask, Asking
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.errors import PluginError
from diffusion_tricks.registry.calls import guarded

PLACE = "estimate_noise"  # the hook that asks
ROUNDS = 1000  # in which one generator asks, in one step, at the most


@dataclass(frozen=True)
class Layer:
    """One trick's `estimate_noise`, with the name it is known by; `gave` is told each estimate that comes of it."""

    name: str
    estimate: Callable[[Ask], Asking | None]
    gave: Callable[[Estimate], None] = lambda estimate: None


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
    rounds = 0
    while sent:
        rounds += 1
        if rounds > ROUNDS:
            raise _unfit(layer, f"return an estimate in the end; it yielded questions {ROUNDS} times")
        questions: dict[int, list[Ask]] = {}
        for i, answers in sent.items():
            turn = guarded(layer.name, PLACE, _turn, layer, running[i], answers, asks[i])
            if isinstance(turn, Estimate):
                done[i] = turn
                layer.gave(turn)
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
