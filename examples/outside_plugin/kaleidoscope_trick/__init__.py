"""What the plugin brings, by name. Nothing else is imported until it is used."""

from __future__ import annotations

from collections.abc import Callable

from diffusion_tricks.plugin import hookimpl


@hookimpl
def register_tricks(register: Callable[..., None]) -> None:
    """The trick `kaleidoscope`."""
    register("kaleidoscope", "kaleidoscope_trick.trick:Kaleidoscope", summary="a picture that equals its mirror images")


@hookimpl
def register_views(register: Callable[..., None]) -> None:
    """The view `crosswise`."""
    register("crosswise", "kaleidoscope_trick.view:Crosswise", summary="the four quarters swapped crosswise")
