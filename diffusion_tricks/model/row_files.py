"""The denoiser's arguments for a prompt as the bytes of a safetensors file, and back, the same to the last bit.

How the tensors hang together stands in the file's metadata as JSON, and so do a sum over them, and what was left unread
of the prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from diffusion_tricks.types import Row

PLAIN = (type(None), bool, int, float, str)


class Encoded(NamedTuple):
    """A prompt that was encoded: its row, and what of it was not read, in sentences."""

    row: Row
    unread: Sequence[str] = ()


def to_bytes(encoded: Encoded) -> bytes:
    """The whole file. Raises TypeError for a row with anything but tensors, plain values, and what holds them."""
    tensors: dict[str, Tensor] = {}
    said = {"row": _told(encoded.row, tensors), "unread": list(encoded.unread), "sum": _sum(tensors)}
    return save(tensors, {name: json.dumps(value) for name, value in said.items()})


def from_bytes(data: bytes, device: torch.device) -> Encoded:
    """What `to_bytes` was given; the tensors that were on an accelerator are on `device`.

    Raises ValueError for a file that is damaged.
    """
    try:
        tensors, said = load(data), _metadata(data)
        if said["sum"] != _sum(tensors):
            raise ValueError("the tensors are not those that were written")
        return Encoded(_made(said["row"], tensors, device), said["unread"])
    except (SafetensorError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no encoded prompt: {error}") from error


def _told(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON; its tensors are put among the others, by number."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name, "moves": value.device.type != "cpu"}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _told(one, tensors) for key, one in value.items()}}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_told(one, tensors) for one in value]}
    if type(value) in PLAIN:
        return {"value": value}
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _made(said: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    """The value that `_told` was given."""
    kind, value = next(iter(said.items()))
    if kind == "tensor":
        return tensors[value].to(device) if said["moves"] else tensors[value]
    if kind == "dict":
        return {key: _made(one, tensors, device) for key, one in value.items()}
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_made(one, tensors, device) for one in value)
    return value


def _metadata(data: bytes) -> dict[str, Any]:
    """The metadata of a file that is safetensors: its head is JSON behind eight bytes that tell its length."""
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {name: json.loads(value) for name, value in head["__metadata__"].items()}


def _sum(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
