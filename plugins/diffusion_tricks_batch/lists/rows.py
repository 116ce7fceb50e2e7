"""What a list of jobs says, row by row, and the recipe that all of them begin with. No torch here.

By the ending of its name a source is

    .jsonl, .ndjson, -   a job in each line; the first may be {"base": {...}} or {"base": "recipe.toml"}
    .csv, .tsv           a job in each row, below their names; commas, semicolons or tabs; an empty cell says nothing
    .toml                a job in each [[job]]; what else stands there is of all jobs, and so is a `base`
    .json                a list of jobs
    .toml, .json         a recipe; so is the record of a picture
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from diffusion_tricks.plugin import (
    DiffusionTricksError,
    OutputError,
    RecipeError,
    UsageError,
    format_of,
    mapped,
    object_in,
    read_record,
    recipe_from,
)
from diffusion_tricks_batch.lists.cells import RECIPE_KEYS, cell
from diffusion_tricks_batch.lists.places import places

STDIN = "-"
LINES = {".jsonl", ".ndjson", ""}
TABLES = {".csv": ",;\t", ".tsv": "\t"}  # what may stand between cells
BASE, JOBS, NEARLY_JOBS = "base", "job", "jobs"
WITH_PATHS = ("picture", "lora", "tricks", "model", "upscaler")
BOM = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
EXPECTED = (
    "expected a list of jobs (.jsonl, .csv, .toml, or - for standard input), a recipe (.toml, .json) or a picture"
)


@dataclass(frozen=True)
class Base:
    """What all jobs begin with: a recipe's data, with more fields beside it, and the folder that paths start at."""

    data: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(frozen=True)
class Row:
    """What one job says, and where; or why it cannot be read. data: an object, or a line of JSON."""

    data: Mapping[str, Any] | str | DiffusionTricksError
    where: str


def read_rows(source: str | None, stream: IO[str] | None = None) -> tuple[Base, list[Row] | None]:
    """What a list of jobs says; of a recipe alone, or of no source, there are no rows.

    stream: instead of standard input. Raises UsageError for what cannot be read, and for a list that is empty.
    """
    if source is None:
        return Base(), None
    path = Path(source)
    ending = path.suffix.lower()
    if source == STDIN:
        base, rows = of_lines(stream or _standard_input(), "standard input", Path())
    elif ending in LINES:
        base, rows = of_lines(_text(path, "surrogateescape").split("\n"), source, path.parent)
    elif ending in TABLES:
        base, rows = Base({}, path.parent), list(of_table(_text(path), source, TABLES[ending]))
    elif ending in {".toml", ".json"}:
        said = _text(path)
        said = f'{{"{JOBS}": {said}}}' if ending == ".json" and said.lstrip().startswith("[") else said
        return _of_object(object_in(said, source, RecipeError, form=ending[1:].upper()), source, path.parent)
    else:
        return _of_picture(path), None
    return base, _some(rows, source)


def _some(rows: list[Row], source: str) -> list[Row]:
    if not rows:
        raise UsageError(f'{source} holds no jobs; expected such as {{"id": "j1", "prompt": "a rabbit", "seed": 1}}')
    return rows


def _standard_input() -> Iterator[str]:
    """Its lines; bytes that are no text are told where they stand."""
    return (line.decode("utf-8", "surrogateescape") for line in sys.stdin.buffer)


def _text(path: Path, errors: str = "strict") -> str:
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig", "strict" if data.startswith(UTF_16) else errors)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}); save it as such"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {why}; {EXPECTED}") from None


def of_lines(lines: Iterable[str], source: str, folder: Path) -> tuple[Base, list[Row]]:
    """A job in each line of JSON, but for a base in the first; empty lines say nothing."""
    rows = list(said_in(lines, source))
    data = base_in(rows[0].data) if rows else None
    return (Base({}, folder), rows) if data is None else (base_of(data, source, folder), rows[1:])


def said_in(lines: Iterable[str], source: str) -> Iterator[Row]:
    """Each line that is not empty, and where it stands."""
    for number, line in enumerate(lines, 1):
        if said := line.removeprefix(BOM).strip():
            yield Row(said, f"line {number} of {source}")


def base_in(line: Any) -> Any:
    """What a line says that all jobs begin with, None where it is a job."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said[BASE] if isinstance(said, dict) and [*said] == [BASE] else None


def base_of(said: Any, where: str, folder: Path) -> Base:
    """A base from its own data, or from the file that it names. Raises RecipeError for one that is no recipe."""
    if isinstance(said, str):
        try:
            other, rows = read_rows(str(folder / said))
        except RecursionError:
            raise RecipeError(f"{where}: the base {said!r} begins with itself; name another") from None
        if rows is not None:
            raise RecipeError(f"{where}: the base {said!r} is a list of jobs, expected a recipe")
        return Base(_moved(other, folder, said), folder)
    if not isinstance(said, dict):
        raise RecipeError(f"{where}: expected a recipe, or the name of its file, as `base`, got {said!r}")
    return checked(Base(said, folder), where)


def checked(base: Base, where: str) -> Base:
    """The base itself. Raises RecipeError for what no job could mend: values that do not fit, but for those that hold
    a variable."""
    if "id" in base.data:
        raise RecipeError(f"{where}: an `id` is of one job, and this is what all begin with; leave it out")
    fixed = {key: value for key, value in base.data.items() if key in RECIPE_KEYS and not any(places(_said(value)))}
    recipe_from(fixed, where)
    return base


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _moved(base: Base, folder: Path, where: str) -> dict[str, Any]:
    """The data of a base whose paths start at another folder than its own."""
    between = Path(where).parent
    if between == Path():
        return dict(base.data)

    def moved(path: str) -> str:
        return (between / path).as_posix()

    recipe = mapped(recipe_from({k: v for k, v in base.data.items() if k in WITH_PATHS}, where), moved,
                    beside=base.folder)  # fmt: skip
    within = Path(os.path.normpath(between / str(base.data.get("folder") or "."))).as_posix()
    kept = {key: value for key, value in base.data.items() if key != "folder"}
    data = {
        **kept,
        **({"folder": within} if within.startswith("..") else {}),
        **{key: value for key, value in recipe.data().items() if key in base.data},
    }
    for key in {"model", "upscaler"} & data.keys():
        named = data[key]
        data[key] = [_there(one, base.folder, moved) for one in named] if isinstance(named, list) else (
            _there(named, base.folder, moved))  # fmt: skip
    return data


def _there(model: str, folder: Path, moved: Any) -> str:
    """A model that is a directory or a file beside a base, as from another folder; others go by their names."""
    return f"./{moved(model)}" if model.startswith(".") or (folder / model).exists() else model


def _of_object(said: dict[str, Any], source: str, folder: Path) -> tuple[Base, list[Row] | None]:
    """A recipe, or a list of jobs in TOML and what they begin with."""
    if isinstance(near := said.get(NEARLY_JOBS), list) and all(isinstance(job, dict) for job in near):
        raise RecipeError(f"{source}: expected each job as [[{JOBS}]], got [[{NEARLY_JOBS}]]")
    if JOBS not in said:
        return _whole(said, source, folder), None
    jobs = said.pop(JOBS)
    if not isinstance(jobs, list):
        raise RecipeError(f"{source}: expected each job as [[{JOBS}]], got {_said(jobs)[:80]}")
    rows = [Row(_plain(job), f"job {number} of {source}") for number, job in enumerate(jobs, 1)]
    return _whole(said, source, folder), _some(rows, source)


def _whole(said: dict[str, Any], source: str, folder: Path) -> Base:
    """The base that a file is, which may itself begin with another."""
    under = base_of(said.pop(BASE), source, folder).data if BASE in said else {}
    return checked(Base({**under, **_plain(said)}, folder), source)


def _plain(value: Any) -> Any:
    """The same with the dates and times of TOML as texts."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float) else str(value)


def _of_picture(path: Path) -> Base:
    try:
        format_of(path)
    except OutputError:
        raise UsageError(f"{path}: {EXPECTED}, got {path.suffix!r}") from None
    return Base(read_record(path)["recipe"], path.parent)


def of_table(text: str, source: str, between: str = TABLES[".csv"]) -> Iterator[Row]:
    """A job in each row of a table. Raises UsageError for names of columns that are none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_between(text, between), strict=True)
    names: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = UsageError(f"expected a row of CSV: {error}; a quote within a cell is written twice")
            if names is None:
                raise UsageError(f"line {line} of {source}: {problem}") from None
            yield Row(problem, f"line {line} of {source}")
            cells = []
        if cells is None:
            return
        if any(one.strip() for one in cells):
            if names is None:
                names = _columns(cells, source)
            else:
                yield Row(_of_cells(names, cells), f"line {line} of {source}")
        line = reader.line_num + 1


def _between(text: str, known: str) -> str:
    """What stands between the cells: the most frequent of what may, in the first row."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(known, key=first.count)


def _columns(cells: list[str], source: str) -> list[str]:
    names = [name.strip() for name in cells]
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UsageError(f"{source} has two columns {twice!r}; keep one of them")
    return names


def _of_cells(names: list[str], cells: list[str]) -> dict[str, Any] | UsageError:
    """What a row says of each column; empty cells say nothing."""
    if len(cells) > len(names):
        return UsageError(f"expected {len(names)} cells, as there are columns, got {len(cells)}; put what holds a comma"
                          " into quotes")  # fmt: skip
    said = {name: one for name, one in zip(names, cells, strict=False) if one.strip()}
    if "" in said:
        return UsageError(f"the cell {said['']!r} stands in a column without a name; give it one in the first line")
    return {name: cell(name, one) for name, one in said.items()}
