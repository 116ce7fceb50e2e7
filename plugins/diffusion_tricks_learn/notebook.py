"""A lesson as a Jupyter notebook: its words, its experiment as it stands in the package, and what it finds."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import atomic_write
from diffusion_tricks_learn.course import Lesson, lesson
from diffusion_tricks_learn.teach import experiment

FORMAT = (4, 5)  # nbformat's version of what is written
PICTURE = {
    "picture": """from pathlib import Path

from diffusion_tricks_learn.pictures import drawn_inside

picture = str(drawn_inside(Path("."), seed=0))  # or the name of a picture of yours"""
}
PICTURE["pictures"] = f"{PICTURE['picture']}\npictures = [picture]"


def write_notebook(name: str, path: str | Path, *, force: bool = False) -> Path:
    """Writes the notebook of a lesson. Raises UnknownName for a lesson that there is not, OutputError for its place."""
    one = lesson(name)
    made = experiment(name)
    asked = [word for word in inspect.signature(made).parameters if word in PICTURE]
    call = ", ".join(["session", *asked])
    cells = [
        _text(f"# {one.title}\n\n{one.exercise}\n\n{_mathematics(one)}\n\n{one.source}"),
        _code("from diffusion_tricks_learn.findings import last\nfrom diffusion_tricks_learn.session import Session\n\n"
              "session = Session(seed=0)  # full=True is as thorough as the course; model= takes any other"),
        *[_code(PICTURE[word]) for word in asked],
        _text("The experiment, as it stands in the package: change it, and run it again."),
        _code(inspect.getsource(inspect.getmodule(made) or made)),
        _code(f"found = last({made.__name__}({call}))\nfound.figure"),
        _text("What was measured:"),
        _code("found.table, found.numbers, found.says"),
        _text(f"**To think about.** {one.question}"),
    ]  # fmt: skip
    major, minor = FORMAT
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    numbered = [{"id": f"{name}-{i}", **cell} for i, cell in enumerate(cells)]
    book = {"nbformat": major, "nbformat_minor": minor, "metadata": {"kernelspec": kernel}, "cells": numbered}
    atomic_write(path, (json.dumps(book, indent=1, ensure_ascii=False) + "\n").encode(), force=force)
    return Path(path)


def _mathematics(one: Lesson) -> str:
    return "\n\n".join(f"$${line}$$" for line in one.formula)


def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
