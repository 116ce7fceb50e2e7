"""Things that a text names with their parameters, as `patches:8,seed=3`. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.checked import explain

M = TypeVar("M", bound=BaseModel)


def from_words(what: str, text: str, find: Callable[[str], type[M]]) -> M:
    """The thing that `name:value,...,parameter=value,...` stands for: its fields, in order or by name.

    what: the kind of thing, for messages. find: the class that goes by a name. Raises UsageError for parameters that it
    does not take or lacks, and what `find` raises.
    """
    name, _, rest = text.partition(":")
    kind = find(name.strip())
    parameters = _parameters(kind, f"{what} {name!r}", [part.strip() for part in rest.split(",") if part.strip()])
    if missing := [key for key, one in kind.model_fields.items() if one.is_required() and key not in parameters]:
        raise UsageError(f"{what} {name!r} needs {', '.join(missing)}; expected {name}:{','.join(missing).upper()}")
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        raise UsageError(f"{what} {text!r}: {explain(error)}") from None


def _parameters(kind: type[BaseModel], called: str, parts: list[str]) -> dict[str, Any]:
    names = list(kind.model_fields)
    found: dict[str, Any] = {}
    for i, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if not equals and i >= len(names):
            takes = f"{len(names)} parameters ({', '.join(names)})" if names else "no parameters"
            raise UsageError(f"{called} takes {takes}, got {len(parts)}")
        key, value = (key.strip(), value.strip()) if equals else (names[i], part)
        if key in found:
            raise UsageError(f"{called}: parameter {key!r} is given twice, as {found[key]!r} and {value!r}")
        if key not in names:
            raise UsageError(f"{called} has no parameter {key!r}; it takes: {', '.join(names) or 'none'}")
        found[key] = value
    return found
