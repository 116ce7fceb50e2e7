"""Text encoders of one or two layers and tokenizers that know single characters, made in memory."""

from __future__ import annotations

import string
from typing import Any

from transformers import (
    CLIPTextConfig,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

CHARACTERS = string.ascii_lowercase + string.digits + ",.!?'-"
TEXT_WIDTH = 16
LANGUAGE_MODEL: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2,
    "max_position_embeddings": 4096, "use_cache": False,
}  # fmt: skip
# What Qwen-Image says before every prompt; it cuts off as many tokens as these words have in the real tokenizer, 34.
QWEN_FIRST_WORDS = "system Describe user assistant"
QWEN_WORDS = (
    "the image by detailing the color shape size texture quantity text spatial relationships of the objects and "
    "background"
)
QWEN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows single characters; 77 tokens at the most."""
    words = ["<|startoftext|>", "<|endoftext|>", *CHARACTERS, *(f"{c}</w>" for c in CHARACTERS)]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer that knows single characters: pad 0, end 1, unknown 2."""
    words = ["<pad>", "</s>", "<unk>", "▁", *CHARACTERS]
    return T5Tokenizer(vocab=[(word, 0.0 if i < 2 else -2.0) for i, word in enumerate(words)], extra_ids=0)


def qwen_tokenizer() -> Qwen2Tokenizer:
    """A Qwen tokenizer that knows single bytes, the marks of a chat and QWEN_WORDS: end and pad 0."""
    marks, spaced = ["<|im_start|>", "<|im_end|>"], ["Ġ" + word for word in QWEN_WORDS.split()]
    merges = _merges([*spaced, *QWEN_FIRST_WORDS.split()])
    words = ["<|endoftext|>", *marks, *bytes_to_unicode().values(), *("".join(pair) for pair in merges)]
    tokenizer = Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=merges, additional_special_tokens=marks
    )
    tokenizer.chat_template = QWEN_CHAT
    return tokenizer


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """The pairs that grow each word from its front, byte by byte; Ġ is the mark of a space."""
    return list(dict.fromkeys((word[:end], word[end]) for word in words for end in range(1, len(word))))


def gemma_tokenizer() -> GemmaTokenizer:
    """A Gemma tokenizer that knows single characters: pad 0, end 1, begin 2, unknown 3."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", *CHARACTERS]
    return GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def clip_config(vocabulary: int) -> CLIPTextConfig:
    """Of a CLIP text encoder of two layers, TEXT_WIDTH wide."""
    return CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=TEXT_WIDTH, intermediate_size=32, projection_dim=TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip


def t5_encoder(vocabulary: int, width: int = TEXT_WIDTH) -> T5EncoderModel:
    """A T5 encoder of one layer."""
    return T5EncoderModel(T5Config(
        vocab_size=vocabulary, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0,
    ))  # fmt: skip


def qwen_vl_encoder(vocabulary: int) -> Qwen2_5_VLForConditionalGeneration:
    """A Qwen2.5-VL of one language layer; its picture side is there, as small as it goes, and never asked."""
    eyes = {
        "depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": TEXT_WIDTH,
        "fullatt_block_indexes": [0],
    }  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1000000.0}
    text = {**LANGUAGE_MODEL, "vocab_size": vocabulary, "num_hidden_layers": 1, "rope_parameters": rope}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=eyes))


def qwen3_encoder(vocabulary: int) -> Qwen3Model:
    """A Qwen3 of two layers: what is read is the output of the last but one."""
    return Qwen3Model(Qwen3Config(**LANGUAGE_MODEL, vocab_size=vocabulary, num_hidden_layers=2, head_dim=8))


def gemma_encoder(vocabulary: int) -> Gemma2Model:
    """A Gemma 2 of one layer."""
    return Gemma2Model(Gemma2Config(
        **LANGUAGE_MODEL, vocab_size=vocabulary, num_hidden_layers=1, head_dim=8, query_pre_attn_scalar=8,
    ))  # fmt: skip
