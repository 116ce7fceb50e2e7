"""DeepFloyd IF stage II: it makes pixels, of a picture that is enlarged before it is noised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.base import Shape
from diffusion_tricks.families.replay import Recorded, recorded
from diffusion_tricks.families.upscaler import UpscalingFamily
from diffusion_tricks.types import Parts, Row, Size


class PixelUpscaler(UpscalingFamily):
    """It takes the prompt embeddings of the model before it, and enlarges by the factor between their sizes."""

    borrowed = ("tokenizer", "text_encoder")

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """As the UNet says; half of its input channels are the condition."""
        unet = parts["unet"]
        channels, side = unet["in_channels"] // 2, unet["sample_size"]
        multiple = 2 ** (len(unet["block_out_channels"]) - 1)
        return Shape(channels, (side, side), multiple=multiple, learned=unet["out_channels"] == 2 * channels)

    @staticmethod
    def factor_of(shape: Shape, base: Size) -> int:
        """The sizes' ratio. Raises ModelError where it is no whole number above 1."""
        factor = shape.size[0] // base[0]
        if factor < 2 or shape.size[0] % base[0]:
            raise ModelError(
                f"an upscaler to {shape.size[0]} pixels does not go with a model of {base[0]}: nothing to enlarge"
            )
        return factor

    @staticmethod
    def most_noise(parts: Parts) -> int:
        """The last timestep of the scheduler that noises the picture."""
        return int(parts["image_noising_scheduler"]["num_train_timesteps"]) - 1

    @staticmethod
    def guess(base: Size) -> Parts:
        """Four times the size, as DeepFloyd's."""
        unet = {"in_channels": 6, "out_channels": 6, "sample_size": 4 * base[0], "block_out_channels": [1]}
        return {"unet": unet, "image_noising_scheduler": {"num_train_timesteps": 1000}}

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
