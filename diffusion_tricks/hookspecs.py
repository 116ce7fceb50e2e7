"""Every hook, on one screen.

Host hooks are called once a process and register names; they must not import torch. Run hooks are filled by
the tricks of one run, in command order, the first outermost. What they are given has, among others:

    step    index  t  x  alpha  sigma  fraction (0..1, of the schedule)  last  run, and once answered estimate
    run     count  size  prompt  latent_shape  noise  model  tricks  facts  state(trick)  latents_of(pixels)  pixels()
    ask     x  prompt  but(...);  estimate  noise  clean  with_noise(eps)  with_clean(x0)  + - * /
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click
    from PIL import Image

    from diffusion_tricks.diffusion.ask import Ask, Estimate
    from diffusion_tricks.sampling.run import Run, Start, Step

PROJECT = "diffusion_tricks"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Asking = Generator[list["Ask"], list["Estimate"], "Estimate"]


class HostHooks:
    """Registration, once a process."""

    @hookspec
    def register_tricks(self, register: Callable[..., None]) -> None:
        """`register("hybrid", "my_package.hybrid:Hybrid", summary="two pictures in one, by distance")`."""

    @hookspec
    def register_views(self, register: Callable[..., None]) -> None:
        """`register("flip", "my_package.views:Flip", summary="top to bottom")`."""

    @hookspec
    def register_models(self, register: Callable[..., None]) -> None:
        """`register("emoji", "path or hub name", summary="...")`."""

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Add commands to the command line."""


class RunHooks:
    """What a trick may do in a run."""

    @hookspec
    def prepare(self, run: Run) -> None:
        """Before all else: read pictures, set `run.source`, check options against the model and the size.

        `run.state(self)` keeps a trick's notes; `run.settle(self, network=...)` tells the record what an option meant.
        Each stage of a larger picture is a run of its own; the second is given the first's `source`.
        """

    @hookspec
    def prompts(self, run: Run) -> Iterable[str | None]:
        """Name every prompt the trick will ask, so that all are encoded once, before the first step."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def start(self, run: Run) -> Start | None:
        """The first latents and the first step; the default is pure noise. Exclusive: set `place = "start"`.

        A later stage always starts from noise, and sees the picture of the one before.
        """

    @hookspec
    def before_step(self, step: Step) -> None:
        """Change `step.x` (b c h w) at the present noise level."""

    @hookspec
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """A generator: yield lists of asks, be sent lists of estimates, return one estimate."""
        raise NotImplementedError

    @hookspec
    def after_step(self, step: Step) -> None:
        """See or change `step.x` (b c h w) at the next noise level; `step.repeat()` asks for the step again."""

    @hookspec
    def close(self, run: Run) -> None:
        """After the last step, or where the run ends before it, for whatever reason: undo what was done to the model.

        Each stage of a larger picture is a run of its own; `run.facts` may still be noted down.
        """

    @hookspec
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Measure finished picture number `index`, and note what was found in `run.facts[index]`."""

    @hookspec
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image | None:
        """Work on decoded picture number `index` of the run; each trick gets what the last returned."""


__all__ = ["PROJECT", "Asking", "HostHooks", "RunHooks", "hookimpl", "hookspec"]
