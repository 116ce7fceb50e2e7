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
THINGS = ("a rabbit", "a rocket", "a mushroom", "a panda", "a rainbow")  # that the model inside draws well


def prompts_for(model: Model, asked: Sequence[str] = (), count: int = 1) -> list[str]:
    """What was asked, or else `count` prompts: things for a model of text, names for one of classes, or one of "".

    "" is the prompt of a model that takes none.
    """
    if asked:
        return list(asked)
    classes: Sequence[str] | None = getattr(model.family, "classes", None)  # None for models of text
    return list(THINGS[:count]) if classes is None else list(classes[:count]) or [""]


def heeded(model: Model, lesson: str) -> None:
    """Raises UsageError for a model that takes no prompt, which the lesson can show nothing with."""
    if prompts_for(model) == [""]:
        raise UsageError(f"{lesson} compares pictures with and without a prompt, and {model.name!r} takes none; give a "
                         "model of text or of classes")  # fmt: skip


def ddpm_or_own(model: Model) -> str | None:
    """The course's scheduler, DDPM, arXiv:2006.11239; None, the model's own, for flows and EDM's scaling."""
    return "ddpm" if hasattr(model.pipe.scheduler, "alphas_cumprod") else None
