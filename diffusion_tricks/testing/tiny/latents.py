"""Tiny UNets in latents: Stable Diffusion 1.x and 2.x, SDXL, their few-step and inpainting models, the x4 upscaler."""

from __future__ import annotations

from typing import Any

from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from diffusion_tricks.testing.tiny.parts import BLOCKS, SDXL_BLOCKS, clip_parts, latent_unet, sdxl_unet, vae
from diffusion_tricks.testing.tiny.texts import TEXT_WIDTH, clip_config, clip_tokenizer

SD_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
X4_SCHEDULE = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
UNCHECKED: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
INPAINTING_CHANNELS = 9  # latents, mask, latents of the masked picture


def stable_diffusion(prediction: str = "epsilon") -> DiffusionPipeline:
    """Stable Diffusion 1.x, or with "v_prediction" 2.x."""
    scheduler = PNDMScheduler(**SD_SCHEDULE, skip_prk_steps=True, prediction_type=prediction)
    return StableDiffusionPipeline(**_sd_parts(), scheduler=scheduler, requires_safety_checker=False)


def zero_terminal_snr() -> DiffusionPipeline:
    """Velocities from a schedule whose last step holds no signal: arXiv:2305.08891."""
    scheduler = DDIMScheduler(
        **SD_SCHEDULE, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=True,
    )  # fmt: skip
    return StableDiffusionPipeline(**_sd_parts(), scheduler=scheduler, requires_safety_checker=False)


def latent_consistency() -> DiffusionPipeline:
    """A latent consistency model: few steps, the strength of guidance is an input of the UNet. arXiv:2310.04378."""
    scheduler = LCMScheduler(**SD_SCHEDULE)
    parts = _sd_parts(time_cond_proj_dim=8)
    return LatentConsistencyModelPipeline(**parts, scheduler=scheduler, requires_safety_checker=False)


def stable_diffusion_inpainting() -> DiffusionPipeline:
    """Stable Diffusion with the mask and the masked picture as channels of the UNet."""
    scheduler = PNDMScheduler(**SD_SCHEDULE, skip_prk_steps=True)
    parts = _seeing(_sd_parts(in_channels=INPAINTING_CHANNELS))
    return StableDiffusionInpaintPipeline(**parts, scheduler=scheduler, requires_safety_checker=False)


def stable_diffusion_xl() -> DiffusionPipeline:
    """SDXL base."""
    return StableDiffusionXLPipeline(**_xl_parts(), scheduler=_xl_scheduler(), add_watermarker=False)


def sdxl_turbo() -> DiffusionPipeline:
    """SDXL distilled to few steps, from the end of the schedule on, with fresh noise at each: arXiv:2311.17042."""
    scheduler = EulerAncestralDiscreteScheduler(**SD_SCHEDULE, timestep_spacing="trailing")
    return StableDiffusionXLPipeline(**_xl_parts(), scheduler=scheduler, add_watermarker=False)


def sdxl_inpainting() -> DiffusionPipeline:
    """SDXL with the mask and the masked picture as channels of the UNet."""
    parts = _seeing(_xl_parts(in_channels=INPAINTING_CHANNELS))
    return StableDiffusionXLInpaintPipeline(**parts, scheduler=_xl_scheduler(), add_watermarker=False)


def x4_upscaler() -> DiffusionPipeline:
    """Stable Diffusion's x4 upscaler: the small picture, noised to a level that is a class, beside the latents."""
    parts = _sd_parts(in_channels=7, num_class_embeds=1000)
    parts["vae"] = vae(levels=3, scaling_factor=0.08333)
    return StableDiffusionUpscalePipeline(
        **parts, low_res_scheduler=DDPMScheduler(**X4_SCHEDULE), max_noise_level=350,
        scheduler=DDIMScheduler(**X4_SCHEDULE, prediction_type="v_prediction", clip_sample=False),
    )  # fmt: skip


def controlnet(text_width: int, **more: Any) -> ControlNetModel:
    """A ControlNet for a UNet of `parts`, its way out not zero: a fresh one has no effect. arXiv:2302.05543."""
    net = ControlNetModel(cross_attention_dim=text_width, conditioning_embedding_out_channels=(8, 8), **BLOCKS, **more)
    for way_out in [*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out]:
        way_out.reset_parameters()  # as any convolution
    return net


def stable_diffusion_controlnet() -> ControlNetModel:
    """Goes with the tiny Stable Diffusion."""
    return controlnet(TEXT_WIDTH)


def sdxl_controlnet() -> ControlNetModel:
    """Goes with the tiny SDXL."""
    return controlnet(2 * TEXT_WIDTH, **SDXL_BLOCKS)


def _seeing(parts: dict[str, Any]) -> dict[str, Any]:
    """A random autoencoder's latents are far smaller than noise: the UNet takes those of the masked picture in wide."""
    parts["unet"].conv_in.weight.data[:, -4:] *= 8.0
    return parts


def _sd_parts(**unet: Any) -> dict[str, Any]:
    return {**clip_parts(), "unet": latent_unet(TEXT_WIDTH, **unet), "vae": vae(), **UNCHECKED}


def _xl_scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(**SD_SCHEDULE, timestep_spacing="leading")


def _xl_parts(**unet: Any) -> dict[str, Any]:
    tokenizer, network = clip_tokenizer(), sdxl_unet(**unet)
    return {
        "tokenizer": tokenizer, "tokenizer_2": clip_tokenizer(),
        "text_encoder": CLIPTextModel(clip_config(len(tokenizer))),
        "text_encoder_2": CLIPTextModelWithProjection(clip_config(len(tokenizer))), "unet": network, "vae": vae(),
    }  # fmt: skip
