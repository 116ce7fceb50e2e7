"""What may be said of inpainting."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from diffusion_tricks.plugin import Prompted, Share, TrickOptions, argument, option
from diffusion_tricks_plugins.inpaint_fill import Fill, Match
from diffusion_tricks_plugins.masks import files_in, mask_paths

WHOLE = (
    "padding",
    "blend",
    "strength",
    "fill",
    "soft",
    "resample",
    "match",
)  # options that hold for all parts of an edit


def _as_text(value: Any) -> Any:
    """A recipe may say padding = 40."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    """One mask may stand for a list of one."""
    masks = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(masks, list | tuple):
        return value
    return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in masks]


class InpaintOptions(TrickOptions):
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
    padding: Annotated[str | None, BeforeValidator(_as_text, json_schema_input_type=str | float | None)] = option(
        None, "surroundings the model sees, in px or as a share of the mask (50%); default 25%, at least 32 px"
    )
    blend: Literal["auto", "on", "off"] = option(
        "auto",
        "put what is known back in at every step; auto does so unless the model was trained to inpaint and sees it",
    )

    strength: Share | None = option(
        None, "start from the picture, and run this share of the schedule: 0 keeps it; default: start from pure noise"
    )
    fill: Fill | None = option(
        None, "what stands under the mask when a run of some strength starts; telea is OpenCV's; default original",
        needs=("strength",),
    )  # fmt: skip
    soft: Literal["blend", "strength"] = option(
        "blend", "what gray in a mask means: old and new mixed, or so much of the schedule run there"
    )
    resample: int = option(1, "how often each step is made, so that new and known agree (RePaint)", ge=1, le=100)
    match: Match = option("off", "bring colours to those around the mask: mean and spread, or poisson by OpenCV")

    @model_validator(mode="after")
    def _heeded_by_masks(self) -> InpaintOptions:
        named = [name for one in self.mask for name in files_in(one)]  # a text that is no mask is told of here
        if self.mask_fit and not named:
            raise ValueError(f"mask_fit is for a mask in a file, and {' + '.join(self.mask)!r} is none; leave it out")
        if self.segmenter is not None and not any("words:" in one for one in self.mask):
            raise ValueError('segmenter finds what words name, as in mask words:"the hat"; leave it out')
        if self.soft == "strength" and self.blend == "off":
            raise ValueError('`soft="strength"` puts back what is known for a while, which `blend="off"` never does;'
                             " leave out one of them")  # fmt: skip
        return self
