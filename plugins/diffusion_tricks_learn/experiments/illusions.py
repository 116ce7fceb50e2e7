"""eps = mean_i v_i^-1( eps(v_i(x), prompt_i) )               visual anagrams, arXiv:2311.17919, equation 3
eps = lowpass( eps(x, far) ) + highpass( eps(x, near) )    hybrids, Factorized Diffusion, arXiv:2404.11615

How well the views show their prompts: alignment A = min_i S_ii, the cosine of CLIP for the worse of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING

from PIL.Image import Image

from diffusion_tricks import Recipe, Score, TrickEntry, UsageError
from diffusion_tricks.plugin import gaussian_blur, to_images, to_tensor
from diffusion_tricks_learn.asked import QUICK_STEPS, heeded
from diffusion_tricks_learn.figures import grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

if TYPE_CHECKING:
    from diffusion_tricks import Model, ViewScore

SIDE = 64  # pixels, for which kernel and sigma are
KERNEL, SIGMA = 33, 2.0
FAR = 4  # times as far away: so much smaller
TURNED = {"flip": "upside down", "rotate_180": "turned around", "rotate_cw": "turned to the right"}


@dataclass(frozen=True)
class Illusion:
    """Two prompts in one picture; view: of the second, for an anagram; None is a hybrid, of far and near."""

    first: str
    second: str
    view: str | None = None

    @property
    def kind(self) -> str:
        """Which of the two."""
        return "hybrid" if self.view is None else "anagram"

    def entry(self, sigma: float) -> TrickEntry:
        """The trick that makes it."""
        if self.view is None:
            return TrickEntry(trick="hybrid", far=self.first, near=self.second, sigma=sigma)
        return TrickEntry(trick="anagram", views=[("identity", self.first), (self.view, self.second)])


# CS180 (Berkeley), project 5, parts 1.8 and 1.9: for large models
COURSE = (
    Illusion("an oil painting of an old man", "an oil painting of people around a campfire", "flip"),
    Illusion("an oil painting of a snowy mountain village", "a photo of a hipster barista", "flip"),
    Illusion("a photo of a dog", "a photo of a man", "flip"),
    Illusion("a lithograph of a skull", "a lithograph of waterfalls"),
    Illusion("an oil painting of an old man", "an oil painting of a snowy mountain village"),
    Illusion("a rocket ship", "a pencil"),
)
# for the model inside, of what it was taught
OWN = (
    Illusion("a light bulb", "a pineapple", "rotate_180"),
    Illusion("a turtle", "a butterfly", "flip"),
    Illusion("a rabbit", "a duck", "rotate_cw"),
    Illusion("a panda", "a soccer ball"),
    Illusion("a skull", "a strawberry"),
    Illusion("a tiger face", "a sunflower"),
)


@dataclass(frozen=True)
class Made:
    """An illusion as a picture, and how well both of its views show what they should."""

    illusion: Illusion
    picture: Image
    score: Score

    @property
    def row(self) -> Row:
        """What was measured."""
        one, two = self.score.views
        return {
            "kind": self.illusion.kind, "first": one.prompt, "second": two.prompt,
            "views": f"as it is, {self.illusion.view}" if self.illusion.view else "far, near",
            "clip_score_first": one.alignment, "clip_score_second": two.alignment, "alignment": self.score.alignment,
            "concealment": self.score.concealment,
        }  # fmt: skip


def illusions(session: Session, pairs: str = "auto", kernel: int = KERNEL, sigma: float = SIGMA) -> Iterator[Findings]:
    """Three anagrams and three hybrids: the pairs of the course, or better ones where the model was not taught those.

    pairs: auto, course or own. kernel, sigma: of the blur between far and near, in pixels of a picture of 64.
    Raises UsageError for a model that takes no prompt.
    """
    model = session.load()
    heeded(model, "illusions")
    wanted = pairs_for(model, pairs)
    steps, best_of = session.either(QUICK_STEPS, model.defaults.steps), session.either(1, 4)
    session.clock.expect(steps * len(wanted))
    made = list[Made]()
    for illusion in wanted:
        entry = illusion.entry(sigma)
        (result,) = session.make(Recipe(steps=steps, best_of=best_of, tricks=[entry]))
        made.append(Made(illusion, result.image, session.scorer.score(entry.build().views_of(result.image))))
        title = f"{session.name()}, {steps} steps, seed {result.seed}"
        rows, done = [one.row for one in made], len(made) / len(wanted)
        yield Findings(partial(figure, title, tuple(made), kernel, sigma), rows, {}, said(made) if done == 1 else [],
                       done=done)  # fmt: skip


def pairs_for(model: Model, pairs: str) -> Sequence[Illusion]:
    """Those of the course or those for the model inside; for a model of classes, of its last six, 6 with 9 of digits.

    Raises UsageError for a model of one class.
    """
    classes: Sequence[str] | None = getattr(model.family, "classes", None)
    if classes is not None:
        last = list(classes)[-6:]
        half = len(last) // 2
        if not half:
            raise UsageError(f"an illusion shows two things, and {model.name!r} knows one class; give another model")
        two = list(zip(last[:half], last[half:], strict=False))
        return [Illusion(a, b, view) for view in ("rotate_180", None) for a, b in two]
    if pairs != "auto":
        return COURSE if pairs == "course" else OWN
    prompts = [prompt for one in COURSE for prompt in (one.first, one.second)]
    return OWN if model.vocabulary and model.vocabulary.unknown(prompts) else COURSE


def figure(title: str, made: Sequence[Made], kernel: int, sigma: float) -> Image:
    """The anagrams through both views, and the hybrids from near and from afar, blurred and small."""
    anagrams = [one for one in made if one.illusion.view]
    hybrids = [one for one in made if not one.illusion.view]
    pages = [sheet(f"Anagrams: {title}", ["as it is", "turned"], anagrams, turned)] if anagrams else []
    if hybrids:
        columns = ["near", f"far: kernel {kernel}, sigma {sigma:g}", f"far: 1/{FAR} of the size"]
        pages.append(sheet(f"Hybrids: {title}", columns, hybrids, lambda one: near_and_far(one, kernel, sigma)))
    return stacked(*pages)


Tiles = list[tuple[Image, str]]


def sheet(title: str, columns: Sequence[str], made: Sequence[Made], tiles: Callable[[Made], Tiles]) -> Image:
    """A row for each illusion: pictures, and what should be seen in them."""
    rows = [tiles(one) for one in made]
    return grid([[tile for tile, _ in row] for row in rows], captions=[[text for _, text in row] for row in rows],
                columns=columns, rows=[f"A = {one.score.alignment:.2f}" for one in made], title=title)  # fmt: skip


def turned(one: Made) -> Tiles:
    """An anagram as it is, and as the view shows it."""
    first, second = one.score.views
    (_, other) = one.illusion.entry(SIGMA).build().views_of(one.picture)
    how = TURNED[str(one.illusion.view)]
    return [(one.picture, labelled(first)), (other.picture, f"{how}: {labelled(second)}")]


def near_and_far(one: Made, kernel: int, sigma: float) -> Tiles:
    """A hybrid as it is, through the blur that stands for distance, and small."""
    far, near = one.score.views
    side = min(one.picture.size)
    taps = min(2 * int(kernel * side / SIDE // 2) + 1, 2 * side - 1)
    (blurred,) = to_images(gaussian_blur(to_tensor(one.picture), taps, sigma * side / SIDE))
    small = one.picture.resize((max(1, side // FAR), max(1, side // FAR)))
    return [(one.picture, labelled(near)), (blurred, labelled(far)), (small, far.prompt)]


def labelled(view: ViewScore) -> str:
    """What a view should show, and how well it does."""
    return f"{view.prompt}\nscore {view.alignment:.2f}\nrank {view.rank}"


def said(made: Sequence[Made]) -> list[str]:
    """Which of them shows both best, and how far both kinds come."""
    best = max(made, key=lambda one: one.score.alignment)
    means = [
        f"{kind}s {mean(one.score.alignment for one in made if one.illusion.kind == kind):.2f}"
        for kind in ("anagram", "hybrid")
    ]
    return [
        f"Both are seen best in the {best.illusion.kind} of {best.illusion.first} and {best.illusion.second}"
        f" (A = {best.score.alignment:.2f}).",
        f"The worse of the two views has a mean score of: {', '.join(means)}. What is shown twice must be shared.",
    ]
