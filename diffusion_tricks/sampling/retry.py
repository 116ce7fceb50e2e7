"""Taking a step again: what it changes beside its latents is noted before it, and set back where memory was full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Generator, Tensor
from torch.nn import Module

from diffusion_tricks.devices.memory import Work, persisting
from diffusion_tricks.devices.rungs import STEP
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.scheduler_quirks import restore, snapshot
from diffusion_tricks.errors import PluginError
from diffusion_tricks.model.model import Model
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.step import Step

DEEPEST = 6  # of what tricks keep, one in the other: dictionaries, objects, their lists and generators
LARGE = (Tensor, Module, Model, Run)  # what no trick keeps its notes in
HOLDERS = (dict, list)
Kept = list[tuple[Any, Any]]  # a generator and its state, or a dictionary or list and a copy


def persisted(steps: Sequence[Step], take: Callable[[Sequence[Step]], None]) -> None:
    """Takes steps of one model, alone with its pipeline; where memory gets full, they are taken again with less of it.

    What the model computes in a step steps down by itself, so few are taken again as a whole. A plugin that fails is
    named.
    """
    model, index = steps[0].run.model, steps[0].index
    try:
        with alone_with(model.pipe):
            persisting(model, STEP, partial(_attempted, steps, list(map(checkpoint, steps)), take))
    except PluginError as error:
        raise PluginError(f"step {index}: {error}") from error


def _attempted(
    steps: Sequence[Step], checkpoints: list[Callable[[], None]], take: Callable[[Sequence[Step]], None], work: Work
) -> None:
    """One try at steps."""
    for step, back in zip(steps, checkpoints, strict=True):
        if step.tries:
            back()
        step.tries += 1
    work.doing = f"in step {steps[0].index}"
    take(steps)


def checkpoint(step: Step) -> Callable[[], None]:
    """Notes how a step, its run and what tricks keep of it stand before the step is taken; gives what sets them back.

    Tensors are noted as they are: nobody writes into those of others.
    """
    run = step.run
    x, rows, scheduler = step.x, run.rows, snapshot(run.scheduler)
    kept: Kept = [(generator, generator.get_state()) for generator in run.noise.generators]
    kept += [(facts, facts.copy()) for facts in run.facts]
    if run._states:
        kept += _kept(run._states, set(map(id, run.noise.generators)), DEEPEST)

    def back() -> None:
        step.x, step.rows, step.spared, step.differentiated = x, 0, 0, 0
        step.again, step.target, step._estimate = False, None, None
        run.rows = rows
        restore(run.scheduler, scheduler)
        for holder, as_it_was in kept:
            _set_back(holder, as_it_was)

    return back


def _kept(value: Any, seen: set[int], depth: int) -> Iterator[tuple[Any, Any]]:
    """Each dictionary, list, generator and object in what tricks keep, as it is now."""
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, Generator):
        yield value, value.get_state()
        return
    holder = value if isinstance(value, HOLDERS) else vars(value) if _is_notes(value) else None
    if holder is None:
        return
    yield holder, holder.copy()
    for inside in holder.values() if isinstance(holder, dict) else holder:
        yield from _kept(inside, seen, depth - 1)


def _is_notes(value: Any) -> bool:
    """Whether an object may be what a trick keeps notes in: no function, class, tensor, network or model."""
    return hasattr(value, "__dict__") and not callable(value) and not isinstance(value, LARGE)


def _set_back(holder: Any, as_it_was: Any) -> None:
    if isinstance(holder, Generator):
        holder.set_state(as_it_was)
    elif isinstance(holder, dict):
        holder.clear()
        holder.update(as_it_was)
    else:
        holder[:] = as_it_was
