"""The lessons as words: what stands in the files of `words`, in the order of the course. No torch here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffusion_tricks.plugin import UnknownName

WORDS = Path(__file__).parent / "words"


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    summary: one line for lists. title: its heading. exercise: what is done, in three sentences. formula: lines of
    mathematics, as matplotlib's mathtext reads them, without dollars. source: papers. question: to think about.
    quick, full: seconds it takes on two cores.
    """

    name: str
    summary: str
    title: str
    exercise: str
    formula: tuple[str, ...]
    source: str
    question: str
    quick: float
    full: float


@cache
def lessons() -> dict[str, Lesson]:
    """Every lesson by its name, in the order of the course."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(WORDS.glob("*.toml"))]
    words = {name: said for text in texts for name, said in tomllib.loads(text).items()}
    return {name: Lesson(name, **{**said, "formula": tuple(said["formula"])}) for name, said in words.items()}


def lesson(name: str) -> Lesson:
    """The lesson of that name. Raises UnknownName."""
    if name not in lessons():
        raise UnknownName("lesson", name, lessons())
    return lessons()[name]
