"""Doubles and checks for plugin authors: tiny pipelines, exact denoisers, what every view and trick must hold."""

from __future__ import annotations

from diffusion_tricks.testing.checks import check_trick, check_view
from diffusion_tricks.testing.denoisers import exact_model
from diffusion_tricks.testing.pipelines import tiny_arguments, tiny_controlnet, tiny_pipeline, tiny_upscaler

__all__ = [
    "check_trick",
    "check_view",
    "exact_model",
    "tiny_arguments",
    "tiny_controlnet",
    "tiny_pipeline",
    "tiny_upscaler",
]
