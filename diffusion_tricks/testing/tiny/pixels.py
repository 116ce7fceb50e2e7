"""Tiny models without a VAE: DeepFloyd IF and its upscaler, and the unconditional pair DDPM and DDIM."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    IFPipeline,
    IFSuperResolutionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)

from diffusion_tricks.testing.tiny.texts import TEXT_WIDTH, t5_encoder, t5_tokenizer


def deepfloyd() -> DiffusionPipeline:
    """DeepFloyd IF stage I, with learned variance."""
    tokenizer = t5_tokenizer()
    unet = _pixel_unet(16, 3, TEXT_WIDTH)
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=t5_encoder(len(tokenizer)), unet=unet,
        scheduler=_deepfloyd_scheduler(sample_max_value=1.5), safety_checker=None, feature_extractor=None,
        watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def deepfloyd_upscaler(side: int, text_width: int) -> DiffusionPipeline:
    """DeepFloyd IF stage II for pictures of side pixels, without a text encoder."""
    unet = _pixel_unet(side, 6, text_width, class_embed_type="timestep")
    return IFSuperResolutionPipeline(
        tokenizer=None, text_encoder=None, unet=unet, scheduler=_deepfloyd_scheduler(),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def ddpm() -> DiffusionPipeline:
    """Unconditional pixels after arXiv:2006.11239: linear betas, a thousand steps, the large fixed variance."""
    return DDPMPipeline(_plain_unet(), DDPMScheduler(variance_type="fixed_large", clip_sample=True))


def ddim() -> DiffusionPipeline:
    """The same network with the deterministic steps of arXiv:2010.02502."""
    return DDIMPipeline(_plain_unet(), DDIMScheduler(clip_sample=True))


def _plain_unet() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def _pixel_unet(side: int, in_channels: int, text_width: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=side, in_channels=in_channels, out_channels=6, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        cross_attention_dim=16, encoder_hid_dim=text_width, encoder_hid_dim_type="text_proj",
        addition_embed_type="text", addition_embed_type_num_heads=2, attention_head_dim=8,
        resnet_time_scale_shift="scale_shift", norm_num_groups=4, **more,
    )  # fmt: skip


def _deepfloyd_scheduler(sample_max_value: float = 1.0) -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True,
        sample_max_value=sample_max_value,
    )  # fmt: skip
