"""Tiny random pipelines that no adapter serves, for the tests of the fallback."""

from __future__ import annotations

from collections.abc import Callable

from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
)

from diffusion_tricks.testing.tiny.parts import vae
from diffusion_tricks.testing.tiny.texts import (
    TEXT_WIDTH,
    gemma_encoder,
    gemma_tokenizer,
    qwen3_encoder,
    t5_encoder,
    t5_tokenizer,
)
from diffusion_tricks.testing.tiny.weights import built

CHANNELS = 4  # of the latents
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}


def aura_flow() -> DiffusionPipeline:
    """Velocities; texts padded to one length, with a mask."""
    tokenizer = t5_tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=8, in_channels=CHANNELS, out_channels=CHANNELS, num_mmdit_layers=1, num_single_dit_layers=1,
        joint_attention_dim=TEXT_WIDTH, caption_projection_dim=32, pos_embed_max_size=256, **HEADS,
    )  # fmt: skip
    return AuraFlowPipeline(
        tokenizer=tokenizer, text_encoder=t5_encoder(len(tokenizer)), vae=vae(), transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    )  # fmt: skip


def cogview4() -> DiffusionPipeline:
    """Texts as long as they are, in steps of 16; a schedule that the pipeline gives itself, shifted with the size."""
    tokenizer = t5_tokenizer()
    transformer = CogView4Transformer2DModel(
        sample_size=4, in_channels=CHANNELS, out_channels=CHANNELS, num_layers=1, text_embed_dim=TEXT_WIDTH,
        time_embed_dim=32, condition_dim=8, pos_embed_max_size=32, rope_axes_dim=(8, 8), **HEADS,
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, time_shift_type="linear", base_shift=0.25, max_shift=0.75
    )
    return CogView4Pipeline(
        tokenizer=tokenizer, text_encoder=qwen3_encoder(len(tokenizer)), vae=vae(levels=4),
        transformer=transformer, scheduler=scheduler,
    )  # fmt: skip


def lumina2() -> DiffusionPipeline:
    """Time that runs from noise at 0, and velocities of the other sign; 8 pixels a latent, whatever the VAE says."""
    tokenizer = gemma_tokenizer()
    transformer = Lumina2Transformer2DModel(
        sample_size=4, in_channels=CHANNELS, hidden_size=32, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 6, 6), axes_lens=(300, 32, 32),
        cap_feat_dim=TEXT_WIDTH,
    )  # fmt: skip
    return Lumina2Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0), tokenizer=tokenizer,
        vae=vae(levels=4, shift_factor=0.1), text_encoder=gemma_encoder(len(tokenizer)),
    )  # fmt: skip


def hunyuan_dit() -> DiffusionPipeline:
    """Two texts of one prompt, encoded one after the other; the network's second half is a variance nobody uses."""
    tokenizer = t5_tokenizer()
    transformer = HunyuanDiT2DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=CHANNELS, patch_size=2, sample_size=4, hidden_size=32,
        num_layers=2, cross_attention_dim=TEXT_WIDTH, cross_attention_dim_t5=TEXT_WIDTH, pooled_projection_dim=16,
        text_len=77, text_len_t5=256,
    )  # fmt: skip
    return HunyuanDiTPipeline(
        vae=vae(levels=4), text_encoder=t5_encoder(len(tokenizer)), tokenizer=tokenizer, transformer=transformer,
        scheduler=DDPMScheduler(beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear",
                                prediction_type="v_prediction"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        text_encoder_2=t5_encoder(len(tokenizer)), tokenizer_2=t5_tokenizer(),
    )  # fmt: skip


UNADAPTED: dict[str, Callable[[], DiffusionPipeline]] = {
    "aura": aura_flow,
    "cogview4": cogview4,
    "lumina2": lumina2,
    "hunyuan": hunyuan_dit,
}


def unadapted(kind: str, seed: int = 0) -> DiffusionPipeline:
    """A tiny pipeline of a kind named in UNADAPTED, on the CPU in float32."""
    pipe = built(UNADAPTED[kind], seed)
    pipe.set_progress_bar_config(disable=True)
    return pipe
