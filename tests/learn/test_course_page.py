"""`docs/course.md` is the syllabus: every lesson, in order, with a command that is one and a picture that is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from PIL import Image

from diffusion_tricks_learn.course import lessons
from diffusion_tricks_learn.lesson_commands import lesson_command

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "course.md").read_text(encoding="utf-8")


def test_the_lessons_stand_in_their_order_with_their_words() -> None:
    assert re.findall(r"^### (.*)$", PAGE, re.MULTILINE) == [one.title for one in lessons().values()]
    for one in lessons().values():
        assert one.exercise.strip() in PAGE


def test_every_command_is_one() -> None:
    lines = re.findall(r"^diffusion-tricks learn (.*--out course/.*)$", PAGE, re.MULTILINE)
    names = [line.split()[0] for line in lines]
    assert names == list(lessons())
    for line in lines:
        name, *words = shlex.split(line)
        ctx = lesson_command(lessons()[name]).make_context(name, words)
        assert ctx.params["out"] == f"course/{name}"


def test_every_picture_is_there() -> None:
    shown = re.findall(r"^!\[(.+)\]\((pictures/course/.+)\)$", PAGE, re.MULTILINE)
    assert [(text, path) for text, path in shown] == [
        (one.summary, f"pictures/course/{name}.png") for name, one in lessons().items()
    ]
    for _, path in shown:
        with Image.open(DOCS / path) as picture:
            assert picture.width >= 400
