"""SDEdit: x_t0 = sqrt(alpha_bar_t0) x0 + sqrt(1 - alpha_bar_t0) eps, then denoise from t0 on.

t0 = 990 - 30 i_start, and every 30th step from there      SDEdit, arXiv:2108.01073, algorithm 2
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from diffusion_tricks import TrickEntry, UsageError
from diffusion_tricks.plugin import atomic_write, to_images
from diffusion_tricks_learn.asked import STRIDE, STRIDED, ddpm_or_own, prompt_for, quoted
from diffusion_tricks_learn.drawing import drawing_from
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.pictures import distance, pixels_of
from diffusion_tricks_learn.report import png
from diffusion_tricks_learn.session import Session, stem

AIM = "a rocket"


@dataclass(frozen=True)
class Edited:
    """A picture edited from i_start, timestep t, on: how far it came from the original, how well it shows the aim."""

    picture: str
    prompt: str
    i_start: int
    t: int
    image: Image.Image
    distance: float
    score: float | None

    @property
    def row(self) -> Row:
        """What was measured."""
        row = {"picture": self.picture, "prompt": self.prompt or "none", "i_start": self.i_start, "t": self.t,
               "distance": self.distance}  # fmt: skip
        return row if self.score is None else {**row, "clip_score": self.score}


def edit(
    session: Session,
    pictures: Sequence[str] = (),
    draw: str | None = None,
    prompt: str | None = None,
    i_start: Sequence[int] = (1, 3, 5, 7, 10, 20),
) -> Iterator[Findings]:
    """Pictures, and a drawing, edited without text and with it, from each i_start on.

    draw: a file as `drawing` reads it. prompt: None is a rocket, or a class that the model knows.
    Raises UsageError where there is nothing to edit, or for an i_start that is none.
    """
    if not pictures and draw is None:
        raise UsageError("edit: a picture is missing; give one or more, or a drawing as text with `draw`")
    for i in i_start:
        if not 0 <= i < len(STRIDED):
            raise UsageError(f"i_start must be between 0 and {len(STRIDED) - 1}, got {i}")
    with tempfile.TemporaryDirectory() as folder:
        drawing = {} if draw is None else {f"{stem(draw)}, drawn": save(draw, Path(folder) / "drawing.png")}
        yield from edits(session, {stem(picture): picture for picture in pictures} | drawing, prompt, i_start)


def save(draw: str, path: Path) -> str:
    """The drawing as a picture's file."""
    atomic_write(path, png(drawing_from(draw)))
    return str(path)


def edits(
    session: Session, pictures: Mapping[str, str], prompt: str | None, i_start: Sequence[int]
) -> Iterator[Findings]:
    """What is found after each row of edits."""
    model = session.load()
    aim = prompt_for(model, prompt, AIM)
    ways = [(name, text) for name in pictures for text in dict.fromkeys(("", aim))]
    session.clock.expect(len(ways) * sum(len(STRIDED) - i for i in i_start))
    originals = {name: pixels_of(path, model) for name, path in pictures.items()}
    rows = list[list[Edited]]()
    for name, text in ways:
        rows.append([])
        for i in i_start:
            t, pixels = edited(session, pictures[name], i, text)
            image = to_images(pixels)[0]
            score = session.clip_scores([image], [aim])[0] if aim else None
            rows[-1].append(Edited(name, text, i, t, image, distance(pixels, originals[name]), score))
        yield found(session, originals, list(rows), len(rows) / len(ways))


def edited(session: Session, path: str, i_start: int, prompt: str) -> tuple[int, Tensor]:
    """The timestep that an edit begins at, and the picture it ends in (1 3 h w)."""
    model = session.load()
    tricks = [TrickEntry(trick="sdedit", image=path, start_index=i_start)]
    if prompt:
        tricks.append(TrickEntry(trick="guidance", scale=model.defaults.guidance))
    steps = list(
        session.steps(
            prompt=prompt, tricks=[one.build() for one in tricks], stride=STRIDE, scheduler=ddpm_or_own(model)
        )
    )
    return int(steps[0].t), model.decode(steps[-1].x).float().cpu().clamp(-1, 1)


def found(session: Session, originals: Mapping[str, Tensor], rows: list[list[Edited]], done: float) -> Findings:
    """What is known once these rows were edited."""

    def figure() -> Image.Image:
        last = {name: to_images(pixels)[0] for name, pixels in originals.items()}
        return grid(
            [[*(one.image for one in row), last[row[0].picture]] for row in rows],
            captions=[[*map(caption, row), ""] for row in rows],
            rows=[f"{row[0].picture}\n{quoted(row[0].prompt)}" for row in rows],
            columns=[*(f"i_start = {one.i_start}\nt = {one.t}" for one in rows[0]), "original"],
            title=f"SDEdit: {session.name()}, seed {session.seed}",
        )

    return Findings(figure, [one.row for row in rows for one in row], says=said(rows), done=done)


def caption(one: Edited) -> str:
    """What is written below an edit."""
    return f"distance {one.distance:.2f}" + ("" if one.score is None else f"\nscore {one.score:.2f}")


def said(rows: list[list[Edited]]) -> list[str]:
    """How distance and score change with i_start, in each row, and what that means."""
    ends = [(min(row, key=_start), max(row, key=_start)) for row in rows if len(row) > 1]
    says = [
        f"{early.picture}, {quoted(early.prompt)}: from i_start = {early.i_start} to {late.i_start} the distance goes"
        f" from {early.distance:.2f} to {late.distance:.2f}{_scores(early, late)}."
        for early, late in ends
    ]
    if ends and all(early.distance > late.distance for early, late in ends):
        says.append(
            "The earlier the start, the more of the original is lost under the noise, and the more the model makes up:"
            " first its detail, then its shapes, and at last its colours."
        )
    if any(early.prompt and (early.score or 0) > (late.score or 0) for early, late in ends):
        says.append("With text, what is made up is what the text says: i_start chooses between picture and prompt.")
    return says


def _start(one: Edited) -> int:
    return one.i_start


def _scores(early: Edited, late: Edited) -> str:
    if early.score is None or late.score is None:
        return ""
    return f", and the score of what was aimed at from {early.score:.2f} to {late.score:.2f}"
