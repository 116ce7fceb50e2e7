"""Captioned emoji: pictures from an installed colour font, names from Unicode's CLDR.

Pictures: Noto Color Emoji (SIL Open Font License 1.1).  Names and keywords: CLDR (Unicode License v3).
Both are needed for training only, never at run time.
"""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLDR = Path("/usr/share/unicode/cldr/common")
CONCEPTS = Path(__file__).with_name("concepts.txt")
FONT_SIZE = 109  # the one bitmap size of the font; glyphs are 136 x 128

# Named background colours, as 8-bit RGB.
COLOURS = {
    "white": (255, 255, 255), "black": (20, 20, 20), "gray": (150, 150, 150), "red": (214, 60, 52),
    "orange": (245, 150, 50), "yellow": (250, 220, 80), "green": (90, 180, 90), "blue": (70, 130, 220),
    "purple": (150, 90, 190), "pink": (250, 180, 200), "brown": (140, 95, 60), "light blue": (180, 220, 250),
}  # fmt: skip


@dataclass(frozen=True)
class Emoji:
    """One picture of the font: its character sequence, its CLDR name and its CLDR keywords."""

    characters: str
    name: str
    keywords: tuple[str, ...]


def _skipped(characters: str) -> bool:
    """True for flags and skin tones."""
    return any(
        0x1F3FB <= ord(c) <= 0x1F3FF or 0x1F1E6 <= ord(c) <= 0x1F1FF or 0xE0020 <= ord(c) <= 0xE007F for c in characters
    )


def _annotations(cldr: Path) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for folder in ("annotations", "annotationsDerived"):
        for entry in ElementTree.parse(cldr / folder / "en.xml").iter("annotation"):
            rows.setdefault(entry.get("cp", ""), {})[entry.get("type", "keywords")] = entry.text or ""
    return rows


def _glyph(characters: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    canvas = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((0, 0), characters, font=font, embedded_color=True)
    return canvas


@cache
def all_emoji(font_file: Path = FONT, cldr: Path = CLDR) -> tuple[tuple[Emoji, Image.Image], ...]:
    """Every distinct picture of the font with its name: 1,593 of them, without flags and skin tones."""
    font = ImageFont.truetype(str(font_file), FONT_SIZE)
    found, seen = [], set()
    for characters, row in _annotations(cldr).items():
        if "tts" not in row or _skipped(characters):
            continue
        picture = _glyph(characters, font)
        if picture.getbbox() is None or picture.tobytes() in seen:
            continue
        seen.add(picture.tobytes())
        keywords = tuple(word.strip() for word in row.get("keywords", "").split("|"))
        found.append((Emoji(characters, row["tts"], keywords), picture))
    return tuple(found)


def concepts(file: Path = CONCEPTS) -> dict[str, tuple[str, ...]]:
    """The names the embedded model claims, each with its other captions."""
    rows = {}
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, others = line.partition("=")
            rows[name.strip()] = tuple(word.strip() for word in others.split(",") if word.strip())
    return rows


def premultiplied(pictures: list[Image.Image], size: int) -> torch.Tensor:
    """The pictures on a square of `size` pixels, colours in 0..1 times alpha: (n 4 size size)."""
    rows = []
    for picture in pictures:
        square = Image.new("RGBA", (136, 136), (0, 0, 0, 0))
        square.paste(picture, (0, 4))
        pixels = np.asarray(square.convert("RGBa").resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32)
        rows.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255)
    return torch.stack(rows)


def with_article(name: str) -> str:
    """`rabbit` -> `a rabbit`; plurals and proper names stay bare."""
    if name in {"Santa Claus", "high voltage", "lightning"} or (name.endswith("s") and not name.endswith(("ss", "us"))):
        return name
    return f"{'an' if name[0].lower() in 'aeiou' and not name.startswith('un') else 'a'} {name}"


class Captioned:
    """An endless, augmented stream of (pictures in -1..1, captions).

    Augmented by background colour (named in the caption half of the time it is not white), scale 0.94 to
    1 and shift by up to 1.5 % of the side.
    """

    def __init__(self, names: dict[str, tuple[str, ...]], size: int, seed: int = 0):
        chosen = {e.name: p for e, p in all_emoji()}
        missing = sorted(set(names) - set(chosen))
        if missing:
            raise ValueError(f"these concepts are not names of the font's pictures: {', '.join(missing)}")
        self.names = list(names)
        self.others = [names[name] for name in self.names]
        self.pixels = premultiplied([chosen[name] for name in self.names], size)  # (n 4 size size)
        self.random = random.Random(seed)
        self.order: list[int] = []

    def _next_index(self) -> int:
        if not self.order:
            self.order = self.random.sample(range(len(self.names)), len(self.names))
        return self.order.pop()

    def _background(self) -> tuple[str | None, tuple[float, float, float]]:
        draw = self.random.random()
        if draw < 0.7:
            return None, (1.0, 1.0, 1.0)
        if draw < 0.93:
            word, rgb = self.random.choice(list(COLOURS.items()))
            jitter = [min(1.0, max(0.0, c / 255 + self.random.uniform(-0.04, 0.04))) for c in rgb]
            return word, (jitter[0], jitter[1], jitter[2])
        level = self.random.choice((0.0, 0.35, 0.6))  # any colour, or a pastel one
        r, g, b = (level + (1 - level) * self.random.random() for _ in range(3))
        return None, (r, g, b)

    def _caption(self, index: int, background: str | None) -> str:
        others = self.others[index]
        name = self.random.choice(others) if others and self.random.random() < 0.4 else self.names[index]
        draw = self.random.random()
        text = with_article(name) if draw < 0.6 else name if draw < 0.9 else f"the {name}"
        return f"{text} on a {background} background" if background else text

    def batch(self, count: int) -> tuple[torch.Tensor, list[str]]:
        """`count` pictures (count 3 size size) and their captions."""
        indices = [self._next_index() for _ in range(count)]
        backgrounds = [self._background() for _ in indices]
        captions = [self._caption(i, word) for i, (word, _) in zip(indices, backgrounds, strict=True)]
        theta = torch.zeros(count, 2, 3)
        for row in theta:
            zoom = 1 / self.random.uniform(0.94, 1.0)
            row[0, 0] = zoom
            row[1, 1] = zoom
            row[0, 2], row[1, 2] = self.random.uniform(-0.03, 0.03), self.random.uniform(-0.03, 0.03)
        source = self.pixels[indices]
        grid = F.affine_grid(theta, list(source.shape), align_corners=False)
        moved = F.grid_sample(source, grid, mode="bicubic", align_corners=False).clamp(0, 1)
        colour = torch.tensor([rgb for _, rgb in backgrounds])[:, :, None, None]
        return (moved[:, :3] + (1 - moved[:, 3:]) * colour).clamp(0, 1) * 2 - 1, captions

    def batches(self, count: int) -> Iterator[tuple[torch.Tensor, list[str]]]:
        """Batches without end."""
        while True:
            yield self.batch(count)


def caption_texts() -> list[str]:
    """Texts that hold every word a caption may use, to train a tokenizer on."""
    texts = [f"{with_article(e.name)} on a {colour} background" for e, _ in all_emoji() for colour in ("blue",)]
    texts += [" ".join(e.keywords) for e, _ in all_emoji()]
    texts += [with_article(word) for name, others in concepts().items() for word in (name, *others) for _ in range(4)]
    return texts + [f"the {c} background" for c in COLOURS for _ in range(20)]
