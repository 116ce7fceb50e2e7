"""A plugin that registers models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diffusion_tricks import hookimpl


class Registering:
    """Name to target of each model."""

    def __init__(self, models: Mapping[str, str]):
        self.models = models

    @hookimpl
    def register_models(self, register: Callable[..., None]) -> None:
        for name, target in self.models.items():
            register(name, target, summary="of a plugin")
