"""What lessons ask of a model unless told otherwise: things that it can draw, and the course's scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffusion_tricks import UsageError

if TYPE_CHECKING:
    from diffusion_tricks import Model

STRIDE = 30
STRIDED = range(990, -1, -STRIDE)  # the 34 steps of CS180, project 5: i_start i begins at t = 990 - 30 i
QUICK_STEPS = 10  # of a solver, for a quick look
THINGS = ("a fox", "a rocket", "a pineapple")  # that the model inside draws well


def prompts_for(model: Model, asked: Sequence[str], things: Sequence[str] = THINGS) -> list[str]:
    """What was asked, or else what the model can draw: `things`, as many of its classes, or "" where it takes nothing.

    things: for models of text.
    """
    if asked:
        return list(asked)
    classes: Sequence[str] | None = getattr(model.family, "classes", None)  # None for models of text
    return list(things) if classes is None else list(classes[: len(things)]) or [""]


def prompt_for(model: Model, asked: str | None, thing: str = THINGS[0]) -> str:
    """As `prompts_for`, of one prompt."""
    return prompts_for(model, [asked] if asked else [], [thing])[0]


def quoted(prompt: str | None) -> str:
    """A prompt as figures say it."""
    return f'"{prompt}"' if prompt else "no prompt"


def heeded(model: Model, lesson: str) -> None:
    """Raises UsageError for a model that takes no prompt, which the lesson can show nothing with."""
    if not prompt_for(model, None):
        raise UsageError(f"{lesson} compares pictures with and without a prompt, and {model.name!r} takes none; give a "
                         "model of text or of classes")  # fmt: skip


def ddpm_or_own(model: Model) -> str | None:
    """The course's scheduler, DDPM, arXiv:2006.11239; None, the model's own, for flows and EDM's scaling."""
    return "ddpm" if hasattr(model.pipe.scheduler, "alphas_cumprod") else None
