"""The run hooks as type checkers see them: one that gives the wrong thing is found before it is run. No torch here."""

# ruff: noqa: D102  # what they do stands in `sampling.run_hooks`

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.diffusion.ask import Asking


class Starts(Protocol):
    """Where a run starts, as a `Start` says it."""

    @property
    def latents(self) -> Tensor:
        """(b c h w)."""

    @property
    def index(self) -> int:
        """Of the first step."""


class HookTypes:
    """What each hook of a trick gives. It may take fewer arguments than it is given; one that is left out is not there.

    At run time there is nothing here: a hook is what has `@hookimpl`.
    """

    if TYPE_CHECKING:

        def prepare(self, *given: Any, **named: Any) -> None: ...
        def prompts(self, *given: Any, **named: Any) -> Iterable[str | None]: ...
        def start(self, *given: Any, **named: Any) -> Starts | None: ...
        def before_step(self, *given: Any, **named: Any) -> None: ...
        def estimate_noise(self, *given: Any, **named: Any) -> Asking | None: ...
        def after_step(self, *given: Any, **named: Any) -> None: ...
        def close(self, *given: Any, **named: Any) -> None: ...
        def report(self, *given: Any, **named: Any) -> None: ...
        def finish_image(self, *given: Any, **named: Any) -> Image | None: ...
