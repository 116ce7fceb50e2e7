"""What stands out from the picture's border, found without a model.

u_k(p) = sqrt((c(p) - mu_k)^T Q_k (c(p) - mu_k)) / max u_k        for each side k of the border, c in CIE Lab, and Q_k
U(p)   = sum_k u_k(p) - max_k u_k(p)                              the inverse of the covariance there

The cue of appearance in J. Zhang et al., Minimum Barrier Salient Object Detection at 80 FPS, ICCV 2015, section 3.3.
The mask is U above the threshold of N. Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks.plugin import flatten
from diffusion_tricks_plugins.masks.mask import Canvas, Weights, hard

Floats = NDArray[np.floating[Any]]
BORDER = 10  # one part in so many of the shorter side
SMOOTH = 200  # sigma of the blur, in the same way, at least 2 px
SPREAD = 4.0  # variance of Lab colours that is added, so that a border of one colour has an inverse
LARGE = 512  # px: pictures of twice this side and more are reduced
BINS = 256
D65 = np.array([0.95047, 1.0, 1.08883], np.float32)
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
)  # of linear sRGB, IEC 61966-2-1


@dataclass(frozen=True)
class Saliency:
    """What differs in colour from at least three sides of the picture's border."""

    text: str

    def draw(self, canvas: Canvas) -> Weights:
        """What is transparent is laid on white; a picture of one colour has nothing that stands out."""
        found = saliency(flatten(canvas.shown(self.text).image))
        return hard(found > otsu(found))


def saliency(image: Image.Image) -> Floats:
    """U (h w) of an RGB picture, 0..3; of a large one it is that of a smaller copy, enlarged."""
    small = image.reduce(max(1, max(image.size) // LARGE))
    found = Image.fromarray(_saliency(small).astype(np.float32))
    return np.asarray(found.resize(image.size, Image.Resampling.BILINEAR))


def _saliency(image: Image.Image) -> Floats:
    from scipy.ndimage import gaussian_filter

    shorter = min(image.size)
    lab = lab_of(np.asarray(image).astype(np.float32) / 255)
    lab = gaussian_filter(lab, (max(2, shorter / SMOOTH),) * 2 + (0,))  # (h w 3)
    width = max(1, shorter // BORDER)
    far = np.stack([distance(lab, side) for side in (lab[:width], lab[-width:], lab[:, :width], lab[:, -width:])])
    return np.asarray(far.sum(0) - far.max(0))


def distance(lab: Floats, side: Floats) -> Floats:
    """u_k: Mahalanobis distance (h w) of colours to those of a side of the border, 0..1."""
    colours = side.reshape(-1, 3)
    inverse = np.linalg.inv(np.cov(colours.T) + SPREAD * np.eye(3))
    apart = lab - colours.mean(0)
    far = np.sqrt(np.maximum(np.einsum("hwi,ij,hwj->hw", apart, inverse, apart), 0))
    return np.asarray(far / max(float(far.max()), 1e-6))


def otsu(values: Floats) -> float:
    """The threshold that parts values into two classes with the greatest variance between them; inf for equal ones."""
    if np.ptp(values) < 1e-6:
        return float("inf")
    counts, edges = np.histogram(values, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above, rest = below[-1] - below, sums[-1] - sums
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - rest / above) ** 2
    return float(middles[int(np.nanargmax(between[:-1]))])


def lab_of(rgb: Floats) -> Floats:
    """CIE L*a*b* (h w 3), D65, of sRGB in 0..1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear.astype(np.float32) @ XYZ.T / D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2).astype(np.float32)
