"""Sana: velocities with linear attention, from latents of a deep-compression autoencoder. arXiv:2410.10629.

Its pipeline may round a size to one of a table and resize the picture; here the size that is asked is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from diffusion_tricks.families import shapes
from diffusion_tricks.families.rows import row_of
from diffusion_tricks.families.transformer import AS_ASKED, TransformerFamily
from diffusion_tricks.types import Row, Size


class SanaFamily(TransformerFamily):
    """`SanaTransformer2DModel`. A prompt is read behind Sana's long instruction, the unconditional without it."""

    shape_of = staticmethod(shapes.of_sana)

    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The recorded call; None is the first of the two rows of a call with guidance."""
        if prompt is None:
            return row_of(self.recorded(size, prompt=[""], guidance_scale=2.0, **AS_ASKED), 0, 2)
        return self.recorded(size, prompt=[prompt], guidance_scale=1.0, **AS_ASKED)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The velocity eps - x0."""
        scale: float = self.pipe.transformer.config.timestep_scale
        return self.replayed(x, t.expand(len(x)) * scale, rows, **more)
