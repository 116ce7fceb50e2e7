"""What a text of a table or of a grid stands for: the numbers, lists and JSON of a recipe. No torch here.

What cannot be read stays a text, which the recipe then refuses in its own words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from diffusion_tricks import Recipe

RECIPE_KEYS = {*Recipe.model_fields, "$schema"}
TEXTS = {"model", "prompt", "negative", "picture", "scheduler", "upscale_scheduler", "folder", "$schema"}
SIZE = re.compile(r"([0-9]{1,9})(?:x([0-9]{1,9}))?")
SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
MOST_SEEDS = 100_000


def cell(key: str, text: Any) -> Any:
    """The value of a field that a text says; what is no text is one already.

    One that is no key of a recipe is a number where its text is just how that is written, so that 007 stays 007.
    """
    if not isinstance(text, str) or (key in TEXTS and key != "prompt"):
        return text
    if key not in RECIPE_KEYS:
        return text if key == "id" or str(number(text)) != text else number(text)
    readers: dict[str, Callable[[str], Any]] = {
        "prompt": prompts, "tricks": structured, "size": size, "seed": seeds, "lora": listed, "upscaler": listed,
    }  # fmt: skip
    return readers.get(key, number)(text)


def of_option(annotation: Any, text: Any) -> Any:
    """The value of a trick's option that a text says, by the type of the option."""
    kinds = set(_kinds(annotation))
    if not isinstance(text, str) or kinds <= {str, type(None)}:
        return text
    said = structured(text)
    if said is not text:
        return said
    if list in kinds:
        return [text]
    if bool in kinds and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return number(text) if kinds & {int, float} and str not in kinds else text


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a type is a choice of."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    else:
        yield str if origin is Literal else origin or annotation


def number(text: str) -> Any:
    """A whole number or another one."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def structured(text: str) -> Any:
    """The list or the object that a text says in JSON."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def prompts(text: str) -> Any:
    """The texts of a list in JSON."""
    said = structured(text)
    return said if isinstance(said, list) and all(isinstance(one, str) for one in said) else text


def size(text: str) -> Any:
    """`64`, `64x48` or `[64, 48]`, in pixels."""
    found = SIZE.fullmatch(text.strip())
    return [int(found[1]), int(found[2] or found[1])] if found else structured(text)


def seeds(text: str) -> Any:
    """`3`, several as `1-8,20`, or a list."""
    found: list[int] = []
    for part in text.split(","):
        match = SEEDS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or len(found) + last - first >= MOST_SEEDS:
            return structured(text)
        found += range(first, last + 1)
    return found if len(found) > 1 else found[0]


def listed(text: str) -> Any:
    """A list in JSON, or of this text alone."""
    said = structured(text)
    return [text] if said is text else said
