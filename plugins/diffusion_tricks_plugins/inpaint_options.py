"""What may be said of inpainting."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from diffusion_tricks.plugin import Prompted, argument, option
from diffusion_tricks_plugins.inpaint_fill import Fill
from diffusion_tricks_plugins.masks import files_in, mask_paths
from diffusion_tricks_plugins.repainting import RepaintOptions

WHOLE = (*RepaintOptions.model_fields, "fill", "soft", "keep_alpha")  # options that hold for all parts of an edit


def _listed(value: Any) -> Any:
    """One mask may stand for a list of one."""
    masks = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(masks, list | tuple):
        return value
    return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in masks]


class InpaintOptions(RepaintOptions):
    """Where the mask is 0, nothing changes; feather 0 and invert off leave the mask as it is."""

    image: str | None = argument(None, "the picture to change; may be left to a trick that brings one", path=True)
    mask: Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = option(
        ..., "what to make new: a file (white = new), alpha (transparent = new), box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1"
        " in pixels or percent, and more, see mask --help; several are their union", path=mask_paths, min_length=1,
    )  # fmt: skip
    prompt: Prompted | None = option(None, "what to make there, where parts of a picture have prompts of their own")
    mask_fit: bool = option(False, "resize a mask file of another size to the picture's")
    invert: bool = option(False, "make new what the mask keeps, and keep the rest")
    feather: float = option(0.0, "px inside the mask's edge over which new and old blend", ge=0, le=4096)
    segmenter: str | None = option(
        None, "another CLIPSeg to find what words: name in a mask: a directory or a hub name", path="model"
    )
    fill: Fill | None = option(
        None, "what stands under the mask when a run of some strength starts; telea is OpenCV's; default original",
        needs=("strength",),
    )  # fmt: skip
    soft: Literal["blend", "strength"] = option(
        "blend", "what gray in a mask means: old and new mixed, or so much of the schedule run there"
    )
    keep_alpha: bool = option(
        False, "leave the picture's alpha as it is: what is made where it is transparent stays unseen"
    )

    @model_validator(mode="after")
    def _heeded_by_masks(self) -> InpaintOptions:
        named = [name for one in self.mask for name in files_in(one)]  # a text that is no mask is told of here
        if self.mask_fit and not named:
            raise ValueError(f"mask_fit is for a mask in a file, and {' + '.join(self.mask)!r} is none; leave it out")
        if self.segmenter is not None and not any("words:" in one for one in self.mask):
            raise ValueError('segmenter finds what words name, as in mask words:"the hat"; leave it out')
        if self.keep_alpha and self.mask == ["alpha"] and not self.invert:
            raise ValueError("`keep_alpha` would leave unseen what is made where the picture is transparent, which is"
                             " all that the mask alpha makes new; leave it out")  # fmt: skip
        if self.soft == "strength" and self.blend == "off":
            raise ValueError('`soft="strength"` puts back what is known for a while, which `blend="off"` never does;'
                             " leave out one of them")  # fmt: skip
        return self
