"""SDEdit: a drawing of a few lines becomes the picture it stands for, the more the higher the strength.

A photo would come back at its own size, with its own details; of a drawing nothing is to stay.

    python examples/sdedit.py

Writes out/drawing.png and out/sdedit-0.png ... sdedit-0.9.png.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from diffusion_tricks import Model, Recipe, TrickEntry, load_model, make


def main(
    model: Model | None = None, out: Path = Path("out"), strengths: tuple[float, ...] = (0, 0.4, 0.6, 0.8, 0.9)
) -> list[Path]:
    """The drawing edited at every strength; 0 keeps it as it is."""
    model = model or load_model("emoji")
    out.mkdir(parents=True, exist_ok=True)
    drawing = out / "drawing.png"
    draw_mushroom().save(drawing)
    written = []
    for strength in strengths:
        edit = TrickEntry(trick="sdedit", image=str(drawing), strength=strength, own_size=False)
        result = make(Recipe(prompt="a mushroom", tricks=[edit], seed=1), model=model)[0]
        written.append(out / f"sdedit-{strength:g}.png")
        result.image.save(written[-1])
    return written


def draw_mushroom() -> Image.Image:
    """A red half disc on a pale stem, as a child draws it."""
    page = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(page)
    pen.rounded_rectangle((98, 110, 158, 236), 20, fill=(240, 222, 190))
    pen.pieslice((20, 20, 236, 236), 180, 360, fill=(214, 50, 44))
    for x, y, radius in ((74, 98, 15), (128, 62, 18), (184, 96, 13)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return page


if __name__ == "__main__":
    print(*main(), sep="\n")
