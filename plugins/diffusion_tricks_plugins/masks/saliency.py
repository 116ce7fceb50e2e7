"""What catches the eye in a picture, found without a model.

S(p) = | mean Lab colour of the picture - Lab colour at p, blurred |        R. Achanta et al., Frequency-tuned Salient
mask = S > 2 mean(S)                                                        Region Detection, CVPR 2009, eq. 4 and 6
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks.plugin import flatten
from diffusion_tricks_plugins.masks.mask import Canvas, Weights, hard

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
D65 = np.array([0.95047, 1.0, 1.08883], np.float32)
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
)  # of linear sRGB, IEC 61966-2-1


@dataclass(frozen=True)
class Saliency:
    """What differs in colour from the picture as a whole."""

    text: str

    def draw(self, canvas: Canvas) -> Weights:
        """What is transparent is laid on white."""
        found = saliency(flatten(canvas.shown(self.text).image))
        return hard(found > 2 * found.mean())


def saliency(image: Image.Image) -> NDArray[np.float32]:
    """S (h w) of an RGB picture, >= 0."""
    from scipy.ndimage import convolve1d

    lab = lab_of(np.asarray(image).astype(np.float32) / 255)  # (h w 3)
    blurred = convolve1d(convolve1d(lab, BINOMIAL, axis=0, mode="nearest"), BINOMIAL, axis=1, mode="nearest")
    return np.asarray(np.linalg.norm(blurred - lab.mean((0, 1)), axis=2), np.float32)


def lab_of(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE L*a*b* (h w 3), D65, of sRGB in 0..1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear.astype(np.float32) @ XYZ.T / D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2).astype(np.float32)
