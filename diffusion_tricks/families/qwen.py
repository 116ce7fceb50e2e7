"""Qwen-Image: velocities, from latents packed into tokens of 2 x 2; the VAE is that of a film. arXiv:2508.02324."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from diffusion_tricks.families import shapes
from diffusion_tricks.families.packing import packed, unpacked
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.transformer import TIMES, TransformerFamily, falling, shifted
from diffusion_tricks.types import Row, Size

NOTHING = " "  # the negative prompt of Qwen's own examples: QwenImagePipeline has no unconditional of its own


class QwenImageFamily(TransformerFamily):
    """`QwenImageTransformer2DModel`."""

    normalises = True

    shape_of = staticmethod(shapes.of_qwen)

    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The recorded call; texts of other lengths have embeddings of other lengths. None is a blank."""
        return self.recorded(size, prompt=[NOTHING if prompt is None else prompt], true_cfg_scale=1.0)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The velocity eps - x0."""
        times = t.expand(len(x)).to(dtype_of(self.denoiser)) / TIMES
        return unpacked(self.replayed(packed(x), times, rows, **more), x.shape[2])

    def normalised(self, guided: Tensor, cond: Tensor) -> Tensor:
        """The guided prediction (b c h w) with the norm of the conditional one in every token of 2 x 2 latents."""
        tokens, same = packed(guided), packed(cond)
        norm, wanted = (one.norm(dim=-1, keepdim=True) for one in (tokens, same))
        return unpacked(tokens * (wanted / norm), guided.shape[2])

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """Even sigmas, and the shift for a size."""
        from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift

        return falling(scheduler, steps) | shifted(calculate_shift, shape, scheduler, size)
