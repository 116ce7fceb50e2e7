"""What models make and take, from their configurations alone: no weights, no torch.

A function for each family: the parts of a model to its shape. Raises ModelError for a model that the family does not
serve.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_tricks.diffusion.levels import prediction_in
from diffusion_tricks.diffusion.noise_level import EDM
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.types import Parts, Size

TRANSFORMERS = "UNetMidBlock2DCrossAttn"
LATENT_MULTIPLE = 8  # pixels; most pipelines of latents make no other sizes, whatever their autoencoder
SANA_MULTIPLE = 32  # pixels; SanaPipeline makes no other sizes
LATENT_SIDE = 128  # what the pipelines of FLUX and Qwen-Image make where no size is asked
ZIMAGE_SIDE = 1024  # pixels; what ZImagePipeline makes where no size is asked
PATCH = 2  # latents along a side of a token, of FLUX, Qwen-Image and Z-Image
FILM = "temperal_downsample"  # what only the VAE of a film says in its configuration
NETWORKS = ("transformer", "unet")
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction", *EDM)


@dataclass(frozen=True)
class Shape:
    """What a model makes and takes, from its configuration alone.

    channels: of the latents. size: the model was made for, in pixels. scale: pixels per latent, 1 for a model of
    pixels. multiple: width and height are multiples of this, in pixels, and at the most largest, if that is not None.
    precise: its pipeline keeps the latents in float32, whatever its weights are in. learned: it predicts a variance as
    well. inpaints: it sees a mask and what is known of a picture. distilled: the guidance scale is an input of it,
    learnt in training (arXiv:2210.03142), which is another thing than guidance by two answers. controllable: its
    denoiser takes what a ControlNet adds. cacheable: it has attention, of which a step cache may save some. spreads: an
    edit spreads all steps over the part of the schedule that its strength says, as its image-to-image pipeline does.
    fixed: it makes no size but its own.
    """

    channels: int
    size: Size
    scale: int = 1
    multiple: int = 1
    largest: int | None = None
    precise: bool = False
    learned: bool = False
    inpaints: bool = False
    distilled: bool = False
    controllable: bool = False
    cacheable: bool = True
    spreads: bool = False
    fixed: bool = False


def check_size(shape: Shape, size: Size) -> None:
    """Raises UsageError for a size the model cannot make; it names the nearest that it can."""
    if any(side < shape.multiple or side % shape.multiple for side in size):
        expected = f"size must be a multiple of {shape.multiple} in both directions, got {size[0]}x{size[1]}"
        raise UsageError(f"{expected}; {_nearest(shape, size)}")
    if shape.largest is not None and max(size) > shape.largest:
        raise UsageError(f"this model makes no side longer than {shape.largest}, got {size[0]}x{size[1]}")


def _nearest(shape: Shape, size: Size) -> str:
    """The next smaller and the next larger size that a model of that shape makes, in words."""

    def fitted(side: int, up: bool) -> int:
        whole = -(-side // shape.multiple) if up else side // shape.multiple
        return min(max(whole, 1) * shape.multiple, shape.largest or sys.maxsize)

    names = list(dict.fromkeys(f"{fitted(size[0], up)}x{fitted(size[1], up)}" for up in (False, True)))
    return f"the nearest are {' and '.join(names)}" if len(names) > 1 else f"the nearest is {names[0]}"


def is_conditional_unet(pipeline: str, parts: Parts) -> bool:
    """Whether a pipeline that no row names may be of this family: a conditional UNet, and a text encoder."""
    conditional = "cross_attention_dim" in parts.get("unet", {})
    return conditional and "text_encoder" in parts and "latents" not in pipeline.lower()


def of_conditional_unet(parts: Parts) -> Shape:
    """As UNet and VAE say. Raises ModelError for a UNet that sees something beside the latents but a mask."""
    unet, vae = parts["unet"], parts.get("vae")
    channels = vae["latent_channels"] if vae else 3
    scale = scale_of(vae) if vae else 1
    side = unet["sample_size"] if isinstance(unet["sample_size"], int) else min(unet["sample_size"])
    return Shape(
        channels, (side * scale, side * scale), scale,
        multiple=math.lcm(scale, LATENT_MULTIPLE) if vae else 2 ** (len(unet["block_out_channels"]) - 1),
        learned=unet["out_channels"] == 2 * channels,
        inpaints=_inpaints(unet, channels, latent=vae is not None),
        distilled=unet.get("time_cond_proj_dim") is not None,
        controllable=vae is not None,
        cacheable=attends(unet),
        spreads=parts.get("model_index", {}).get("_class_name") == "LatentConsistencyModelPipeline",
    )  # fmt: skip


def _inpaints(unet: Mapping[str, Any], channels: int, latent: bool) -> bool:
    """Whether a UNet sees a mask and a masked picture. Raises ModelError for one that sees anything else."""
    seen = unet["in_channels"]
    if seen == channels:
        return False
    if latent and seen == 2 * channels + 1:
        return True
    edits = ", to edit pictures as it is told" if latent and seen == 2 * channels else ""
    raise ModelError(
        f"the UNet takes {seen} channels where the latents have {channels}{edits}; of models with extra input channels "
        "only those that inpaint run by themselves"
    )


def attends(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet of that configuration has attention where the step caches of diffusers look for it.

    In its blocks down and up, and of the kinds of middles in the one with transformers. True where it does not say.
    """
    if "down_block_types" not in unet:
        return True
    middle = unet.get("mid_block_type", TRANSFORMERS if "cross_attention_dim" in unet else None)
    kinds = (*unet["down_block_types"], *unet.get("up_block_types", ()))
    return middle == TRANSFORMERS or any("Attn" in kind for kind in kinds)


def of_plain_unet(parts: Parts) -> Shape:
    """As the UNet says."""
    unet = parts["unet"]
    if unet["in_channels"] not in (1, 3):
        raise ModelError(f"the UNet takes {unet['in_channels']} channels; expected pictures of 1 (gray) or 3")
    side = unet["sample_size"]
    height, width = side if isinstance(side, list | tuple) else (side or 64, side or 64)
    multiple = 2 ** (len(unet["block_out_channels"]) - 1)
    return Shape(int(unet["in_channels"]), (width, height), multiple=multiple, cacheable=attends(unet))


def of_sd3(parts: Parts) -> Shape:
    """As transformer and VAE say."""
    network, scale = parts["transformer"], scale_of(parts["vae"])
    side = network["sample_size"] * scale
    patch, most = scale * network["patch_size"], network["pos_embed_max_size"]
    return Shape(network["in_channels"], (side, side), scale, multiple=patch, largest=patch * most)


def of_flux(parts: Parts) -> Shape:
    """As transformer and VAE say; Fill has as many more channels as a mask and a masked picture take."""
    network, vae = parts["transformer"], parts["vae"]
    scale, channels = scale_of(vae), vae["latent_channels"]
    seen, plain = network["in_channels"], channels * PATCH**2
    if seen not in (plain, filling := PATCH**2 * (2 * channels + scale**2)):
        raise ModelError(
            f"the transformer takes {seen} channels; expected {plain}, or {filling} where it fills pictures in"
        )
    side = LATENT_SIDE * scale
    return Shape(
        channels, (side, side), scale, multiple=PATCH * scale,
        inpaints=seen == filling, distilled=bool(network["guidance_embeds"]),
    )  # fmt: skip


def of_qwen(parts: Parts) -> Shape:
    """As transformer and VAE say."""
    network, scale = parts["transformer"], scale_of(parts["vae"])
    side = LATENT_SIDE * scale
    return Shape(network["in_channels"] // PATCH**2, (side, side), scale, multiple=PATCH * scale)


def of_zimage(parts: Parts) -> Shape:
    """As transformer and VAE say; there are only so many positions along a side."""
    network, scale = parts["transformer"], scale_of(parts["vae"])
    largest = PATCH * scale * min(network["axes_lens"][1:])
    side = min(ZIMAGE_SIDE, largest)
    return Shape(network["in_channels"], (side, side), scale, multiple=PATCH * scale, largest=largest, precise=True)


def of_pixart(parts: Parts) -> Shape:
    """As transformer and VAE say."""
    network, scale = parts["transformer"], scale_of(parts["vae"])
    channels, side = network["in_channels"], network["sample_size"] * scale
    learned = network["out_channels"] == 2 * channels
    multiple = math.lcm(LATENT_MULTIPLE, scale * network["patch_size"])
    return Shape(channels, (side, side), scale, multiple=multiple, learned=learned)


def of_sana(parts: Parts) -> Shape:
    """As transformer and VAE say."""
    network, scale = parts["transformer"], scale_of(parts["vae"])
    side = network["sample_size"] * scale
    multiple = math.lcm(SANA_MULTIPLE, scale * network["patch_size"])
    return Shape(network["in_channels"], (side, side), scale, multiple=multiple, precise=True)


def of_any_latents(parts: Parts) -> Shape:
    """As network and VAE say. Raises ModelError for latents that are not (b c h w), or unknown noise levels."""
    if (prediction := prediction_in(parts.get("scheduler", {}))) not in PREDICTIONS:
        raise ModelError(f"its scheduler follows a {prediction!r}; known are {', '.join(PREDICTIONS)}")
    network, vae = parts.get(network_of(parts) or "", {}), parts.get("vae", {})
    channels = vae.get("latent_channels")
    if not network or channels is None or any("temp" in key for key in vae):
        raise ModelError("it has no 'transformer' or 'unet' for the latents (b c h w) of a 'vae'")
    if network.get("in_channels") != channels:
        raise ModelError(
            f"its network takes {network.get('in_channels')} channels where the latents have {channels}: packed "
            "into tokens, or with others beside them, which takes an adapter"
        )
    scale, patch = scale_of(vae), network.get("patch_size") or 1
    sides = network.get("sample_size") or vae["sample_size"] // scale
    height, width = sides if isinstance(sides, list | tuple) else (sides, sides)
    multiple = scale * (patch if isinstance(patch, int) else max(patch))
    distilled = bool(network.get("guidance_embeds"))
    return Shape(channels, (width * scale, height * scale), scale, multiple, distilled=distilled)


def network_of(parts: Parts) -> str | None:
    """The name of the component that is asked."""
    return next((name for name in NETWORKS if name in parts), None)


def scale_of(config: Mapping[str, Any]) -> int:
    """Pixels per latent of a VAE: it halves the sides between its levels."""
    if FILM in config:
        return int(2 ** len(config[FILM]))
    levels = config.get("encoder_block_out_channels") or config["block_out_channels"]
    return int(2 ** (len(levels) - 1))
