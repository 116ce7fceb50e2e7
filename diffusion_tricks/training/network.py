"""The small text-conditioned pixel model: a UNet and a T5 encoder of the DeepFloyd IF kind."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable

import torch
from diffusers import IFPipeline, UNet2DConditionModel
from diffusers.schedulers import DPMSolverMultistepScheduler, SchedulerMixin
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import T5Config, T5EncoderModel, T5Tokenizer

WORD = re.compile(r"[^\s,.:]+")
TEXT_LENGTH = 77  # IFPipeline pads every prompt to this many tokens


def train_tokenizer(texts: Iterable[str], vocabulary: int = 3000) -> T5Tokenizer:
    """A unigram T5 tokenizer over `texts`: pad 0, end 1, unknown 2; every word of them is a piece of its own.

    vocabulary: of the pieces that other words are read in.
    """
    texts = [text.lower() for text in texts]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        unk_token="<unk>",
        initial_alphabet=list(string.ascii_lowercase),
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces = {piece: float(score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]}
    words = sorted({f"▁{word}" for text in texts for word in WORD.findall(text)})
    surer = dict.fromkeys(words, 0.0)  # than any two pieces, whose logarithms are below 0
    return T5Tokenizer(vocab=list((pieces | surer).items()), extra_ids=0)


def text_encoder(vocabulary: int, width: int = 192, layers: int = 3) -> T5EncoderModel:
    """A small T5 encoder."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary, d_model=width, d_kv=32, d_ff=2 * width, num_layers=layers, num_heads=width // 32,
            feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=0,
        )
    )  # fmt: skip


def unet(size: int, channels: tuple[int, ...], text_width: int = 192, layers: int = 1) -> UNet2DConditionModel:
    """An IF-style UNet: residual down- and upsampling, cross-attention at the coarsest level only."""
    plain = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=3,
        out_channels=6,  # IF's pipelines split prediction and variance; the variance half is not used
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("ResnetDownsampleBlock2D",) * plain + ("SimpleCrossAttnDownBlock2D",),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D",) + ("ResnetUpsampleBlock2D",) * plain,
        cross_attention_dim=channels[-1],
        encoder_hid_dim=text_width,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=32,
        time_embedding_dim=256,  # four times the first level's channels would be too narrow for the text it carries
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
        act_fn="silu",
    )


def upscaler_unet(size: int, channels: tuple[int, ...], layers: int = 1) -> UNet2DConditionModel:
    """An IF-style second stage: noisy picture and noised low-res picture in (b 6 h w), noise level as the class.

    Without attention, so that it may learn from crops; without text, so that it serves any base and any prompt.
    """
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=6,
        out_channels=6,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("ResnetDownsampleBlock2D",) * len(channels),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("ResnetUpsampleBlock2D",) * len(channels),
        class_embed_type="timestep",
        attention_head_dim=32,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
        act_fn="silu",
    )


def schedule() -> SchedulerMixin:
    """The training schedule (cosine, v-prediction), as the sampler the model ships with."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction",
        algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing",
    )  # fmt: skip


def pipeline(unet: UNet2DConditionModel, encoder: T5EncoderModel, tokenizer: T5Tokenizer) -> IFPipeline:
    """The parts as a DeepFloyd IF stage I pipeline in float16."""
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=encoder.half(), unet=unet.half(), scheduler=schedule(),
        safety_checker=None, feature_extractor=None, watermarker=None, requires_safety_checker=False,
    )  # fmt: skip


def token_ids(tokenizer: T5Tokenizer, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask as IFPipeline makes them: (b 77) each."""
    rows = tokenizer(captions, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    return rows.input_ids, rows.attention_mask
