"""Five openly licensed drawings of each thing, rendered once into one file, which is then all that a training needs.

    npm install @iconify-json/fluent-emoji-flat @iconify-json/twemoji
    npm install @lobehub/fluent-emoji-3d @expo-google-fonts/noto-emoji
    python -m diffusion_tricks.training.data.sets node_modules drawings.npz

Noto Color Emoji and Noto Emoji (SIL Open Font License 1.1), Fluent Emoji (MIT), Twemoji (CC-BY 4.0); photographs that
come with scikit-image. Needs resvg-py, and for the first set the font that `emoji.py` reads.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.training.data.emoji import Emoji, all_emoji, code_points, concepts

SIDE = 128  # pixels: twice what is learnt from, so that turned and moved drawings stay sharp
FILLED = 0.92  # of the side: the longer side of every drawing, whatever its set's margins
THINGS = Path(__file__).parent.parent / "things.txt"
NOWHERE = "\U0010ffff"  # no font has it, and shows what it shows for all that it lacks
INK = (20, 20, 20, 255)
NAMES = ("noto", "ink", "flat", "3d", "twemoji")
# In the public domain, CC0 or without known restrictions, as scikit-image says of each.
PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg",
    "grass.png", "gravel.png", "brick.png", "camera.png", "moon.png", "coins.png",
)  # fmt: skip

Draw = Callable[[Emoji, Image.Image, int], Image.Image | None]  # an emoji, its glyph and a side, to RGBA or none


def noto(emoji: Emoji, glyph: Image.Image, side: int) -> Image.Image | None:
    """The colour font's own bitmap."""
    return glyph


def mono(font: Path, emoji: Emoji, glyph: Image.Image, side: int) -> Image.Image | None:
    """Lines of ink, from the font without colours; none for what it has as several glyphs or not at all."""
    characters = emoji.characters.replace("\ufe0f", "")
    if len(characters) > 1 or _mask(font, side, characters) == _mask(font, side, NOWHERE):
        return None
    canvas = Image.new("RGBA", (2 * side, 2 * side), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((side // 4, side // 4), characters, font=_opened(font, side), fill=INK)
    return canvas


def iconify(folder: Path, emoji: Emoji, glyph: Image.Image, side: int) -> Image.Image | None:
    """A drawing of one of Iconify's sets, which are SVG in JSON."""
    import resvg_py  # needed here alone

    icons, names = _icons(folder)
    found = icons["icons"].get(names.get(code_points(emoji.characters).lower()))
    if found is None:
        return None
    box = f"0 0 {found.get('width', icons['width'])} {found.get('height', icons['height'])}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
    drawn = resvg_py.svg_to_bytes(svg_string=f"{svg}{found['body']}</svg>", width=side, height=side)
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")


def files(folder: Path, emoji: Emoji, glyph: Image.Image, side: int) -> Image.Image | None:
    """A drawing of a folder of files that are named by code points."""
    for points in (code_points(emoji.characters), "-".join(f"{ord(c):04X}" for c in emoji.characters)):
        file = folder / f"{points.lower()}.webp"
        if file.is_file():
            with Image.open(file) as picture:
                return picture.convert("RGBA")
    return None


def sets(packages: Path, side: int = SIDE, wanted: Sequence[str] = NAMES) -> dict[str, Draw]:
    """How each set that is wanted draws, from npm's folder of packages. Raises UsageError where one is missing.

    side: of the drawings; the bitmaps of Noto's font are small, so larger ones are drawn from the same shapes.
    """
    fonts, icons = packages / "@expo-google-fonts" / "noto-emoji", packages / "@iconify-json"
    needed = {
        "noto": icons / "noto" if side > SIDE else None, "ink": fonts / "400Regular" / "NotoEmoji_400Regular.ttf",
        "flat": icons / "fluent-emoji-flat", "3d": packages / "@lobehub" / "fluent-emoji-3d" / "assets",
        "twemoji": icons / "twemoji",
    }  # fmt: skip
    needed = {name: place for name, place in needed.items() if name in wanted}
    for place in needed.values():
        if place is not None and not place.exists():
            raise UsageError(f"{place} is not there; install its package with npm, as `{__name__}` says")
    kinds: dict[str, Callable[..., Image.Image | None]] = {
        "noto": iconify,
        "ink": mono,
        "flat": iconify,
        "3d": files,
        "twemoji": iconify,
    }
    return {name: noto if place is None else partial(kinds[name], place) for name, place in needed.items()}


def fitted(drawing: Image.Image, side: int) -> Tensor | None:
    """A drawing in the middle of a square, its longer side `FILLED` of it: premultiplied (4 side side) in 0..1.

    None for an empty one.
    """
    box = drawing.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    if box is None:
        return None
    cut = drawing.crop(box).convert("RGBa")  # premultiplied, so that what is transparent lends no colour
    scale = FILLED * side / max(cut.size)
    cut = cut.resize([max(1, round(scale * length)) for length in cut.size], Image.Resampling.LANCZOS)
    square = np.zeros((side, side, 4), dtype=np.float32)
    left, top = ((side - length) // 2 for length in cut.size)
    square[top : top + cut.height, left : left + cut.width] = np.asarray(cut, dtype=np.float32) / 255
    return torch.from_numpy(square).permute(2, 0, 1)


@dataclass(frozen=True)
class Drawings:
    """What a training learns from.

    pixels: premultiplied, 8 bits (n 4 side side).  things, sets: of each drawing the place in `names` and in `kinds`.
    names: of every thing, its other captions after the first.  photographs: 8 bits, RGB (k 3 side side).
    """

    pixels: Tensor
    things: Tensor
    sets: Tensor
    names: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    photographs: Tensor

    def write(self, file: Path) -> None:
        """Writes all into one file, whole or not at all."""
        buffer = io.BytesIO()
        said = json.dumps({"names": self.names, "kinds": self.kinds}, ensure_ascii=False)
        arrays = {name: getattr(self, name).numpy() for name in ("pixels", "things", "sets", "photographs")}
        np.savez_compressed(buffer, said=np.array(said), **arrays)
        atomic_write(file, buffer.getvalue(), force=True)

    @classmethod
    def read(cls, file: Path) -> Drawings:
        """What `write` wrote. Raises UsageError for a file that is not there or holds something else."""
        try:
            with np.load(file) as held:
                said = json.loads(str(held["said"]))
                arrays = [torch.from_numpy(held[name]) for name in ("pixels", "things", "sets", "photographs")]
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{file} holds no drawings ({error}); make it as `{__name__}` says") from None
        names = tuple(tuple(row) for row in said["names"])
        pixels, things, sets, photographs = arrays
        return cls(pixels, things, sets, names, tuple(said["kinds"]), photographs)


def rendered(
    named: Mapping[str, tuple[str, ...]], draws: Mapping[str, Draw], side: int, behind: bool = True
) -> Drawings:
    """Every drawing that the sets have of the things, in order, and photographs, if they shall be `behind` them.

    Things that no set has are left out. Raises UsageError for a name that is no emoji's.
    """
    known = {emoji.name: (emoji, glyph) for emoji, glyph in all_emoji()}
    if missing := sorted(set(named) - set(known)):
        raise UsageError(f"these are no names of emoji: {', '.join(missing)}")
    rows: list[tuple[int, int, Tensor]] = []
    names: list[tuple[str, ...]] = []
    for name, others in named.items():
        squares = _squares(*known[name], draws, side)
        rows += [(len(names), kind, square) for kind, square in squares.items()]
        names += [(name, *others)] if squares else []
    things, kinds = (torch.tensor([row[i] for row in rows]) for i in range(2))
    grounds = photographs(side) if behind else torch.empty(0, 3, side, side, dtype=torch.uint8)
    return Drawings(torch.stack([row[2] for row in rows]), things, kinds, tuple(names), tuple(draws), grounds)


def _squares(emoji: Emoji, glyph: Image.Image, draws: Mapping[str, Draw], side: int) -> dict[int, Tensor]:
    """By the places of the sets that have it, one thing's drawings (4 side side) of 8 bits."""
    drawn = {kind: draw(emoji, glyph, side) for kind, draw in enumerate(draws.values())}
    squares = {kind: fitted(one, side) for kind, one in drawn.items() if one is not None}
    return {kind: (one.clamp(0, 1) * 255).round().to(torch.uint8) for kind, one in squares.items() if one is not None}


def photographs(side: int) -> Tensor:
    """Square middles of photographs that scikit-image ships, at twice the side: (k 3 2side 2side)."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    return torch.stack([_middle(folder / name, 2 * side) for name in PHOTOGRAPHS])


def _middle(file: Path, side: int) -> Tensor:
    with Image.open(file) as picture:
        colours = picture.convert("RGB")
    shorter = min(colours.size)
    left, top = ((length - shorter) // 2 for length in colours.size)
    cut = colours.crop((left, top, left + shorter, top + shorter)).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(cut)).permute(2, 0, 1).contiguous()


def _mask(font: Path, side: int, characters: str) -> bytes:
    return bytes(_opened(font, side).getmask(characters))


@cache
def _opened(font: Path, side: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font), side)


@cache
def _icons(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A set of Iconify's, and the icon of every sequence of code points, without variation selectors."""
    icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    names = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    return icons, {points.replace("-fe0f", ""): name for points, name in names.items()}


def main() -> None:
    """Renders all sets into the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="npm's folder node_modules")
    parser.add_argument("file", type=Path, help="where to write, an .npz outside the repository")
    parser.add_argument("--side", type=int, default=SIDE, help="of the drawings in pixels")
    parser.add_argument("--set", action="append", choices=NAMES, help="one of the sets, and others given so; else all")
    parser.add_argument("--no-photographs", action="store_true", help="no photograph is ever behind a thing")
    parser.add_argument("--all", action="store_true", help="all 1,593 emoji, after those that are listed")
    given = parser.parse_args()
    named = concepts(THINGS)
    if given.all:
        named |= {emoji.name: () for emoji, _ in all_emoji() if emoji.name not in named}
    draws = sets(given.packages, given.side, given.set or NAMES)
    drawings = rendered(named, draws, given.side, behind=not given.no_photographs)
    given.file.parent.mkdir(parents=True, exist_ok=True)
    drawings.write(given.file)
    counts = [f"{int((drawings.sets == i).sum())} {kind}" for i, kind in enumerate(drawings.kinds)]
    print(f"{len(drawings.names)} things, {', '.join(counts)}: {given.file}, {given.file.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
