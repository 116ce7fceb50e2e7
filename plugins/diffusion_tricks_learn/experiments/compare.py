"""Quality, diversity, calls, seconds, memory and weights of models side by side, and what their cards say.

diversity = mean over pairs of 1 - cos(CLIP(picture_i), CLIP(picture_j));  model cards: arXiv:1810.03993

The basic model is the practical's: five times a Gaussian filter is all its reverse process, x_{k-1} = G(x_k).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Model, Recipe
from diffusion_tricks.plugin import diversity, gaussian_blur, model_card, to_images
from diffusion_tricks_learn.cards import TOPICS, told
from diffusion_tricks_learn.figures import chart, enlarged, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.judges import Clip, Judge, judge_for, names_for, pixels, right
from diffusion_tricks_learn.session import Session

BASIC, SHAPES = "basic (Gaussian filter)", ("a circle", "a square")
SIDE, REVERSE_STEPS, KERNEL, SIGMA = 32, 5, 9, 1.0
INSIDE = ("digits", "emoji")
QUICK_STEPS, SHOWN, CLASSES = 15, 8, 10
TILE = 128  # pixels


@dataclass(frozen=True)
class Entrant:
    """A model's pictures, and its row of the table."""

    name: str
    pictures: list[Image]
    asked: list[str]
    row: Row

    @property
    def label(self) -> str:
        """For the figure."""
        row = self.row
        return (f"{self.name}\nright {row['share_right']:.0%} ({row['judge']})\ndiversity {row['diversity']:.2f}\n"
                f"{row['denoiser_calls']} calls, {row['seconds']:.2f} s\n{row['parameters']:,} parameters")  # fmt: skip


def compare(session: Session, others: Sequence[str] = (), count: int | None = None) -> Iterator[Findings]:
    """`count` pictures of each of a model's classes, ten at the most; seconds and calls are of one picture."""
    names = list(dict.fromkeys([*INSIDE, *([session.model] if session.model else []), *others]))
    each = count or session.either(1, 5)
    entrants = [basic(session, each * CLASSES)]
    yield found(session, entrants, len(names))
    for name in names:
        entrants.append(drawn(session, name, each))
        yield found(session, entrants, len(names))


def basic(session: Session, count: int) -> Entrant:
    """What five Gaussian filters make of pure noise: it has learnt nothing, and knows of no class."""
    began = time.perf_counter()
    x = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(session.seed))
    for _ in range(REVERSE_STEPS):
        x = gaussian_blur(x, KERNEL, SIGMA)
    seconds = (time.perf_counter() - began) / count
    asked = [SHAPES[i % len(SHAPES)] for i in range(count)]
    costs = {
        "denoiser_calls": REVERSE_STEPS,
        "seconds": seconds,
        "peak_memory_mb": "",
        "parameters": 0,
        "weights_mb": 0.0,
    }
    return judged(session, BASIC, Clip(session.scorer, SHAPES), x.clamp(-1, 1).expand(-1, 3, -1, -1), asked, costs)


def drawn(session: Session, name: str, each: int) -> Entrant:
    """What a model draws of its own classes, as it is run by default."""
    own = Session(name, session.seed, session.full, session.device, session.tell)
    model = own.load()
    names = names_for(model)[:CLASSES]
    asked = [each_name for _ in range(each) for each_name in names]
    steps = session.either(min(QUICK_STEPS, model.defaults.steps), model.defaults.steps)
    results = own.make(Recipe(prompt=asked, count=len(asked), steps=steps))
    facts = results[0].facts
    costs = {
        "denoiser_calls": facts["rows_total"], "seconds": facts["seconds"], "peak_memory_mb": facts["peak_memory_mb"],
        **weights(model),
    }  # fmt: skip
    return judged(session, name, judge_for(session, names), pixels([result.image for result in results]), asked, costs)


def weights(model: Model) -> Row:
    """How many numbers the networks of a model hold, and how many MB as they are in memory."""
    parts = [part for part in model.pipe.components.values() if isinstance(part, torch.nn.Module)]
    tensors = [tensor for part in parts for tensor in part.parameters()]
    return {
        "parameters": sum(tensor.numel() for tensor in tensors),
        "weights_mb": sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6,
    }


def judged(session: Session, name: str, judge: Judge, x: Tensor, asked: list[str], costs: Row) -> Entrant:
    """Quality as the share that a model's own judge reads as what was asked; diversity by CLIP for all of them."""
    various = diversity(session.scorer.pictures(to_images(x))) if len(x) > 1 else 0.0
    row: Row = {
        "model": name, "judge": judge.label, "classes": len(judge.names),
        "share_right": float(right(judge, x, asked).float().mean()), "diversity": various, **costs,
    }  # fmt: skip
    return Entrant(name, to_images(x), asked, row)


def found(session: Session, entrants: list[Entrant], models: int) -> Findings:
    """The table of those that are done, and what the cards say of them."""
    entrants = list(entrants)
    cards = {one.name: told(model_card(one.name)) for one in entrants if one.name != BASIC}
    table = [one.row | {f"card_on_{topic}": _said(cards, one.name, topic) for topic in TOPICS} for one in entrants]

    def figure() -> Image:
        title = f"Models side by side, each from noise, seed {session.seed}"
        tiles = [(one.pictures[:SHOWN] + [None] * SHOWN)[:SHOWN] for one in entrants]
        captions = [(one.asked[:SHOWN] + [""] * SHOWN)[:SHOWN] for one in entrants]
        tiles = [[one and enlarged([one], TILE)[0] for one in row] for row in tiles]
        pictures = grid(tiles, captions=captions, rows=[one.label for one in entrants], title=title)
        return stacked(
            pictures, chart(*_bars(entrants), width=max(900, pictures.width), height=120 + 45 * len(entrants))
        )

    return Findings(figure, table, {"cards": cards}, says(entrants, cards), done=len(entrants) / (models + 1))


def _said(cards: dict[str, dict[str, str | None]], name: str, topic: str) -> str:
    return "-" if name not in cards else "yes" if cards[name][topic] else "no"


def _bars(entrants: list[Entrant]) -> list[Callable[[Any], None]]:
    """A chart for each number that has its own unit."""
    shown = (("share_right", "share right", "linear"), ("diversity", "diversity", "linear"),
             ("seconds", "seconds a picture", "log"), ("parameters", "parameters", "symlog"))  # fmt: skip

    def bars(axes: Any, key: str, label: str, scale: str) -> None:
        names = [one.name.replace(" (", "\n(") for one in entrants]
        axes.barh(names, [one.row[key] for one in entrants], color="tab:blue", alpha=0.7)
        axes.set_xscale(scale)
        axes.set_xlabel(label)
        axes.invert_yaxis()
        axes.tick_params(labelleft=key == shown[0][0])

    return [partial(bars, key=key, label=label, scale=scale) for key, label, scale in shown]


def says(entrants: list[Entrant], cards: dict[str, dict[str, str | None]]) -> list[str]:
    """What the numbers say, then what the cards say."""
    filter_, *models = entrants
    chance = 1 / len(SHAPES)
    lines = [
        f"The filter turns noise into smooth noise: {filter_.row['share_right']:.0%} are read as what was asked, where "
        f"chance is {chance:.0%}. Nothing was learnt, so nothing can be drawn."
    ]
    if models:
        most, quick = max(one.row["share_right"] for one in models), min(models, key=lambda one: one.row["seconds"])
        best = " and ".join(f"{one.name} (by {one.row['judge']})" for one in models if one.row["share_right"] == most)
        lines.append(
            f"Read right most often, {most:.0%}: {best}. {quick.name} is quickest ({quick.row['seconds']:.2f} s a "
            "picture). Shares judged by different judges, of different classes, are no race."
        )
        lines.append("Peak memory on a CPU is that of the whole process so far, so it only grows from row to row.")
    for name, topics in cards.items():
        lines += [f"{name}, {topic}: {text}" for topic, text in topics.items() if text]
        if missing := [topic for topic, text in topics.items() if not text]:
            lines.append(f"{name}: its card says nothing of {', '.join(missing)}.")
    return lines
