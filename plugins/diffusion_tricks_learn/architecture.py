"""A U-Net as a figure, drawn from the network itself: what each part is given and gives, as one forward pass met it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from diffusion_tricks_learn.figures import chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from PIL.Image import Image

WIDE, HIGH = 0.84, 0.66  # of a box, in places of the figure
PLAIN, ATTENTIVE = "#e4ecf7", "#fbe3cf"
LINE = "#44546a"


@dataclass(frozen=True)
class Part:
    """A part of a U-Net.

    name: of its class. side_in, side_out: of what it is given and gives, in pixels. channels: of what it gives.
    attention: how many layers of it. skips: connections that leave a part on the way down, or reach one on the way up.
    weights: how many numbers it learns.
    """

    name: str
    side_in: int
    side_out: int
    channels: int
    attention: int
    skips: int
    weights: int


@dataclass(frozen=True)
class Anatomy:
    """All parts of a `UNet2DModel`, in the order of the computation; total: its weights, embeddings included."""

    first: Part
    down: list[Part]
    middle: Part
    up: list[Part]
    last: Part
    time_width: int
    classes: int
    total: int


def anatomy(unet: Any) -> Anatomy:
    """The parts of a network (`UNet2DModel`), of which each is seen at work on one empty picture."""
    down, up = list(unet.down_blocks), list(unet.up_blocks)
    parts = [unet.conv_in, *down, unet.mid_block, *up, unet.conv_out]
    met: dict[nn.Module, Part] = {}

    def note(module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
        x = args[0] if args else kwargs["hidden_states"]
        y, skips = output if isinstance(output, tuple) else (output, ())
        met[module] = Part(
            type(module).__name__, x.shape[-1], y.shape[-1], y.shape[1], len(list(_inside(module, "attentions"))),
            len(list(_inside(module, "resnets"))) if module in up else len(skips), weights_of(module),
        )  # fmt: skip

    hooks = [part.register_forward_hook(note, with_kwargs=True) for part in parts]
    weight, config = next(unet.parameters()), unet.config
    x = torch.zeros(1, config.in_channels, config.sample_size, config.sample_size).to(weight)
    labels = torch.zeros(1, dtype=torch.long, device=weight.device) if config.num_class_embeds else None
    with torch.no_grad():
        unet(x, 0, class_labels=labels)
    for hook in hooks:
        hook.remove()
    first, *others, last = (met[part] for part in parts)
    return Anatomy(
        first, others[: len(down)], others[len(down)], others[len(down) + 1 :], last,
        unet.time_embedding.linear_2.out_features, config.num_class_embeds or 0, weights_of(unet),
    )  # fmt: skip


def _inside(module: nn.Module, name: str) -> Iterable[nn.Module]:
    """The layers of a kind in a block; none where it has none."""
    return dict(module.named_children()).get(name, nn.ModuleList()).children()


def weights_of(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def architecture(unet: Any) -> Image:
    """The figure: on the left the way down, on the right the way up, and what skips across."""
    body = anatomy(unet)
    return chart(lambda ax: _draw(ax, body, type(unet).__name__), width=1100, height=110 * (len(body.down) + 2) + 60)


def _draw(ax: Axes, body: Anatomy, name: str) -> None:
    levels = len(body.down)
    left, right = [body.first, *body.down], [body.last, *reversed(body.up)]
    for level, (one, other) in enumerate(zip(left, right, strict=True)):
        _box(ax, 0, -level, one)
        _box(ax, 2, -level, other)
        if level:
            _arrow(ax, (0, -level + 1 - HIGH / 2), (0, -level + HIGH / 2))
            _arrow(ax, (2, -level + HIGH / 2), (2, -level + 1 - HIGH / 2))
            _arrow(ax, (WIDE / 2, -level), (2 - WIDE / 2, -level), "--")
            ax.text(1, -level + 0.07, f"{other.skips} skip connections", ha="center", color=LINE, fontsize=10)
    _box(ax, 1, -levels - 1, body.middle)
    _arrow(ax, (0, -levels - HIGH / 2), (1 - WIDE / 2, -levels - 1))
    _arrow(ax, (1 + WIDE / 2, -levels - 1), (2, -levels - HIGH / 2))
    told = "time" + (f" and one of {body.classes} classes, the last is none," if body.classes else "")
    ax.text(1, 0, f"{told}\nas {body.time_width} numbers, to every block", ha="center", va="center", fontsize=10)
    ax.set(xlim=(-0.5, 2.5), ylim=(-levels - 1.5, 0.5), title=f"{name}: {body.total:,} weights; orange has attention")
    ax.axis("off")


def _box(ax: Axes, x: float, y: float, part: Part) -> None:
    from matplotlib.patches import FancyBboxPatch

    colour = ATTENTIVE if part.attention else PLAIN
    corner = (x - WIDE / 2, y - HIGH / 2)
    ax.add_patch(FancyBboxPatch(corner, WIDE, HIGH, "round,pad=0,rounding_size=0.04", facecolor=colour, edgecolor=LINE))
    side = f"{part.side_in}" if part.side_in == part.side_out else f"{part.side_in} \u2192 {part.side_out}"
    text = f"{side} pixels, {part.channels} channels\n{part.weights:,} weights"
    ax.text(x, y + 0.17, part.name, ha="center", va="center", fontsize=10.5, weight="bold")
    ax.text(x, y - 0.1, text, ha="center", va="center", fontsize=10)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], style: str = "-") -> None:
    arrow = {"arrowstyle": "-|>", "color": LINE, "linestyle": style, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", xy=end, xytext=start, arrowprops=arrow)
