"""Record and replay: any UNet pipeline of diffusers as a function from latents, step and prompts to a prediction.

The pipeline's own `__call__` prepares the denoiser's arguments, guidance off, for each prompt. The first denoiser
call is recorded and left by an exception before the model computes; from then on that call is replayed
with other latents and timesteps, picking rows per prompt. No pipeline is copied here.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.schedulers import first_spread

Pipeline = Any  # diffusers' pipelines share conventions, not a typed interface; the looseness ends in this file
Size = tuple[int, int]  # width, height in pixels


class Recorded(BaseException):
    """Leaves a pipeline at its first denoiser call; a BaseException, so that no pipeline swallows it.

    sample: the denoiser's input (n c h w), not scaled for it. spread: of the noise in it, as the pipeline's scheduler
    starts with. arguments: all others, but the timestep.
    """

    def __init__(self, sample: Tensor, spread: float, arguments: dict[str, Any]):
        self.sample = sample
        self.spread = spread
        self.arguments = arguments


class Family(Protocol):
    """What differs between families of models; one object serves one pipeline."""

    channels: int  # of the latents
    scale: int  # pixels per latent
    size: Size  # the size the model was made for, in pixels
    multiple: int  # width and height are multiples of this, in pixels

    def record(self, prompts: Sequence[str | None], size: Size) -> list[dict[str, Any]]:
        """The denoiser's arguments for each prompt, as rows of one."""

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
        """The raw output (n c' h w) for scaled latents (n c h w), one recorded row each."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 to latents (b c h w)."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b c h w) to pixels (b 3 H W), about -1..1."""


class UNetFamily:
    """DeepFloyd IF stage I (pixels), Stable Diffusion 1.x/2.x and SDXL (latents)."""

    def __init__(self, pipe: Pipeline):
        self.pipe = pipe
        config = pipe.unet.config
        self.vae = getattr(pipe, "vae", None)
        self.scale = 2 ** (len(self.vae.config.block_out_channels) - 1) if self.vae is not None else 1
        self.channels = self.vae.config.latent_channels if self.vae is not None else 3
        if config.in_channels != self.channels:
            raise ModelError(
                f"the UNet takes {config.in_channels} channels where the latents have {self.channels}; of models with "
                "extra input channels only upscalers run, behind their base model: name that and a larger size"
            )
        side = config.sample_size if isinstance(config.sample_size, int) else min(config.sample_size)
        self.size = (side * self.scale, side * self.scale)
        self.multiple = self.scale if self.scale > 1 else 2 ** (len(config.block_out_channels) - 1)

    @staticmethod
    def serves(pipe: Pipeline) -> bool:
        """Whether this family knows the pipeline: a conditional UNet called `unet`, and a `__call__` with prompts."""
        return type(getattr(pipe, "unet", None)).__name__ == "UNet2DConditionModel" and hasattr(pipe, "encode_prompt")

    def record(self, prompts: Sequence[str | None], size: Size) -> list[dict[str, Any]]:
        """One recording per prompt; None, the family's own unconditional, is recorded with guidance on.

        Prompts are encoded one by one, so that a picture does not depend, to the last bit, on what is made beside it.
        """
        return [self._unconditional(size) if p is None else self._record(p, size, guidance=1.0) for p in prompts]

    def _unconditional(self, size: Size) -> dict[str, Any]:
        """The first of the two rows of a call with guidance."""
        return _row(self._record("", size, guidance=2.0), 0, 2)

    def _record(self, prompt: str, size: Size, guidance: float) -> dict[str, Any]:
        extra = {"clean_caption": False} if self.vae is None else {}
        return recorded(
            self.pipe, "a prompt alone", "a text-to-image pipeline with its text encoders",
            prompt=[prompt], guidance_scale=guidance, width=size[0], height=size[1],
            output_type="latent" if self.vae is not None else "pt", **extra,
        ).arguments  # fmt: skip

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
        """Replays the recorded call with other latents."""
        return replayed(self.pipe.unet, x, t, rows)

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the VAE's posterior, scaled; in pixel space the pixels themselves."""
        if self.vae is None:
            return pixels
        with self._precise(), torch.no_grad():
            mean: Tensor = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mean
        shift, std = self._statistics(mean)
        latents: Tensor = (mean - shift) * self.vae.config.scaling_factor / std
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """The VAE's picture; in pixel space the latents themselves."""
        if self.vae is None:
            return latents
        shift, std = self._statistics(latents)
        with self._precise(), torch.no_grad():
            scaled = latents.to(self.vae.dtype) * std / self.vae.config.scaling_factor + shift
            pixels: Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return pixels

    @contextlib.contextmanager
    def _precise(self) -> Iterator[None]:
        """The VAE in float32, where it asks for it: SDXL's overflows in float16."""
        vae, dtype = self.vae, self.vae.dtype  # type: ignore[union-attr]
        if dtype != torch.float16 or not vae.config.get("force_upcast"):  # type: ignore[union-attr]
            yield
            return
        vae.to(torch.float32)  # type: ignore[union-attr]
        try:
            yield
        finally:
            vae.to(dtype)  # type: ignore[union-attr]

    def _statistics(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean and spread of the VAE's latents, per channel, where it names them."""
        config = self.vae.config  # type: ignore[union-attr]
        if config.get("latents_mean") is None or config.get("latents_std") is None:
            return 0.0, 1.0
        shift, std = (torch.tensor(config[k]).view(1, -1, 1, 1).to(like) for k in ("latents_mean", "latents_std"))
        return shift, std


def family_of(pipe: Pipeline) -> Family:
    """The family that serves a pipeline. Raises ModelError for one that none serves."""
    from diffusion_tricks.unconditional import PlainFamily

    if UNetFamily.serves(pipe):
        return UNetFamily(pipe)
    if PlainFamily.serves(pipe):
        return PlainFamily(pipe)
    raise ModelError(
        f"{type(pipe).__name__} is not a pipeline this version can open: expected a text-to-image pipeline with a "
        "UNet2DConditionModel (DeepFloyd IF stage I, Stable Diffusion 1.x or 2.x, SDXL), or one with a UNet2DModel"
    )


def check_size(family: Family, size: Size) -> None:
    """Raises UsageError for a size the model cannot make."""
    if any(side < family.multiple or side % family.multiple for side in size):
        raise UsageError(f"size must be a multiple of {family.multiple} in both directions, got {size[0]}x{size[1]}")


def recorded(pipe: Pipeline, given: str, expected: str, **call: Any) -> Recorded:
    """The first denoiser call of `pipe(**call)`, which goes no further.

    given, expected: what the pipeline is called with, and what it has to be for that; for the message of the
    ModelError that is raised where it cannot be.
    """
    with _patched(pipe), torch.no_grad():
        try:
            pipe(**call, num_inference_steps=2)
        except Recorded as made:
            return made
        except (TypeError, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}; expected {expected}"
            raise ModelError(f"{type(pipe).__name__} cannot be run from {given}: {why}") from error
    raise ModelError(f"{type(pipe).__name__} finished without calling its UNet; it cannot be run step by step")


def replayed(unet: torch.nn.Module, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
    """The raw output (n c' h w) of a recorded call for other input (n c h w), one recorded row each."""
    with torch.no_grad():
        output: Tensor = unet(x.to(_dtype(unet)), t, **_stacked(rows), return_dict=False)[0]
    return output


@contextlib.contextmanager
def _patched(pipe: Pipeline) -> Iterator[None]:
    """The pipeline with a UNet that records, a scheduler of its own and no progress bar; put back after."""
    unet, scheduler, bar = pipe.unet, pipe.scheduler, getattr(pipe, "_progress_bar_config", None)
    own = vars(unet).get("forward")  # offloading hooks put one on the instance

    def recording(sample: Tensor, timestep: Tensor, **arguments: Any) -> None:
        spread = float(pipe.scheduler.init_noise_sigma)
        raise Recorded(sample, spread, {k: v for k, v in arguments.items() if k != "return_dict"})

    unet.forward = recording
    pipe.scheduler = copy.deepcopy(scheduler)
    pipe.scheduler.scale_model_input = lambda sample, *_, **__: sample
    if not hasattr(pipe.scheduler, "init_noise_sigma"):  # a flow's does not say it
        pipe.scheduler.init_noise_sigma = first_spread(pipe.scheduler)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        vars(unet).pop("forward", None)
        if own is not None:
            unet.forward = own
        pipe.scheduler = scheduler
        pipe._progress_bar_config = bar if bar is not None else {}
        pipe.maybe_free_model_hooks()


def _row(arguments: dict[str, Any], i: int, n: int) -> dict[str, Any]:
    """Row i of every tensor with n rows; all else as it is."""
    return {key: _picked(value, i, n) for key, value in arguments.items()}


def _picked(value: Any, i: int, n: int) -> Any:
    if isinstance(value, Tensor) and value.ndim and len(value) == n:
        return value[i : i + 1]
    if isinstance(value, dict):
        return _row(value, i, n)
    return value


def _dtype(module: torch.nn.Module) -> torch.dtype:
    """That of the first weight; the `dtype` of diffusers' models walks over all modules, which shows in every step."""
    return next(module.parameters()).dtype


def _stacked(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows back to one batch."""
    return {key: _joined([row[key] for row in rows]) for key in rows[0]}


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values) if values[0].ndim else values[0]
    if isinstance(values[0], dict):
        return _stacked(values)
    return values[0]
