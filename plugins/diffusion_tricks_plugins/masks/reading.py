"""From the text of a mask to its weights on a picture, or on the size of one that is still to be made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from diffusion_tricks.plugin import Picture, UsageError
from diffusion_tricks_plugins.masks.colours import Alpha
from diffusion_tricks_plugins.masks.expressions import union
from diffusion_tricks_plugins.masks.files import MaskFile
from diffusion_tricks_plugins.masks.grammar import Parsed, parsed
from diffusion_tricks_plugins.masks.mask import SEGMENTER, Canvas, Mask, Size

FULL = "the mask covers the whole picture: all of it is made new"


def read_mask(
    text: str | Sequence[str], picture: Picture, *, fit: bool = False, invert: bool = False,
    segmenter: str | None = None,
) -> Mask:  # fmt: skip
    """The mask that `text` says, in the grammar of masks; several texts are their union.

    fit: resize mask files of another size. invert: make new what would be kept. segmenter: see `Canvas`. Raises
    UsageError for a text that is no mask, a file of another size, an empty mask and a shape off the picture;
    PictureError for a file that cannot be read; ModelError where words are looked for and no model is at hand.
    """
    return mask_for(text, picture.image.size, picture, fit=fit, invert=invert, segmenter=segmenter)


def mask_for(
    text: str | Sequence[str], size: Size, picture: Picture | None = None, *, fit: bool = False, invert: bool = False,
    segmenter: str | None = None,
) -> Mask:  # fmt: skip
    """The mask that `text` says on a picture of `size` (width, height), which need not be there yet; see `read_mask`.

    Without a picture, what looks at one raises UsageError: alpha, color:, luma:, words: and saliency.
    """
    texts = [text] if isinstance(text, str) else list(text)
    canvas = Canvas(size, picture, fit, segmenter or SEGMENTER)
    masks = [parsed(each) for each in texts]
    weights = reduce(union, (mask.drawn.draw(canvas) for mask in masks))
    weights = 255 - weights if invert else weights
    if not weights.any():
        raise UsageError(
            f"the mask {' + '.join(texts)!r} is empty: nothing in it is {_meant(masks, invert)}, so nothing would be"
            " made new; paint what is to change, or turn the mask round with invert"
        )
    full = [FULL] if weights.min() > 0 else []
    return Mask(weights, tuple(dict.fromkeys([*canvas.notes, *full])))


def files_in(text: str) -> list[str]:
    """The names of the files that a mask is read from. Raises UsageError for what is no mask."""
    return [span.path for span in parsed(text).files]


def mask_paths(text: str, change: Callable[[str], str]) -> str:
    """A mask's text with `change` applied to every path in it; one that is no mask stays as it is."""
    try:
        return parsed(text).but(change)
    except UsageError:
        return text


def _meant(masks: Sequence[Parsed], invert: bool) -> str:
    """What makes a pixel new."""
    if any(not isinstance(mask.drawn, Alpha | MaskFile) for mask in masks):
        return "left" if invert else "covered"
    if all(isinstance(mask.drawn, Alpha) for mask in masks):
        return "opaque" if invert else "transparent"
    return "black" if invert else "white"
