"""Pictures with records, as if they had been made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from diffusion_tricks.recipes.record import build_record, save

TURNED = [{"trick": "anagram", "views": [["identity", "a rabbit"], ["rotate_cw", "a duck"]]}]
HYBRID = [{"trick": "hybrid", "far": "a skull", "near": "a mushroom"}]
SIDE = 360  # pixels of the pictures, as they stand on a phone of 392, so that nothing is resampled


def pattern(side: int = 64, height: int | None = None) -> Image.Image:
    """Large shapes and fine noise, the same in no turn of it."""
    height = height or side
    page = Image.new("RGB", (side, height), "#e8d8b0")
    pen = ImageDraw.Draw(page)
    pen.ellipse((side * 0.1, height * 0.05, side * 0.6, height * 0.5), fill="#b02030")
    pen.rectangle((side * 0.55, height * 0.6, side * 0.95, height * 0.8), fill="#2040a0")
    pen.polygon([(0, height), (side * 0.4, height), (0, height * 0.6)], fill="#208040")
    noise = np.random.default_rng(0).integers(-20, 21, (height, side, 3))
    return Image.fromarray((np.asarray(page) + noise).clip(0, 255).astype(np.uint8))


def made(path: Path, tricks: list[dict[str, Any]], image: Image.Image | None = None, **facts: Any) -> Path:
    """A picture in a file, with the record of a recipe of these tricks; `prompt` is of the recipe."""
    recipe = {"tricks": tricks, **({"prompt": facts.pop("prompt")} if "prompt" in facts else {})}
    save(image or pattern(), path, build_record(recipe, {"seed": 7, "model": "emoji", **facts}))
    return path
