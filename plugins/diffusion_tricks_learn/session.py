"""What all experiments share: the model, the seed, how much is done, and the time that it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from diffusion_tricks import Model, Recipe, Result, Scorer, Step, load_model, making, sample

if TYPE_CHECKING:
    from PIL.Image import Image

FEW = 5  # ticks from which the rest is foretold
T = TypeVar("T")


def whisper(text: str) -> None:
    """Says a line on stderr."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Clock:
    """Counts ticks of work, and foretells how long the rest will take once a few are done.

    tell: is given the sentence. total: ticks that are expected, 0 while that is not known.
    """

    tell: Callable[[str], None]
    total: int = 0
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    told: bool = False

    def expect(self, ticks: int) -> None:
        """Adds work to come."""
        self.total += ticks

    def tick(self, ticks: int = 1) -> None:
        """Notes that work is done. The first tick starts the clock: what loads a model is no measure of the rest."""
        if not self.done:
            self.began = time.monotonic()
        self.done += ticks
        if not self.told and self.done > FEW and self.total > self.done:
            self.told = True
            left = (time.monotonic() - self.began) / (self.done - 1) * (self.total - self.done)
            self.tell(f"about {duration(left)} to go, as the first steps took")


def duration(seconds: float) -> str:
    """A time that people read: "8 s" or "3 min".

    >>> duration(8.2), duration(170)
    ('8 s', '3 min')
    """
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


@dataclass
class Session:
    """Where an experiment runs: which model, with which seed, how thoroughly, and who is told of it.

    model: a name, a directory or a hub name; None is the experiment's own choice. full: as thorough as the course, not
    quick. device: auto, cpu or cuda. tell: is given sentences on the way; None is silent.
    """

    model: str | None = None
    seed: int = 0
    full: bool = False
    device: str = "auto"
    tell: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        self.clock = Clock(self.say)
        self._models: dict[str, Model] = {}

    def say(self, text: str) -> None:
        """Tells a sentence."""
        if self.tell:
            self.tell(text)

    def makes_its_own(self, what: str) -> None:
        """Tells, where a model was asked for, that the experiment makes what it needs itself, and asks no other."""
        if self.model:
            self.say(f"this lesson makes {what} itself: the model {self.model!r} is not asked")

    def either(self, quick: T, full: T) -> T:
        """What is used: the one for a quick look, or the course's own."""
        return full if self.full else quick

    def name(self, default: str = "emoji") -> str:
        """The model that was asked for, or the experiment's own."""
        return self.model or default

    def load(self, default: str = "emoji") -> Model:
        """The model, loaded once. Raises as `load_model`."""
        name = self.name(default)
        if name not in self._models:
            self._models[name] = load_model(name, device=self.device)
        return self._models[name]

    @cached_property
    def scorer(self) -> Scorer:
        """The CLIP model inside."""
        return Scorer()

    def steps(self, default: str = "emoji", **how: Any) -> Iterator[Step]:
        """Steps of `sample` with the session's model and seed, each of them a tick of the clock."""
        for step in sample(self.load(default), **{"seed": self.seed, **how}):
            self.clock.tick()
            yield step

    def make(self, recipe: Recipe, default: str = "emoji") -> list[Result]:
        """The pictures of a recipe with the session's model, and its seed unless the recipe has one."""
        seed = self.seed if recipe.seed is None else recipe.seed
        asked = recipe.model_copy(update={"model": self.name(default), "seed": seed})
        return list(making(asked, self.load(default), watch=lambda step: self.clock.tick()))

    def pictures(self, recipe: Recipe, default: str = "emoji") -> list[Image]:
        """As `make`, the pictures alone."""
        return [result.image for result in self.make(recipe, default)]

    def clip_scores(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """CLIP's cosine of each picture and its prompt, -1..1."""
        seen, said = self.scorer.pictures(pictures), self.scorer.texts(prompts)  # (n d)
        cosines: list[float] = (seen * said).sum(1).tolist()
        return cosines


def stem(path: str | Path) -> str:
    """What a file is called in a figure."""
    return Path(path).stem.replace("_", " ")
