"""Weights in fewer bits: int8 (arXiv:2208.07339) or nf4 (arXiv:2305.14314), by bitsandbytes through diffusers.

They save memory and not time, and the pictures are others than those of the full weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.types import QUANTIZE

if TYPE_CHECKING:
    import torch

DENOISERS = ("unet", "transformer")
PACKAGE = "bitsandbytes"


def check_quantize(kind: str | None, device: torch.device, source: Any) -> str | None:
    """The kind, if the weights of a model can be quantised so on that device.

    kind: one of QUANTIZE, or None. source: what is to be loaded. Raises UnknownName, UsageError and ModelError.
    """
    if kind is None:
        return None
    if kind not in QUANTIZE:
        raise UnknownName("quantize", kind, QUANTIZE)
    if not isinstance(source, str | os.PathLike) or Path(source).is_file():
        what = "a checkpoint in one file" if isinstance(source, str | os.PathLike) else f"a {type(source).__name__}"
        raise UsageError(f"`quantize` takes a model's name or directory, got {what}; leave it out")
    if device.type != "cuda":
        raise UsageError(f'`quantize` works on CUDA alone, got device {device}; leave it out, or try `memory="low"`')
    if find_spec(PACKAGE) is None:
        raise ModelError(f"`quantize` needs {PACKAGE}, which is not here: pip install 'diffusion-tricks[quantize]'")
    return kind


def quantization(kind: str | None, folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """What `from_pretrained` is to be told for the pipeline in a directory; nothing where nothing is quantised.

    The denoiser and large text encoders are quantised, CLIP's and VAEs are not: they are small. dtype: computed in.
    """
    if kind is None:
        return {}
    from diffusers import PipelineQuantizationConfig

    from diffusion_tricks.loading.checks import read_index

    index = read_index(folder)
    mapping = {name: _how(kind, index[name][0], dtype) for name in quantised_parts(index)}
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def quantised_parts(index: Mapping[str, Any]) -> list[str]:
    """The components of a model index that are worth it."""
    kinds = {name: entry[1] for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    return [name for name, kind in kinds.items() if kind and (name in DENOISERS or _reads_much(name, kind))]


def _reads_much(name: str, kind: str) -> bool:
    return name.startswith("text_encoder") and not kind.startswith("CLIP")


def _how(kind: str, library: str, dtype: torch.dtype) -> Any:
    """A component's configuration, of the library that it comes from."""
    import diffusers
    import transformers

    configuration = (transformers if library == "transformers" else diffusers).BitsAndBytesConfig
    if kind == "int8":
        return configuration(load_in_8bit=True)
    return configuration(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
