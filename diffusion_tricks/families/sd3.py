"""Stable Diffusion 3 and 3.5: velocities from three text encoders. arXiv:2403.03206."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from diffusion_tricks.families import shapes
from diffusion_tricks.families.rows import row_of
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.transformer import TransformerFamily, shifted
from diffusion_tricks.types import Row, Size


class StableDiffusion3Family(TransformerFamily):
    """`SD3Transformer2DModel`."""

    shape_of = staticmethod(shapes.of_sd3)

    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The recorded call; None is the first of the two rows of a call with guidance."""
        if prompt is None:
            return row_of(self.recorded(size, prompt=[""], guidance_scale=2.0), 0, 2)
        return self.recorded(size, prompt=[prompt], guidance_scale=1.0)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The velocity eps - x0."""
        return self.replayed(x, t.expand(len(x)), rows, **more)

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """The shift for a size, of a scheduler that asks for one."""
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

        return shifted(calculate_shift, shape, scheduler, size, max_shift=1.16)
