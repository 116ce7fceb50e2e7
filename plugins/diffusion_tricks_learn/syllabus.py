"""The whole course in one folder: every lesson in turn, and a page that leads to all of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import OutputError, atomic_write
from diffusion_tricks_learn.course import Lesson, lessons
from diffusion_tricks_learn.lesson_commands import PARAMETERS, lesson_command
from diffusion_tricks_learn.pictures import drawn_inside
from diffusion_tricks_learn.report import FIGURE, NUMBERS, REPORT, measured_times, rendered
from diffusion_tricks_learn.session import duration, whisper
from diffusion_tricks_learn.teach import teach

INDEX = "index.html"


def whole_course(picture: str | None, shared: Mapping[str, Any]) -> Path:
    """Does every lesson and writes the index after each, so that it always leads to all that is there; gives its place.

    picture: for the lessons that need one; None lets the model inside draw it. shared: as for `teach`.
    Raises OutputError where the folder cannot be made.
    """
    folder, full = Path(shared["out"]), not shared["quick"]
    tell = (lambda text: None) if shared["quiet"] else whisper
    _make(folder)
    courses = [one for one in lessons().values() if one.name in PARAMETERS]
    left = [one for one in courses if shared["force"] or done(folder / one.name) != 1]
    seconds = sum(one.full if full else one.quick for one in left)
    tell(f"{len(left)} of {len(courses)} lessons to do, about {duration(seconds)} on two cores")
    picture = picture or str(drawn_inside(folder, shared["seed"]))
    for one in left:
        options, words = _defaults(one, picture, folder)
        command = shlex.join(["diffusion-tricks", "learn", one.name, *words, "--out", one.name, *_said(shared)])
        force = shared["force"] or done(folder / one.name) is not None
        teach(one.name, options, {**shared, "out": folder / one.name, "force": force}, command)
        write_index(folder, courses)
    return write_index(folder, courses)


def done(folder: Path) -> float | None:
    """The share of a lesson that was done, 0 to 1, by the numbers in its folder; None where it has left none."""
    try:
        return float(json.loads((folder / NUMBERS).read_text(encoding="utf-8"))["done"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_index(folder: Path, courses: list[Lesson]) -> Path:
    """The page that leads to every lesson in the folder."""
    rows = [(one, (folder / one.name / FIGURE).exists(), measured_times(one)[0]) for one in courses]
    text = rendered("index.html.jinja", rows=rows, report=REPORT, figure=FIGURE)
    atomic_write(folder / INDEX, text.encode(), force=True)
    return folder / INDEX


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}; choose another") from None


def _defaults(one: Lesson, picture: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The options that a lesson's command has when only its picture is given, and the words that say it."""
    command = lesson_command(one)
    wants = any(param.name in {"picture", "pictures"} for param in command.params)
    words = [picture] if wants else []
    ctx = command.make_context(one.name, [*words, "--out", str(folder)])
    own = {param.name for param in PARAMETERS[one.name]()}
    return {name: value for name, value in ctx.params.items() if name in own}, words


def _said(shared: Mapping[str, Any]) -> list[str]:
    words = ["--seed", str(shared["seed"])] if shared["seed"] else []
    words += [] if shared["quick"] else ["--full"]
    return words + (["--model", shared["model"]] if shared["model"] else [])
