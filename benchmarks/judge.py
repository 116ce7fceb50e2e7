"""An independent judge: a small classifier over the captions of all 1,593 emoji.

It shares nothing with the generator but the pictures, those of the font or all drawings of a file: its own seed, its
own augmentation, its own network. It looks at 32 x 32 pixels. Its head is a cosine classifier (Wang et al. 2018,
arXiv:1801.09414, without the margin).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from diffusion_tricks.training.data.emoji import all_emoji, premultiplied
from diffusion_tricks.training.data.sets import Drawings

SIDE = 32
SOURCE_SIDE = 48  # of the originals, so that they are only ever made smaller
TEMPERATURE = 16.0
SEED = 180


def block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """A convolution, its normalisation and its activation."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.LeakyReLU(0.1)
    )


class Judge(nn.Module):
    """Pictures in -1..1 (b 3 32 32) to logits over all captions (b n)."""

    def __init__(self, classes: int):
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2), block(12, 48), block(48, 96, 2), block(96, 96), block(96, 160, 2), block(160, 160)
        )  # (b 160 4 4)
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(160 * 16, 256, bias=False), nn.BatchNorm1d(256))
        self.head = nn.Parameter(torch.randn(classes, 256))

    def forward(self, x: Tensor) -> Tensor:
        """Cosines between the embedding and every caption's direction, times the temperature."""
        embedded = F.normalize(self.embed(self.features(x)), dim=1)
        return TEMPERATURE * embedded @ F.normalize(self.head, dim=1).T


@torch.no_grad()
def embedded(judge: Judge, x: Tensor) -> Tensor:
    """What the judge sees in pictures in -1..1 (b 3 32 32), before it names them: (b 256)."""
    features: Tensor = judge.embed(judge.features(x))
    return features


@dataclass(frozen=True)
class Originals:
    """All captions, pictures with premultiplied alpha in 0..1 (n 4 48 48), and the caption that each has (n)."""

    names: list[str]
    pixels: Tensor
    labels: Tensor


def originals(drawings: Path | None = None) -> Originals:
    """The font's pictures, or all drawings of a file that `diffusion_tricks.training.data.sets --all` wrote."""
    if drawings is not None:
        held = Drawings.read(drawings)
        small = [F.interpolate(x / 255, size=SOURCE_SIDE, mode="area") for x in held.pixels.float().split(256)]
        return Originals([names[0] for names in held.names], torch.cat(small), held.things)
    emoji = all_emoji()
    pixels = premultiplied([picture for _, picture in emoji], SOURCE_SIDE)
    return Originals([e.name for e, _ in emoji], pixels, torch.arange(len(emoji)))


def seen(pixels: Tensor, background: Tensor) -> Tensor:
    """Pictures as the judge sees them: (b 4 s s) over (b 3 1 1) or (b 3 s s), in 0..1, to (b 3 32 32) in -1..1."""
    flat = pixels[:, :3] + (1 - pixels[:, 3:]) * background
    return F.interpolate(flat, size=(SIDE, SIDE), mode="bilinear", antialias=True).clamp(0, 1) * 2 - 1


def uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random numbers from `low` to `high`."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def backgrounds(count: int, generator: Generator) -> Tensor:
    """White, pastel, any colour, or a slope between two colours: (b 3 48 48) in 0..1."""
    white = torch.ones(count, 3, 1, 1)
    any_colour = uniform(0, 1, (count, 3, 1, 1), generator)
    other = uniform(0, 1, (count, 3, 1, 1), generator)
    pastel = 1 - 0.45 * any_colour
    slope = torch.linspace(0, 1, SOURCE_SIDE)[:, None].expand(SOURCE_SIDE, SOURCE_SIDE)
    sloped = any_colour + 0.5 * (other - any_colour) * slope
    kind = torch.rand(count, 1, 1, 1, generator=generator)
    flat = torch.where(kind < 0.4, white, torch.where(kind < 0.6, pastel, any_colour))
    return torch.where(kind < 0.9, flat.expand_as(sloped), sloped)


def augmented(pixels: Tensor, generator: Generator) -> Tensor:
    """Another look at the same pictures: moved, scaled, turned, mirrored, on another ground, softer, noisier."""
    count = len(pixels)
    scale, angle = uniform(0.95, 1.4, (count,), generator), uniform(-0.25, 0.25, (count,), generator)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = uniform(-0.25, 0.25, (2, count), generator)
    top = torch.stack([side * cos, -side * sin, side * shift[0]], 1)
    theta = torch.stack([top, torch.stack([sin, cos, shift[1]], 1)], 1)  # (b 2 3)
    moved = F.grid_sample(pixels, F.affine_grid(theta, list(pixels.shape), align_corners=False), align_corners=False)
    x = seen(moved, backgrounds(count, generator))
    x = x * uniform(0.8, 1.1, (count, 1, 1, 1), generator) + uniform(-0.1, 0.1, (count, 3, 1, 1), generator)
    softness = uniform(0, 1, (count, 1, 1, 1), generator).square()
    x = x + softness * (blurred(x) - x)
    x = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.2, blurred(blurred(x)), x)
    noise = uniform(0, 0.12, (count, 1, 1, 1), generator) * torch.randn(x.shape, generator=generator)
    return (x + noise).clamp(-1, 1)


def blurred(x: Tensor) -> Tensor:
    """The mean of each 3 x 3 neighbourhood: (b 3 h w)."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def accuracy(judge: Judge, known: Originals) -> float:
    """The share of the originals, on white and not augmented, that get their own caption."""
    judge.eval()
    with torch.no_grad():
        best = [judge(seen(part, torch.ones(1, 3, 1, 1))).argmax(1) for part in known.pixels.split(512)]
    judge.train()
    return float((torch.cat(best) == known.labels).float().mean())


def train(minutes: float, file: Path, batch: int = 128, rate: float = 2e-3, drawings: Path | None = None) -> float:
    """Train a judge for `minutes` of wall clock, save it to `file`, and give its accuracy on the originals.

    Where `file` is there already, the training goes on from it. drawings: see `originals`.
    """
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    known = originals(drawings)
    names, pixels = known.names, known.pixels
    judge = load(file)[0].train() if file.exists() else Judge(len(names))
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=0.02)
    began, step, order = time.perf_counter(), 0, torch.empty(0, dtype=torch.long)
    while (share := (time.perf_counter() - began) / (60 * minutes)) < 1:
        if len(order) < batch:
            order = torch.randperm(len(pixels), generator=generator)
        chosen, order = order[:batch], order[batch:]
        for group in optimizer.param_groups:  # warm-up over 100 steps, then a straight line down to 0
            group["lr"] = rate * min(1, (step + 1) / 100) * (1 - share)
        shown = augmented(pixels[chosen], generator)
        loss = F.cross_entropy(judge(shown), known.labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 200 == 0:
            right = accuracy(judge, known)
            print(f"{share:4.0%} step {step} loss {loss.item():.3f} originals {right:.1%}", flush=True)
            save(judge, names, file)
        step += 1
    save(judge, names, file)
    return accuracy(judge, known)


def save(judge: Judge, names: list[str], file: Path) -> None:
    """Weights and captions, in one file."""
    torch.save({"names": names, "state": judge.state_dict()}, file)


def load(file: Path) -> tuple[Judge, list[str]]:
    """The judge that `train` saved, ready to judge, and its captions."""
    saved = torch.load(file, weights_only=True)
    judge = Judge(len(saved["names"]))
    judge.load_state_dict(saved["state"])
    return judge.eval(), saved["names"]
