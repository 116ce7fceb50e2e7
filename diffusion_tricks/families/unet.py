"""Models with a conditional UNet: DeepFloyd IF stage I (pixels), Stable Diffusion 1.x and 2.x, and SDXL (latents).

Also those of their kind that inpaint (`inpainting`), and those of few steps, distilled from them; where guidance was
distilled as well, its scale is an input of the UNet: arXiv:2210.03142, and latent consistency, arXiv:2310.04378.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.families import shapes
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.inpainting import mask_and_latents, nothing_known
from diffusion_tricks.families.replay import recorded, replayed
from diffusion_tricks.families.rows import row_of
from diffusion_tricks.families.vae import decoded, encoded, upcasts
from diffusion_tricks.types import Pipeline, Row, Size

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Condition


class UNetFamily(Family):
    """A `UNet2DConditionModel` called `unet`; its pictures are pixels, or the latents of a VAE."""

    def __init__(self, pipe: Pipeline):
        super().__init__(pipe)
        self.vae: Any = getattr(pipe, "vae", None)
        self.from_picture = self.vae is not None and "mask_image" in inspect.signature(type(pipe).__call__).parameters

    shape_of = staticmethod(shapes.of_conditional_unet)

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
