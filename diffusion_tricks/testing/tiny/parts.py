"""The networks that several families share: UNets in latents and an autoencoder, a few thousand weights each."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from diffusion_tricks.testing.tiny.texts import TEXT_WIDTH, clip_config, clip_tokenizer

LATENT_SIDE = 8  # of the models with a VAE; 16 pixels
TIME_IDS, PER_ID = 6, 8  # SDXL's size and crop numbers, and how wide each is embedded
BLOCKS: dict[str, Any] = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
}  # fmt: skip
SDXL_BLOCKS: dict[str, Any] = {
    "addition_embed_type": "text_time", "addition_time_embed_dim": PER_ID,
    "projection_class_embeddings_input_dim": TEXT_WIDTH + TIME_IDS * PER_ID, "use_linear_projection": True,
}  # fmt: skip


def latent_unet(text_width: int, in_channels: int = 4, **more: Any) -> UNet2DConditionModel:
    """A UNet of Stable Diffusion's kind, two levels deep, for latents of LATENT_SIDE."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE, in_channels=in_channels, out_channels=4, cross_attention_dim=text_width,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **BLOCKS, **more,
    )  # fmt: skip


def sdxl_unet(**more: Any) -> UNet2DConditionModel:
    """The UNet of SDXL's kind: it hears two text encoders, and sizes and crops."""
    return latent_unet(2 * TEXT_WIDTH, **SDXL_BLOCKS, **more)


def vae(levels: int = 2, channels: int = 4, **more: Any) -> AutoencoderKL:
    """An autoencoder that halves a picture levels - 1 times, to latents of so many channels."""
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(8,) * levels, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        sample_size=16, **more,
    )  # fmt: skip


def flow_vae(scaling_factor: float, shift_factor: float, channels: int = 4) -> AutoencoderKL:
    """The autoencoder as FLUX, SD3 and Z-Image have it: shifted latents, no 1 x 1 convolutions around them."""
    return vae(
        scaling_factor=scaling_factor, shift_factor=shift_factor, use_quant_conv=False, use_post_quant_conv=False,
        channels=channels,
    )  # fmt: skip


def clip_parts() -> dict[str, Any]:
    """A CLIP tokenizer and text encoder by the names they have in a pipeline."""
    tokenizer = clip_tokenizer()
    return {"tokenizer": tokenizer, "text_encoder": CLIPTextModel(clip_config(len(tokenizer)))}
