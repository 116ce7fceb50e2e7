"""What a search is asked, as data that is checked, and that a search begun earlier is compared with. No torch here."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from diffusion_tricks.plugin import UsageError

HOME = "identity"  # the view of the first prompt
MEASURES = ("alignment", "joint", "concealment", "sep_min")
UNITS = {"s": 1, "m": 60, "h": 3600}
TIME = re.compile(r"(\d+(?:\.\d+)?)([smh])")
RANGE = re.compile(r"(\d+)(?:-(\d+))?")
SIZE = re.compile(r"([1-9]\d*)(?:x([1-9]\d*))?")
MOST = 100_000  # seeds


@dataclass(frozen=True)
class Arm:
    """A pair of prompts, the second seen through a view: what seeds are tried of."""

    first: str
    second: str
    view: str

    @property
    def pair(self) -> tuple[str, str]:
        """Its prompts."""
        return self.first, self.second


@dataclass(frozen=True)
class Asked:
    """What is tried and what decides.

    pairs: prompts for the picture as it is and for what is seen through a view. views: each with all pairs. seeds:
    "0-7" or "1,5,9", tried in that order. budget: pictures to try, "500", or a time for the whole, "20m", "90s", "2h".
    steps: of what is tried; None is a third of the model's own. by: one of `MEASURES`. keep: pictures that are made in
    full, at final_steps and size; None is the model's own, and its upscaler's. balance: of `anagram`. fid: whether the
    pictures kept are compared with ordinary ones. scorer: a CLIP, None the one inside. shuffle: seed of the draw of the
    arms that are tried, where the budget does not reach for all.
    Raises UsageError for what cannot be.
    """

    pairs: tuple[tuple[str, str], ...]
    views: tuple[str, ...] = ("rotate_cw",)
    seeds: str = "0-7"
    budget: str = "500"
    model: str = "emoji"
    steps: int | None = None
    final_steps: int | None = None
    size: tuple[int, int] | None = None
    guidance: float | None = None
    scheduler: str | None = None
    balance: str = "off"
    by: str = "alignment"
    keep: int = 12
    fid: bool = False
    scorer: str | None = None
    shuffle: int = 0

    def __post_init__(self) -> None:
        if not self.pairs or not self.views:
            raise UsageError("a search needs at least one pair and one view")
        if again := [view for i, view in enumerate(self.views) if view in self.views[:i]]:
            raise UsageError(f"the view {again[0]!r} is given twice; once is enough")
        if self.by not in MEASURES:
            raise UsageError(f"`by` is one of {', '.join(MEASURES)}, got {self.by!r}")
        if self.keep < 1:
            raise UsageError(f"`keep` must be at least 1, got {self.keep}")
        seeds_of(self.seeds)
        budget_of(self.budget)

    @property
    def arms(self) -> list[Arm]:
        """Every pair through every view."""
        return [Arm(*pair, view) for pair in self.pairs for view in self.views]

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @property
    def hash(self) -> str:
        """Of all that is asked: two searches with one hash take the same decisions."""
        return hashlib.sha256(json.dumps(self.data(), sort_keys=True).encode()).hexdigest()[:16]


def asked_from(data: dict[str, Any]) -> Asked:
    """What was asked, from plain data. Raises UsageError where that is damaged."""
    try:
        pairs = tuple((str(first), str(second)) for first, second in data["pairs"])
        size = None if data["size"] is None else (int(data["size"][0]), int(data["size"][1]))
        return Asked(**(data | {"pairs": pairs, "views": tuple(data["views"]), "size": size}))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"what the search was asked is damaged: {error}") from None


def seeds_of(text: str) -> list[int]:
    """The seeds of "0-7" or "1,5,9" or both, in that order. Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or len(found) + last - first >= MOST:
            raise UsageError(f"`seeds` are such as 0-7 or 1,5,9, at most {MOST:,} of them, got {text!r}")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise UsageError(f"`seeds` name one twice: {text!r}")
    return found


def budget_of(text: str) -> tuple[int | None, float | None]:
    """So many pictures, or so many seconds; the other is None. Raises UsageError."""
    timed = TIME.fullmatch(text.strip())
    if timed and float(timed[1]) > 0:
        return None, float(timed[1]) * UNITS[timed[2]]
    if text.strip().isdecimal() and int(text) > 0:
        return int(text), None
    least = "at least 1 picture" if timed is None and text.strip().isdecimal() else "a number of pictures, as 500"
    raise UsageError(f"`budget` is {least}, or a time, as 90s, 20m or 2h, got {text!r}")


def size_of(text: str) -> tuple[int, int]:
    """The size in pixels of "256" or "256x192". Raises UsageError."""
    match = SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"`size` is such as 256 or 256x192, in pixels, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def runs(seeds: list[int], most: int) -> list[range]:
    """The seeds as ranges that count up by one, none longer than `most`, in their order."""
    found: list[range] = []
    for seed in seeds:
        if found and found[-1].stop == seed and len(found[-1]) < most:
            found[-1] = range(found[-1].start, seed + 1)
        else:
            found.append(range(seed, seed + 1))
    return found
