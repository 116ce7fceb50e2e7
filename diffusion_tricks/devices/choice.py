"""Where and in what precision a model runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from diffusion_tricks.errors import ModelError, UnknownName, UsageError

if TYPE_CHECKING:
    import torch


def device_of(name: str) -> torch.device:
    """The torch device of a name; auto is cuda, then mps, then cpu. Raises UsageError; ModelError for one not here."""
    import torch

    accelerators: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name == "auto":
        return torch.device(next((kind for kind, there in accelerators.items() if there()), "cpu"))
    try:
        device = torch.device(name if isinstance(name, torch.device) else str(name))
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; expected auto, cpu, cuda, cuda:N or mps") from None
    if device.type in accelerators and not accelerators[device.type]():
        raise ModelError(f'device {name!r} was asked for, but torch finds none here; use `device="cpu"` or auto')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {name!r} was asked for, but there are only {torch.cuda.device_count()}")
    if device.type not in ("cpu", *accelerators):
        _check_computes(device)
    return device


def _check_computes(device: torch.device) -> None:
    """Raises ModelError for a device that holds no values here, as meta, or that torch was not built for."""
    import torch

    try:
        torch.ones(1, device=device).item()
    except Exception as error:  # of whatever kind the device's own code raises
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"device '{device}' does not compute here: {why}; use `device=\"cpu\"` or auto") from error


def has_device(name: str) -> bool:
    """Whether torch can compute on the device of that name here."""
    try:
        device_of(name)
    except (UsageError, ModelError):
        return False
    return True


def dtype_of(name: str) -> torch.dtype | None:
    """The torch dtype of a name, None for auto. Raises UnknownName."""
    import torch

    choices = {"auto": None, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in choices:
        raise UnknownName("dtype", name, choices)
    return choices[name]


def default_dtype(device: torch.device, family: str = "float16") -> torch.dtype:
    """float32 on the CPU; on an accelerator what the family runs in, but float16 on a GPU that has no bfloat16."""
    import torch

    if device.type == "cpu":
        return torch.float32
    has = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if family == "bfloat16" and has else torch.float16
