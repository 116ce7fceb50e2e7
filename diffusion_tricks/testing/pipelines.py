"""Tiny pipelines with random weights, built offline in well under a second: the families of models, small."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    IFPipeline,
    IFSuperResolutionPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from diffusion_tricks.quiet import quiet_libraries

Kind = Literal["if", "sd", "sd-v", "sdxl"]
KINDS: tuple[Kind, ...] = ("if", "sd", "sd-v", "sdxl")
CHARACTERS = string.ascii_lowercase + string.digits + ",.!?'-"
TEXT_WIDTH = 16
LATENT_SIDE = 8  # of the models with a VAE; 16 pixels
SD_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def tiny_pipeline(kind: Kind, seed: int = 0) -> DiffusionPipeline:
    """A working pipeline of a family with tiny random weights, on the CPU in float32; 16 x 16 pixels.

    kind: "if", DeepFloyd IF stage I with learned variance; "sd", Stable Diffusion 1.x; "sd-v", the v-prediction of
    2.x; "sdxl". seed: of the weights; the global random state is left as it was. Prompts and timesteps change the
    output visibly, and `save_pretrained` works, so it also stands in for a model directory.
    """
    builders: dict[Kind, Callable[[], DiffusionPipeline]] = {
        "if": _deepfloyd,
        "sd": lambda: _stable_diffusion("epsilon"),
        "sd-v": lambda: _stable_diffusion("v_prediction"),
        "sdxl": _stable_diffusion_xl,
    }
    return _built(builders[kind], seed)


def tiny_upscaler(side: int = 64, text_width: int = TEXT_WIDTH, seed: int = 1) -> DiffusionPipeline:
    """A working upscaler of the kind of DeepFloyd IF II with tiny random weights, without a text encoder of its own.

    side: of its pictures in pixels; 64 goes with the 16 of `tiny_pipeline("if")`. text_width: of the embeddings that
    its base model makes. seed: as for `tiny_pipeline`.
    """
    return _built(lambda: _deepfloyd_upscaler(side, text_width), seed)


def _built(builder: Callable[[], DiffusionPipeline], seed: int) -> DiffusionPipeline:
    with torch.random.fork_rng(devices=[]), quiet_libraries():  # diffusers warns of a missing safety checker
        torch.manual_seed(seed)
        pipe = builder()
        for module in pipe.components.values():
            if isinstance(module, torch.nn.Module):
                _roughened(module.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _deepfloyd() -> DiffusionPipeline:
    tokenizer = t5_tokenizer()
    encoder = T5Config(
        vocab_size=len(tokenizer), d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0,
    )  # fmt: skip
    unet = _pixel_unet(16, 3, TEXT_WIDTH)
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=T5EncoderModel(encoder), unet=unet,
        scheduler=_deepfloyd_scheduler(sample_max_value=1.5), safety_checker=None, feature_extractor=None,
        watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def _deepfloyd_upscaler(side: int, text_width: int) -> DiffusionPipeline:
    unet = _pixel_unet(side, 6, text_width, class_embed_type="timestep")
    return IFSuperResolutionPipeline(
        tokenizer=None, text_encoder=None, unet=unet, scheduler=_deepfloyd_scheduler(),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), safety_checker=None,
        feature_extractor=None, watermarker=None, requires_safety_checker=False,
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


def _stable_diffusion(prediction: str) -> DiffusionPipeline:
    tokenizer = clip_tokenizer()
    scheduler = PNDMScheduler(**SD_SCHEDULE, skip_prk_steps=True, prediction_type=prediction)
    return StableDiffusionPipeline(
        tokenizer=tokenizer, text_encoder=CLIPTextModel(_clip(len(tokenizer))), unet=_latent_unet(TEXT_WIDTH),
        vae=_vae(), scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _stable_diffusion_xl() -> DiffusionPipeline:
    tokenizer, time_ids, per_id = clip_tokenizer(), 6, 8
    unet = _latent_unet(
        2 * TEXT_WIDTH, addition_embed_type="text_time", addition_time_embed_dim=per_id,
        projection_class_embeddings_input_dim=TEXT_WIDTH + time_ids * per_id, use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        tokenizer=tokenizer, tokenizer_2=clip_tokenizer(), text_encoder=CLIPTextModel(_clip(len(tokenizer))),
        text_encoder_2=CLIPTextModelWithProjection(_clip(len(tokenizer))), unet=unet, vae=_vae(),
        scheduler=EulerDiscreteScheduler(**SD_SCHEDULE, timestep_spacing="leading"), add_watermarker=False,
    )  # fmt: skip


def _latent_unet(text_width: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width, attention_head_dim=2, norm_num_groups=4, **more,
    )  # fmt: skip


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8), norm_num_groups=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def _clip(vocabulary: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=TEXT_WIDTH, intermediate_size=32, projection_dim=TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows single characters; 77 tokens at the most."""
    words = ["<|startoftext|>", "<|endoftext|>", *CHARACTERS, *(f"{c}</w>" for c in CHARACTERS)]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer that knows single characters: pad 0, end 1, unknown 2."""
    words = ["<pad>", "</s>", "<unk>", "▁", *CHARACTERS]
    return T5Tokenizer(vocab=[(word, 0.0 if i < 2 else -2.0) for i, word in enumerate(words)], extra_ids=0)


def _roughened(module: torch.nn.Module) -> None:
    """Fresh networks hardly hear their prompt and timestep: every norm and bias is drawn at random, embeddings wide."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            centre = 1.0 if name.endswith("weight") else 0.0
            torch.nn.init.normal_(parameter, centre, 0.3)
        elif "attn2" in name:
            parameter.data.mul_(4.0)
        elif "attn" in name or "emb" in name or "hid_proj" in name:
            parameter.data.mul_(2.0)
