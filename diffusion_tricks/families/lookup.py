"""The families of models, each with what differs between it and the others."""

from __future__ import annotations

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.refusals import missing, own_defaults, pipeline_named, refusal, replayable, unfollowed
from diffusion_tricks.families.shapes import is_conditional_unet, of_any_latents
from diffusion_tricks.families.table import UNET, FamilyRow, Serves, no_upscaler, row_for, upscaler_row
from diffusion_tricks.types import Parts

# what serves the pipelines that no row names
LIKE_KNOWN_UNETS = FamilyRow("any other with a conditional UNet", (), UNET)
BY_ITS_OWN_CALL = FamilyRow(
    "any other, run by its own call", (), Serves("diffusion_tricks.families.fallback:FallbackFamily", of_any_latents),
    notes=(
        "there is no adapter for it: its own call is run anew for every call of its network, which costs some "
        "milliseconds each.",
        "its unconditional is what it encodes for no negative prompt, where that can be told, or else the empty text.",
        "what it does to guidance beside u + s (c - u), such as rescaling it, is left out.",
    ),
)  # fmt: skip


def described(pipeline: str, parts: Parts, kind: type | None = None) -> FamilyRow:
    """The row of the family that serves a pipeline of that class name, judged by its configurations alone.

    kind: the pipeline's class; None is that of diffusers of the same name, and looked up only where no row names it.
    A pipeline without a row is replayed if it has a conditional UNet, and else run step by step by its own call.
    Raises ModelError, which says what is missing, where no family serves it, or its scheduler cannot be followed.
    """
    if why := unfollowed(parts):
        raise ModelError(refusal(pipeline, why))
    row = row_for(pipeline, parts)
    if row is not None:
        return row
    if upscaler_row(pipeline):
        raise ModelError(refusal(pipeline, "it enlarges what another model makes: name that one, and a larger size"))
    kind = kind or pipeline_named(pipeline)
    if kind is None:
        raise ModelError(refusal(pipeline, "the installed version of diffusers has none of that name"))
    if is_conditional_unet(pipeline, parts):
        LIKE_KNOWN_UNETS.serves.shape(parts)  # says better what of a UNet is not served
        if replayable(kind):
            return LIKE_KNOWN_UNETS
    if why := missing(kind):
        raise ModelError(refusal(pipeline, why))
    try:
        BY_ITS_OWN_CALL.serves.shape(parts)
    except ModelError as error:
        raise ModelError(refusal(pipeline, str(error))) from None
    return BY_ITS_OWN_CALL


def upscaler_described(name: str, pipeline: str, parts: Parts) -> FamilyRow:
    """The row of the upscaler called `name`, of a pipeline of that class name, judged by its configurations alone.

    Raises ModelError for a model that is no upscaler, or whose scheduler cannot be followed.
    """
    row = upscaler_row(pipeline)
    if row is None:
        raise no_upscaler(name, pipeline)
    if why := unfollowed(parts):
        raise ModelError(f"the upscaler {name!r} cannot be run: {why}")
    return row


def defaults_for(pipeline: str, parts: Parts, kind: type | None = None) -> Defaults:
    """How models of a pipeline of that class name are run unless told otherwise: as their row says, or their own call.

    kind: as for `described`.
    """
    row = row_for(pipeline, parts)
    if row is not None:
        return row.defaults
    kind = kind or pipeline_named(pipeline)
    distilled = any(part.get("guidance_embeds") for part in parts.values())
    return own_defaults(kind, distilled) if kind else Defaults()
