"""Overlay: a book cover from a photograph, for which no model is needed, and one from a picture made on the spot.

    python examples/overlay.py

Writes out/astronaut.png, out/cover-photo.png and out/cover-made.png.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from skimage import data

from diffusion_tricks import Model, Recipe, TrickEntry, load_model, make


def main(model: Model | None = None, out: Path = Path("out")) -> list[Path]:
    """The two covers."""
    out.mkdir(parents=True, exist_ok=True)
    photo = out / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)  # Eileen Collins, by NASA; public domain
    orbit = TrickEntry(trick="overlay", title="Orbit", author="E. Collins", preset="caption")
    on_photo = make(Recipe(picture=str(photo), tricks=[orbit]))[0]
    woods = TrickEntry(trick="overlay", title="The Whispering Woods", author="A. Writer")
    recipe = Recipe(prompt="a castle on a light blue background", enlarge=8, tricks=[woods], seed=2)
    made = make(recipe, model=model or load_model("emoji"))[0]
    written = [out / "cover-photo.png", out / "cover-made.png"]
    for result, path in zip((on_photo, made), written, strict=True):
        result.image.save(path)
    return written


if __name__ == "__main__":
    print(*main(), sep="\n")
