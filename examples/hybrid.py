"""Hybrid images: a mushroom from near, a skull from afar; and the same with a third thing halfway.

    python examples/hybrid.py

Writes out/hybrid-2.png and out/hybrid-3.png, each beside smaller copies of itself.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from diffusion_tricks import Model, Recipe, Result, TrickEntry, load_model, make


def main(model: Model | None = None, out: Path = Path("out")) -> list[Result]:
    """A hybrid of two pictures and one of three."""
    model = model or load_model("emoji")
    out.mkdir(parents=True, exist_ok=True)
    two = TrickEntry(trick="hybrid", far="a skull", near="a mushroom")
    three = TrickEntry(trick="hybrid", far="a skull", mid="a pizza", near="a mushroom")
    results = [make(Recipe(tricks=[hybrid], seed=0), model=model)[0] for hybrid in (two, three)]
    for things, result in zip((2, 3), results, strict=True):
        stepping_back(result.image).save(out / f"hybrid-{things}.png")
    return results


def stepping_back(image: Image.Image) -> Image.Image:
    """The picture at a half and a quarter of its size beside it: what is left of it from further away."""
    page = Image.new("RGB", (image.width * 7 // 4, image.height), "white")
    page.paste(image, (0, 0))
    page.paste(image.reduce(2), (image.width, 0))
    page.paste(image.reduce(4), (image.width * 3 // 2, 0))
    return page


if __name__ == "__main__":
    for result in main():
        print(result.facts)
