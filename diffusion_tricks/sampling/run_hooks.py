"""The hooks of a run: what its tricks may do, in the order in which they are called. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from diffusion_tricks.hosting.host_hooks import hookspec

if TYPE_CHECKING:
    from PIL import Image

    from diffusion_tricks.diffusion.ask import Ask, Asking
    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.start import Start
    from diffusion_tricks.sampling.step import Step


class RunHooks:
    """What a trick may do in a run."""

    @hookspec
    def prepare(self, run: Run) -> None:
        """Before all else: read pictures, set `run.source`, check options against the model and the size.

        `run.state(self, Notes)` keeps a trick's notes; `run.settle(self, network=...)` tells the record what an option
        meant.
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
        """See or change `step.x` (b c h w) at the next level; ask again by `step.repeat()`, `step.go_back(index)`."""

    @hookspec
    def close(self, run: Run) -> None:
        """After the last step, or where the run ends before it, for whatever reason: undo what was done to the model.

        Each stage of a larger picture is a run of its own; `run.facts` may still be noted down.
        """

    @hookspec
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Measure finished picture number `index`, and note what was found in `run.facts[index]`."""

    @hookspec
    def finish_image(self, run: Run, image: Image.Image, index: int, facts: dict[str, Any]) -> Image.Image | None:
        """Work on decoded picture number `index` of the run; each trick gets what the last returned.

        It is 8-bit, in the space of the ICC profile in its `info`, or in sRGB. A trick that gives back the run's source
        in part puts it, at its own depth, in `run.repainted[index]`; pixels that later tricks leave alone stay so.
        What is found on the way goes into `facts`, plain data, which is of that picture also where `run` is None, as no
        model made it.
        """
