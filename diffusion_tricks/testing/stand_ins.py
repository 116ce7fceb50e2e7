"""Values that fit options which must be told some, so that a trick or a view can be made to be tried."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from PIL import Image
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from diffusion_tricks.registry.options import hint

TEXT = "a test"
SIDE = 16  # pixels, as many as the tiny model makes
LIMITS = ("ge", "gt", "le", "lt")


class NoValue(Exception):
    """There is no value at hand for an option; the message says which."""


@contextmanager
def values_for(options: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """A value for every option that has no default; a picture stands in a folder for as long as the `with` lasts.

    Raises NoValue for one of a kind that cannot be guessed.
    """
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        needed = {name: f for name, f in options.model_fields.items() if f.is_required()}
        if any(hint(field, "path") for field in needed.values()):
            Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(picture)
        yield {name: _value(name, field, str(picture)) for name, field in needed.items()}


def _value(name: str, field: FieldInfo, picture: str) -> Any:
    path = hint(field, "path")
    if path == "model":
        raise NoValue(f"its option {name!r} names a model")
    try:
        return _of(field.annotation, field.metadata, picture if path else TEXT)
    except NoValue:
        raise NoValue(f"there is no value at hand for its option {name!r}") from None


def _of(kind: Any, limits: Sequence[Any], text: str) -> Any:
    """A value of a type, within limits."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _of(parts[0], [*limits, *parts[1:]], text)
    if origin in (Union, types.UnionType):
        return _of(next(part for part in parts if part is not type(None)), limits, text)
    if origin is Literal:
        return parts[0]
    if origin is list:
        return [_of(parts[0], (), text), _of(parts[0], (), text)]
    if origin is tuple:
        return tuple(_of(part, (), text) for part in parts if part is not Ellipsis)
    if kind in (int, float):
        return _number(kind, limits)
    if kind in (str, bool):
        return text if kind is str else True
    raise NoValue(str(kind))


def _number(kind: type, limits: Sequence[Any]) -> float:
    """One that lies within the limits: in their middle, or next to the only one, or 1."""
    said = {name: getattr(one, name) for one in limits for name in LIMITS if getattr(one, name, None) is not None}
    least, most = said.get("ge", said.get("gt")), said.get("le", said.get("lt"))
    if least is not None and most is not None:
        middle: float = kind((least + most) / 2)
        return middle
    if least is not None:
        return kind(least + 1)  # type: ignore[no-any-return]
    return kind(most - 1) if most is not None else kind(1)  # type: ignore[no-any-return]
