"""SDEdit: start from a picture with noise on it, instead of pure noise.

x_t0 = alpha_t0 x0 + sigma_t0 eps, then denoise from t0 on        SDEdit, arXiv:2108.01073, algorithm 2

A photo comes back at its own size: what the model changed of it, at the size it makes, is enlarged and added to the
photo's own pixels (`frame`); or, in tiles, the model sees all of it at that size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from diffusion_tricks.plugin import (
    Fit,
    Repainted,
    Source,
    Spans,
    Start,
    Trick,
    TrickOptions,
    UsageError,
    argument,
    bring,
    from_srgb,
    hookimpl,
    option,
    picture_size,
    to_images,
    to_tensor,
)
from diffusion_tricks_plugins.frame import brought_back, cropped, framed, note_on, size_in_tiles, size_like
from diffusion_tricks_plugins.windows import OVERLAP, in_windows, latent_stride

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.plugin import Ask, Asking, Box, Run, Shape, Size, Step

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
    fit: Fit | None = option(
        None,
        "how a picture of other proportions fills the size; by default the model makes one like it, or it is"
        " stretched where it comes back at its own size, else cropped",
    )
    own_size: bool | None = option(
        None,
        "give the picture back at its own size, with what was changed of it; so it is unless a size is given, it"
        " is enlarged, or another trick says what is made",
    )
    tiles: bool = option(False, "the model sees all of the picture at its own size, in tiles that overlap; takes long")

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

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Where the picture comes back at its own size."""
        return self.options.own_size is True

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Where nothing is changed."""
        return self.options.strength == 0

    def framed(self, shape: Shape) -> tuple[Size, dict[str, Any]] | None:
        """A size like the picture's, or that in tiles, for a picture that is to come back at its own."""
        options = self.options
        if options.image is None or options.sweep or options.own_size is False:
            return None
        photo = picture_size(options.image)
        if options.tiles:
            size = size_in_tiles(photo, shape.size, shape.multiple)
        else:
            size = shape.size if options.fit or shape.fixed else size_like(photo, shape)
        return size, {"own_size": True}

    def spans(self) -> Spans:
        """Tiles make a picture of any size."""
        return "all" if self.options.tiles else "none"

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
        if self.options.own_size:
            _check_alone(self, run)
        bring(run, self.options.image, self._fit)
        if self.options.own_size and self._fit == "crop" and run.source:
            run.source = run.source.on(cropped(run.source.picture.image.size, run.size))
        if self.options.tiles:
            own, scale = run.model.family.size, run.model.family.scale
            run.window = min(own[0], run.size[0]), min(own[1], run.size[1])
            run.state(self)["stride"] = latent_stride(own, scale, (1 - OVERLAP, 1 - OVERLAP))

    @property
    def _fit(self) -> Fit:
        return self.options.fit or ("stretch" if self.options.own_size else "crop")

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking | None:
        """What the tiles say, put together; nothing of its own without them."""
        return in_windows(ask, step.run, step.run.state(self)["stride"]) if self.options.tiles else None

    @hookimpl
    def start(self, run: Run) -> Start:
        """The picture at the level of the first step that is run."""
        if run.source is None:
            raise UsageError('sdedit: a picture is missing; give the one to start from, for example "sdedit photo.png"')
        self._note(run, run.source)
        clean = run.latents_of(run.source.tensor(run.size)).float().expand(run.count, -1, -1, -1)  # (b c h w)
        index = self.first_step(run)
        if index == len(run.timesteps):
            if self.options.strength != 0:
                raise UsageError(self._nothing_is_run(run))
            return Start(clean, index)
        return Start(run.noised(clean, run.noise.draw(run.latent_shape, clean.device), index), index)

    def _note(self, run: Run, source: Source) -> None:
        """Says what of the picture is not shown, or not in its proportions."""
        if self.options.strength == 0 and self.options.own_size:  # it is the file's own
            return
        if source.region is not None and not self.options.own_size:  # another trick says what is shown
            return
        how: Fit = self._fit if self.options.own_size else source.how
        photo = source.picture
        if note := note_on(photo.path.name, photo.image.size, run.size, how):
            for facts in run.facts:
                facts["notes"] = [*facts.get("notes", ()), f"sdedit: {note}"]
                facts.update({"region": list(cropped(photo.image.size, run.size))} if how == "crop" else {})

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image, index: int) -> Image:
        """The whole picture with what was changed of it, in its mode and depth, where it is to have its own size."""
        if not self.options.own_size:
            return image
        assert run.source is not None
        photo = run.source.picture
        raster = photo.raster
        if self.options.strength != 0 and not run.rehearsal:
            shown, part = self._shown(run, run.source)
            made, given = (raster.values_of(each.crop(part)) for each in (image, self._given(run, run.source)))
            raster = brought_back(raster, shown, made, given)
        nothing = np.broadcast_to(np.False_, raster.samples.shape[:2])  # of it was promised to stay
        run.repainted[index] = Repainted(raster, nothing)
        return raster.shown()

    @staticmethod
    def _shown(run: Run, source: Source) -> tuple[Box, Box]:
        """The part of the picture that the model was shown, and where in what it made that is."""
        if source.region is not None:
            return source.region, (0, 0, *run.size)
        return framed(source.picture.image.size, run.size, source.how)

    def _given(self, run: Run, source: Source) -> Image:
        """What the model was shown, in the colours of the picture's file; of one of latents as its VAE has it."""
        state = run.state(self)
        if "given" not in state:
            seen = source.seen(run.size)
            if run.model.family.scale > 1 and run.previous is None:
                seen = to_images(run.model.decode(run.latents_of(to_tensor(seen))))[0]
            state["given"] = from_srgb(seen, source.picture.icc) if source.picture.icc else seen
        given: Image = state["given"]
        return given

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


def _check_alone(trick: SDEdit, run: Run) -> None:
    """Raises UsageError where another trick gives the picture back at its own size."""
    for other in run.tricks:
        if other is not trick and other.keeps_size:
            raise UsageError(f"sdedit: {other.label()!r} gives the picture back at its own size already; leave out"
                             " `own_size`")  # fmt: skip
