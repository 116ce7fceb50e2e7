"""A book cover: pictures of five prompts, and title and author on the one that CLIP finds truest to its prompt.

score = cos(CLIP(picture), CLIP(prompt))     arXiv:2104.08718;  the lettering is a typesetter's craft, without a paper
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops

from diffusion_tricks import Recipe, Result, TrickEntry, labelled_grid, make
from diffusion_tricks_learn.asked import QUICK_STEPS, prompts_for, quoted
from diffusion_tricks_learn.figures import grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

SCENES = ("an owl", "a castle", "a sailboat", "a mushroom", "a fox")  # that the model inside draws well
STEPS = 50
ACROSS, TILE, SIDE = 3, 256, 576  # pictures in a row; pixels of one of them, and of a cover, about
MARGIN, SPACING = 50, 20  # pixels above the title, and between it and the author
UNSAID = "a picture"  # what CLIP looks for where no prompt was given


def cover(
    session: Session, prompts: Sequence[str] = (), title: str = "The Whispering Woods", author: str = "A. Writer",
    title_size: int = 60, author_size: int = 40, title_color: str = "#f6d743", author_color: str = "#ffffff",
    font: str | None = None, font_fallback: bool = False,
) -> Iterator[Findings]:  # fmt: skip
    """Five pictures in a grid of 2 x 3, and the best of them before and after its lettering.

    Raises UsageError for a font that is not here, unless it may be replaced, and for lettering that does not fit.
    """
    fonts = {"font": font, "font_fallback": font_fallback} if font else {}
    titled = TrickEntry(trick="overlay", title=title, title_size=title_size, title_color=title_color,
                        margin=MARGIN, spacing=SPACING, stroke=2, **fonts)  # fmt: skip
    by = {"author": author, "author_size": author_size, "author_color": author_color}
    both = TrickEntry(trick="overlay", **titled.options, **by)
    notes = list(lettered(Image.new("RGB", (SIDE, SIDE)), both).facts.get("notes", ()))
    for note in notes:
        session.say(note)
    wanted = prompts_for(session.load(), prompts, SCENES)
    steps = session.either(QUICK_STEPS, STEPS)
    session.clock.expect(steps * len(wanted))
    made, scores = list[Result](), list[float]()
    for prompt in wanted:
        made += session.make(Recipe(prompt=prompt, steps=steps))
        scores += session.clip_scores([made[-1].image], [prompt or UNSAID])
        sheet = prompted(session, wanted, made, scores, steps)
        yield Findings(partial(stacked, sheet), table(wanted, made, scores), done=len(made) / (len(wanted) + 1))
    best = scores.index(max(scores))
    before = large(made[best].image)
    with_title, after = lettered(before, titled).image, lettered(before, both).image
    columns = ["before", f"after: title {title_size} px, author {author_size} px"]
    fitted = labelled_grid([before, after], columns=columns, title=f"The cover: {quoted(wanted[best])}, best by CLIP")
    numbers = measured(before, with_title, after)
    yield Findings(
        lambda: stacked(sheet, fitted), table(wanted, made, scores), numbers, [*notes, *said(numbers)],
        {"before.png": before, "cover.png": after},
    )  # fmt: skip


def prompted(
    session: Session, prompts: Sequence[str], made: Sequence[Result], scores: Sequence[float], steps: int
) -> Image.Image:
    """The pictures so far in rows of three, each with its prompt and score."""
    captions = [f"{quoted(prompt)}\nscore {score:.2f}" for prompt, score in zip(prompts, scores, strict=False)]
    empty = -len(made) % ACROSS
    tiles = [*(result.image for result in made), *[None] * empty]
    title = f"{len(made)} prompts: {session.name()}, {steps} steps, seed {made[0].seed}"
    return grid([tiles[i : i + ACROSS] for i in range(0, len(tiles), ACROSS)], captions=[captions + [""] * empty],
                title=title, tile=TILE)  # fmt: skip


def table(prompts: Sequence[str], made: Sequence[Result], scores: Sequence[float]) -> list[Row]:
    """A row for each picture."""
    return [
        {"prompt": prompt, "steps": result.facts["steps"], "clip_score": score, "seconds": result.facts["seconds"]}
        for prompt, result, score in zip(prompts, made, scores, strict=False)
    ]


def large(image: Image.Image) -> Image.Image:
    """A picture as large as a cover, by a whole factor; that of a large model as it is."""
    factor = max(1, SIDE // image.width)
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.LANCZOS)


def lettered(image: Image.Image, entry: TrickEntry) -> Result:
    """A picture with the text of an overlay on it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        image.save(path)
        (result,) = make(Recipe(picture=str(path), tricks=[entry], seed=0))
    return result


def measured(before: Image.Image, with_title: Image.Image, after: Image.Image) -> Row:
    """Where the ink is, in pixels: found as what differs between the cover without text, with the title, and done."""
    left, top, right, bottom = ImageChops.difference(before, with_title).getbbox() or (0, 0, 0, 0)
    author = ImageChops.difference(with_title, after).getbbox() or (0, 0, 0, 0)
    return {
        "title_from_top_px": top, "author_below_title_px": author[1] - bottom,
        "title_off_centre_px": abs(left + right - before.width) / 2,
        "author_off_centre_px": abs(author[0] + author[2] - before.width) / 2,
    }  # fmt: skip


def said(numbers: Row) -> list[str]:
    """Where the lettering stands."""
    return [
        f"Measured in the picture, the title begins {numbers['title_from_top_px']} px below the top, and the author"
        f" {numbers['author_below_title_px']} px below the title."
    ]
