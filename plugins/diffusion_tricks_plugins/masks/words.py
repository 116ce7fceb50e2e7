"""What words name in a picture, found by CLIPSeg.

p = sigmoid(decoder(CLIP(picture), CLIP(words)))        CLIPSeg, T. Luddecke and A. Ecker, arXiv:2112.10003
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks.plugin import ModelError, flatten, quiet_libraries
from diffusion_tricks_plugins.masks.mask import Canvas, Weights, hard
from diffusion_tricks_plugins.masks.numbers import Malformed

LIKELY = 0.4  # what this probable is in the mask


@dataclass(frozen=True)
class Words:
    """What some words name."""

    text: str
    words: str

    @classmethod
    def read(cls, text: str, value: str) -> Words:
        """Of `the hat` or `"the hat"`. Raises Malformed."""
        words = value.strip().strip("\"'").strip()
        if not words:
            raise Malformed('expected words, as words:"the hat"')
        return cls(text, words)

    def draw(self, canvas: Canvas) -> Weights:
        """Raises ModelError where the model is not at hand, or is none."""
        return hard(probability(flatten(canvas.shown(self.text).image), self.words, canvas.segmenter) > LIKELY)


def probability(image: Image.Image, words: str, segmenter: str) -> NDArray[np.float32]:
    """How likely each pixel (h w) of an RGB picture is what the words name, 0..1."""
    import torch
    from torch.nn import functional as F

    model, processor = opened(segmenter)
    inputs = processor(text=[words], images=[image], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    logits = logits.reshape(1, 1, *logits.shape[-2:])
    large = F.interpolate(logits, (image.height, image.width), mode="bilinear", align_corners=False)
    return np.asarray(large.sigmoid()[0, 0].numpy())


@lru_cache(maxsize=1)
def opened(segmenter: str) -> tuple[Any, Any]:
    """A CLIPSeg model and its processor: a directory, or a hub name that was downloaded. Raises ModelError."""
    from transformers import AutoConfig, CLIPSegForImageSegmentation, CLIPSegProcessor

    local = {"local_files_only": True}
    try:
        with quiet_libraries():
            kind = AutoConfig.from_pretrained(segmenter, **local).model_type
            if kind != "clipseg":
                raise ModelError(
                    f"{segmenter!r} is a model of the kind {kind!r}, expected CLIPSeg to look for words with"
                )
            model = CLIPSegForImageSegmentation.from_pretrained(segmenter, use_safetensors=True, **local)
            return model.eval(), CLIPSegProcessor.from_pretrained(segmenter, **local)
    except (OSError, ValueError) as error:
        raise ModelError(_how_to_get(segmenter)) from error


def _how_to_get(segmenter: str) -> str:
    if Path(segmenter).exists():
        return (
            f"no CLIPSeg model can be opened from {segmenter!r}; expected a directory with a config, a tokenizer, an"
            " image processor and weights as .safetensors"
        )
    return (
        f"to look for words in a picture, the CLIPSeg model {segmenter} is needed, and is not here; get it once with"
        f' "hf download {segmenter}", or give the directory of one with `segmenter`'
    )
