"""Words that several rooms use. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Pipeline = Any  # diffusers' pipelines share conventions, not a typed interface; the looseness ends in few files
Size = tuple[int, int]  # width, height in pixels
Outline = list[tuple[float, float]]  # corners in pixels, right and down from the top left
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom lie outside
Spans = Literal["none", "longer", "all"]  # which sides of a picture may be of any length, see `Trick.spans`
Fit = Literal["crop", "pad", "stretch"]  # how a picture is made to fit a size, see `io.pixels.fit`
Parts = Mapping[str, Mapping[str, Any]]  # the configuration of each component of a pipeline
Row = dict[str, Any]  # the denoiser's recorded arguments for one prompt
MEMORY = ("auto", "low", "lowest")  # how a model's memory is saved, see `devices.memory`
QUANTIZE = ("int8", "nf4")  # in how many bits weights may be kept, see `loading.quantize`
# None is the family's own unconditional, "" is the empty text; a tuple holds one prompt per picture of the batch.
Prompt = str | None | tuple[str | None, ...]


class Moves(Protocol):
    """What moves the pixels of pictures, as a view does."""

    def apply(self, x: Tensor) -> Tensor:
        """A picture (b c h w), moved; of the same shape and dtype."""

    def apply_mask(self, x: Tensor) -> Tensor:
        """A mask (b 1 h w) of 0..1, moved in the same way and never negated."""
