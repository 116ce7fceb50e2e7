"""Masks: where a picture is made new. A text says it, `grammar` reads it, and `expressions` draws what was read.

`shapes`, `colours`, `files`, `saliency` and `words` hold what a mask is made of, `edges` what is done to its rim, and
`region` the part of the picture that the model is shown for it.
"""

from diffusion_tricks_plugins.masks.edges import depth, feathered
from diffusion_tricks_plugins.masks.mask import Mask, Size, Weights
from diffusion_tricks_plugins.masks.reading import FULL, files_in, mask_for, mask_paths, read_mask
from diffusion_tricks_plugins.masks.region import padding_px, region_around

__all__ = [
    "FULL", "Mask", "Size", "Weights", "depth", "feathered", "files_in", "mask_for", "mask_paths", "padding_px",
    "read_mask", "region_around",
]  # fmt: skip
