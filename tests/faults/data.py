"""Recipes and records as strangers may write them: each is carried out, or refused with a sentence."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from faults.harness import OK, USAGE, Case, Harness, spoken

RECIPE: dict[str, Any] = {
    "version": 1, "prompt": ["a rabbit", "a duck"], "negative": "text", "guidance": 7.0, "size": [64, 64], "steps": 2,
    "scheduler": "ddim", "seed": 1, "count": 2, "best_of": 1, "enlarge": 1, "model": "emoji", "upscaler": [],
    "tricks": [
        {"trick": "anagram", "views": [["identity", "a rabbit"], ["rotate_cw", "a duck"]]},
        {"trick": "guidance", "scale": 3.0},
    ],
}  # fmt: skip
RECORD: dict[str, Any] = {
    "record": 1, "recipe": RECIPE | {"count": 1, "prompt": "a"}, "seed": 1, "model": "emoji", "versions": {"a": "1"},
    "plugins": {"b": "2"}, "run": {"device": "cpu", "dtype": "float32", "max_rows": 2},
}  # fmt: skip
DEEP = 100_000
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**64, 10**400, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", "caf\udce9",
    "é" * 300,
    "../up", "/etc/passwd", "~root/x", [], [[]], {}, {"": None}, [None, 3], "\x1b[31m", " ", "a" * 100_000,
)  # fmt: skip
WHOLE = {
    "nothing": b"", "no UTF-8": b"prompt = 'caf\xe9'", "a mark of UTF-16": b"\xff\xfe{\0}\0", "a list": b"[]",
    "a number": b"7", "a text": b'"a"', "null": b"null",
    "deep lists": b'{"prompt": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP, "deep TOML": b"prompt = " + b"[" * DEEP + b"]" * DEEP,
    "a key of many parts": b".".join([b"a"] * 20_000) + b" = 1", "digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "digits of TOML": b"seed = " + b"9" * 5000, "a NUL": b'prompt = "a\0"', "a NUL, escaped": b'{"prompt": "a\\u0000"}',
    "half a pair": b'{"prompt": "\\ud800"}', "no number": b'{"prompt": "a", "guidance": NaN}',
    "no number of TOML": b'prompt = "a"\nguidance = nan', "without end": b'prompt = "a"\nguidance = inf',
    "a name twice": b'{"prompt": "a", "prompt": "b"}',
    "long": b'{"guidance": ' + b"9" * 4000 + b"}",
}  # fmt: skip
RECIPES = Harness(
    "recipes",
    "a recipe of a stranger is planned or refused with a sentence, exit 2",
    30,
    300,
    lambda rng: _recipes(rng),
)
RECORDS = Harness(
    "records", "a record of a stranger is shown and made again, or refused with a sentence, exit 2", 30, 300,
    lambda rng: _records(rng),
)  # fmt: skip


def _recipes(rng: random.Random) -> Iterator[Case]:
    for name, data in WHOLE.items():
        ending = "toml" if "TOML" in name else rng.choice(("toml", "json"))
        yield f"{ending}: {name}", partial(_run, data, ending)
    while True:
        name, changed = mutated(rng, RECIPE)
        yield name, partial(_run, *written(changed, rng.choice(("toml", "json"))))


def _run(data: bytes, ending: str) -> str | None:
    Path(f"r.{ending}").write_bytes(data)
    return spoken("run", f"r.{ending}", "--dry-run", codes=(OK, USAGE))


def _records(rng: random.Random) -> Iterator[Case]:
    for name, data in WHOLE.items():
        yield f"side-car: {name}", partial(_again, data)
    while True:
        name, changed = mutated(rng, RECORD)
        yield name, partial(_again, written(changed, "json")[0])


def _again(data: bytes) -> str | None:
    Image.new("RGB", (8, 8)).save("p.jpg")
    Path("p.jpg.json").write_bytes(data)
    codes = (OK, USAGE)
    return spoken("show", "p.jpg", codes=codes) or spoken("rerun", "p.jpg", "--dry-run", "-o", "a.png", codes=codes)


def written(data: Any, ending: str) -> tuple[bytes, str]:
    """The data as a file, and what its name ends in: what TOML cannot say is JSON."""
    try:
        text = tomli_w.dumps(data) if ending == "toml" else json.dumps(data)
        return text.encode("utf-8"), ending
    except (TypeError, ValueError, AttributeError):
        return json.dumps(data).encode("utf-8"), "json"


def mutated(rng: random.Random, data: Any) -> tuple[str, Any]:
    """The data with something odd in one place, and what was done."""
    copied: Any = json.loads(json.dumps(data))
    spots = list(_spots(copied, copied))
    holder, key = rng.choice(spots)
    how = rng.choice(("odd", "odd", "odd", "removed", "named", "nested"))
    value = rng.choice(ODD)
    if how == "removed":
        del holder[key]
    elif how == "named" and isinstance(holder, dict):
        holder[str(value)] = holder.pop(key)
    elif how == "nested":
        holder[key] = [holder[key]]
    else:
        holder[key] = value
    return f"{key!r} {how} {ascii(value)[:30]}", copied


def _spots(value: Any, top: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in which something stands: what holds it, and its key there."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _spots(value[key], top)
