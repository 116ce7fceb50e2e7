"""Things in the drawings of several sets (`sets.py`), with varied looks and captions; common things come first."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.training.data.captions import STYLES, caption
from diffusion_tricks.training.data.emoji import COLOURS, Look, placed
from diffusion_tricks.training.data.grounds import WHITE, Grounds, ground, plain
from diffusion_tricks.training.data.sets import Drawings
from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.data.styles import RENDER, styled

# How the looks of the sets are asked for; Noto's own has no word, and is what "an emoji of" is now and then.
KINDS = {
    "noto": STYLES[""],
    "twemoji": ("a flat drawing of {}", "{}, flat"),
    "flat": ("a flat drawing of {}", "{}, flat design", "a flat icon of {}"),
    "3d": ("a 3d render of {}", "{}, 3d render", "a 3d picture of {}"),
    "ink": ("an ink drawing of {}", "a line drawing of {}", "{} in ink", "an ink drawing of {}, black and white"),
}
SHARES = {"noto": 0.66, "twemoji": 0.0, "flat": 0.08, "3d": 0.08, "ink": 0.18}  # of the sets, where a thing has all
SAID = {"noto": 0.1, "twemoji": 1.0, "flat": 1.0, "3d": 1.0, "ink": 1.0}  # how often the look is said
OF_TAUGHT = 1 / 3  # of the pictures, where some things are known already
# What a sheet of samples shows.
PROMPTS = (
    "a rabbit", "a duck", "a dog", "a cat", "an apple", "a house", "a car", "a rose", "a castle", "an old man",
    "an ink drawing of a rabbit", "an ink drawing of a duck", "a 3d render of a dog", "a flat drawing of a cat",
    "an oil painting of an apple", "a house on a blue background", "a car on a photo background",
    "a rose on a green gradient background", "a silhouette of a castle", "a woman",
    "a guitar", "a snake", "a bird", "an elephant", "a teapot", "a snail", "a violin", "a bicycle", "a book", "a chair",
)  # fmt: skip
# What reads one way only.
DIRECTED = {"musical note", "chequered flag", "speech balloon", "desktop computer", "yin yang"}


@dataclass(frozen=True)
class Changes:
    """How much pictures of one drawing differ: sizes as fractions of the side, angles in radians, the rest chances."""

    zoom: tuple[float, float] = (0.84, 1.06)
    angle: float = 0.06  # standard deviation
    gain: float = 0.06  # on R, G and B
    mirrored: float = 0.0
    styled: float = 0.12


@dataclass(frozen=True)
class Pace:
    """Which things are shown: the first `first` until `wait` pictures were, then ever more, all after `over` more."""

    first: int = 150
    wait: int = 50_000
    over: int = 400_000

    def known(self, seen: int, things: int) -> int:
        """How many of so many things are shown after `seen` pictures."""
        share = min(1.0, max(0.0, (seen - self.wait) / max(self.over, 1)))
        return min(things, self.first + round(share * max(0, things - self.first)))


class DrawnSource:
    """Things in several drawings, before varied grounds.

    things: how many of the drawings' things are learnt, the first ones.  looks: how often each is shown in an epoch.
    taught: how many of them are known already, the first ones: they are in `OF_TAUGHT` of the pictures.
    """

    channels = 3
    prompts = PROMPTS

    def __init__(
        self, drawings: Drawings, size: int = 64, things: int | None = None, looks: int = 50,
        changes: Changes | None = None, grounds: Grounds | None = None, pace: Pace | None = None, taught: int = 0,
    ):  # fmt: skip
        self.drawings, self.size, self.looks = drawings, size, looks
        self.changes, self.grounds, self.pace, self.taught = changes or Changes(), grounds or Grounds(), pace, taught
        self.names = drawings.names[:things]
        self.classes = tuple(names[0] for names in self.names)
        self.shown = len(self.names)
        self._of: list[dict[str, int]] = [{} for _ in drawings.names]  # of each thing, by set, the place of its drawing
        for place, (thing, kind) in enumerate(zip(drawings.things.tolist(), drawings.sets.tolist(), strict=True)):
            self._of[thing][drawings.kinds[kind]] = place

    def __len__(self) -> int:
        """Every thing, `looks` times."""
        return self.looks * len(self.classes)

    def after(self, seen: int) -> DrawnSource:
        """The source as it is once so many pictures were seen: with as many things as its pace says."""
        if self.pace is None:
            return self
        now = copy.copy(self)
        now.shown = self.pace.known(seen, len(self.classes))
        return now

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 3 size size) in -1..1 with captions; the class is the place in `classes`."""
        which = self._which(indices, random)
        kinds = [self._kind(i, random) for i in which]
        styles = [self._style(kind, random) for kind in kinds]
        behind = [self._behind(kind, style, random) for kind, style in zip(kinds, styles, strict=True)]
        looks = [self._look(i, style, random) for i, style in zip(which, styles, strict=True)]
        moved = self._placed([self._of[i][kind] for i, kind in zip(which, kinds, strict=True)], looks)
        cover = moved[:, 3:]
        flat = (moved[:, :3] + (1 - cover) * torch.stack([one for _, one in behind])).clamp(0, 1)
        shown = [styled(x, c, style, random) for x, c, style in zip(flat, cover, styles, strict=True)]
        said = zip(which, kinds, styles, behind, strict=True)
        captions = [self._caption(i, kind, style, word, random) for i, kind, style, (word, _) in said]
        return Batch(torch.stack(shown) * 2 - 1, captions, torch.tensor(which))

    def texts(self) -> list[str]:
        """Texts that hold every word of its captions, for all things of the drawings, to make a tokenizer from."""
        random = np.random.default_rng(0)
        words = [*COLOURS, *(f"{colour} gradient" for colour in COLOURS), "photo", None]
        names = [(name,) for names in self.drawings.names for name in names]
        ways = KINDS | {style: ways for style, ways in STYLES.items() if style}
        return [caption(names[i % len(names)], words[i % len(words)], style, random, ways)
                for i in range(8 * len(names)) for style in (*ways, "")]  # fmt: skip

    def _which(self, indices: Sequence[int], random: np.random.Generator) -> list[int]:
        """The things that are shown for some places of an epoch."""
        new = self.shown - self.taught
        if not self.taught or new <= 0:
            return [i % self.shown for i in indices]
        known = random.random(len(indices)) < OF_TAUGHT
        return [i % self.taught if old else self.taught + i % new for i, old in zip(indices, known, strict=True)]

    def _kind(self, thing: int, random: np.random.Generator) -> str:
        kinds = list(self._of[thing])
        shares = np.array([SHARES[kind] for kind in kinds])
        return str(random.choice(kinds, p=shares / shares.sum()))

    def _style(self, kind: str, random: np.random.Generator) -> str:
        """A rendered style, of what has colours to lose."""
        return str(random.choice(list(RENDER))) if kind != "ink" and random.random() < self.changes.styled else ""

    def _behind(self, kind: str, style: str, random: np.random.Generator) -> tuple[str | None, Tensor]:
        """A ground; mostly white for a style, and never a photograph for ink, whose lines it would hide."""
        if style and random.random() < 0.8:
            return None, plain(np.array(WHITE), self.size)
        grounds = replace(self.grounds, photograph=0.0) if kind == "ink" else self.grounds
        return ground(grounds, self.drawings.photographs, self.size, random)

    def _look(self, thing: int, style: str, random: np.random.Generator) -> Look:
        changes, zoom = self.changes, random.uniform(*self.changes.zoom)
        room = max(0.0, 1 - 0.92 * zoom) / 2 + 0.02
        return Look(
            WHITE, None, style, zoom,
            angle=float(random.normal(0, changes.angle)),
            shift=(random.uniform(-room, room), random.uniform(-room, room)),
            mirrored=self.classes[thing] not in DIRECTED and random.random() < changes.mirrored,
            gain=tuple(random.uniform(1 - changes.gain, 1 + changes.gain, 3)),
        )  # fmt: skip

    def _placed(self, places: list[int], looks: Sequence[Look]) -> Tensor:
        """The drawings (b 4 size size) as the looks say, moved at their own size and only then made small."""
        moved = placed(self.drawings.pixels[places].float() / 255, looks)
        return F.adaptive_avg_pool2d(moved, self.size)

    def _caption(self, thing: int, kind: str, style: str, word: str | None, random: np.random.Generator) -> str:
        if style:
            return caption(self.names[thing], word, style, random)
        return caption(self.names[thing], word, kind if random.random() < SAID[kind] else "", random, KINDS)
