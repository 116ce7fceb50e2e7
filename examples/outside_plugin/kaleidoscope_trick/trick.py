"""x0 = mean over g of g(x0), g running over the mirror images of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.plugin import Trick, TrickOptions, hookimpl, option

if TYPE_CHECKING:  # so that drawing the command line's help costs no torch
    from diffusion_tricks.plugin import Ask, Step

MIRRORS = {2: [(), (-1,)], 4: [(), (-1,), (-2,), (-2, -1)]}  # fold: the axes that are reversed


class KaleidoscopeOptions(TrickOptions):
    """How many mirror images the picture is made of."""

    fold: Literal[2, 4] = option(4, "2: left is right; 4: also top is bottom")


class Kaleidoscope(Trick[KaleidoscopeOptions]):
    """The clean estimate, averaged over its mirror images."""

    name = "kaleidoscope"

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """Asks the model once and makes what it takes for clean symmetric."""
        (answer,) = yield [ask]
        first, *others = [answer.clean.flip(axes) for axes in MIRRORS[self.options.fold]]
        return answer.with_clean(sum(others, first) / self.options.fold)
