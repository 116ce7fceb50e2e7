"""The lessons as words: what stands in `course.toml`, in the order of the course. No torch here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffusion_tricks.plugin import UnknownName

WORDS = Path(__file__).parent / "course.toml"


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
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    return {name: Lesson(name, **{**said, "formula": tuple(said["formula"])}) for name, said in words.items()}


def lesson(name: str) -> Lesson:
    """The lesson of that name. Raises UnknownName."""
    if name not in lessons():
        raise UnknownName("lesson", name, lessons())
    return lessons()[name]
