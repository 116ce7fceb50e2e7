"""Which pairs are tried: shipped sets, files, standard input, or all pairs of a vocabulary. No torch here."""

from __future__ import annotations

import csv
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import UnknownName, UsageError

if TYPE_CHECKING:
    from diffusion_tricks import Model

Pair = tuple[str, str]
SETS = Path(__file__).parent / "pairs"
PREFIX = "pairs:"
VOCABULARY = "vocabulary"
FORM = 'expected two prompts a line, as in "a rabbit | a duck"'


def pairs_of(source: str, model: Model | None = None) -> list[Pair]:
    """The pairs of `pairs:NAME`, of a file (.txt, .csv, .toml), of standard input ("-"), or of `vocabulary`.

    model: what `vocabulary` is of. Raises UsageError for what cannot be read or holds no pairs, and UnknownName for a
    set that does not ship.
    """
    if source == VOCABULARY:
        return pairs_of_vocabulary(model)
    if source == "-":
        return from_lines(sys.stdin.read().splitlines(), "the standard input")
    path = _shipped(source.removeprefix(PREFIX)) if source.startswith(PREFIX) else Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(
            f"pairs cannot be read from {source!r}: {why}; expected a file, pairs:easy, {VOCABULARY} or -"
        ) from None
    return _from_toml(text, source) if path.suffix == ".toml" else from_lines(text.splitlines(), source)


def sets() -> list[str]:
    """The names of the sets that ship."""
    return sorted(path.stem for path in SETS.glob("*.txt"))


def _shipped(name: str) -> Path:
    if name not in sets():
        raise UnknownName("set of pairs", name, sets())
    return SETS / f"{name}.txt"


def from_lines(lines: Iterable[str], source: str) -> list[Pair]:
    """The pairs of lines of two prompts with "|" between them, or of CSV; empty lines and those that begin with # say
    nothing. Raises UsageError that names the line.
    """
    return _some(_each(lines, source), source)


def _each(lines: Iterable[str], source: str) -> Iterator[Pair]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.split("|") if "|" in line else next(csv.reader([line], skipinitialspace=True))
        yield _pair(parts, f"line {number} of {source}")


def _from_toml(text: str, source: str) -> list[Pair]:
    try:
        data: Any = tomllib.loads(text).get("pairs")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is no TOML: {error}") from None
    if not isinstance(data, list):
        raise UsageError(f'{source}: expected `pairs = [["a rabbit", "a duck"], ...]`')
    return _some((_pair(each, f"pair {i} of {source}") for i, each in enumerate(data, 1)), source)


def _pair(parts: Any, where: str) -> Pair:
    said = [part.strip() for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    if len(said) != 2 or len(parts) != 2 or not all(said):
        raise UsageError(f"{where}: {FORM}, got {parts!r}")
    return said[0], said[1]


def _some(pairs: Iterable[Pair], source: str) -> list[Pair]:
    found = list(dict.fromkeys(pairs))
    if not found:
        raise UsageError(f"{source} holds no pairs; {FORM}")
    return found


def pairs_of_vocabulary(model: Model | None) -> list[Pair]:
    """All pairs of the things that a model was taught. Raises UsageError for one that does not say what it was."""
    known: Sequence[str] = list(model.vocabulary.captions) if model is not None and model.vocabulary else []
    if len(known) < 2:
        named = f"the model {model.name!r} does" if model is not None else "there is no model to"
        raise UsageError(f"{named} not say what it was taught; name the pairs, or a file of them")
    return list(combinations(known, 2))
