"""A grid: `seed=0-99`, `guidance=3,5,7`, `prompt=@prompts.txt`, and every combination of such values. No torch here.

Values are numbers from:to:by, the last one included, or a list with commas; whole numbers may be first-last. In a list
with a | between its values, or in quotes, commas are of the values; a list may be of JSON; `@list.txt` holds a value in
each line, `@list.jsonl` one in JSON. Quotes also keep 1-5 a text. The values of `prompt` and of other texts of a recipe
are never numbers.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import UsageError, range_in
from diffusion_tricks_batch.lists.cells import TEXTS, cell
from diffusion_tricks_batch.lists.places import plain, slug

LIST = "@"  # before the name of a list; `@-` is one from standard input
FORM = "a grid is such as seed=0-99, guidance=3,5,7 or prompt=@prompts.txt"
QUOTED = re.compile(r'"(?:[^"]|"")*"')
JSON_LINES = (".jsonl", ".ndjson")
LONGEST = 60  # characters of a value in the name of a job
MOST = 1_000_000  # jobs of a grid


@dataclass(frozen=True)
class Axis:
    """A field of jobs and its values, as a job of a list would say them."""

    name: str
    values: tuple[Any, ...]

    @property
    def labels(self) -> list[str]:
        """What each value adds to the name of a job: itself, or its place where that would be long or ambiguous."""
        word = re.sub(r"\W", "_", self.name)
        said = [_label(self.name, value) for value in self.values]
        if None in said or len(set(said)) < len(said):
            said = list(map(str, range(len(said))))
        return [f"{word}-{one}" for one in said]


def _label(name: str, value: Any) -> str | None:
    """A value in the name of a job, None for one that is no word."""
    if isinstance(value, list) and all(type(side) is int for side in value):
        return ("x" if name == "size" else "_").join(map(str, value))
    if isinstance(value, int | float):
        return plain(value)
    return slug(value) if isinstance(value, str) and len(value) <= LONGEST else None


def axis_from(said: str) -> Axis:
    """The axis of `NAME=VALUES`. Raises UsageError for what is none, and for a value that stands twice."""
    name, equals, text = said.partition("=")
    name, text = name.strip().replace("-", "_"), text.strip()
    if not name or not equals or not text:
        raise UsageError(f"{FORM}, got {said!r}")
    if name == "id":
        raise UsageError("a grid makes its ids itself, of its values; leave the axis `id` out")
    values = tuple(_of_list(name, text[1:]) if text.startswith(LIST) else _values(name, text))
    seen: set[str] = set()
    for value in values:
        key = json.dumps(value, sort_keys=True)
        if key in seen:
            raise UsageError(f"the grid {said!r} names {plain(value)} twice; name each value once")
        seen.add(key)
    return Axis(name, values)


def size_of(axes: Sequence[Axis]) -> int:
    """How many combinations there are. Raises UsageError for more than a million, and for two axes of one name."""
    for i, axis in enumerate(axes):
        if axis.name in (other.name for other in axes[:i]):
            raise UsageError(f"the grid has two axes {axis.name!r}; put all of its values into one list")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST:
        each = " x ".join(f"{len(axis.values):,} of {axis.name}" for axis in axes)
        raise UsageError(f"the grid has {count:,} jobs ({each}), expected at most {MOST:,}; run it in parts")
    return count


def combined(axes: Sequence[Axis]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each combination of values, the last axis fastest, and what it is called. Raises UsageError as `size_of`."""
    size_of(axes)
    labelled = [list(zip(axis.values, axis.labels, strict=True)) for axis in axes]
    for chosen in itertools.product(*labelled):
        values = {axis.name: value for axis, (value, _) in zip(axes, chosen, strict=True)}
        yield values, "-".join(label for _, label in chosen)


def _values(name: str, text: str) -> Iterator[Any]:
    """The values of a list, each as a job of a list would say it."""
    if (listed := _in_json(text)) is not None:
        yield from listed
        return
    for part, quoted in _parts(text):
        if not part and not quoted:
            raise UsageError(f"the grid {name}={text!r} holds an empty value; expected such as 3,5,7")
        if quoted or name in TEXTS:
            yield cell(name, part)
        elif (numbers := range_in(part, f"the grid of {name}", MOST)) is not None:
            yield from (cell(name, number) for number in numbers)
        else:
            yield cell(name, part)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a list, and whether each was in quotes."""
    between = r"\|" if "|" in QUOTED.sub("", text) else ","
    part = re.compile(rf'\s*(?:"((?:[^"]|"")*)"|([^{between}]*?))\s*({between}|$)')
    place, more = 0, True
    while more:
        found = part.match(text, place)
        assert found  # the second form takes anything
        place, more = found.end(), bool(found[3])
        yield (found[2], False) if found[1] is None else (found[1].replace('""', '"'), True)


def _in_json(text: str) -> list[Any] | None:
    """The values of a list that is of JSON; None where it is not, as a prompt that begins with a bracket."""
    if not text.startswith(("[", "{")):
        return None
    try:
        said: list[Any] = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        return None
    return said


def _of_list(name: str, file: str) -> Iterator[Any]:
    """A value in each line of a file, as from the current folder; empty lines and # lines say nothing."""
    lines = [(number, line.strip()) for number, line in enumerate(_lines(file), 1)]
    said = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not said:
        raise UsageError(f"{LIST}{file} holds no value of {name}; expected one in each line")
    for number, line in said:
        yield _line(line, f"line {number} of {LIST}{file}") if file.endswith(JSON_LINES) else cell(name, line)


def _line(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: expected a value in JSON, got {line[:80]!r} ({error})") from None


def _lines(name: str) -> list[str]:
    try:
        return (sys.stdin.read() if name == "-" else Path(name).read_text("utf-8-sig")).split("\n")
    except UnicodeDecodeError:
        raise UsageError(f"{LIST}{name} is no text in UTF-8; expected a value in each line") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{LIST}{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
