"""FLUX.1: dev, schnell and Fill. Velocities, from latents packed into tokens of 2 x 2.

Dev and Fill are distilled: a guidance scale is an input of theirs (arXiv:2210.03142). Guidance by a second answer is
another thing, and is to be had as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from diffusion_tricks.errors import PluginError
from diffusion_tricks.families import shapes
from diffusion_tricks.families.packing import packed, unpacked
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.transformer import TIMES, TransformerFamily, falling, shifted
from diffusion_tricks.families.vae import encoded
from diffusion_tricks.types import Row, Size

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Condition

KEY = "seen by FLUX Fill"
DEV_TOKENS, SCHNELL_TOKENS = 512, 256  # of text, that each was trained on


class FluxFamily(TransformerFamily):
    """`FluxTransformer2DModel`, with or without a picture to fill in."""

    shared = frozenset({"txt_ids", "img_ids"})

    shape_of = staticmethod(shapes.of_flux)

    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The recorded call; None, which FLUX does not know, is the empty text."""
        tokens = DEV_TOKENS if self.shape.distilled else SCHNELL_TOKENS
        call: dict[str, Any] = {"prompt": [prompt or ""], "max_sequence_length": tokens}
        if self.shape.distilled and distilled is not None:
            call["guidance_scale"] = distilled
        if self.shape.inpaints:  # any picture will do: what is recorded does not depend on it
            width, height = size
            call |= {"image": torch.zeros(1, 3, height, width), "mask_image": torch.ones(1, 1, height, width)}
        return self.recorded(size, **call)

    def beside(self, condition: Condition, size: Size) -> Tensor:
        """For Fill: latents of what is known, and the mask, each pixel of a latent a channel (b c' h w)."""
        if not self.shape.inpaints:
            return super().beside(condition, size)
        seen: Tensor = condition.remembered(KEY, lambda: self._latents_and_mask(condition))
        return seen

    def _latents_and_mask(self, condition: Condition) -> Tensor:
        if condition.new is None:
            raise PluginError("FLUX Fill was shown a picture without its mask; give Condition(picture, new)")
        known = encoded(self.pipe.vae, condition.picture)
        mask = pixel_unshuffle(condition.new, self.scale).to(known)
        return torch.cat([known, mask.expand(len(known), -1, -1, -1)], dim=1)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The velocity eps - x0, for latents and what stands beside them in the channels of x."""
        if self.shape.inpaints and x.shape[1] == self.channels:
            raise PluginError("a question to FLUX Fill came without its condition; make it from `ask`, by `ask.but`")
        times = t.expand(len(x)).to(dtype_of(self.denoiser)) / TIMES
        return unpacked(self.replayed(packed(x), times, rows, **more), x.shape[2])

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """Even sigmas, and the shift for a size where the scheduler asks for one; dev's does, schnell's does not."""
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        sigmas = {} if scheduler.config.get("use_flow_sigmas") else falling(scheduler, steps)
        return sigmas | shifted(calculate_shift, shape, scheduler, size)
