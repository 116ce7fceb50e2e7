"""What upscalers make and take, from their configurations alone; for those that are not loaded. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.shapes import Shape, scale_of
from diffusion_tricks.types import Parts, Size

MOST_NOISE = 350  # of Stable Diffusion's x4 that does not say it


@dataclass(frozen=True)
class Enlarging:
    """What differs between kinds of upscalers.

    shape: of one of these parts. factor: how many times one of that shape enlarges what a model of a size makes; it
    raises ModelError where that is not larger. most_noise: its highest noise level. guess: the parts of one that is
    not on this machine, behind a model of a size, as far as it goes. borrowed: components that it takes from the model
    before it, and does not need itself.
    """

    shape: Callable[[Parts], Shape]
    factor: Callable[[Shape, Size], int]
    most_noise: Callable[[Parts], int]
    guess: Callable[[Size], Parts]
    borrowed: tuple[str, ...] = ()


def checked_level(noise_level: int, most: int) -> int:
    """The noise level, if the upscaler has it. Raises UsageError."""
    if not 0 <= noise_level <= most:
        raise UsageError(f"noise level must be between 0 and {most} for this upscaler, got {noise_level}")
    return noise_level


def pixel_shape(parts: Parts) -> Shape:
    """As the UNet says; half of its input channels are the condition."""
    unet = parts["unet"]
    channels, side = unet["in_channels"] // 2, unet["sample_size"]
    multiple = 2 ** (len(unet["block_out_channels"]) - 1)
    return Shape(channels, (side, side), multiple=multiple, learned=unet["out_channels"] == 2 * channels)


def _pixel_factor(shape: Shape, base: Size) -> int:
    """The sizes' ratio. Raises ModelError where it is no whole number above 1."""
    factor = shape.size[0] // base[0]
    if factor < 2 or shape.size[0] % base[0]:
        raise ModelError(
            f"an upscaler to {shape.size[0]} pixels does not go with a model of {base[0]}: nothing to enlarge"
        )
    return factor


def _pixel_noise(parts: Parts) -> int:
    """The last timestep of the scheduler that noises the picture."""
    return int(parts["image_noising_scheduler"]["num_train_timesteps"]) - 1


def _pixel_guess(base: Size) -> Parts:
    """Four times the size, as DeepFloyd's."""
    unet = {"in_channels": 6, "out_channels": 6, "sample_size": 4 * base[0], "block_out_channels": [1]}
    return {"unet": unet, "image_noising_scheduler": {"num_train_timesteps": 1000}}


def latent_shape(parts: Parts) -> Shape:
    """As UNet and VAE say; the small picture, too, is a multiple of the VAE's scale."""
    unet, vae = parts["unet"], parts["vae"]
    channels, scale = vae["latent_channels"], scale_of(vae)
    side = unet["sample_size"] * scale
    return Shape(channels, (side, side), scale, scale * scale, learned=unet["out_channels"] == 2 * channels)


def _latent_factor(shape: Shape, base: Size) -> int:
    """The VAE's scale, behind any model."""
    return shape.scale


def _latent_noise(parts: Parts) -> int:
    """As the pipeline's configuration says."""
    return int(parts["model_index"].get("max_noise_level", MOST_NOISE))


def _latent_guess(base: Size) -> Parts:
    """The one of Stable Diffusion 2."""
    unet = {"in_channels": 7, "out_channels": 4, "sample_size": 128}
    return {"unet": unet, "vae": {"latent_channels": 4, "block_out_channels": [1, 1, 1]}, "model_index": {}}


PIXELS = Enlarging(pixel_shape, _pixel_factor, _pixel_noise, _pixel_guess, borrowed=("tokenizer", "text_encoder"))
LATENTS = Enlarging(latent_shape, _latent_factor, _latent_noise, _latent_guess)
