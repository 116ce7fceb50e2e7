"""Visual anagrams by the batch: a pear that is a light bulb once it is turned around, eight seeds in one go.

    python examples/anagram.py

Writes out/anagram-0.png ..., each beside itself as seen through the view.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from diffusion_tricks import Model, Recipe, Result, TrickEntry, load_model, make

VIEWS = [("identity", "a pear"), ("rotate_180", "a light bulb")]


def main(model: Model | None = None, out: Path = Path("out"), count: int = 8) -> list[Result]:
    """`count` anagrams, all in one batch; picture i is what seed i alone would give."""
    model = model or load_model("emoji")
    out.mkdir(parents=True, exist_ok=True)
    anagram = TrickEntry(trick="anagram", views=VIEWS)
    results = make(Recipe(tricks=[anagram], seed=0, count=count), model=model)
    for result in results:
        both_ways(result.image).save(out / f"anagram-{result.seed}.png")
    return results


def both_ways(image: Image.Image) -> Image.Image:
    """The picture, and beside it the picture turned around."""
    page = Image.new("RGB", (2 * image.width, image.height))
    page.paste(image, (0, 0))
    page.paste(image.transpose(Image.Transpose.ROTATE_180), (image.width, 0))
    return page


if __name__ == "__main__":
    for result in main():
        print(result.seed, result.facts)
