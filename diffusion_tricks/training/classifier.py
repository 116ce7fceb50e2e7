"""A small network that reads digits: which one a picture shows, clean or noisy, and features to compare pictures by.

    python -m diffusion_tricks.training.classifier DIR

Half of the pictures it learns from are noised as in diffusion, x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.loading.known import WEIGHTS
from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.squares import in_channels
from diffusion_tricks.training.data.stream import Source, Stream

SIDE = 28
DIGITS = tuple("0123456789")
FEATURES = 64
INSIDE = WEIGHTS / "digit-classifier"
WEIGHTS_FILE, LOG = "model.safetensors", "training.log"
NOISED = 0.5  # share of the pictures that are noised while it learns
CHUNK = 500  # pictures at once
STEPS, BATCH, PEAK = 1500, 64, 3e-3
HELD_OUT, REPORT = 2000, 100


class DigitClassifier(nn.Module):
    """Three levels of convolutions, `FEATURES` features, ten scores."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_level(1, 16), *_level(16, 32), nn.MaxPool2d(2),
            *_level(32, 32), *_level(32, 64), nn.MaxPool2d(2),
            *_level(64, 64), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.embed = nn.Sequential(nn.Linear(64 * 3 * 3, FEATURES), nn.ReLU())
        self.read = nn.Linear(FEATURES, len(DIGITS))

    def features(self, pictures: Tensor) -> Tensor:
        """What it sees in pictures (b c h w) in -1..1, of any size, gray or in colour: (b 64), 0 or more."""
        features: Tensor = self.embed(self.convolutions(as_digits(pictures)))
        return features

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the ten digits (b 10) for pictures as `features` takes them."""
        logits: Tensor = self.read(self.features(pictures))
        return logits

    @torch.no_grad()
    def probabilities(self, pictures: Tensor) -> Tensor:
        """How likely each digit is (b 10), which sum to 1."""
        return torch.cat([self(part).softmax(1) for part in torch.split(pictures, CHUNK)])

    @torch.no_grad()
    def accuracy(self, pictures: Tensor, digits: Sequence[int] | Tensor) -> float:
        """The share, 0..1, of pictures (b c h w) that are read as `digits` (b). Raises UsageError for none."""
        told = torch.as_tensor(digits)
        if not len(pictures) or len(pictures) != len(told):
            raise UsageError(f"expected a digit for each of some pictures, got {len(told)} for {len(pictures)}")
        return float((self.probabilities(pictures).argmax(1) == told).float().mean())


def _level(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def as_digits(pictures: Tensor) -> Tensor:
    """Pictures (b c h w) in -1..1 as the network takes them: gray (b 1 28 28)."""
    gray = in_channels(pictures.float(), 1)
    if gray.shape[2:] == (SIDE, SIDE):
        return gray
    return F.interpolate(gray, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)


@cache
def digit_classifier(folder: Path = INSIDE) -> DigitClassifier:
    """The classifier that ships inside, or one that `train_classifier` wrote. Raises ModelError for none."""
    network = DigitClassifier()
    try:
        network.load_state_dict({name: x.float() for name, x in load_file(folder / WEIGHTS_FILE).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} holds no classifier of digits: {error}") from None
    return network.eval().requires_grad_(False)


def noised(x0: Tensor, alpha_bar: Tensor, eps: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps for pictures (b c h w), alpha_bar (b) in 0..1."""
    bars = alpha_bar[:, None, None, None]
    return bars.sqrt() * x0 + (1 - bars).sqrt() * eps


def train_classifier(folder: Path, source: Source, held: Source, steps: int = STEPS, seed: int = 0) -> dict[str, float]:
    """Trains a classifier into a directory, and gives its accuracy on pictures of `held`, clean and noisy.

    source: digits of 10 classes to learn from.  steps: of 64 pictures each.
    """
    torch.manual_seed(seed)
    network, stream, log = DigitClassifier(), Stream(source, BATCH, seed), []
    optimizer = torch.optim.AdamW(network.parameters(), PEAK, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(1, steps + 1):
        batch = stream.next()
        x0, count = batch.pictures, len(batch.classes)
        clean = torch.rand(count) >= NOISED
        x = noised(x0, torch.where(clean, 1.0, torch.rand(count)), torch.randn_like(x0))
        loss = F.cross_entropy(network(x), batch.classes, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % REPORT == 0 or step == steps:
            log.append(f"step {step}  loss {loss.item():.4f}  {time.monotonic() - began:.0f} s")
            print(log[-1], flush=True)
    found = measured(network.eval(), held)
    log.append(json.dumps(found))
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: x.half().contiguous() for name, x in network.state_dict().items()}
    atomic_write(folder / WEIGHTS_FILE, save(half), force=True)
    (folder / LOG).write_text("\n".join(log) + "\n", encoding="utf-8")
    return found


def measured(network: DigitClassifier, held: Source, count: int = HELD_OUT) -> dict[str, float]:
    """The accuracy on held-out digits: clean, and with half and a tenth of their variance left."""
    batch = held.draw(range(count), np.random.default_rng(0))
    eps = torch.randn(batch.pictures.shape, generator=torch.Generator().manual_seed(0))
    shares = {"clean": 1.0, "alpha_bar 0.5": 0.5, "alpha_bar 0.1": 0.1}
    seen = {name: noised(batch.pictures, torch.full((count,), share), eps) for name, share in shares.items()}
    return {name: round(network.accuracy(x, batch.classes), 4) for name, x in seen.items()}


def main() -> None:
    """Trains on `digits` and writes the classifier into the directory that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--data", default="digits")
    given = parser.parse_args()
    learned, held = (open_source(given.data, size=SIDE, channels=1, held_out=h) for h in (False, True))
    print(json.dumps(train_classifier(given.folder, learned, held, given.steps)))


if __name__ == "__main__":
    main()
