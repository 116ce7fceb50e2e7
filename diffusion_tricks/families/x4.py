"""Stable Diffusion's x4 upscaler: it makes latents as large as the picture it enlarges, which stands beside them.

Its VAE makes four pixels of a latent, so it enlarges four times, whatever the size; the level of the noise on the
picture is a class of its UNet. It has a text encoder of its own, and so goes behind any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.families.enlarging import LATENTS, latent_shape
from diffusion_tricks.families.replay import Recorded, recorded
from diffusion_tricks.families.rows import row_of
from diffusion_tricks.families.upscaler import UpscalingFamily
from diffusion_tricks.families.vae import decoded, encoded
from diffusion_tricks.types import Row, Size


class LatentUpscaler(UpscalingFamily):
    """Four channels of latents and, behind them, the three of the small picture, noised."""

    enlarging = LATENTS
    shape_of = staticmethod(latent_shape)

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """One recording per prompt, with an empty picture; None is the first of the two rows of one with guidance."""
        empty = torch.full((1, 3, size[1] // self.factor, size[0] // self.factor), 0.5)
        return [
            row_of(self._recorded(empty, 2.0, prompt=[""]).arguments, 0, 2) if prompt is None
            else self._recorded(empty, 1.0, prompt=[prompt]).arguments
            for prompt in prompts
        ]  # fmt: skip

    def prepared(self, pixels: Tensor, size: Size, row: Row, generators: list[torch.Generator]) -> Recorded:
        """From the prompt embeddings that were recorded for one prompt; pixels beyond -1..1 are clamped."""
        embeds = row["encoder_hidden_states"].expand(len(pixels), -1, -1)
        return self._recorded((pixels / 2 + 0.5).clamp(0, 1), 1.0, generators, prompt_embeds=embeds)

    def _recorded(
        self, image: Tensor, guidance: float, generators: list[torch.Generator] | None = None, **prompt: Any
    ) -> Recorded:
        """The first denoiser call for pictures (b 3 h w) in 0..1; without generators none of torch's own is used."""
        return recorded(
            self.pipe, "prompts and a picture", "an upscaler such as StableDiffusionUpscalePipeline",
            image=image, guidance_scale=guidance, noise_level=self.noise_level,
            generator=generators or [torch.Generator()], output_type="latent", **prompt,
        )  # fmt: skip

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the VAE's posterior, scaled."""
        return encoded(self.pipe.vae, pixels, upcast=True)

    def decode(self, latents: Tensor) -> Tensor:
        """The VAE's picture."""
        return decoded(self.pipe.vae, latents, upcast=True)
