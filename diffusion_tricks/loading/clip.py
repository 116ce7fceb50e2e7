"""CLIP models: of a directory, or of the hub, which is asked once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import ModelError
from diffusion_tricks.loading.hub import only_here, progress
from diffusion_tricks.loading.location import HubName, hub_name

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
NEEDED = ("*.json", "*.txt", "*.safetensors")
EXPECTED = "expected a directory or hub name with a config, a tokenizer, an image processor and weights as .safetensors"


@lru_cache(maxsize=2)
def loaded_clip(clip: str, device: torch.device) -> tuple[Any, Any, Any]:
    """A CLIP model with its tokenizer and its image processor, which is Pillow's, the same on every machine.

    clip: a directory, or `owner/name[@revision]`; of the hub's only safetensors are read, too. Raises ModelError.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    hub = None if Path(clip).exists() else hub_name(clip)
    if hub is None and not Path(clip).is_dir():
        raise ModelError(f"no CLIP model can be loaded from {clip!r}: it is no directory; {EXPECTED}")
    source = hub.repository if hub else clip
    try:
        with quiet_libraries(), progress(shown=True):
            asked = _asked(hub)
            kind = AutoConfig.from_pretrained(source, **asked).model_type
            if kind != "clip":
                raise ModelError(f"{clip!r} is a model of the kind {kind!r}, expected a CLIP model to score with")
            model = CLIPModel.from_pretrained(source, use_safetensors=True, **asked)
            processor = CLIPImageProcessorPil.from_pretrained(source, **asked)
            model.to(device, torch.float32).eval()
            return model, AutoTokenizer.from_pretrained(source, **asked), processor
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"no CLIP model can be loaded from {clip!r}: {reason}; {EXPECTED}") from error


def _asked(hub: HubName | None) -> dict[str, Any]:
    """How `from_pretrained` is to look for it."""
    if hub is None:
        return {"local_files_only": True}
    return {"revision": hub.revision, "local_files_only": only_here(hub, CONFIG, NEEDED)}
