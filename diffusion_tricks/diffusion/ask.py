"""What tricks ask of the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.types import Moves, Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.diffusion.conditioning import Condition, Control


class Branching(Protocol):
    """Tricks in the place of a prompt, and the prompt that they shape; None where they bring their own."""

    @property
    def prompt(self) -> str | None:
        """What is asked."""

    @property
    def built(self) -> tuple[Any, ...]:
        """The tricks, outermost first."""


class Inside(Protocol):
    """What is done inside the network while it answers, such as `Attention` and `Without` of `families.inside`."""

    def on(self, network: Any, rows: Sequence[int], shape: tuple[int, int]) -> AbstractContextManager[None]:
        """For one call of the network, for those rows of the question and latents of (h w); undone where it ends."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One question to the model: what noise is in `x`, seen as `prompt`?

    x: noisy latents (b c h w) at the present level, before the scheduler's input scaling.
    prompt: one text for all pictures, or one per picture.
    condition: what the model sees beside `x`, or None: an upscaler the small picture, one that inpaints what is known.
    controls: pictures that a second network makes more arguments of, such as a ControlNet.
    inside: what is done inside the network for this question alone; asks of others are computed in calls of their own.
    gradient: whether the answer is to be differentiable with respect to `x`, which then must ask for it
    (`requires_grad`); it keeps the network's activations until it is let go.
    within: tricks that answer this question before those inside the one that asks it, the outermost first.

    Whatever moves `x` moves these with it: ask through a view by `View.through`, or by `moved`.
    """

    x: Tensor
    prompt: Prompt
    condition: Condition | None = None
    controls: tuple[Control, ...] = ()
    within: tuple[Any, ...] = ()
    inside: Inside | None = None
    gradient: bool = False

    def but(self, **changes: Any) -> Ask:
        """The same question with another `x` or `prompt`; for an `x` that is moved, see `moved`."""
        return replace(self, **changes)

    def asking(self, said: str | Branching | None) -> Ask:
        """The same question with another prompt, or with the tricks that stand in the place of one."""
        if said is None or isinstance(said, str):
            return replace(self, prompt=said)
        return replace(self, prompt=self.prompt if said.prompt is None else said.prompt, within=said.built)

    def moved(self, apply: Callable[[Tensor], Tensor], **changes: Any) -> Ask:
        """The question with `x` and all pictures beside it moved by `apply` (b c h w); and with other `changes`."""
        condition = None if self.condition is None else self.condition.moved(apply)
        controls = tuple(control.moved(apply) for control in self.controls)
        return replace(self, x=apply(self.x), condition=condition, controls=controls, **changes)

    def through(self, view: Moves, **changes: Any) -> Ask:
        """The question seen through a view, with all pictures beside `x`; and with other `changes`."""
        condition = None if self.condition is None else self.condition.through(view)
        controls = tuple(control.through(view) for control in self.controls)
        return replace(self, x=view.apply(self.x), condition=condition, controls=controls, **changes)

    def said_as(self, words: Callable[[str | None], str | None]) -> Ask:
        """The same question with `words` of every prompt."""
        if isinstance(self.prompt, tuple):
            return replace(self, prompt=tuple(map(words, self.prompt)))
        said = words(self.prompt)
        return self if said == self.prompt else replace(self, prompt=said)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for asks that must have the same answer: the same tensors, the same prompt."""
        beside = tuple((id(control.network), id(control.condition)) for control in self.controls)
        how = id(self.inside), self.gradient
        return id(self.x), id(self.condition), beside, tuple(map(id, self.within)), how, self.prompt

    @property
    def rows(self) -> list[str | None]:
        """The prompt of every picture of the batch."""
        return list(self.prompt) if isinstance(self.prompt, tuple) else [self.prompt] * len(self.x)


Asking = Generator[list[Ask], list[Estimate], Estimate]  # yields asks, is sent their answers, returns one estimate
