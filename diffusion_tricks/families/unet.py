"""Models with a conditional UNet: DeepFloyd IF stage I (pixels), Stable Diffusion 1.x and 2.x, and SDXL (latents).

Also those of their kind that inpaint (`inpainting`), and those of few steps, distilled from them; where guidance was
distilled as well, its scale is an input of the UNet: arXiv:2210.03142, and latent consistency, arXiv:2310.04378.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.base import Family, Shape
from diffusion_tricks.families.inpainting import mask_and_latents, nothing_known
from diffusion_tricks.families.replay import recorded, replayed
from diffusion_tricks.families.rows import row_of
from diffusion_tricks.families.vae import decoded, encoded, scale_of, upcasts
from diffusion_tricks.types import Parts, Pipeline, Row, Size

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Condition

TRANSFORMERS = "UNetMidBlock2DCrossAttn"
MULTIPLE = 8  # pixels; pipelines of latents make no other sizes, whatever their autoencoder


class UNetFamily(Family):
    """A `UNet2DConditionModel` called `unet`; its pictures are pixels, or the latents of a VAE."""

    def __init__(self, pipe: Pipeline):
        super().__init__(pipe)
        self.vae: Any = getattr(pipe, "vae", None)
        self.from_picture = self.vae is not None and "mask_image" in inspect.signature(type(pipe).__call__).parameters

    @staticmethod
    def may_serve(pipeline: str, parts: Parts) -> bool:
        """Whether a pipeline that no row names may be of this family: a conditional UNet, and a text encoder."""
        conditional = "cross_attention_dim" in parts.get("unet", {})
        return conditional and "text_encoder" in parts and "latents" not in pipeline.lower()

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """As UNet and VAE say. Raises ModelError for a UNet that sees something beside the latents but a mask."""
        unet, vae = parts["unet"], parts.get("vae")
        channels = vae["latent_channels"] if vae else 3
        scale = scale_of(vae) if vae else 1
        side = unet["sample_size"] if isinstance(unet["sample_size"], int) else min(unet["sample_size"])
        return Shape(
            channels, (side * scale, side * scale), scale,
            multiple=math.lcm(scale, MULTIPLE) if vae else 2 ** (len(unet["block_out_channels"]) - 1),
            learned=unet["out_channels"] == 2 * channels,
            inpaints=_inpaints(unet, channels, latent=vae is not None),
            distilled=unet.get("time_cond_proj_dim") is not None,
            controllable=vae is not None,
            cacheable=attends(unet),
        )  # fmt: skip

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """One recording per prompt; None, the family's own unconditional, is recorded with guidance on.

        Prompts are encoded one by one, so that a picture does not depend, to the last bit, on what is made beside it.
        A distilled model was taught what guidance away from the empty text makes, so None is that text to it.
        """
        if self.shape.distilled:
            scale = {} if distilled is None else {"guidance_scale": distilled}
            return [self._record(prompt or "", size, **scale) for prompt in prompts]
        return [self._unconditional(size) if p is None else self._record(p, size, guidance_scale=1.0) for p in prompts]

    def _unconditional(self, size: Size) -> Row:
        """The first of the two rows of a call with guidance."""
        return row_of(self._record("", size, guidance_scale=2.0), 0, 2)

    def _record(self, prompt: str, size: Size, **more: Any) -> Row:
        if self.vae is None:
            more["clean_caption"] = False
        if self.from_picture:
            more |= nothing_known(self.vae.config, size, self.scale)
        return recorded(
            self.pipe, "a prompt and an empty picture" if self.from_picture else "a prompt alone",
            "a text-to-image pipeline with its text encoders",
            prompt=[prompt], width=size[0], height=size[1],
            output_type="latent" if self.vae is not None else "pt", generator=torch.Generator(), **more,
        ).arguments  # fmt: skip

    def beside(self, condition: Condition, size: Size) -> Tensor:
        """For a UNet that inpaints: the mask, and the latents of what is known (b 1+c h w)."""
        if not self.shape.inpaints:
            return super().beside(condition, size)
        return mask_and_latents(self.pipe, condition, (size[1] // self.scale, size[0] // self.scale))

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """Replays the recorded call with other latents, behind which stands what a UNet that inpaints sees."""
        return replayed(self.pipe.unet, x, t, rows, **more)

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the VAE's posterior, scaled; in pixel space the pixels themselves."""
        return pixels if self.vae is None else encoded(self.vae, pixels, upcasts(self.pipe))

    def decode(self, latents: Tensor) -> Tensor:
        """The VAE's picture; in pixel space the latents themselves."""
        return latents if self.vae is None else decoded(self.vae, latents, upcasts(self.pipe))


def attends(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet of that configuration has attention where the step caches of diffusers look for it.

    In its blocks down and up, and of the kinds of middles in the one with transformers. True where it does not say.
    """
    if "down_block_types" not in unet:
        return True
    middle = unet.get("mid_block_type", TRANSFORMERS if "cross_attention_dim" in unet else None)
    kinds = (*unet["down_block_types"], *unet.get("up_block_types", ()))
    return middle == TRANSFORMERS or any("Attn" in kind for kind in kinds)


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
