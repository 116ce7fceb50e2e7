"""Tiny transformers that predict a velocity: Stable Diffusion 3, FLUX.1, Qwen-Image and Z-Image."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import CLIPTextModelWithProjection

from diffusion_tricks.testing.tiny.parts import LATENT_SIDE, clip_parts, flow_vae
from diffusion_tricks.testing.tiny.texts import (
    TEXT_WIDTH,
    clip_config,
    clip_tokenizer,
    qwen3_encoder,
    qwen_tokenizer,
    qwen_vl_encoder,
    t5_encoder,
    t5_tokenizer,
)

LATENTS = 4  # channels
SD3_LATENTS = 16  # its own inpainting pipeline takes no other number
PACKED = 4 * LATENTS  # channels of a token of 2 x 2 latents
HEADS: dict[str, int] = {"num_attention_heads": 2, "attention_head_dim": 16}
ROPE = (4, 6, 6)  # adds up to a head
FLUX_SHIFT = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
QWEN_SHIFT = {"base_image_seq_len": 256, "max_image_seq_len": 8192, "base_shift": 0.5, "max_shift": 0.9}


def stable_diffusion_3() -> DiffusionPipeline:
    """Stable Diffusion 3 with its three text encoders, and the doubled attention and norms of 3.5 medium."""
    tokenizer, tokenizer_3, width = clip_tokenizer(), t5_tokenizer(), 2 * TEXT_WIDTH
    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIDE, in_channels=SD3_LATENTS, out_channels=SD3_LATENTS, num_layers=2, **HEADS,
        joint_attention_dim=width, caption_projection_dim=32, pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=32, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        tokenizer=tokenizer, tokenizer_2=clip_tokenizer(), tokenizer_3=tokenizer_3,
        text_encoder=CLIPTextModelWithProjection(clip_config(len(tokenizer))),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(len(tokenizer))),
        text_encoder_3=t5_encoder(len(tokenizer_3), width), transformer=transformer,
        vae=flow_vae(1.5305, 0.0609, SD3_LATENTS),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def flux_dev() -> DiffusionPipeline:
    """FLUX.1 dev: the strength of its distilled guidance is an input, the schedule shifts with the size."""
    return FluxPipeline(**_flux_parts(guidance_embeds=True), scheduler=_flux_scheduler())


def flux_schnell() -> DiffusionPipeline:
    """FLUX.1 schnell: distilled to few steps, no guidance, a fixed schedule."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False, **FLUX_SHIFT)
    return FluxPipeline(**_flux_parts(guidance_embeds=False), scheduler=scheduler)


def flux_fill() -> DiffusionPipeline:
    """FLUX.1 Fill: its tokens also carry the masked picture's latents and the mask, 2 x 2 pixels to a latent."""
    parts = _flux_parts(guidance_embeds=True, in_channels=2 * PACKED + 4 * 2 * 2, out_channels=PACKED)
    return FluxFillPipeline(**parts, scheduler=_flux_scheduler())


def _flux_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, **FLUX_SHIFT)


def _flux_parts(in_channels: int = PACKED, **more: Any) -> dict[str, Any]:
    tokenizer_2 = t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=in_channels, num_layers=1, num_single_layers=1, **HEADS, joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH, axes_dims_rope=ROPE, **more,
    )  # fmt: skip
    return {
        **clip_parts(), "tokenizer_2": tokenizer_2, "text_encoder_2": t5_encoder(len(tokenizer_2)),
        "transformer": transformer, "vae": flow_vae(0.3611, 0.1159),
    }  # fmt: skip


def qwen_image() -> DiffusionPipeline:
    """Qwen-Image: a language model reads the prompt, the autoencoder is that of a film of one frame."""
    tokenizer = qwen_tokenizer()
    transformer = QwenImageTransformer2DModel(
        in_channels=PACKED, out_channels=LATENTS, num_layers=2, **HEADS, joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=ROPE,
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=1.0, shift_terminal=0.02, use_dynamic_shifting=True, time_shift_type="exponential", **QWEN_SHIFT
    )
    return QwenImagePipeline(
        tokenizer=tokenizer, text_encoder=qwen_vl_encoder(len(tokenizer)), transformer=transformer, vae=_qwen_vae(),
        scheduler=scheduler,
    )  # fmt: skip


def _qwen_vae() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=LATENTS, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=[-0.7571, -0.7089, -0.9113, 0.1075], latents_std=[2.8184, 1.4541, 2.3275, 2.6558],
    )  # fmt: skip


def z_image() -> DiffusionPipeline:
    """Z-Image: text and picture in one stream of tokens, and a time that runs from 0 to 1."""
    tokenizer = qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=LATENTS, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=TEXT_WIDTH,
        axes_dims=list(ROPE), axes_lens=[1024, 64, 64],
    )  # fmt: skip
    return ZImagePipeline(
        tokenizer=tokenizer, text_encoder=qwen3_encoder(len(tokenizer)), transformer=transformer,
        vae=flow_vae(0.3611, 0.1159), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False),
    )  # fmt: skip
