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
        """`register("emoji", "path or hub name", summary="...")`.

        A model that code makes: `register("blobs", "my_package.models:blobs", defaults={"steps": 20}, size=(64, 64))`,
        of a function without arguments that gives a DiffusionPipeline; what `defaults` leaves out its family says.
        """

    @hookspec
    def register_schedulers(self, register: Callable[..., None]) -> None:
        """`register("my-euler", "EulerDiscreteScheduler", settings={"use_karras_sigmas": True}, summary="...")`.

        The class is of diffusers, or "my_package.euler:MyEuler"; it is made from the configuration of the model's own
        scheduler, with these settings. flow=("Class", {settings}): the same for models that predict a flow, which
        without it cannot be run with this name. noise=False: it is for flows alone.
        """

    @hookspec
    def register_families(self, register: Callable[..., None]) -> None:
        """`register(FamilyRow("My family", ("MyPipeline",), Serves("my_package.family:MyFamily", shape_of)))`.

        A row says which pipelines of diffusers a `Family` opens, and how its models are run; `diffusion_tricks.plugin`
        has what it is made of. Rows of plugins are asked before those of the core.
        """

    @hookspec
    def register_scorers(self, register: Callable[..., None]) -> None:
        """`register("my-clip", "my_package.score:my_clip")`: called with a device, it gives a `Scorer`.

        Or with the directory or hub name of a CLIP model as the target.
        It is for `score --scorer my-clip` and the option `clip` of tricks.
        """

    @hookspec
    def register_masks(self, register: Callable[..., None]) -> None:
        """`register("star", "my_package.masks:star", summary="x,y,r")`: a form of masks, as `--mask star:9,9,5`.

        It is called with the whole text and what stands behind the colon, and gives an object with
        `draw(canvas)`: weights (h w) of 0..255, `uint8`, for `canvas.size` (width, height) or `canvas.shown(text)`.
        """

    @hookspec
    def register_movements(self, register: Callable[..., None]) -> None:
        """`register("cartwheel", "my_package.films:cartwheel", view="rotate_cw")`: how a film goes through a view.

        It is called with the view, the picture (b c h w) of -1..1 and the share of the way, between 0 and 1, and gives
        a picture of that shape. Of several for one view the last that was registered is taken.
        """

    @hookspec
    def register_engines(self, register: Callable[..., None]) -> None:
        """`register("lan", "my_package.lan:Lan", summary="idle machines")`: what `batch --engine lan` works on.

        It is called with a `Site`, and has `submit(group)`, `results()` and `close()`: see docs/scale.md.
        """

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Add commands to the command line."""
