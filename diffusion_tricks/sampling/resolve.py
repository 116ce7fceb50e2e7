"""Tricks ask, the model answers: all that is pending at one time goes through the model in one batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from diffusion_tricks.diffusion.ask import Ask, Asking
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.errors import PluginError
from diffusion_tricks.registry.calls import guarded

PLACE = "estimate_noise"  # the hook that asks
ROUNDS = 1000  # in which one generator asks, in one step, at the most


@dataclass(frozen=True)
class Layer:
    """One trick's `estimate_noise`, with the name it is known by; `gave` is told each estimate that comes of it.

    place: the exclusive place in a run that the trick fills, if any.
    """

    name: str
    estimate: Callable[[Ask], Asking | None]
    gave: Callable[[Estimate], None] = lambda estimate: None
    place: str | None = None


@dataclass(eq=False)
class Question:
    """An ask on its way inwards: the layers that it has yet to pass, the outermost first, and in the end its answer.

    asking: the generator of the first of them, once it was begun. waits: for what it asked. turns: that it had.
    """

    ask: Ask
    layers: tuple[Layer, ...]
    asking: Asking | None = None
    waits: list[Question] = field(default_factory=list)
    turns: int = 0
    answer: Estimate | None = None

    @property
    def ready(self) -> bool:
        """Whether its generator can go on."""
        return self.answer is None and all(one.answer is not None for one in self.waits)


def resolve(opened: Sequence[Open], answer: Callable[[list[list[Ask]]], list[list[Estimate]]]) -> list[list[Estimate]]:
    """The answers to what one step or several ask; `answer` is the model.

    All generators of all steps go on until all wait for the model; what is pending then is answered in one call, which
    is given a list for each step, and gives one.
    """
    while any(pending := [one.go_on() for one in opened]):
        for one, answers in zip(opened, answer(pending), strict=True):
            one.answered(answers)
    return [one.answers for one in opened]


class Open:
    """The questions of one step, on their ways.

    What a trick asks is answered by the next trick inside it, or by those that the ask itself holds (`Ask.within`),
    which `within` gives the layers of. Equal asks (`Ask.key`) are answered once.
    spared: is told how many rows the model is spared by that.
    """

    def __init__(
        self,
        asks: Sequence[Ask],
        layers: Sequence[Layer],
        spared: Callable[[int], None] = lambda rows: None,
        within: Callable[[Any], Layer] | None = None,
    ) -> None:
        self.spared, self.within = spared, within or _nobody
        self.asking: list[Question] = []  # those that a generator is to answer
        self.pending: list[Question] = []  # those that wait for the model
        self.known: dict[Any, Question] = {}
        self.roots = [self.question(ask, tuple(layers)) for ask in asks]

    @property
    def answers(self) -> list[Estimate]:
        """What its asks came to."""
        return [root.answer for root in self.roots if root.answer is not None]

    def question(self, ask: Ask, layers: tuple[Layer, ...]) -> Question:
        """An ask that has yet to pass `layers`; the one that is on its way already, if it is the same."""
        ask, layers = self._entered(ask, layers)
        if not layers:
            self.pending.append(Question(ask, layers))
            return self.pending[-1]
        key = (ask.key, *map(id, layers))
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = Question(ask, layers)
            self.asking.append(known)
        return known

    def _entered(self, ask: Ask, layers: tuple[Layer, ...]) -> tuple[Ask, tuple[Layer, ...]]:
        """The ask, the tricks that it holds before the others; those whose place one of them fills are left out."""
        if not ask.within:
            return ask, layers
        own = tuple(map(self.within, ask.within))
        taken = {layer.place for layer in own} - {None}
        return ask.but(within=()), (*own, *(layer for layer in layers if layer.place not in taken))

    def go_on(self) -> list[Ask]:
        """Lets every generator go on until all wait, and gives what then waits for the model, equal asks once."""
        while ready := [one for one in self.asking if one.ready]:
            for one in ready:
                self._turn(one)
        self.asking = [one for one in self.asking if one.answer is None]
        self.known = {key: one for key, one in self.known.items() if one.answer is None}
        return list({one.ask.key: one.ask for one in self.pending}.values())

    def answered(self, answers: Sequence[Estimate]) -> None:
        """Takes the model's answers to what `go_on` gave."""
        pending, self.pending = self.pending, []
        rows = {one.ask.key: len(one.ask.x) for one in pending}
        known = dict(zip(rows, answers, strict=True))
        for one in pending:
            one.answer = known[one.ask.key]
        self.spared(sum(len(one.ask.x) for one in pending) - sum(rows.values()))

    def _turn(self, one: Question) -> None:
        layer, *inner = one.layers
        if one.turns == ROUNDS:
            raise _unfit(layer, f"return an estimate in the end; it yielded questions {ROUNDS} times")
        one.turns += 1
        if one.asking is None:
            one.asking, answers = guarded(layer.name, PLACE, _started, layer, one.ask), None
        else:
            answers = [waited.answer for waited in one.waits]
        turn = guarded(layer.name, PLACE, _turn, layer, one.asking, answers, one.ask)
        if isinstance(turn, Estimate):
            one.answer = turn
            layer.gave(turn)
        else:
            one.waits = [self.question(ask, tuple(inner)) for ask in turn]


def _nobody(trick: Any) -> Layer:
    raise PluginError(f"trick {trick.label()!r} answers a question here, but is none of the run's")


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
