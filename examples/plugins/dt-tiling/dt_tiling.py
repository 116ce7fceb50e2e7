"""eps = S^-1 eps(S x), S a shift around the edges, another at each step, of a network that pads around the edges."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import Asking, Trick, TrickOptions, hookimpl, option

if TYPE_CHECKING:  # so that the command line's help costs no torch
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Run, Step


class TileOptions(TrickOptions):
    shift: bool = option(True, "shift what the model sees, at every step elsewhere")
    padding: bool = option(True, "pad convolutions around the edges")


class Tile(Trick[TileOptions]):
    """A picture whose edges meet when it is laid beside itself."""

    name = "tile"
    changes_model = True

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Makes the network, and the decoder of latents, pad around the edges; a rehearsal has none."""
        from torch.nn import Conv2d

        there = (run.network, getattr(run.model.pipe, "vae", None)) if self.options.padding else ()
        parts = [part for network in there if network is not None for part in network.modules()]
        run.state(self)["changed"] = [c for c in parts if isinstance(c, Conv2d) and c.padding_mode == "zeros"]
        for part in run.state(self)["changed"]:
            part.padding_mode = "circular"

    @hookimpl
    def close(self, run: Run) -> None:
        """Leaves the model as it was."""
        for part in run.state(self).get("changed", ()):
            part.padding_mode = "zeros"

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """Asks about the picture shifted, and shifts the answer back."""
        if not self.options.shift:
            return (yield [ask])[0]
        down, across = random.Random(step.index).choices(range(max(ask.x.shape)), k=2)
        (answer,) = yield [ask.moved(lambda x: x.roll((down, across), (-2, -1)))]
        back: Callable[[Tensor], Tensor] = lambda x: x.roll((-down, -across), (-2, -1))  # noqa: E731
        return answer.moved(back, back, ask.x)


@hookimpl
def register_tricks(register: Callable[..., None]) -> None:
    """Names the class; it is imported when it is used."""
    register("tile", "dt_tiling:Tile", summary="a picture that goes on at its edges")
