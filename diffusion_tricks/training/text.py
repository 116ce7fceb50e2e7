"""Networks that read: a UNet and a T5 encoder of the DeepFloyd IF kind, trained together (task text)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import T5EncoderModel, T5Tokenizer

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.open import family_of
from diffusion_tricks.training.data.stream import Batch, Source
from diffusion_tricks.training.network import pipeline, text_encoder, token_ids, train_tokenizer, unet
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.showing import sampled_page
from diffusion_tricks.training.task import Page, check_same, cycled, level_widths

GUIDANCE = 3.0
READ = 2000  # captions that a tokenizer is made from, where the data has no list of its texts


class Reader(nn.Module):
    """The UNet and the text encoder that is trained with it."""

    def __init__(self, denoiser: UNet2DConditionModel, encoder: T5EncoderModel):
        super().__init__()
        self.denoiser = denoiser
        self.encoder = encoder

    def forward(self, x: Tensor, t: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """The prediction (b 3 h w) for noisy pictures (b 3 h w) at timesteps (b), under token ids and mask (b 77)."""
        text = self.encoder(ids, attention_mask=mask)[0]
        prediction: Tensor = self.denoiser(x, t, encoder_hidden_states=text, return_dict=False)[0][:, : x.shape[1]]
        return prediction


class TextTask:
    """A caption is told; the empty one stands for none.

    start: a pipeline to go on with.  folder: where the tokenizer is kept.
    Raises UsageError for data without captions, ModelError for weights that do not fit.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, options: TrainOptions, source: Source, start: Any, folder: Path):
        if source.channels != 3:
            raise UsageError("a model that reads is made for pictures in colour; use `channels=3`")
        self.guidance = GUIDANCE if options.guidance is None else options.guidance
        self.shown = list(getattr(source, "prompts", dict.fromkeys(_captions(source, 64))))
        if not any(self.shown):
            raise UsageError(
                f"data {options.data!r} has no captions; use another `task`, or put .txt files beside them"
            )
        self.tokenizer = start.tokenizer if start is not None else _tokenizer(source, folder)
        if start is not None:
            check_same(start.unet, "UNet2DConditionModel", source.size, 3, None)
            self.network: nn.Module = Reader(start.unet, start.text_encoder)
        else:
            widths = level_widths(options, source.size)
            self.network = Reader(unet(source.size, widths, layers=options.layers), text_encoder(len(self.tokenizer)))

    def condition(self, batch: Batch, dropout: float) -> dict[str, Tensor]:
        """The tokens of the captions, in lower case, empty for those that are dropped."""
        dropped = (torch.rand(len(batch.captions)) < dropout).tolist()
        kept = ["" if drop else caption.lower() for drop, caption in zip(dropped, batch.captions, strict=True)]
        ids, mask = token_ids(self.tokenizer, kept)
        return {"ids": ids, "mask": mask}

    def pipeline(self, scheduler: Any) -> Any:
        """IFPipeline in float16."""
        assert isinstance(self.network, Reader)
        denoiser, encoder = (
            copy.deepcopy(part).to("cpu", memory_format=torch.contiguous_format).eval()
            for part in (self.network.denoiser, self.network.encoder)
        )
        made = pipeline(denoiser, encoder, self.tokenizer)
        made.register_modules(scheduler=scheduler)
        return made

    def page(self, pipe: Any, source: Source, options: TrainOptions, device: torch.device) -> Page:
        """Samples with their captions."""
        return sampled_page(self, pipe, options, device, captioned=True)

    def opened(self, pipe: Any) -> Family:
        """As any model that reads."""
        return family_of(pipe)

    def prompts(self, count: int) -> list[str]:
        """Captions of the data, in turn."""
        return cycled(self.shown, count)


def _captions(source: Source, count: int) -> Iterator[str]:
    """Captions of the data, evenly spread over it."""
    random = np.random.default_rng(0)
    places = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int).tolist()
    for first in range(0, len(places), 64):
        yield from source.draw(places[first : first + 64], random).captions


def _tokenizer(source: Source, folder: Path) -> T5Tokenizer:
    """The one in the folder, else one made from the texts of the data, `source.texts()` where it has them."""
    home = folder / "tokenizer"
    if not home.is_dir():
        texts = getattr(source, "texts", None)
        train_tokenizer(texts() if texts is not None else _captions(source, READ)).save_pretrained(home)
    return T5Tokenizer.from_pretrained(home)
