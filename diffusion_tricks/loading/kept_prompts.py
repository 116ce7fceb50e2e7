"""Which models' encoded prompts are kept on the disk, what they are known by, and text encoders read when needed alone.

Only those of directories, whose text encoders are so large that to read and run them takes longer than to ask the disk:
of a T5 that was measured, 40 ms at 58 MB, 80 ms at 166, 430 ms at 736, beside less than 1 ms for a row. Neither objects
of a caller's nor quantised weights, nor those that LoRA changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.memory import Memory
from diffusion_tricks.devices.text_encoders import text_encoders, without_weights
from diffusion_tricks.families.table import row_for
from diffusion_tricks.io.hashes import WHOLE, sampled
from diffusion_tricks.loading.checks import read_index
from diffusion_tricks.loading.configs import described_in
from diffusion_tricks.loading.files import INDEX_FILE, components_of
from diffusion_tricks.model.prompt_store import PromptStore, limit

if TYPE_CHECKING:
    import torch

LEAST = 100 * 10**6  # bytes of text encoders, below which encoding takes no longer than looking it up is worth
LIBRARIES = ("diffusion-tricks", "diffusers", "torch", "transformers", "tokenizers")  # that decide what a row is
OF_THE_HUB = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")  # how a file is called in its cache: by what is in it


def keeps_prompts(location: Path, memory: Memory) -> bool:
    """Whether the prompts of the model in a directory are worth keeping, and may be. Raises UsageError, see `limit`."""
    return limit() > 0 and location.is_dir() and not (memory.lent or memory.quantize) and _weight(location) >= LEAST


def store_of(pipe: Any, location: Path, dtype: torch.dtype, memory: Memory) -> PromptStore | None:
    """Where the prompts of a pipeline that was loaded are kept; None where they are not, or LoRA changes them.

    Raises UsageError, see `limit`.
    """
    changed = any(getattr(encoder, "_hf_peft_config_loaded", False) for encoder in text_encoders(pipe).values())
    if changed or not keeps_prompts(location, memory):
        return None
    return PromptStore([fingerprint(location), type(pipe).__name__, str(dtype), _versions()], pipe)


def encoders_for_later(location: Path, memory: Memory, dtype: torch.dtype) -> dict[str, Any]:
    """The text encoders of a pipeline without weights, which `arrive` reads for the first prompt that is not kept.

    Notes in `memory` where they are. None where prompts are not kept, or anything else may need the text encoders.
    Raises UsageError, see `limit`.
    """
    if not keeps_prompts(location, memory) or not memory.own or memory.mode != "auto":
        return {}
    if row_for(*described_in(location)) is None:
        return {}
    named = {name: made for name, made in _encoders(location).items() if made[0] == "transformers"}
    later = {name: without_weights(class_name, location / name, dtype) for name, (_, class_name) in named.items()}
    memory.elsewhere |= {name: location / name for name in later}
    return later


def fingerprint(location: Path) -> str:
    """What a pipeline's directory is known by: its settings, words and weights, wherever they lie.

    Small files count whole; of large ones their size, when they were written, and samples of them, as to read them all
    would take as long as what is spared. Of the hub's files, which are called by what is in them, the name does.
    """
    found = hashlib.sha256()
    for file in _files(location):
        found.update(f"{file.relative_to(location).as_posix()}\0".encode())
        found.update(_told(file.resolve()))
    return found.hexdigest()


def _files(location: Path) -> Iterator[Path]:
    yield location / INDEX_FILE
    for part in sorted(components_of(read_index(location))):
        yield from sorted(file for file in (location / part).rglob("*") if file.is_file())


def _versions() -> list[str]:
    """Of the libraries that are installed; this one may be run from its source."""
    found = []
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def _told(file: Path) -> bytes:
    if file.parent.name == "blobs" and OF_THE_HUB.fullmatch(file.name):
        return file.name.encode()
    seen = file.stat()
    written = f" {seen.st_mtime_ns}" if seen.st_size > WHOLE else ""
    return f"{sampled(file)}{written}".encode()


def _encoders(location: Path) -> dict[str, tuple[str, str]]:
    components = components_of(read_index(location))
    return {name: made for name, made in components.items() if name.startswith("text_encoder")}


def _weight(location: Path) -> int:
    """The bytes of the weights of the text encoders, all variants together."""
    return sum(f.stat().st_size for name in _encoders(location) for f in (location / name).glob("*.safetensors"))
