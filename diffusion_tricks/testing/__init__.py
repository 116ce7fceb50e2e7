"""Doubles and checks for plugin authors: tiny pipelines, exact denoisers, what every view and trick must hold."""

from __future__ import annotations

from diffusion_tricks.testing.checks import check_trick, check_view
from diffusion_tricks.testing.denoisers import denoiser_model, exact_model, posterior_mean
from diffusion_tricks.testing.pipelines import tiny_arguments, tiny_controlnet, tiny_pipeline, tiny_upscaler

__all__ = [
    "check_trick",
    "check_view",
    "denoiser_model",
    "exact_model",
    "posterior_mean",
    "tiny_arguments",
    "tiny_controlnet",
    "tiny_pipeline",
    "tiny_upscaler",
]
