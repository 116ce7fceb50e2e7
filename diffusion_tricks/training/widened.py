"""A network made wider that begins as what it was: Net2WiderNet (Chen et al. 2016, arXiv:1511.05641) for UNets of ours.

A new channel repeats one beside it, and what reads the two shares its weights out unevenly, so that they sum to what
they were and yet learn apart. Equal to the narrow network but for the group norms, whose groups move a little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from diffusion_tricks.errors import UsageError

RESNET = re.compile(
    r"(?P<side>down|up)_blocks\.(?P<block>\d+)\.(?P<kind>resnets|downsamplers|upsamplers)\.(?P<number>\d+)\.(?P<part>\w+)"
)
UNEVEN = 0.3  # the least share of the weights that one of two repeated channels has


def widened(narrow: UNet2DConditionModel, widths: Sequence[int], seed: int = 0) -> UNet2DConditionModel:
    """The network with so many channels at each level: none fewer, the first a multiple, the last as it was.

    Raises UsageError for widths that it cannot be given.
    """
    before = tuple(narrow.config["block_out_channels"])
    widths = tuple(widths)
    fits = len(widths) == len(before) and widths[-1] == before[-1] and widths[0] % before[0] == 0
    if not fits or any(a < b for a, b in zip(widths, before, strict=True)):
        raise UsageError(f"expected {len(before)} widths, none below {before}, the first a multiple of {before[0]} and "
                         f"the last {before[-1]}; got {widths}")  # fmt: skip
    wide = UNet2DConditionModel.from_config({**narrow.config, "block_out_channels": widths})
    generator = torch.Generator().manual_seed(seed)
    old, new = narrow.state_dict(), wide.state_dict()
    if old.keys() != new.keys():
        raise UsageError(f"levels of {widths} channels are alike where those of {before} are not, or the other way, "
                         "and what joins them is then another; choose other widths")  # fmt: skip
    copied = {name: _copied(name, old[name], before, widths, generator) for name in new}
    wide.load_state_dict(copied)
    return wide.to(narrow.dtype)


def _copied(
    name: str, tensor: Tensor, before: Sequence[int], widths: Sequence[int], generator: torch.Generator
) -> Tensor:
    """A parameter of the narrow network as the wide one has it."""
    if name == "time_embedding.linear_1.weight":
        return _of_time(tensor, widths[0])
    written, read = _levels(name, len(before))
    if written:
        places = _places(written, before, widths)
        halves = len(tensor) // sum(before[level] for level in written)  # 2 where scales and shifts stand in one
        half = len(tensor) // halves
        tensor = tensor[torch.cat([places + i * half for i in range(halves)])]
    if read and tensor.dim() > 1:
        places = _places(read, before, widths)
        shares = UNEVEN + (1 - 2 * UNEVEN) * torch.rand(tensor.shape[0], len(places), generator=generator)
        whole = torch.zeros(tensor.shape[0], tensor.shape[1]).index_add(1, places, shares)
        shares = (shares / whole[:, places]).reshape(*shares.shape, *[1] * (tensor.dim() - 2))
        tensor = tensor[:, places] * shares.to(tensor.dtype)
    return tensor.clone()


def _of_time(tensor: Tensor, width: int) -> Tensor:
    """The weights of sines and cosines of which every so many-th is one of before; the others count nothing so far."""
    wide = tensor.new_zeros(len(tensor), width)
    wide[:, :: width // tensor.shape[1]] = tensor
    return wide


def _levels(name: str, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of which levels the channels are that a parameter writes, and that it reads; empty for what stays."""
    if name.startswith("conv_in."):
        return (0,), ()
    if name.startswith("conv_norm_out."):
        return (0,), ()
    if name.startswith("conv_out."):
        return (), (0,)
    found = RESNET.match(name)
    if found is None:
        return (), ()
    level, comes = _of_block(found, count)
    match found["part"]:
        case "norm1":
            return comes, ()
        case "conv1" | "conv_shortcut":
            return (level,), comes
        case "time_emb_proj" | "norm2":
            return (level,), ()
        case _:
            return (level,), (level,)


def _of_block(found: re.Match[str], count: int) -> tuple[int, tuple[int, ...]]:
    """The level of a residual block, and the levels of what goes into it; two where a skip joins what comes."""
    block, number = int(found["block"]), int(found["number"])
    if found["kind"] != "resnets":
        level = block if found["side"] == "down" else count - 1 - block
        return level, (level,)
    if found["side"] == "down":
        return block, (block if number else max(block - 1, 0),)
    level, last = count - 1 - block, number == 1
    comes = level if number else min(level + 1, count - 1)
    return level, (comes, max(level - 1, 0) if last else level)


def _places(levels: Sequence[int], before: Sequence[int], widths: Sequence[int]) -> Tensor:
    """Of every channel of the wide network, the narrow one's that it repeats; those of levels stand in a row."""
    rows, first = [], 0
    for level in levels:
        rows.append(first + torch.arange(widths[level]) * before[level] // widths[level])
        first += before[level]
    return torch.cat(rows)
