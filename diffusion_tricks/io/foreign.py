"""Structured data that others wrote: JSON, TOML and the heads of safetensors, read by one set of rules.

A regular file of a limited size, in UTF-8, with an object at its top, no deeper than `DEEPEST`, with numbers that are
some, and no name twice in one object. What breaks a rule is the error that the caller names: file, what was expected,
what came.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.io.reading import MOST, Unreadable, read_text

DEEPEST = 64  # objects and lists within each other
BITS = 128  # of an integer; vocabularies say 10^30 for "no limit"
MAX_HEAD = 100_000_000  # bytes; the limit that safetensors itself sets
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what no text holds, though JSON can spell it
NO_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # what no name of a file holds; the others stand for bytes


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which json itself would keep the last of several values. Raises ValueError for such."""
    said = dict(pairs)
    if len(said) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:80]!r} stands twice in one object; keep one of them")
    return said


READERS: dict[str, Callable[[str], Any]] = {"JSON": partial(json.loads, object_pairs_hook=_once), "TOML": tomllib.loads}

Raises = type[DiffusionTricksError]


def read_object(
    file: Path, raises: Raises, *, called: str = "", form: str = "", libraries: bool = False
) -> dict[str, Any]:
    """What a file of JSON or TOML says: by its ending, or as `form` says.

    called: what the file is, put before its name in messages. libraries: whether it is of those that diffusers and
    transformers write, which know infinities, and texts that are none.
    """
    where = f"{called} {file}".strip()
    form = form or ("TOML" if file.suffix.lower() == ".toml" else "JSON")
    try:
        text = read_text(file, MOST)
    except Unreadable as error:
        raise raises(f"{where} {error}; expected {form}") from None
    return object_in(text, where, raises, form=form, libraries=libraries)


def object_in(text: str, where: str, raises: Raises, *, form: str = "JSON", libraries: bool = False) -> dict[str, Any]:
    """What a text of JSON or TOML says; see `read_object`. where: what messages begin with."""
    try:
        said = READERS[form](text)
    except RecursionError:
        raise raises(f"{where} is not valid {form}: it is nested too deeply") from None
    except ValueError as error:
        raise raises(f"{where} is not valid {form}: {error}") from None
    if not isinstance(said, dict):
        raise raises(f"{where} holds {_kind(said)}, expected an object: names and what they stand for")
    if wrong := next(_wrong(said, libraries), None):
        raise raises(f"{where} {wrong}")
    return said


def read_head(file: Path, raises: Raises) -> dict[str, dict[str, Any]]:
    """The entries of a file of safetensors by name, without its metadata: `dtype`, `shape`, `data_offsets`."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            text = opened.read(length).decode("utf-8") if length <= MAX_HEAD else ""
    except (OSError, UnicodeDecodeError) as error:
        raise raises(f"{file} cannot be read as safetensors: {error}") from None
    head = object_in(text, f"the head of {file}", raises, libraries=True)
    head.pop("__metadata__", None)
    if odd := next((name for name, entry in head.items() if not _is_entry(entry)), None):
        raise raises(f"{file} is not safetensors, or it is damaged: expected a shape of {odd!r}; fetch it again")
    return head


def _is_entry(entry: Any) -> bool:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    return isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)


def _wrong(top: Any, libraries: bool) -> Iterator[str]:
    """What breaks the rules, and where; without recursion, as the data may be deeper than the stack."""
    left = [("", top, 1)]
    while left:
        place, holder, depth = left.pop()
        if depth > DEEPEST:
            yield f"is nested more than {DEEPEST} deep, which is no file of this kind"
            return
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            inside = f"{place}.{key}" if place else str(key)
            if isinstance(value, dict | list):
                left.append((inside, value, depth + 1))
            elif why := _odd(value, libraries) or _odd(key, libraries):
                yield f"holds {why} as its {inside[:80]!r}"


def _odd(value: Any, libraries: bool) -> str | None:
    if isinstance(value, int) and value.bit_length() > BITS:
        return f"a number of more than {BITS} bits"
    if isinstance(value, float) and not (math.isfinite(value) or (libraries and math.isinf(value))):
        return f"{value}, which is no number,"
    if isinstance(value, str) and not libraries and NO_TEXT.search(value):
        return f"a text that is none ({value[:40]!a})"
    return None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
