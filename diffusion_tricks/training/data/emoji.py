"""Captioned emoji: pictures from an installed colour font, names from Unicode's CLDR.

Pictures: Noto Color Emoji (SIL Open Font License 1.1).  Names and keywords: CLDR (Unicode License v3).
Both are needed for training only, never at run time.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.captions import caption
from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.data.styles import RENDER, styled

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLDR = Path("/usr/share/unicode/cldr/common")
CONCEPTS = Path(__file__).parent.parent / "concepts.txt"
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
    """Every distinct picture of the font with its name: 1,593 of them, without flags and skin tones.

    Raises UsageError when the font or the names are not installed.
    """
    for needed, package in ((font_file, "fonts-noto-color-emoji"), (cldr, "unicode-cldr-core")):
        if not needed.exists():
            raise UsageError(f"the emoji data needs {needed}; install it, on Debian with `apt install {package}`")
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
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, others = line.partition("=")
            rows[name.strip()] = tuple(word.strip() for word in others.split(",") if word.strip())
    return rows


def code_points(characters: str) -> str:
    """`1F430` of a rabbit: how files of drawings are named, without variation selectors."""
    return "-".join(f"{ord(c):04X}" for c in characters if c != "\ufe0f")


def drawing(emoji: Emoji, glyph: Image.Image, folder: Path | None) -> Image.Image:
    """The emoji's drawing in `folder`, RGBA with the font's margins, or the font's own glyph."""
    file = folder / f"{code_points(emoji.characters)}.png" if folder else None
    if file is None or not file.is_file():
        return glyph
    with Image.open(file) as picture:
        drawn = picture.convert("RGBA")
    side = round(drawn.width * 136 / 128)
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    canvas.paste(drawn, ((side - drawn.width) // 2,) * 2)
    return canvas


def premultiplied(pictures: list[Image.Image], size: int) -> Tensor:
    """The pictures on a square of `size` pixels, colours in 0..1 times alpha: (n 4 size size)."""
    rows = []
    for picture in pictures:
        square = Image.new("RGBA", (picture.width,) * 2, (0, 0, 0, 0))
        square.paste(picture, (0, (picture.width - picture.height) // 2))
        pixels = np.asarray(square.convert("RGBa").resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32)
        rows.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255)
    return torch.stack(rows)


@dataclass(frozen=True)
class Look:
    """How one picture is shown: what is behind it, in which style, where and how it stands."""

    ground: tuple[float, float, float]  # RGB in 0..1
    ground_word: str | None
    style: str
    zoom: float  # 1 fills the picture
    angle: float  # radians
    shift: tuple[float, float]  # of the side
    mirrored: bool
    gain: tuple[float, float, float]  # on R, G, B


@dataclass(frozen=True)
class Variety:
    """How much pictures of one thing differ: chances in 0..1, sizes as fractions of the side, angles in radians."""

    zoom: tuple[float, float] = (0.86, 1.0)
    angle: float = 0.08
    gain: float = 0.12
    mirrored: float = 0.0
    styled: float = 0.15
    named_ground: float = 0.18
    other_ground: float = 0.18


def look(variety: Variety, random: np.random.Generator) -> Look:
    """One draw."""
    style = str(random.choice(list(RENDER))) if random.random() < variety.styled else ""
    word, ground = _ground(variety, random) if not style or random.random() < 0.2 else (None, (1.0, 1.0, 1.0))
    zoom = random.uniform(*variety.zoom)
    room = (1 - zoom) / 2 + 0.02
    return Look(
        ground, word, style, zoom,
        angle=float(random.normal(0, variety.angle / 2)),
        shift=(random.uniform(-room, room), random.uniform(-room, room)),
        mirrored=random.random() < variety.mirrored,
        gain=tuple(random.uniform(1 - variety.gain, 1 + variety.gain, 3)),
    )  # fmt: skip


def _ground(variety: Variety, random: np.random.Generator) -> tuple[str | None, tuple[float, float, float]]:
    draw = random.random()
    if draw < variety.named_ground:
        word = str(random.choice(list(COLOURS)))
        jitter = [float(np.clip(c / 255 + random.uniform(-0.04, 0.04), 0, 1)) for c in COLOURS[word]]
        return word, (jitter[0], jitter[1], jitter[2])
    if draw < variety.named_ground + variety.other_ground:
        r, g, b = 0.6 + 0.4 * random.random(3)  # pastel
        return None, (r, g, b)
    return None, (1.0, 1.0, 1.0)


def placed(sources: Tensor, looks: Sequence[Look]) -> Tensor:
    """Premultiplied pictures (b 4 h w), each zoomed, turned, mirrored, shifted and tinted as its look says."""
    rows = []
    for one in looks:
        cos, sin = np.cos(one.angle) / one.zoom, np.sin(one.angle) / one.zoom
        side = -1 if one.mirrored else 1
        dx, dy = (-2 * s for s in one.shift)
        rows.append([[side * cos, -side * sin, side * (cos * dx - sin * dy)], [sin, cos, sin * dx + cos * dy]])
    theta = torch.tensor(rows, dtype=torch.float32)
    grid = F.affine_grid(theta, list(sources.shape), align_corners=False)
    moved = F.grid_sample(sources, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    gains = torch.tensor([one.gain for one in looks], dtype=torch.float32)[:, :, None, None]
    cover = moved[:, 3:]
    return torch.cat([torch.minimum(moved[:, :3] * gains, cover), cover], 1)


class EmojiSource:
    """Emoji with varied looks and captions.

    names: what to show, each with its other captions (as `concepts()` gives them); None is every emoji, with its
    CLDR keywords as other captions.  size: side in pixels.  looks: how often each is shown in an epoch.
    drawings: a folder of larger drawings (see `drawings.py`); what it lacks comes from the font.
    Raises UsageError when a name is no emoji's, or when the font is not installed.
    """

    channels = 3

    def __init__(
        self,
        names: Mapping[str, tuple[str, ...]] | None = None,
        size: int = 64,
        looks: int = 50,
        variety: Variety | None = None,
        drawings: Path | None = None,
    ):
        known = {emoji.name: (emoji, picture) for emoji, picture in all_emoji()}
        names = {name: emoji.keywords for name, (emoji, _) in known.items()} if names is None else names
        missing = sorted(set(names) - set(known))
        if missing:
            raise UsageError(f"these are not names of the font's pictures: {', '.join(missing)}")
        self.size, self.looks, self.variety = size, looks, variety or Variety()
        self.classes = tuple(names)
        self.names = [(name, *others) for name, others in names.items()]
        pixels = premultiplied([drawing(*known[name], drawings) for name in names], size)
        self.pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)  # (n 4 size size)

    def __len__(self) -> int:
        """Every thing, `looks` times."""
        return self.looks * len(self.classes)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 3 size size) in -1..1 with captions; the class is the place in `classes`."""
        which = [i % len(self.classes) for i in indices]
        looks = [look(self.variety, random) for _ in which]
        moved = placed(self.pixels[which].float() / 255, looks)
        cover = moved[:, 3:]
        grounds = torch.tensor([one.ground for one in looks], dtype=torch.float32)[:, :, None, None]
        flat = (moved[:, :3] + (1 - cover) * grounds).clamp(0, 1)
        shown = [styled(x, c, one.style, random) for x, c, one in zip(flat, cover, looks, strict=True)]
        captions = [caption(self.names[i], o.ground_word, o.style, random) for i, o in zip(which, looks, strict=True)]
        return Batch(torch.stack(shown) * 2 - 1, captions, torch.tensor(which))

    def texts(self) -> list[str]:
        """Texts that hold every word its captions may use, and the name of every emoji, to train a tokenizer on."""
        random = np.random.default_rng(0)
        return [caption((e.name,), None, "", random) for e, _ in all_emoji()] + _said(self.names, random)


def caption_texts() -> list[str]:
    """Texts that hold every word a caption may use, to train a tokenizer on."""
    random = np.random.default_rng(0)
    texts = [caption((e.name, *e.keywords), None, "", random) for e, _ in all_emoji()]
    texts += [" ".join(e.keywords) for e, _ in all_emoji()]
    return texts + _said([(name, *others) for name, others in concepts().items()], random)


def _said(names: Sequence[Sequence[str]], random: np.random.Generator) -> list[str]:
    """Two captions of each thing in each style, on backgrounds of any colour."""
    texts = []
    for style in ("", *RENDER):
        for ways in names:
            texts += [caption(ways, str(random.choice(list(COLOURS))), style, random) for _ in range(2)]
    return texts
