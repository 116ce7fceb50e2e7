"""The three files of a lesson: figure.png, numbers.json and report.html, all of them or none."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks import __version__
from diffusion_tricks.plugin import OutputError, atomic_write_all
from diffusion_tricks_learn.course import Lesson

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks_learn.findings import Findings
    from diffusion_tricks_learn.session import Session

FIGURE, NUMBERS, REPORT = "figure.png", "numbers.json", "report.html"
INPUTS = ("picture", "pictures", "draw", "mask")  # options that may name files
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Told:
    """What a report tells beside the findings: the lesson's words, where and how it was run."""

    lesson: Lesson
    session: Session
    options: Mapping[str, Any]
    command: str


def measured_times(one: Lesson) -> tuple[str, str]:
    """How long a lesson takes on two cores: quick, and in full."""
    from diffusion_tricks_learn.session import duration

    return f"about {duration(one.quick)}", f"about {duration(one.full)} in full"


def check_folder(folder: Path, *, force: bool, inputs: Iterable[str] = ()) -> None:
    """Makes the folder. Raises OutputError where it cannot be, or where a report or an input in it is to stay."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, expected a folder for figure, numbers and report")
    written = {(folder / name).resolve() for name in (FIGURE, NUMBERS, REPORT)}
    if read := [path for path in inputs if Path(path).resolve() in written]:
        raise OutputError(f"{read[0]} is an input, which is never overwritten; choose another folder")
    if not force and (old := [name for name in (FIGURE, NUMBERS, REPORT) if (folder / name).exists()]):
        raise OutputError(f"{folder / old[0]} exists; pass `force=True` to replace it, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}; choose another") from None


def write(folder: Path, told: Told, found: Findings, seconds: float, *, force: bool) -> Path:
    """Writes the files of a lesson, the pictures it made beside them, and gives the report's place."""
    numbers = numbers_of(told, found, seconds)
    files = {folder / name: png(image) for name, image in found.made.items()}
    files |= {
        folder / FIGURE: png(found.figure),
        folder / NUMBERS: (json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        folder / REPORT: page(told, found, seconds).encode(),
    }
    atomic_write_all(files, force=force, inputs=inputs_of(told.options))
    return folder / REPORT


def inputs_of(options: Mapping[str, Any]) -> list[str]:
    """The files that a lesson reads, which are never overwritten."""
    named = [options.get(name) for name in INPUTS]
    listed = [value if isinstance(value, tuple | list) else [value] for value in named if value is not None]
    return [str(path) for paths in listed for path in paths]


def numbers_of(told: Told, found: Findings, seconds: float) -> dict[str, Any]:
    """All that was asked and measured, as plain data; what is no number becomes a text, as JSON has no infinity."""
    session = told.session
    asked = {name: value for name, value in told.options.items() if value is not None}
    known: dict[str, Any] = plain(
        {
            "lesson": told.lesson.name, "version": __version__, "seed": session.seed, "full": session.full,
            "model": session.model, "options": asked, "command": told.command, "seconds": round(seconds, 2),
            "done": found.done, "table": found.table, **found.numbers,
        }
    )  # fmt: skip
    return known


def plain(value: Any) -> Any:
    """Data that JSON holds."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def png(image: Image) -> bytes:
    """A picture as the bytes of a PNG."""
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def page(told: Told, found: Findings, seconds: float) -> str:
    """The report: one page that needs no network."""
    columns = list(dict.fromkeys(key for row in found.table for key in row))
    return rendered(
        "report.html.jinja",
        lesson=told.lesson,
        formula=formulas(told.lesson.formula),
        figure=data_url(png(found.figure)),
        columns=columns,
        rows=[[shown(row.get(column, "")) for column in columns] for row in found.table],
        says=found.says,
        command=told.command,
        about=about(told.session, seconds),
        done=found.done,
    )


def about(session: Session, seconds: float) -> str:
    """How an experiment was run, in a line."""
    model = f"model {session.model}, " if session.model else ""
    thorough = "--full" if session.full else "--quick"
    return f"{model}seed {session.seed}, {thorough}, {seconds:.0f} s, diffusion-tricks {__version__}"


def shown(value: Any) -> str:
    """A number as a table shows it: four digits that matter."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if math.isfinite(value) else "\u221e" if value > 0 else str(value)


def rendered(template: str, **values: Any) -> str:
    """A template with its values; all text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return made.get_template(template).render(**values)


def data_url(data: bytes, kind: str = "image/png") -> str:
    """Bytes as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def formulas(lines: Iterable[str]) -> list[str]:
    """Lines of mathematics as pictures in SVG, drawn by matplotlib."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    drawn = []
    for line in lines:
        data = io.BytesIO()
        math_to_image(f"${line}$", data, FontProperties(size=16), format="svg")
        drawn.append(data_url(data.getvalue(), "image/svg+xml"))
    return drawn
