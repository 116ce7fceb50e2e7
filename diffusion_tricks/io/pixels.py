"""Pictures as tensors and back, made to fit, enlarged, and their alpha; torch only where needed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageOps

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.types import Fit

if TYPE_CHECKING:
    import torch

Colour = str | int | tuple[int, ...]
MOST_PIXELS = 400_000_000  # of an enlarged picture: 1.2 GB
NOTEBOOK = 256  # pixels in height, about, of a picture in a notebook
LANCZOS = Image.Resampling.LANCZOS


def to_tensor(image: Image.Image) -> torch.Tensor:
    """The picture as float32 (1 3 h w) in -1..1, as diffusers prepares it; alpha is laid on white first."""
    import numpy as np
    import torch

    pixels = np.asarray(flatten(image)).astype(np.float32) / 255.0  # (h w 3)
    return 2.0 * torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None] - 1.0


def to_images(x: torch.Tensor) -> list[Image.Image]:
    """The RGB pictures of a tensor (b 3 h w) in -1..1, rounded to 8 bit exactly as diffusers does.

    Values outside the range are clamped. Raises `ModelError` for values that are no numbers.
    """
    unit = (x.detach() / 2 + 0.5).clamp(0, 1)  # in the tensor's own dtype, as diffusers' pipelines do
    pixels = unit.cpu().permute(0, 2, 3, 1).float().numpy()  # (b h w 3)
    if (pixels != pixels).any():
        raise ModelError('the model gave values that are no numbers (NaN), expected a picture; try `dtype="float32"`')
    return [Image.fromarray(page) for page in (pixels * 255).round().astype("uint8")]


def fit(image: Image.Image, size: tuple[int, int], how: Fit = "crop", background: Colour = "white") -> Image.Image:
    """The picture at exactly `size` (width, height) in pixels; one that has it already is returned as it is.

    `crop` covers the size and cuts what stands over, evenly; `pad` shows the whole picture, centred on the
    `background`; `stretch` changes the proportions. Resampling is Lanczos, with alpha premultiplied.
    """
    if min(size) < 1:
        raise UsageError(f"expected a size of at least 1 x 1 pixels, got {size[0]} x {size[1]}")
    if image.size == tuple(size):
        return image
    if how == "stretch":
        return image.resize(size, LANCZOS)
    if how == "crop":
        return ImageOps.fit(image, size, LANCZOS)
    if how == "pad":
        return _pad(image, size, background)
    raise UsageError(f"unknown fit {how!r}; expected crop, pad or stretch")


def _pad(image: Image.Image, size: tuple[int, int], background: Colour) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    page = Image.new(image.mode, size, background)
    page.paste(image.resize((width, height), LANCZOS), ((size[0] - width) // 2, (size[1] - height) // 2))
    return page


def enlarge(image: Image.Image, factor: int, how: Literal["lanczos", "nearest"] = "lanczos") -> Image.Image:
    """The picture `factor` times as wide and as high: smooth with `lanczos`, in crisp squares with `nearest`.

    A factor of 1 returns the picture as it is. Raises UsageError as `enlarged_size` does.
    """
    if factor == 1:
        return image
    return image.resize(enlarged_size(image.size, factor), Image.Resampling[how.upper()])


def enlarged_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """The size of a picture `factor` times as wide and as high. Raises UsageError for what is too much."""
    if factor < 1:
        raise UsageError(f"expected an enlargement of 1 or more, got {factor}")
    width, height = size[0] * factor, size[1] * factor
    if width * height > MOST_PIXELS:
        fits = math.isqrt(MOST_PIXELS // (size[0] * size[1]))
        raise UsageError(
            f"{size[0]} x {size[1]} pixels enlarged {factor} times are {width} x {height}, more than the "
            f"{MOST_PIXELS:,} that are made; `enlarge` may be up to {fits} at this size"
        )
    return width, height


def flatten(image: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The picture as RGB, laid on `background` where it is transparent."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    page = Image.new("RGBA", image.size, background)
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


def alpha_of(image: Image.Image) -> Image.Image | None:
    """The alpha channel as mode L (0 transparent, 255 opaque), or None for a picture that has none."""
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def png_of(images: Sequence[Image.Image]) -> bytes:
    """Pictures of one height side by side as a PNG, as notebooks show it; small ones are enlarged, in crisp squares."""
    page = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    for i, image in enumerate(images):
        page.paste(flatten(image), (sum(one.width for one in images[:i]), 0))
    file = io.BytesIO()
    enlarge(page, max(1, NOTEBOOK // page.height), "nearest").save(file, "PNG")
    return file.getvalue()
