"""One step of a run: what tricks and callers read and change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError
from diffusion_tricks.io.pixels import png_of
from diffusion_tricks.sampling.notebook import line_of_step, previews

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.sampling.run import Run


@dataclass(repr=False)
class Step:
    """One evaluation of the denoiser and the step it led to.

    index: from 0, of the run's timesteps; each stage is a run of its own. t: timestep. alpha, sigma: the level of the
    latents that were asked about. x: latents (b c h w): before the step in `before_step` and `estimate_noise`, after it
    in `after_step` and for whoever iterates. estimate: the model's answer after all tricks. rows: what the denoiser
    computed for it. spared: rows it need not, as they were asked more than once. differentiated: rows of which a
    gradient was asked. repeated: how often it was made before. taken: steps since the scheduler began, with this run or
    where it went back to. tries: how often it was begun, more than once where memory got full.
    """

    run: Run
    index: int
    t: Tensor
    x: Tensor
    rows: int = 0
    spared: int = 0
    differentiated: int = 0
    repeated: int = 0
    again: bool = False
    target: int | None = None
    taken: int = 0
    tries: int = 0
    _estimate: Estimate | None = None

    def __repr__(self) -> str:
        return line_of_step(self)

    def preview(self, index: int = 0) -> Image:
        """The model's present idea of picture number `index`, decoded: `step.estimate.clean` as it would look now."""
        return previews(self, slice(index, index + 1 or None))[0]

    def _repr_png_(self) -> bytes | None:
        """The previews of all pictures side by side, for a notebook; None before the denoiser has answered."""
        return None if self._estimate is None else png_of(previews(self))

    @property
    def level(self) -> Level:
        """The level before the step."""
        return self.run.levels[self.index]

    @property
    def next_level(self) -> Level:
        """The level after the step."""
        return self.run.levels[self.index + 1]

    @property
    def alpha(self) -> float:
        """Factor of the clean latents, before the step."""
        return self.level.alpha

    @property
    def sigma(self) -> float:
        """Factor of the noise, before the step."""
        return self.level.sigma

    @property
    def estimate(self) -> Estimate:
        """The estimate the step was made with; there is none before the denoiser was asked."""
        if self._estimate is None:
            raise AttributeError("step.estimate is known once the denoiser has answered: in after_step, not before")
        return self._estimate

    def answered(self, estimate: Estimate) -> None:
        """Notes the estimate that the step is made with."""
        self._estimate = estimate

    def spare(self, rows: int) -> None:
        """Notes rows that the denoiser need not compute, as others are the same."""
        self.spared += rows

    @property
    def stage(self) -> int:
        """1, or 2 and up where the step enlarges what the stage before made."""
        return self.run.stage

    @property
    def fraction(self) -> float:
        """How far the schedule has come before this step, in whole steps: 0 to just under 1."""
        return self.index // self.run.substeps / self.run.whole_steps

    @property
    def last(self) -> bool:
        """Whether no step follows."""
        return self.index == len(self.run.timesteps) - 1

    def repeat(self) -> None:
        """Asks, in `after_step`, for this step again from re-noised latents (RePaint, arXiv:2201.09865)."""
        self.again = True

    def go_back(self, index: int) -> None:
        """Asks, in `after_step`, for all from step `index` on again, from latents noised to the level before it.

        The scheduler remembers nothing of what was made, as in a run that begins there: see `Run.beginning`. Raises
        PluginError for a step that lies ahead, or before the first.
        """
        if not self.run.first <= index <= self.index:
            raise PluginError(f"a run goes back to a step from {self.run.first} to {self.index}, got {index}")
        self.target = index
