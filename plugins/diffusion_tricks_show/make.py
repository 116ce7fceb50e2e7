"""From a picture's file to a film or a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffusion_tricks.plugin import atomic_write, check_place
from diffusion_tricks_show.film import Pace, shots, timetable, with_home
from diffusion_tricks_show.films import check_format, write_film
from diffusion_tricks_show.subject import subject_of


def make_film(
    picture: Path, output: Path, pace: Pace, views: Sequence[tuple[str, str]] = (), *, force: bool = False
) -> None:  # fmt: skip
    """Writes the film of a picture; `views` take the place of those of its record.

    Raises as `check_format`, `check_place`, `subject_of`, `timetable` and `write_film`.
    """
    check_format(output, pace.fps)
    check_place(output, force=force, inputs=[picture])
    subject = subject_of(picture, views)
    count = len(timetable([subject.is_home(view) for view in with_home(subject)], pace))
    write_film(output, shots(subject, pace), pace.fps, count, force=force, source=picture)


def make_page(picture: Path, output: Path, views: Sequence[tuple[str, str]] = (), *, force: bool = False) -> None:
    """Writes the page of a picture; `views` as for a film. Raises as `check_place`, `subject_of` and `atomic_write`."""
    from diffusion_tricks_show.page import page_of

    check_place(output, force=force, inputs=[picture])
    atomic_write(output, page_of(subject_of(picture, views)).encode(), force=force, inputs=[picture])
