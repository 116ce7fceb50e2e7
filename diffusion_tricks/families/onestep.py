"""What stands for parts of a pipeline while its own `__call__` is run for one step, and the way out of that call."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError
from diffusion_tricks.types import Pipeline

RUN_BY_POSITION = ("sigmas", "step_index", "_step_index")  # a scheduler's state of a whole run, which one step has not


class Left(BaseException):
    """Leaves a pipeline's call with what was found in it; a BaseException, so that no pipeline swallows it.

    It is raised only in the thread that waits for it.
    """

    def __init__(self, **found: Any):
        self.found = found


class Leaving:
    """The way out of a call, for the thread that made this."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    @property
    def here(self) -> bool:
        """Whether this is that thread."""
        return threading.get_ident() == self.thread

    def leave(self, **found: Any) -> NoReturn:
        """Leaves. Raises ModelError elsewhere."""
        self.check()
        raise Left(**found)

    def check(self) -> None:
        """Raises ModelError for the pipeline's owner, who called it meanwhile from another thread."""
        if not self.here:
            raise ModelError(
                "the pipeline is at work for a run in another thread; call it when that is over, or give the run a "
                "pipeline of its own"
            )


class OneStep:
    """Stands for a scheduler in a call of one step: its only timestep is t, its inputs stay as they are.

    `step` leaves with the model's output and the sample it was computed for. All else is answered by a copy of the
    pipeline's own scheduler, but what that knows of a whole run: a pipeline that reads it raises ModelError.
    """

    init_noise_sigma = 1.0

    def __init__(self, own: Any, t: Tensor):
        self.own, self.timesteps = copy.deepcopy(own), t.reshape(1)
        self.out = Leaving()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """That of the pipeline's own, for pipelines that ask what they have."""
        return type(self.own)

    def __getattr__(self, name: str) -> Any:
        if name in RUN_BY_POSITION:
            raise ModelError(f"the pipeline reads {name!r} of its scheduler, which a single step cannot tell it")
        return getattr(self.own, name)

    def set_timesteps(
        self, num_inference_steps: Any = None, device: Any = None, timesteps: Any = None, sigmas: Any = None,
        mu: Any = None, **more: Any,
    ) -> None:  # fmt: skip
        """Anything is accepted, and nothing is set."""

    def scale_model_input(self, sample: Tensor, *_: Any, **__: Any) -> Tensor:
        """The sample itself, which comes scaled."""
        return sample

    def step(self, model_output: Tensor, timestep: Any = None, sample: Any = None, *_: Any, **__: Any) -> None:
        """Leaves."""
        self.out.leave(output=model_output, sample=sample)


class AskedForSteps(OneStep):
    """Stands for a scheduler until it is told its steps, and leaves with what it is told."""

    def set_timesteps(
        self, num_inference_steps: Any = None, device: Any = None, timesteps: Any = None, sigmas: Any = None,
        mu: Any = None, **more: Any,
    ) -> None:  # fmt: skip
        """Leaves with all but the number of steps and the device."""
        told = {"timesteps": timesteps, "sigmas": sigmas, "mu": mu, **more}
        self.out.leave(told={name: value for name, value in told.items() if value is not None})


class Aside:
    """Stands for a text encoder while its texts are known: all that it says of itself, but no network.

    A pipeline takes its device from its networks, and a text encoder may be elsewhere by then.
    """

    def __init__(self, own: torch.nn.Module):
        self.own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


def aside(pipe: Pipeline) -> dict[str, Aside]:
    """The text encoders of a pipeline, put aside, by name."""
    found = {name: part for name, part in pipe.components.items() if name.startswith("text_encoder")}
    return {name: Aside(part) for name, part in found.items() if isinstance(part, torch.nn.Module)}


@contextlib.contextmanager
def standing_in(pipe: Pipeline, **instead: Any) -> Iterator[None]:
    """The pipeline with other attributes and no progress bar; all of its attributes are put back after."""
    attributes: dict[str, Any] = pipe.__dict__  # past its __setattr__, which would note each in the configuration
    before = dict(attributes)
    attributes.update(_progress_bar_config={"disable": True}, **instead)
    try:
        yield
    finally:
        attributes.clear()
        attributes.update(before)


@contextlib.contextmanager
def watched(network: torch.nn.Module) -> Iterator[list[int]]:
    """How many rows each call of a network has that this thread makes, in a list that grows."""
    rows, out = list[int](), Leaving()

    def note(_: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if out.here:
            rows.append(next(len(value) for value in (*arguments, *named.values()) if isinstance(value, Tensor)))

    handle = network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


@contextlib.contextmanager
def left_at(network: torch.nn.Module) -> Iterator[None]:
    """Leaves where a network is called, before it computes."""

    out = Leaving()

    def leave(*_: Any) -> None:
        if out.here:
            out.leave()

    handle = network.register_forward_pre_hook(leave)
    try:
        yield
    finally:
        handle.remove()
