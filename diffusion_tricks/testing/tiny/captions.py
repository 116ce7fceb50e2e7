"""Tiny transformers that read long captions: PixArt-Sigma and Sana."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderDC,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
)

from diffusion_tricks.testing.tiny.parts import LATENT_SIDE, vae
from diffusion_tricks.testing.tiny.texts import TEXT_WIDTH, gemma_encoder, gemma_tokenizer, t5_encoder, t5_tokenizer

LATENTS = 4  # channels
INNER = 32  # two heads of 16
LINEAR: dict[str, Any] = {"beta_start": 0.0001, "beta_end": 0.02, "solver_order": 2}


def pixart_sigma() -> DiffusionPipeline:
    """PixArt-Sigma: it predicts noise, and a variance that its pipeline throws away. arXiv:2403.04692."""
    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        sample_size=LATENT_SIDE, in_channels=LATENTS, out_channels=2 * LATENTS, num_layers=2, num_attention_heads=2,
        attention_head_dim=16, cross_attention_dim=INNER, caption_channels=TEXT_WIDTH, interpolation_scale=1,
    )  # fmt: skip
    return PixArtSigmaPipeline(
        tokenizer=tokenizer, text_encoder=t5_encoder(len(tokenizer)), transformer=transformer,
        vae=vae(scaling_factor=0.13025), scheduler=DPMSolverMultistepScheduler(**LINEAR),
    )  # fmt: skip


def sana() -> DiffusionPipeline:
    """Sana: linear attention, a deep-compression autoencoder, velocities through DPM-Solver. arXiv:2410.10629."""
    tokenizer = gemma_tokenizer()
    transformer = SanaTransformer2DModel(
        sample_size=LATENT_SIDE, in_channels=LATENTS, out_channels=LATENTS, num_layers=2, num_attention_heads=2,
        attention_head_dim=16, num_cross_attention_heads=2, cross_attention_head_dim=16, cross_attention_dim=INNER,
        caption_channels=TEXT_WIDTH,
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(
        **LINEAR, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return SanaPipeline(
        tokenizer=tokenizer, text_encoder=gemma_encoder(len(tokenizer)), transformer=transformer, vae=_deep_vae(),
        scheduler=scheduler,
    )  # fmt: skip


def _deep_vae() -> AutoencoderDC:
    kinds, channels = ("ResBlock", "ResBlock", "EfficientViTBlock"), (8, 8, 8)
    layers, scales = (1, 1, 1), ((), (), (5,))
    return AutoencoderDC(
        latent_channels=LATENTS, attention_head_dim=4, upsample_block_type="interpolate",
        downsample_block_type="stride_conv", scaling_factor=0.41407,
        encoder_block_types=kinds, encoder_block_out_channels=channels, encoder_layers_per_block=layers,
        encoder_qkv_multiscales=scales, decoder_block_types=kinds, decoder_block_out_channels=channels,
        decoder_layers_per_block=layers, decoder_qkv_multiscales=scales,
    )  # fmt: skip
