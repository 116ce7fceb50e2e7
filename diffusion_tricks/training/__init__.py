"""The trainers' door: small diffusion models of one's own, what they learn from, and how it went.

Names are imported when first used, so that reading options and presets costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.lazy import opening

if TYPE_CHECKING:
    from diffusion_tricks.training.data.opening import open_source as open_source

_HOMES = {
    "training.data.opening": ("open_source",),
}
__getattr__, __dir__, __all__ = opening(__name__, _HOMES)
