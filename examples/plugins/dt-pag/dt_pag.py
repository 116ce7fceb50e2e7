"""eps = eps + s (eps - eps'), eps' by self-attention in which each place sees itself alone.    PAG, arXiv:2403.17377"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import Asking, Trick, TrickOptions, hookimpl, option

if TYPE_CHECKING:  # so that the command line's help costs no torch
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Attended, Step


class PerturbedOptions(TrickOptions):
    """How far, and where in the network."""

    scale: float = option(3.0, "how far away from what a hindered network sees; 0 is off", ge=0)
    layers: list[str] = option(["mid_block"], "parts of the names of its attention; may repeat")


class Perturbed(Trick[PerturbedOptions]):
    """Moves away from what the network sees without its self-attention: structure."""

    name = "pag"

    @hookimpl(trylast=True)  # within views, beside guidance
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """Asks twice in one call, the second time with the attention changed, for that ask alone."""
        from diffusion_tricks.plugin import Attention  # here, as it needs torch

        if self.options.scale == 0:
            return (yield [ask])[0]
        hindered = Attention(alone, tuple(self.options.layers))
        whole, without = yield [ask, ask.but(inside=hindered)]
        return whole + self.options.scale * (whole - without)


def alone(seen: Attended) -> Tensor | None:
    """Each place of the picture sees itself alone; attention to the text is left as it is."""
    return seen.value if seen.kind == "self" else None


@hookimpl
def register_tricks(register: Callable[..., None]) -> None:
    """Names the class; it is imported when it is used."""
    register("pag", "dt_pag:Perturbed", summary="away from what is seen without self-attention")
