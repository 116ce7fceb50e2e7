"""Guidance, with the loop driven by hand: the model's idea of a rocket, step by step, at three scales.

    python examples/guidance.py

Writes out/guidance-1.png, guidance-4.png and guidance-9.png.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks_plugins import Guidance


def main(model: Model | None = None, out: Path = Path("out"), scales: tuple[float, ...] = (1, 4, 9)) -> list[Path]:
    """One film strip per scale; at scale 1 the model is asked for one row a step instead of two."""
    model = model or load_model("emoji")
    return [strip(ideas(model, scale), out / f"guidance-{scale:g}.png") for scale in scales]


def ideas(model: Model, scale: float) -> list[Image.Image]:
    """What the model holds for clean after every step, the finished picture last."""
    return [
        to_images(step.estimate.clean)[0]
        for step in sample(model, prompt="a rocket", tricks=[Guidance(scale=scale)], seed=0, steps=20)
    ]


def strip(frames: list[Image.Image], path: Path) -> Path:
    """The frames side by side, in one file."""
    width, height = frames[0].size
    page = Image.new("RGB", (width * len(frames), height))
    for i, frame in enumerate(frames):
        page.paste(frame, (i * width, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return path


if __name__ == "__main__":
    print(*main(), sep="\n")
