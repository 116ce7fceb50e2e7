"""Encoded prompts kept on the disk: a run whose prompts were all asked before needs no text encoder.

    <user's cache>/diffusion-tricks/prompts/<sha256 of all that decides a row>.safetensors

A file is written whole or not at all, and one that is damaged is as good as none. They hold so much in all, and those
used least lately go first. No prompt stands in them as it was asked, but of one that is too long its unread end. Where
the disk is full or may not be written, nothing is kept, and nothing is said: the prompts are encoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from platformdirs import user_cache_dir

from diffusion_tricks.errors import OutputError, OutputFailed, UsageError
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.model.row_files import Encoded, from_bytes, to_bytes
from diffusion_tricks.types import Pipeline

FORMAT = 1  # goes up when rows come to be made otherwise from the same words
LIMIT = "DIFFUSION_TRICKS_PROMPTS_MB"  # in the environment: how much is kept in all, 0 is nothing
MEGABYTES = 2048
LARGEST = 1 / 4  # of all that is kept, a single row
LEFT = 0.9  # of the limit, where old rows make place for new ones

Marks = tuple[tuple[Any, ...], ...]


def folder() -> Path:
    """Where they are kept, whether it is there or not."""
    return Path(user_cache_dir("diffusion-tricks", appauthor=False)) / "prompts"


def limit() -> int:
    """How many bytes they may hold in all, 0 for none. Raises UsageError for a setting that is no number."""
    said = os.environ.get(LIMIT, str(MEGABYTES))
    if not said.isdecimal():
        raise UsageError(f"{LIMIT} says how many MB of encoded prompts are kept, 0 for none, got {said!r}")
    return int(said) * 2**20


class PromptStore:
    """The rows that are kept of one model.

    model: what decides them beside the prompt, as JSON has it. pipe: it, as it was loaded; when its text encoders or
    tokenizers are others than that, nothing is looked for or kept.
    """

    def __init__(self, model: Sequence[Any], pipe: Pipeline):
        self.model, self.marks = model, marks_of(pipe)

    def found(self, prompts: Sequence[str | None], pipe: Pipeline, asked: Asked) -> dict[str | None, Encoded]:
        """Those of the prompts that are kept."""
        if not self._serves(pipe):
            return {}
        read = {prompt: _read(self._file(prompt, asked), asked.device) for prompt in prompts}
        return {prompt: encoded for prompt, encoded in read.items() if encoded is not None}

    def keep(self, encoded: Mapping[str | None, Encoded], pipe: Pipeline, asked: Asked) -> None:
        """Keeps rows, as far as they can be, and lets go of old ones where they would hold too much."""
        if not self._serves(pipe):
            return
        with contextlib.suppress(OSError, OutputError, OutputFailed, TypeError):
            folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            for prompt, one in encoded.items():
                data = to_bytes(one)
                if len(data) <= LARGEST * limit():
                    atomic_write(self._file(prompt, asked), data, force=True)
            _make_place(limit())

    def _serves(self, pipe: Pipeline) -> bool:
        return limit() > 0 and marks_of(pipe) == self.marks

    def _file(self, prompt: str | None, asked: Asked) -> Path:
        key = json.dumps([FORMAT, self.model, asked.said(), prompt])
        return folder() / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}.safetensors"


class Asked(NamedTuple):
    """What rows are asked for beside their prompts: a size in pixels, a distilled guidance, a family, and a device."""

    size: tuple[int, int]
    distilled: float | None
    family: str
    device: torch.device

    def said(self) -> list[Any]:
        """As JSON has it; processors of another kind round otherwise."""
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return [list(self.size), self.distilled, self.family, kind]


def marks_of(pipe: Pipeline) -> Marks:
    """What tells whether the text encoders and tokenizers of a pipeline are still those that were loaded.

    For each: its class, where its weights came from, whether LoRA hangs on it, and how many words it knows.
    """
    parts = {n: part for n, part in pipe.components.items() if n.startswith(("text_encoder", "tokenizer"))}
    return tuple((name, type(part).__name__, *_marks(part)) for name, part in sorted(parts.items()))


def _marks(part: Any) -> tuple[str, bool, int]:
    home = str(getattr(part, "name_or_path", ""))
    words = len(part) if hasattr(part, "__len__") else 0
    return home and os.path.realpath(home), bool(getattr(part, "_hf_peft_config_loaded", False)), words


class Kept(NamedTuple):
    """What is kept: where, how many rows and bytes, and how many bytes there may be. writable: whether more can be."""

    folder: Path
    rows: int
    bytes: int
    limit: int
    writable: bool


def prompts_kept() -> Kept:
    """What is known of the encoded prompts that are kept on this machine. Raises UsageError, see `limit`."""
    sizes = [size for _, size, _ in _files()]
    there = next(place for place in (folder(), *folder().parents) if place.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Kept(folder(), len(sizes), sum(sizes), limit(), writable)


def _read(file: Path, device: torch.device) -> Encoded | None:
    """What a file holds, which counts as used now; None for one that is not there or damaged."""
    try:
        encoded = from_bytes(file.read_bytes(), device)
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)
    return encoded


def _files() -> list[tuple[float, int, Path]]:
    """When each file was last used, its bytes, and where it is; the oldest first."""
    found = []
    for file in folder().glob("*.safetensors"):
        with contextlib.suppress(OSError):  # another process let go of it
            seen = file.stat()
            found.append((seen.st_mtime, seen.st_size, file))
    return sorted(found)


def _make_place(most: int) -> None:
    files = _files()
    held = sum(size for _, size, _ in files)
    if held <= most:
        return
    for _, size, file in files:
        if held <= LEFT * most:
            return
        file.unlink(missing_ok=True)
        held -= size
