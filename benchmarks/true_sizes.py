"""Models of the true sizes of well-known ones with random weights, made where they run: nothing is downloaded.

    python benchmarks/true_sizes.py                     two steps of a two-view anagram with each, on the CPU
    python benchmarks/true_sizes.py --device cuda       the same on a GPU

In bfloat16, but on a CPU that does not compute in it, where one row takes many minutes: float32 there. The pictures are
noise; what is true of them is the time and the memory they take.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    IFPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.devices.peak import peak_memory_mb
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.testing.tiny.texts import clip_tokenizer, t5_encoder, t5_tokenizer
from diffusion_tricks_plugins import Anagram, Guidance

Pipeline = Any
PAIR = [("identity", "a rabbit"), ("rotate_cw", "a duck")]
IF_TEXT_WIDTH = 4096  # of T5-XXL; the encoder itself is a stub of one thin layer, as prompts are encoded once


def stable_diffusion() -> Pipeline:
    """Stable Diffusion 1.5: 860 million weights in the UNet, 84 in the VAE, 123 in the text encoder."""
    width = {"in_channels": 4, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280)}
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8, **width)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    texts = CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, projection_dim=768, num_hidden_layers=12,
        num_attention_heads=12, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    ))  # fmt: skip
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae, texts, clip_tokenizer(), unet, scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def deepfloyd() -> Pipeline:
    """DeepFloyd IF-I-M: 370 million weights in the UNet, which learns its variance. Its text encoder is a stub."""
    tokenizer = t5_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=64, in_channels=3, out_channels=6, block_out_channels=(192, 384, 576, 768), layers_per_block=3,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        cross_attention_dim=768, cross_attention_norm="group_norm", attention_head_dim=64, act_fn="gelu",
        encoder_hid_dim=IF_TEXT_WIDTH, encoder_hid_dim_type="text_proj", addition_embed_type="text",
        addition_embed_type_num_heads=64, resnet_time_scale_shift="scale_shift",
    )  # fmt: skip
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True, sample_max_value=1.5
    )
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=t5_encoder(len(tokenizer), IF_TEXT_WIDTH), unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


SIZES: dict[str, Callable[[], Pipeline]] = {"sd": stable_diffusion, "if": deepfloyd}


def of_true_size(name: str, device: str, dtype: torch.dtype, seed: int = 0) -> Pipeline:
    """A pipeline of SIZES with weights drawn from `seed`, made on the device in `dtype`."""
    with _made(device, dtype), quiet_libraries():
        torch.manual_seed(seed)
        pipe = SIZES[name]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


@contextmanager
def _made(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Weights are born on the device and in their dtype: elsewhere and in float32 they would take more memory."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def anagram(model: Model, steps: int = 2) -> torch.Tensor:
    """The last latents of a two-view anagram with guidance."""
    tricks = [Anagram(views=PAIR), Guidance(scale=4)]
    *_, last = sample(model, tricks=tricks, steps=steps, seed=0, scheduler="ddpm")
    return last.x


def natural(device: str) -> torch.dtype:
    """bfloat16 where the machine computes in it, else float32."""
    fast = device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def checked(name: str, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """What two steps of an anagram take with a model of SIZES, and whether they end in numbers."""
    began = time.perf_counter()
    model = load_model(of_true_size(name, device, dtype), device=device)
    made = time.perf_counter()
    x = anagram(model)
    weights = sum(weight.numel() for weight in model.family.denoiser.parameters())
    facts = {"model": name, "device": device, "dtype": str(dtype), "denoiser_weights": weights, "shape": list(x.shape)}
    seconds = {"make_s": round(made - began, 1), "two_steps_s": round(time.perf_counter() - made, 1)}
    return facts | seconds | {"peak_memory_mb": peak_memory_mb(model.device), "finite": bool(x.isfinite().all())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, action="append", help="default: each of them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), help="default: see above")
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype) if given.dtype else natural(given.device)
    for name in given.model or SIZES:
        print(json.dumps(checked(name, given.device, dtype)), flush=True)


if __name__ == "__main__":
    main()
