"""SDEdit: start from a picture with noise on it, instead of pure noise.

x_t0 = alpha_t0 x0 + sigma_t0 eps, then denoise from t0 on        SDEdit, arXiv:2108.01073, algorithm 2
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from diffusion_tricks.plugin import Fit, Start, Trick, TrickOptions, UsageError, argument, bring, hookimpl, option

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Run

STRENGTH = 0.6
STRIDE = 30  # of a thousand training steps
STRIDED = range(990, -1, -STRIDE)  # the 34 steps of CS180, project 5: start index i is t = 990 - 30 i
THOUSAND = 1000  # that models with more or fewer training steps are scaled to
SWEEP = (1, 3, 5, 7, 10, 20)


class SDEditOptions(TrickOptions):
    """Neutral is strength 0: the picture as it is, for no step at all."""

    image: str | None = argument(None, "the picture to start from; may be left to a trick that brings one", path=True)
    strength: Annotated[float, Field(ge=0, le=1)] | None = option(
        None, f"share of the schedule that is run: 0 keeps the picture, 1 forgets it; default {STRENGTH}"
    )
    start_index: Annotated[int, Field(ge=0, lt=len(STRIDED))] | None = option(
        None, "start at t = 990 - 30 i (of 1000) instead of by strength; small forgets more, 33 keeps most"
    )
    sweep: bool = option(
        False, f"a strip: start indices {', '.join(map(str, SWEEP))}, then the picture itself; every 30th step"
    )
    fit: Fit = option("crop", "how a picture of other proportions fills the model's size")

    @model_validator(mode="after")
    def _one_start(self) -> SDEditOptions:
        given = [name for name in ("strength", "start_index") if getattr(self, name) is not None]
        given += ["sweep"] if self.sweep else []
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each say where to start; give one of them")
        return self


class SDEdit(Trick[SDEditOptions]):
    """x_t0 = alpha_t0 x0 + sigma_t0 eps"""

    name = "sdedit"
    place = "start"
    edits = True

    def variants(self) -> list[dict[str, Any]] | None:
        """For a sweep: one run for each start index, and one of strength 0, the picture itself."""
        if not self.options.sweep:
            return None
        starts: list[dict[str, Any]] = [{"start_index": i} for i in SWEEP]
        return [{"sweep": False, **start} for start in [*starts, {"strength": 0.0}]]

    def stride(self, longest: int) -> int | None:
        """Of a sweep: 30 of 1000, so that each start index is a step of its own."""
        return max(1, round(longest * STRIDE / THOUSAND)) if self.options.sweep else None

    def parameters(self) -> dict[str, Any]:
        """The strength; that of a start index is its share of the strided schedule."""
        if self.options.start_index is not None:
            return {"Denoising strength": round(1 - self.options.start_index / len(STRIDED), 2)}
        return {"Denoising strength": None if self.options.sweep else self._strength}

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the picture."""
        if self.options.sweep:
            raise UsageError("sdedit: a sweep is several runs and their strip; use make, or give one start_index")
        bring(run, self.options.image, self.options.fit)

    @hookimpl
    def start(self, run: Run) -> Start:
        """The picture at the level of the first step that is run."""
        if run.source is None:
            raise UsageError('sdedit: a picture is missing; give the one to start from, for example "sdedit photo.png"')
        clean = run.latents_of(run.source.tensor(run.size)).float().expand(run.count, -1, -1, -1)  # (b c h w)
        index = self.first_step(run)
        if index == len(run.timesteps):
            if self.options.strength != 0:
                raise UsageError(self._nothing_is_run(run))
            return Start(clean, index)
        return Start(run.noised(clean, run.noise.draw(run.latent_shape, clean.device), index), index)

    def _nothing_is_run(self, run: Run) -> str:
        """Why, and what would run one step at the least."""
        if self.options.start_index is not None:
            t, last = self._timestep(run, self.options.start_index), int(run.timesteps[-1])
            begun = max((i for i in range(len(STRIDED)) if self._timestep(run, i) >= last), default=0)
            return (f"sdedit: start_index {self.options.start_index} is t = {t}, and the last step is at {last}, so no"
                    f" step would be run; use `start_index={begun}` or less, or more `steps`")  # fmt: skip
        steps, strength = self._steps(run), self._strength
        least = math.ceil(100 / steps) / 100
        return (f"sdedit: strength {strength:g} of {steps} steps is less than one, so no step would be run; use"
                f" `strength={least:g}` or more, or `steps={math.ceil(1 / strength)}`")  # fmt: skip

    @property
    def _strength(self) -> float:
        return STRENGTH if self.options.strength is None else self.options.strength

    @staticmethod
    def _timestep(run: Run, index: int) -> int:
        """The timestep of a start index."""
        return round(STRIDED[index] * int(run.scheduler.config.num_train_timesteps) / THOUSAND)

    def _steps(self, run: Run) -> int:
        """Of the schedule; None is told by schedulers of timesteps that are given one by one."""
        return run.scheduler.num_inference_steps or len(run.timesteps)

    def first_step(self, run: Run) -> int:
        """The index of the first step that is run; the number of steps if none is, and the picture stays as it is.

        By strength as in diffusers' image-to-image pipelines; by start index the first step at or below its t.
        """
        if self.options.start_index is not None:
            if run.timesteps[-1] < 0:  # EDM's are logarithms of sigma
                raise UsageError("sdedit: this model counts no timesteps; use strength, not start_index")
            t = self._timestep(run, self.options.start_index)
            whole = range(0, len(run.timesteps), run.substeps)  # never between the two evaluations of a Heun step
            return next((i for i in whole if run.timesteps[i] <= t), len(run.timesteps))
        return run.first_step(self._strength)
