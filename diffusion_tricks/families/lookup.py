"""The families of models, each with what differs between it and the others."""

from __future__ import annotations

import importlib

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.base import Family, parts_of
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.table import UNET, FamilyRow, row_for, upscaler_row
from diffusion_tricks.types import Parts, Pipeline

# what serves the pipelines that no row names
LIKE_KNOWN_UNETS = FamilyRow("any other with a conditional UNet", (), UNET)
BY_ITS_OWN_CALL = FamilyRow(
    "any other, run by its own call", (), "diffusion_tricks.families.fallback:FallbackFamily",
    notes=(
        "there is no adapter for it: its own call is run anew for every call of its network, which costs some "
        "milliseconds each.",
        "its unconditional is what it encodes for no negative prompt, where that can be told, or else the empty text.",
        "what it does to guidance beside u + s (c - u), such as rescaling it, is left out.",
    ),
)  # fmt: skip


def family_of(pipe: Pipeline) -> Family:
    """The family that serves a pipeline. Raises ModelError for one that none serves."""
    return described(type(pipe).__name__, parts_of(pipe), type(pipe))[0](pipe)


def described(pipeline: str, parts: Parts, kind: type | None = None) -> tuple[type[Family], FamilyRow]:
    """The class that serves a pipeline of that class name, judged by its configurations alone, and its row.

    kind: the pipeline's class; None is that of diffusers of the same name, and looked up only where no row names it.
    A pipeline without a row is replayed if it has a conditional UNet, and else run step by step by its own call.
    Raises ModelError, which says what is missing, where no family serves it, or its scheduler cannot be followed.
    """
    from diffusion_tricks.families.refusals import missing, pipeline_named, refusal, replayable, unfollowed

    if why := unfollowed(parts):
        raise ModelError(refusal(pipeline, why))
    row = row_for(pipeline, parts)
    if row is not None:
        return opened(row), row
    from diffusion_tricks.families.unet import UNetFamily

    if upscaler_row(pipeline):
        raise ModelError(refusal(pipeline, "it enlarges what another model makes: name that one, and a larger size"))
    kind = kind or pipeline_named(pipeline)
    if kind is None:
        raise ModelError(refusal(pipeline, "the installed version of diffusers has none of that name"))
    if UNetFamily.may_serve(pipeline, parts):
        UNetFamily.shape_of(parts)  # says better what of a UNet is not served
        if replayable(kind):
            return UNetFamily, LIKE_KNOWN_UNETS
    if why := missing(kind):
        raise ModelError(refusal(pipeline, why))
    family = opened(BY_ITS_OWN_CALL)
    try:
        family.shape_of(parts)
    except ModelError as error:
        raise ModelError(refusal(pipeline, str(error))) from None
    return family, BY_ITS_OWN_CALL


def defaults_for(pipeline: str, parts: Parts, kind: type | None = None) -> Defaults:
    """How models of a pipeline of that class name are run unless told otherwise: as their row says, or their own call.

    kind: as for `described`.
    """
    row = row_for(pipeline, parts)
    if row is not None:
        return row.defaults
    from diffusion_tricks.families.refusals import own_defaults, pipeline_named

    kind = kind or pipeline_named(pipeline)
    distilled = any(part.get("guidance_embeds") for part in parts.values())
    return own_defaults(kind, distilled) if kind else Defaults()


def opened(row: FamilyRow) -> type[Family]:
    """The class that a row names."""
    module, _, name = row.opens.partition(":")
    family: type[Family] = getattr(importlib.import_module(module), name)
    return family
