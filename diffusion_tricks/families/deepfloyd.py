"""DeepFloyd IF stage II: it makes pixels, of a picture that is enlarged before it is noised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.enlarging import PIXELS, pixel_shape
from diffusion_tricks.families.replay import Recorded, recorded
from diffusion_tricks.families.upscaler import UpscalingFamily
from diffusion_tricks.types import Row, Size


class PixelUpscaler(UpscalingFamily):
    """It takes the prompt embeddings of the model before it, and enlarges by the factor between their sizes."""

    enlarging = PIXELS
    reads = False
    shape_of = staticmethod(pixel_shape)

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """One recording per prompt, from the base model's embeddings and an empty picture."""
        width, height = size[0] // self.factor, size[1] // self.factor
        rows = self.base.encode_prompts(prompts, (width, height))
        empty, unused = torch.zeros(1, 3, height, width), [torch.Generator()]  # leaves torch's own randomness alone
        return [self.prepared(empty, size, rows[prompt], unused).arguments for prompt in prompts]

    def prepared(self, pixels: Tensor, size: Size, row: Row, generators: list[torch.Generator]) -> Recorded:
        """From prompt embeddings, those of the base model's row or its own, which are the same."""
        return recorded(
            self.pipe, "prompt embeddings and a picture", "one whose text encoder is that of its base model",
            prompt_embeds=self._embeddings(row).expand(len(pixels), -1, -1), image=pixels, width=size[0],
            height=size[1], noise_level=self.noise_level, guidance_scale=1.0, generator=generators, output_type="pt",
        )  # fmt: skip

    def _embeddings(self, row: Row) -> Tensor:
        """The base model's, or none for an upscaler that sees no text. Raises ModelError where they are missing."""
        if "encoder_hidden_states" in row:
            embeddings: Tensor = row["encoder_hidden_states"]
            return embeddings
        if self.pipe.unet.config.encoder_hid_dim is not None:
            raise ModelError(f"the upscaler reads text and {self.base.name!r} has none; expected one that sees no text")
        return torch.zeros(1, 1, 1, device=self.base.device, dtype=self.base.dtype)

    def encode(self, pixels: Tensor) -> Tensor:
        """The pixels themselves."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents
