"""Z-Image: text and picture in one stream of tokens, and a time that runs from 0 to 1. arXiv:2511.22699."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.families import shapes
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.transformer import TIMES, TransformerFamily, falling, shifted
from diffusion_tricks.types import Row, Size


class ZImageFamily(TransformerFamily):
    """`ZImageTransformer2DModel`; the embeddings of its prompts are lists of texts of any length."""

    normalises = False

    shape_of = staticmethod(shapes.of_zimage)

    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The recorded call; None is the empty text, as in ZImagePipeline."""
        return self.recorded(size, prompt=[prompt or ""], guidance_scale=0.0)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The velocity eps - x0; the network gives x0 - eps, for latents in a list, each with an axis of frames."""
        network = self.denoiser
        frames = list(x.to(dtype_of(network)).unsqueeze(2).unbind(0))
        times = (TIMES - t.expand(len(x))) / TIMES
        with differentiable(network, x):
            output = network(frames, times, **stacked(rows), **more, return_dict=False)[0]
        return -torch.stack(list(output)).squeeze(2)

    def normalised(self, guided: Tensor, cond: Tensor) -> Tensor:
        """The guided prediction (b c h w) with a norm, of each picture, no larger than that of the conditional one."""
        norm, most = (torch.linalg.vector_norm(one, dim=(1, 2, 3), keepdim=True) for one in (guided, cond))
        shares: Tensor = (most / norm).clamp(max=1)
        return guided * shares

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """Even sigmas, and the shift for a size where the scheduler asks for one."""
        from diffusers.pipelines.z_image.pipeline_z_image import calculate_shift, get_default_z_image_sigmas

        return falling(scheduler, steps, get_default_z_image_sigmas) | shifted(calculate_shift, shape, scheduler, size)
