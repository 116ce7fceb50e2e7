"""Inpainting: a butterfly beside the cat of scikit-image (a photograph, CC0), and not one pixel changed elsewhere.

    python examples/inpaint.py

Writes out/cat.png and out/inpaint.png.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from skimage import data

from diffusion_tricks import Model, Recipe, Result, TrickEntry, load_model, make

MASK = "ellipse:335,160,445,270"  # px; the blurred ground beside the nose


def main(model: Model | None = None, out: Path = Path("out")) -> Result:
    """The photograph with the ellipse made anew; the facts of the result say what changed elsewhere: nothing."""
    model = model or load_model("emoji")
    out.mkdir(parents=True, exist_ok=True)
    photo = out / "cat.png"
    Image.fromarray(data.cat()).save(photo)
    butterfly = TrickEntry(trick="inpaint", image=str(photo), mask=MASK, feather=6)
    result = make(Recipe(prompt="a butterfly on a gray background", tricks=[butterfly], seed=3), model=model)[0]
    result.image.save(out / "inpaint.png")
    return result


if __name__ == "__main__":
    print(main().facts)
