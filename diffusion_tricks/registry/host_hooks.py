"""The hooks of the host: registration, once a process. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

PROJECT = "diffusion_tricks"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HostHooks:
    """Registration, once a process."""

    @hookspec
    def register_tricks(self, register: Callable[..., None]) -> None:
        """`register("hybrid", "my_package.hybrid:Hybrid", summary="two pictures in one, by distance")`.

        short="image": in the place of a prompt, `name:text` is short for the trick with that text for that option.
        """

    @hookspec
    def register_views(self, register: Callable[..., None]) -> None:
        """`register("flip", "my_package.views:Flip", summary="top to bottom")`."""

    @hookspec
    def register_models(self, register: Callable[..., None]) -> None:
        """`register("emoji", "path or hub name", summary="...")`."""

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Add commands to the command line."""
