"""Random weights that answer: built from a seed, roughened so that prompts and timesteps are heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from diffusion_tricks.devices.quiet import quiet_libraries

Built = TypeVar("Built")


def built(builder: Callable[[], Built], seed: int) -> Built:
    """What builder gives, its networks drawn from seed and roughened; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]), quiet_libraries():  # diffusers warns of a missing safety checker
        torch.manual_seed(seed)
        made = builder()
        for module in networks(made):
            roughened(module.eval())
    return made


def networks(made: Any) -> list[torch.nn.Module]:
    """The networks of a pipeline in its own order, or the one network that was made."""
    parts = [made] if isinstance(made, torch.nn.Module) else made.components.values()
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def roughened(module: torch.nn.Module) -> None:
    """Fresh networks hardly hear their prompt and timestep: every norm and bias is drawn at random, embeddings wide."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            centre = 1.0 if name.endswith("weight") else 0.0
            torch.nn.init.normal_(parameter, centre, 0.3)
        else:
            parameter.data.mul_(_loudness(name, parameter))


def _loudness(name: str, parameter: torch.Tensor) -> float:
    if "attn2" in name:
        return 4.0
    if parameter.ndim == 5:  # of a film's convolution one picture meets a third, the rest is before its beginning
        return 3.0
    return 2.0 if "attn" in name or "emb" in name or "hid_proj" in name else 1.0
