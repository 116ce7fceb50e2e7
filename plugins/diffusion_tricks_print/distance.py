"""From how far a blurred picture is seen alone, at 20/20 acuity.

    G(f) = exp(-2 pi^2 sigma^2 f^2)          a Gaussian blur's response to f cycles per millimetre
    f_c  = sqrt(ln 2 / 2) / (pi sigma)       where it is one half: coarser is the far picture's, finer the near one's
    d    = 1 / (f_c * 2')                    where a cycle of f_c is two minutes of arc wide, 2' = 2 pi / (180 * 60)

20/20 is by definition (Snellen, 1862) to resolve strokes of one minute of arc; a cycle is a dark stroke and a bright
one, so that nothing beyond 30 cycles per degree is seen. How a hybrid changes with distance: Oliva, Torralba, Schyns,
Hybrid Images, SIGGRAPH 2006, section 2, with f_c the half-gain cut-off. The eye is less sensitive to weak contrast
than to sharp letters, so that the far picture wins well before this distance; from it on, it is alone.
"""

from __future__ import annotations

import math

STROKE = math.radians(1 / 60)  # what 20/20 resolves


def cutoff(sigma: float) -> float:
    """The frequency at which a Gaussian of `sigma` lets one half pass; cycles per unit of `sigma`, which is above 0."""
    return math.sqrt(math.log(2) / 2) / (math.pi * sigma)


def alone_from(sigma: float) -> float:
    """The distance from which nothing finer than a blur of `sigma` is seen; in the unit of `sigma`, above 0."""
    return 1 / (cutoff(sigma) * 2 * STROKE)


def said(millimetres: float) -> str:
    """A distance in metres, as precise as an eye is."""
    metres = millimetres / 1000
    return f"{metres:.0f} m" if metres >= 10 else f"{metres:.1f} m"
