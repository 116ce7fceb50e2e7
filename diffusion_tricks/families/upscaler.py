"""The second stage of a cascade: a pipeline of the kind of DeepFloyd IF II, behind the model before it.

    eps = unet([x_t, c], t, prompt, s),   c = alpha_s up(small) + sigma_s eps'        Imagen, arXiv:2205.11487,
                                                                                      section 2.3 and appendix A.1

The pipeline's own `__call__` makes the condition c, once a run, and is left at its first denoiser call (`denoiser`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from diffusion_tricks.denoiser import Family, Pipeline, Recorded, Size, recorded, replayed
from diffusion_tricks.errors import ModelError, PluginError, UsageError

if TYPE_CHECKING:
    from diffusion_tricks.model import Defaults, Model

GUIDANCE = 4.0  # the scale of IFSuperResolutionPipeline, for an upscaler that names none
EXPECTED = "a pipeline such as IFSuperResolutionPipeline, whose text encoder is that of its base model"


class UpscalingFamily(Family, Protocol):
    """A family whose models see a smaller picture beside the latents."""

    def smaller(self, size: Size) -> Size:
        """The size of the picture that is enlarged to `size`. Raises UsageError where there is none."""

    def condition(
        self, pixels: Tensor, size: Size, row: dict[str, Any], generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Starting noise, standard normal, and the condition: both (b c H W), for smaller pictures (b 3 h w)."""


class UpscalerFamily:
    """DeepFloyd IF stage II, in pixel space. It takes the prompt embeddings of the model before it.

    noise_level: timestep of the noise on the condition, 0 (next to none) up; what it hides is made anew.
    """

    scale = 1

    def __init__(self, pipe: Pipeline, base: Model, noise_level: int):
        config, levels = pipe.unet.config, int(pipe.image_noising_scheduler.config.num_train_timesteps)
        if not 0 <= noise_level < levels:
            raise UsageError(f"noise level must be between 0 and {levels - 1} for this upscaler, got {noise_level}")
        self.pipe, self.base, self.noise_level = pipe, base, noise_level
        self.channels = config.in_channels // 2
        self.size = (config.sample_size, config.sample_size)
        self.multiple = 2 ** (len(config.block_out_channels) - 1)

    @staticmethod
    def serves(pipe: Pipeline) -> bool:
        """Whether a pipeline is an upscaler of this kind: it noises a picture and shows its UNet both."""
        unet = getattr(pipe, "unet", None)
        return type(unet).__name__ == "UNet2DConditionModel" and hasattr(pipe, "image_noising_scheduler")

    def smaller(self, size: Size) -> Size:
        """The size that is enlarged to `size`, by the factor between the base model's size and this one's."""
        return smaller(size, self.size, self.base.family.size)

    def record(self, prompts: Sequence[str | None], size: Size) -> list[dict[str, Any]]:
        """One recording per prompt, from the base model's embeddings and an empty picture."""
        width, height = self.smaller(size)
        rows = self.base.encode_prompts(prompts, (width, height))
        empty, unused = torch.zeros(1, 3, height, width), [torch.Generator()]  # leaves torch's own randomness alone
        return [self._recorded(rows[prompt], empty, size, unused).arguments for prompt in prompts]

    def _recorded(self, row: dict[str, Any], pixels: Tensor, size: Size, generators: list[torch.Generator]) -> Recorded:
        embeds = self._embeddings(row).expand(len(pixels), -1, -1)
        return recorded(
            self.pipe, "prompt embeddings and a picture", EXPECTED,
            prompt_embeds=embeds, image=pixels, width=size[0], height=size[1], noise_level=self.noise_level,
            guidance_scale=1.0, generator=generators, output_type="pt",
        )  # fmt: skip

    def _embeddings(self, row: dict[str, Any]) -> Tensor:
        """The base model's, or none for an upscaler that sees no text. Raises ModelError where they are missing."""
        if "encoder_hidden_states" in row:
            embeddings: Tensor = row["encoder_hidden_states"]
            return embeddings
        if self.pipe.unet.config.encoder_hid_dim is not None:
            raise ModelError(f"the upscaler reads text and {self.base.name!r} has none; expected one that sees no text")
        return torch.zeros(1, 1, 1, device=self.base.device, dtype=self.base.dtype)

    def condition(
        self, pixels: Tensor, size: Size, row: dict[str, Any], generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """What the pipeline draws and prepares itself, one generator per picture, in its own order."""
        made = self._recorded(row, pixels, size, generators)
        noise, condition = torch.split(made.sample, self.channels, dim=1)
        return noise / made.spread, condition

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
        """Replays the recorded call with other latents and condition, in this order in the channels of x."""
        if x.shape[1] != 2 * self.channels:
            raise PluginError("a question to an upscaler came without its condition; make it from `ask`, by `ask.but`")
        return replayed(self.pipe.unet, x, t, rows)

    def encode(self, pixels: Tensor) -> Tensor:
        """The pixels themselves."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents


def smaller(size: Size, upscaled: Size, base: Size) -> Size:
    """The size that an upscaler from `base` to `upscaled` enlarges to `size`. Raises UsageError for a fraction."""
    factor = upscaled[0] // base[0]
    if factor < 2 or upscaled[0] % base[0]:
        raise ModelError(
            f"an upscaler to {upscaled[0]} pixels does not go with a model of {base[0]}: nothing to enlarge"
        )
    if any(side % factor for side in size):
        raise UsageError(f"the upscaler enlarges {factor} times, so size must be a multiple, got {size[0]}x{size[1]}")
    return size[0] // factor, size[1] // factor


@dataclass
class Upscaler:
    """The second stage that a model may have; its weights are loaded when they are first asked for.

    name: of the model it is. load: gives its pipeline, on the base model's device. defaults: of its runs.
    """

    name: str
    load: Callable[[], Pipeline]
    defaults: Defaults
    _pipe: Pipeline = field(default=None, repr=False)

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The upscaler as the model that follows `base`. Raises ModelError for a pipeline that is no upscaler."""
        from diffusion_tricks.model import Model

        if self._pipe is None:
            self._pipe = self.load()
        if not UpscalerFamily.serves(self._pipe):
            raise ModelError(f"{self.name!r} is of {type(self._pipe).__name__} and no upscaler: expected {EXPECTED}")
        level = self.defaults.noise_level if noise_level is None else noise_level
        family = UpscalerFamily(self._pipe, base, level)
        return Model(self._pipe, self.name, base.device, base.dtype, self.defaults, opened=family)
