"""ControlNet: a picture, such as a pattern or a drawing, that the model works into what it makes.

    eps = unet(x, t, prompt; r),   r = scale * net(x, t, prompt, picture)        ControlNet, arXiv:2302.05543

With a network that was trained on patterns or brightness, the picture is hidden in plain sight ("illusion diffusion").
What the network adds is computed anew in every step; what several of them add is summed. The order decides about views:
`controlnet` before `anagram` and every view turns the picture with the latents, so that it lies in what is made once;
after it, and every view is shown the picture upright, each in its own orientation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from diffusion_tricks.plugin import (
    Asking,
    Fit,
    Share,
    Trick,
    TrickOptions,
    argument,
    fit,
    hookimpl,
    option,
    read_picture,
)

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Ask, Control, Estimate, Run, Step


class ControlNetOptions(TrickOptions):
    """Neutral is scale 0: the model as it is, and no network is loaded or asked."""

    image: str = argument(..., "the picture to work in: a pattern, edges, depth, whatever the network was trained on",
                          path=True)  # fmt: skip
    network: str = option(..., "the ControlNet: a directory or a hub name; made for the model's family", path="model")
    scale: float = option(1.0, "how strongly; 0 is not at all, and costs nothing", ge=0, le=10)
    start: Share = option(0.0, "share of the schedule after which the network is heard")
    stop: Share = option(1.0, "share of the schedule by the end of which it is no longer")
    fit: Fit = option("crop", "how a picture of other proportions fills the size")

    @model_validator(mode="after")
    def _interval(self) -> ControlNetOptions:
        if self.start >= self.stop:
            raise ValueError(f"it must start before it stops, got start {self.start} and stop {self.stop}")
        return self


class ControlNet(Trick[ControlNetOptions]):
    """eps = unet(x, t, prompt; scale * net(x, t, prompt, picture))

    Before anagram, its picture turns with every view; after it, every view is shown it upright. Several add up.
    """

    name = "controlnet"

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the picture and loads the network. A second stage goes without: it sees the picture made with it."""
        if self.options.scale == 0 or run.stage > 1:
            return
        from diffusion_tricks.plugin import control, controlnet_for

        picture = read_picture(Path(self.options.image)).srgb
        network = controlnet_for(run.model, self.options.network, self.options.scale)
        run.settle(self, network=network.source)
        run.state(self)["control"] = control(fit(picture, run.size, self.options.fit), network, run.model.device)

    def active(self, step: Step) -> bool:
        """Whether the whole step lies in the interval, as in diffusers' pipelines."""
        substeps = step.run.substeps
        steps = -(-len(step.run.timesteps) // substeps)
        return step.fraction >= self.options.start and (step.index // substeps + 1) / steps <= self.options.stop

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The question, with the network beside the model."""
        control: Control | None = step.run.state(self).get("control")
        if control is not None and self.active(step):
            ask = ask.but(controls=(*ask.controls, control))
        answers: list[Estimate] = yield [ask]
        return answers[0]
