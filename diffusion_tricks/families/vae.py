"""Latents and pixels of a model with a VAE: AutoencoderKL, the AutoencoderDC of Sana, or Qwen's, that of a film."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.families.shapes import FILM


def encoded(vae: Any, pixels: Tensor, upcast: bool = False) -> Tensor:
    """The mean of the VAE's posterior (b c h w), scaled as its model expects, for pixels (b 3 H W) in -1..1.

    upcast: in float32 rather than float16, where the VAE asks for it, as the pipeline of its model does.
    """
    film = is_film(vae)
    with _precise(vae, upcast), torch.no_grad():
        output = vae.encode(_as_film(pixels.to(vae.dtype), film))
    mean: Tensor = output.latent if hasattr(output, "latent") else output.latent_dist.mean
    mean = mean[:, :, 0] if film else mean
    shift, std = _statistics(vae, mean)
    latents: Tensor = (mean - shift) * _factor(vae) / std
    return latents


def decoded(vae: Any, latents: Tensor, upcast: bool = False) -> Tensor:
    """The VAE's picture (b 3 H W) of latents (b c h w), differentiable where they are; upcast: as for `encoded`."""
    film = is_film(vae)
    with _precise(vae, upcast, kept=latents.requires_grad), differentiable(vae, latents):
        latents = latents.to(vae.dtype)
        shift, std = _statistics(vae, latents)
        scaled = latents * std / _factor(vae) + shift
        pixels: Tensor = vae.decode(_as_film(scaled, film), return_dict=False)[0]
    return pixels[:, :, 0] if film else pixels


def upcasts(pipe: Any) -> bool:
    """Whether a pipeline listens to its VAE's wish for float32, as SDXL's do."""
    return hasattr(pipe, "upcast_vae")


def is_film(vae: Any) -> bool:
    """Whether a VAE codes films: pictures are films of one frame to it, (b c 1 h w)."""
    return FILM in vae.config


def _as_film(x: Tensor, film: bool) -> Tensor:
    return x.unsqueeze(2) if film else x


def _factor(vae: Any) -> float:
    return float(vae.config.get("scaling_factor") or 1.0)


@contextlib.contextmanager
def _precise(vae: Any, upcast: bool, kept: bool = False) -> Iterator[None]:
    """The VAE in float32, where it asks for it and is heard: SDXL's overflows in float16, others ask by default.

    kept: it stays so, as a gradient is yet to go back through its weights.
    """
    dtype = vae.dtype
    if dtype != torch.float16 or not (upcast and vae.config.get("force_upcast")):
        yield
        return
    try:
        vae.to(torch.float32)
        yield
    finally:
        vae.to(torch.float32 if kept else dtype)


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Mean and spread of the VAE's latents, per channel or in all, where it names them."""
    config = vae.config
    if config.get("latents_mean") is None or config.get("latents_std") is None:
        return float(config.get("shift_factor") or 0.0), 1.0
    shift, std = (torch.tensor(config[k]).view(1, -1, 1, 1).to(like) for k in ("latents_mean", "latents_std"))
    return shift, std
