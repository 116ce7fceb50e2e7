"""The small CLIP that scores pictures (arXiv:2103.00020): tokenizer, network, image processor, and its directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from diffusion_tricks.generate.score import CAPTIONS_FILE
from diffusion_tricks.training.data.captions import with_article

SIZE = 48  # pixels a side: enough to tell all emoji apart, and half the work of 64
PATCH = 12  # pixels a side
LONGEST = 32  # tokens of a caption
VOCABULARY = 2500
START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(texts: Sequence[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE over `texts`: start 0, end 1, which also pads."""
    blank = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[])._tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[START, END], end_of_word_suffix="</w>", show_progress=False,
        initial_alphabet=sorted(ByteLevel.alphabet()),
    )  # fmt: skip
    blank.train_from_iterator(texts, trainer)
    bpe = json.loads(blank.to_str())["model"]
    vocabulary: dict[str, int] = bpe["vocab"]
    for byte in sorted(ByteLevel.alphabet()):  # what is unknown reads as the end, and cuts the text
        vocabulary.setdefault(f"{byte}</w>", len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in bpe["merges"]], model_max_length=LONGEST)


def clip(vocabulary: int, width: int = 192, layers: int = 4, text_width: int = 128, text_layers: int = 3) -> CLIPModel:
    """A small CLIP of 48 pixels a side, in patches of 12: few and whole teaches more in an hour than many."""
    vision = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 32, "hidden_act": "gelu", "image_size": SIZE, "patch_size": PATCH,
    }  # fmt: skip
    text = {
        "hidden_size": text_width, "intermediate_size": 4 * text_width, "num_hidden_layers": text_layers,
        "num_attention_heads": text_width // 32, "hidden_act": "gelu",
        "max_position_embeddings": LONGEST, "vocab_size": vocabulary,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=192)
    # torch's fused attention takes far longer than plain products to go backward on a CPU: 40 % of a step
    return CLIPModel._from_config(config, attn_implementation="eager")


def processor() -> CLIPImageProcessorPil:
    """Pictures as the scorer sees them: 48 pixels a side, the middle of what is not square, -1..1."""
    side = {"height": SIZE, "width": SIZE}
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size=side, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3
    )


@torch.no_grad()
def start_from_principal_patches(model: CLIPModel, pictures: Tensor, spread: float = 0.2) -> None:
    """Sets the patch embedding to the pictures' principal components, each of that standard deviation.

    pictures: (n 3 h w) in -1..1.  A network that starts so need not learn first what patches are made of.
    """
    weight = model.vision_model.embeddings.patch_embedding.weight  # (w 3 p p)
    patches = F.unfold(pictures, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1).double()  # (m 3pp)
    variances, directions = torch.linalg.eigh(torch.cov(patches.T))
    scaled = directions * spread / (variances.clamp(min=0) + 1e-2).sqrt()
    weight.copy_(scaled.flip(1).T[: len(weight)].reshape(weight.shape))


def embed_pictures(model: CLIPModel, pictures: Tensor) -> Tensor:
    """Unit vectors (b d) of pictures (b 3 h w) in -1..1."""
    return F.normalize(model.get_image_features(pixel_values=pictures).pooler_output.float(), dim=1)


def embed_texts(model: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Unit vectors (b d) of texts."""
    rows = tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
    embedded = model.get_text_features(rows.input_ids, attention_mask=rows.attention_mask).pooler_output
    return F.normalize(embedded.float(), dim=1)


def save(model: CLIPModel, tokenizer: CLIPTokenizer, names: Sequence[str], folder: Path) -> None:
    """Writes the scorer's directory in float16, whole or not at all."""
    fresh, old = (folder.with_name(f"{folder.name}.{part}") for part in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    half = CLIPModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    processor().save_pretrained(fresh)
    (fresh / CAPTIONS_FILE).write_text(json.dumps([*map(with_article, names)], ensure_ascii=False, indent=0) + "\n")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
