"""Guidance away from what the network says when it is hindered inside: by its attention, or by layers left out.

    eps = eps_cond + scale * (eps_cond - eps_hindered)        for each of them, beside classifier-free guidance

pag     self-attention in which each place of the picture sees itself alone        arXiv:2403.17377
seg     self-attention whose queries are blurred; by infinity, all the same        arXiv:2408.00760
skip    transformers without some of their layers                                  Stability AI, with SD3.5
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from diffusion_tricks.plugin import Attention, UsageError, Without, attentions, gaussian_blur, layers_of

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Attended, Inside, Run
    from diffusion_tricks_plugins.guidance_options import GuidanceOptions


class Hindered(NamedTuple):
    """What is done inside the network, and how far the estimate moves away from what it then says.

    start, stop: shares of the steps after which it begins and ends.
    """

    scale: float
    inside: Inside
    start: float = 0.0
    stop: float = 1.0


def hindrances(options: GuidanceOptions, run: Run) -> list[Hindered]:
    """All that options ask for. Raises UsageError for what the run's network does not have."""
    only = _places(options.layers, run) if options.pag or options.seg else ()
    blur = Attention(lambda seen: blurred(seen, options.seg_blur), only)
    found = [
        Hindered(options.pag, Attention(alone, only), options.start, options.stop),
        Hindered(options.seg, blur, options.start, options.stop),
    ]
    if options.skip:
        if run.network is not None:
            _check_layers(options.skip, run.network)
        found.append(Hindered(options.skip_scale, Without(options.skip), options.skip_start, options.skip_stop))
    return [one for one in found if one.scale]


def _check_layers(layers: Sequence[int], network: torch.nn.Module) -> None:
    if wrong := [layer for layer in layers if layer >= len(layers_of(network))]:
        raise UsageError(f"`skip` names layers from 0 to {len(layers_of(network)) - 1} of this model, got {wrong[0]}")


def _places(asked: Sequence[str], run: Run) -> tuple[str, ...]:
    """Parts of the names of the attention that is changed: those asked for, the middle of a UNet or of a transformer.

    Raises UsageError where the network has no such attention.
    """
    if run.network is None:
        return tuple(asked)
    names = list(attentions(run.network))
    middle = f"transformer_blocks.{len(getattr(run.network, 'transformer_blocks', [])) // 2}."
    wanted = tuple(asked) or ("mid_block",)
    if not asked and not any("mid_block" in name for name in names):
        wanted = (middle,)
    missing = [part for part in wanted if not any(part in name for name in names)]
    if missing or not names:
        said = f"there are {', '.join(names[:3])}, ..." if names else "none of it can be changed"
        raise UsageError(f"{run.model.name!r} has no attention called {wanted[0]!r} for `pag` and `seg`; {said}")
    return wanted


def check_met(hindered: Sequence[Hindered], run: Run) -> None:
    """Raises UsageError where attention was to be changed and none of the picture to itself was met, as of Sana's."""
    for away in hindered:
        kinds = set(away.inside.seen.values()) if isinstance(away.inside, Attention) else {"self"}
        if run.network is not None and not kinds & {"self", "joint"}:
            raise UsageError(f"{run.model.name!r} computes its self-attention in a way that `pag` and `seg` cannot"
                             " change; leave them out")  # fmt: skip


def alone(seen: Attended) -> Tensor | None:
    """Attention in which every place of the picture sees, of the picture, itself alone, and all of the text."""
    if seen.kind == "cross":
        return None
    if seen.kind == "self":
        return seen.value
    mask = seen.query.new_zeros(seen.query.shape[2], seen.key.shape[2])
    mask[seen.seeing, seen.picture] = -torch.inf
    mask[seen.seeing, seen.picture].fill_diagonal_(0)
    return seen.computed(mask=mask)


def blurred(seen: Attended, sigma: float | None) -> Tensor | None:
    """Attention whose queries of the picture are blurred, sigma in tokens; None is without end: all are their mean."""
    if seen.kind == "cross":
        return None
    query = seen.query.clone()
    asked = query[:, :, seen.seeing]  # (n heads q d)
    query[:, :, seen.seeing] = asked.mean(2, keepdim=True) if sigma is None else _smoothed(asked, seen.shape, sigma)
    return seen.computed(query)


def _smoothed(query: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Queries (n heads h*w d), blurred as a picture of (h w)."""
    n, heads, _, d = query.shape
    picture = query.transpose(2, 3).reshape(n, heads * d, *shape)  # (n heads*d h w)
    taps = min(2 * math.ceil(3 * sigma) + 1, 2 * min(shape) - 1)
    return gaussian_blur(picture, taps, sigma).reshape(n, heads, d, -1).transpose(2, 3)


__all__ = ["Hindered", "alone", "blurred", "check_met", "hindrances"]
