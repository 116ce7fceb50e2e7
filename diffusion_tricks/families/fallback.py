"""Any text-to-image pipeline that has no adapter: its own `__call__`, run for one step at a time with guidance off.

    eps(x, t, prompts) = model_output of the first scheduler.step of pipe(prompts, latents=x), where t is the only step

The pipeline's own code so computes the prediction for any latents and any number of rows, a prompt each; nothing is
known of its network but that it is asked once. Prompts are encoded once, and given back in every later call.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.devices.oom import explained
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.errors import DiffusionTricksError, ModelError, UsageError
from diffusion_tricks.families import shapes
from diffusion_tricks.families.base import Family, parts_of
from diffusion_tricks.families.gradients import no_gradients
from diffusion_tricks.families.onestep import AskedForSteps, Left, OneStep, aside, left_at, standing_in, watched
from diffusion_tricks.families.refusals import GUIDED, call_of, missing, refusal
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.texts import Encoded, Encoding, doubled, negative
from diffusion_tricks.families.vae import decoded, encoded, upcasts
from diffusion_tricks.types import Pipeline, Row, Size

# what a pipeline does beside answering: other sizes than were asked for, other texts, guidance of its own kind
OFF: dict[str, Any] = {"use_resolution_binning": False, "clean_caption": False, "use_pe": False, "pag_scale": 0.0}


class FallbackFamily(Family):
    """A pipeline that turns prompts and latents (b c h w) into a call of `scheduler.step`."""

    part = "transformer"
    schedule_reads = True
    differentiable = False

    def __init__(self, pipe: Pipeline):
        if why := missing(type(pipe)):
            raise ModelError(refusal(type(pipe).__name__, why))
        super().__init__(pipe)
        self.part = shapes.network_of(parts_of(pipe)) or self.part  # type: ignore[misc]
        self.accepted = call_of(type(pipe))
        self.schedule = self._told  # type: ignore[method-assign]
        self._any_row: Row | None = None
        self._stacks: bool | None = None
        self._proven: set[Size] = set()

    shape_of = staticmethod(shapes.of_any_latents)

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """Some shift, for a scheduler that asks for one: of a model that is not loaded only the number of steps counts.

        Of one that is, every object asks its pipeline instead.
        """
        return {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """Each prompt with all that `encode_prompt` makes of it; None is what the pipeline moves away from.

        Prompts are encoded one by one, so that a picture does not depend, to the last bit, on what is made beside it.
        """
        given: Row = {} if distilled is None else {"distilled": distilled}
        rows = [given | (self._unconditional(size) if p is None else self._recorded([p], size)) for p in prompts]
        self._any_row = rows[-1]
        if self._stacks is None:
            once, twice = (self._recorded(n * ["a"], size)["texts"] for n in (1, 2))
            self._stacks = doubled(once, twice)
        self.pipe.maybe_free_model_hooks()
        return rows

    def _recorded(self, prompts: list[str], size: Size, scale: float = 1.0) -> Row:
        """Prompts with their texts, as the pipeline encodes them for guidance at a scale."""
        texts = Encoding(self.pipe.encode_prompt)
        row: Row = {"prompt": prompts}
        x = self._empty(size, len(prompts))
        once = OneStep(self.pipe.scheduler, torch.ones(1, device=x.device))
        with left_at(self.denoiser):
            self._left(row, x, once, texts, **self._guided(scale))
        return row | {"texts": texts.kept}

    def _unconditional(self, size: Size) -> Row:
        """What the pipeline encodes without being given a negative prompt; the empty text where that cannot be told."""
        row = self._recorded([""], size)
        return row | {"texts": negative(row["texts"], self._recorded([""], size, scale=2.0)["texts"])}

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """What the pipeline gives its scheduler. Raises ModelError where that is no answer to x."""
        if more:
            name, names = type(self.pipe).__name__, ", ".join(more)
            raise UsageError(f"{name} has no adapter, so nothing can be added to its network's input: {names}")
        if x.requires_grad:
            raise no_gradients(type(self.pipe).__name__)
        if len(rows) > 1 and not self._stacks:
            return torch.cat([self.predict(x[i : i + 1], t, rows[i : i + 1]) for i in range(len(rows))])
        x, row = x.to(dtype_of(self.denoiser)), stacked(rows)
        size = self._size(x)
        with contextlib.nullcontext([len(x)]) if size in self._proven else watched(self.denoiser) as asked:
            found = self._left(row, x, OneStep(self.pipe.scheduler, t), Encoded(row["texts"]))
        output: Tensor = found["output"]
        if size not in self._proven:
            self._prove(x, asked, **found)
            self._proven.add(size)
        return output

    def _prove(self, x: Tensor, asked: list[int], output: Tensor, sample: Tensor) -> None:
        """That the pipeline asked its network once, for the latents it was given; once for each size, as it waits."""
        name = type(self.pipe).__name__
        if sample.shape != x.shape or not torch.equal(sample.to(x), x):
            shapes = f"{tuple(sample.shape)} where {tuple(x.shape)} were given"
            raise ModelError(refusal(name, f"it does not sample from the latents it is given: it made {shapes}"))
        if output.shape != x.shape:
            raise ModelError(refusal(name, f"its answer to {tuple(x.shape)} is of shape {tuple(output.shape)}"))
        if asked != [len(x)]:
            why = f"its guidance cannot be switched off: its network was asked for {asked} rows where {len(x)} are due"
            raise ModelError(refusal(name, why))

    def _told(self, shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """What the pipeline tells a scheduler of its own kind, and of that what one of another kind can use."""
        if steps < 1:
            return {}  # which the scheduler refuses
        row = self._any_row = self._any_row or self._recorded([""], size)
        x = self._empty(size)
        asking = AskedForSteps(scheduler, torch.ones(1, device=x.device))
        told: dict[str, Any] = self._left(row, x, asking, Encoded(row["texts"]), num_inference_steps=steps)["told"]
        accepted = inspect.signature(scheduler.set_timesteps).parameters
        if type(scheduler) is not type(self.pipe.scheduler):
            told = {name: told[name] for name in _for_others(scheduler, accepted) if name in told}
        return {name: value for name, value in told.items() if name in accepted}

    def _left(self, row: Row, x: Tensor, scheduler: Any, texts: Any, **call: Any) -> dict[str, Any]:
        """What the pipeline's call was left with. Raises ModelError where it cannot be run, or was not left."""
        idle = aside(self.pipe) if isinstance(texts, Encoded) else {}
        instead = {"scheduler": scheduler, "encode_prompt": texts, **idle}
        with alone_with(self.pipe), standing_in(self.pipe, **instead), explained(partial(self._error, x)):
            try:
                self.pipe(**self._call(row, x) | call)
            except Left as left:
                return left.found
        raise ModelError(refusal(type(self.pipe).__name__, "it finished without asking its scheduler for a step"))

    def _error(self, x: Tensor, error: Exception) -> DiffusionTricksError:
        """A sentence for what the pipeline raises for arguments it cannot use."""
        name, (width, height) = type(self.pipe).__name__, self._size(x)
        if isinstance(error, ValueError) and (width, height) != self.size:
            own = f"its own size is {self.size[0]}x{self.size[1]}"
            return UsageError(f"{name} makes no picture of {width}x{height}: {error}; {own}")
        why = f"its own call failed for a prompt and latents of {width}x{height} pixels"
        return ModelError(refusal(name, f"{why}: {type(error).__name__}: {error}"))

    def _call(self, row: Row, x: Tensor) -> dict[str, Any]:
        """The arguments of the pipeline's call: guidance off, and nothing done that was not asked for."""
        width, height = self._size(x)
        fixed = {**OFF, "num_inference_steps": 1, "output_type": "latent"}
        known = {name: value for name, value in fixed.items() if name in self.accepted}
        known |= self._guided(1.0) | ({"guidance_scale": row["distilled"]} if "distilled" in row else {})
        return known | {"prompt": row["prompt"], "latents": x, "width": width, "height": height}

    def _guided(self, scale: float) -> dict[str, Any]:
        """Guidance by two answers at a scale; one that is distilled is an input of the network, and left alone."""
        names = [name for name in GUIDED if name in self.accepted]
        return {} if self.shape.distilled and names == ["guidance_scale"] else {names[0]: scale}

    def _empty(self, size: Size, count: int = 1) -> Tensor:
        width, height = (side // self.scale for side in size)
        with alone_with(self.pipe), standing_in(self.pipe, **aside(self.pipe)):
            device = self.pipe._execution_device
        return torch.zeros(count, self.channels, height, width, device=device)

    def _size(self, x: Tensor) -> Size:
        return x.shape[-1] * self.scale, x.shape[-2] * self.scale

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the VAE's posterior, scaled."""
        return encoded(self.pipe.vae, pixels, upcasts(self.pipe))

    def decode(self, latents: Tensor) -> Tensor:
        """The VAE's picture."""
        return decoded(self.pipe.vae, latents, upcasts(self.pipe))


def _for_others(scheduler: Any, accepted: Collection[str]) -> list[str]:
    """What a scheduler of another kind than the pipeline's own is told: a shift, if it shifts; no steps but sigmas."""
    shift = ["mu"] if scheduler.config.get("use_dynamic_shifting") else []
    return [*shift, *(["sigmas", "timesteps"] if "sigmas" in accepted else [])]
