"""SDEdit: start from a picture with noise on it, instead of pure noise.

x_t0 = alpha_t0 x0 + sigma_t0 eps, then denoise from t0 on        SDEdit, arXiv:2108.01073, algorithm 2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from diffusion_tricks.plugin import Fit, Start, Trick, TrickOptions, UsageError, argument, bring, hookimpl, option

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Run

STRENGTH = 0.6
STRIDED = range(990, -1, -30)  # the 34 steps of CS180, project 5: start index i is t = 990 - 30 i
SWEEP = (1, 3, 5, 7, 10, 20)


class SDEditOptions(TrickOptions):
    """Neutral is strength 0: the picture as it is, for no step at all."""

    image: str | None = argument(None, "the picture to start from; may be left to a trick that brings one", path=True)
    strength: Annotated[float, Field(ge=0, le=1)] | None = option(
        None, f"share of the schedule that is run: 0 keeps the picture, 1 forgets it; default {STRENGTH}"
    )
    start_index: Annotated[int, Field(ge=0, lt=len(STRIDED))] | None = option(
        None, "start at t = 990 - 30 i instead of by strength; small forgets more, 33 keeps most"
    )
    sweep: bool = option(False, f"a strip: start indices {', '.join(map(str, SWEEP))}, then the picture itself")
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

    Options = SDEditOptions
    name = "sdedit"
    place = "start"

    def variants(self) -> list[dict[str, Any]] | None:
        """For a sweep: one run for each start index, and one of strength 0, the picture itself."""
        if not self.options.sweep:
            return None
        starts: list[dict[str, Any]] = [{"start_index": i} for i in SWEEP]
        return [{"sweep": False, **start} for start in [*starts, {"strength": 0.0}]]

    def parameters(self) -> dict[str, Any]:
        """The strength; that of a start index is its share of the strided schedule."""
        if self.options.start_index is not None:
            return {"Denoising strength": round(1 - self.options.start_index / len(STRIDED), 2)}
        return {"Denoising strength": None if self.options.sweep else self._strength}

    @property
    def _strength(self) -> float:
        return STRENGTH if self.options.strength is None else self.options.strength

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
                self._say_nothing_was_run(run)
            return Start(clean, index)
        return Start(run.noised(clean, run.noise.draw(run.latent_shape, clean.device), index), index)

    def _say_nothing_was_run(self, run: Run) -> None:
        """A note, where that was not asked for."""
        by_index = self.options.start_index is not None
        change = "lower --start-index or raise --steps" if by_index else "raise --strength or --steps"
        for facts in run.facts:
            facts["notes"] = [*facts.get("notes", []), f"sdedit: no step was run; {change}"]

    def first_step(self, run: Run) -> int:
        """The index of the first step that is run; the number of steps if none is, and the picture stays as it is.

        By strength as in diffusers' image-to-image pipelines; by start index the first step at or below its t.
        """
        if self.options.start_index is not None:
            t = STRIDED[self.options.start_index]
            whole = range(0, len(run.timesteps), run.substeps)  # never between the two evaluations of a Heun step
            return next((i for i in whole if run.timesteps[i] <= t), len(run.timesteps))
        steps = run.scheduler.num_inference_steps or len(run.timesteps)  # None for timesteps given one by one
        skipped = steps - min(int(steps * self._strength), steps)
        return min(skipped * run.substeps, len(run.timesteps))
