"""What people make from keywords: values that do not fit are refused in the project's own words. No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from diffusion_tricks.errors import UsageError

# type of pydantic's finding: how it is said here, with its own context
SAID = {
    "float_parsing": "expected a number", "float_type": "expected a number",
    "int_parsing": "expected a whole number", "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "greater_than": "expected a number above {gt}", "greater_than_equal": "expected at least {ge}",
    "less_than": "expected a number below {lt}", "less_than_equal": "expected at most {le}",
    "list_type": "expected a list", "tuple_type": "expected a list",
}  # fmt: skip


class Checked(BaseModel):
    """A pydantic model that is made from keywords, and raises `_refusal` for those that do not fit.

    Where pydantic makes it itself, by `model_validate` or within another model, pydantic's own ValidationError tells
    where in the whole it failed. _called: what it is, for messages; {} stands for its class.
    """

    _refusal: ClassVar[type[UsageError]] = UsageError
    _called: ClassVar[str] = "{}"

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            kind = type(self)
            raise kind._refusal(f"{kind._called.format(kind.__name__)}: {explain(error, kind.model_fields)}") from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic then validates past it, see above


def explain(error: ValidationError, known: Collection[str] = ()) -> str:
    """pydantic's findings in one line: where, what was expected, what came.

    known: the keys that there are, of which the nearest is offered for one that is not there.
    """
    rows = []
    for row in error.errors(include_url=False):
        where = ".".join(str(part) for part in row["loc"])
        limits = {key: _plain(value) for key, value in row.get("ctx", {}).items()}
        said = SAID.get(row["type"])
        message = said.format(**limits) if said else row["msg"].removeprefix("Value error, ")
        came = "" if row["type"] in {"missing", "value_error"} else f", got {_shortened(repr(row['input']))}"
        advice = _instead(where, known) if row["type"] == "extra_forbidden" and len(row["loc"]) == 1 else ""
        rows.append(f"{where}: {message}{came}{advice}" if where else f"{message}{advice}")
    return "; ".join(rows)


def _plain(limit: Any) -> Any:
    """1 for 1.0."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _shortened(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _instead(key: str, known: Collection[str]) -> str:
    if not known:
        return ""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(sorted(known))}"
