"""What a trick's options are made of: pydantic fields that also say how the command line shows them.

No torch here: the command line reads options to draw its help.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from diffusion_tricks.io.foreign import NO_NAME, NO_TEXT
from diffusion_tricks.registry.checked import Checked

Share = Annotated[float, Field(ge=0, le=1)]  # of a whole
MAX_TEXT = 10_000  # characters; encoders of text take a tenth of it, pages of print some thousands
Change = Callable[[str], str]  # of a path
Marked = bool | tuple[str, ...] | Literal["model"] | Callable[[str, Change], str]  # see `option`


class TrickOptions(Checked):
    """The options of a trick. Unknown options are errors; values cannot be changed once set.

    Raises UsageError for options that do not fit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _paths_as_text(cls, data: Any) -> Any:
        """Recipes hold paths as text; scripts may give `pathlib.Path`."""
        if not isinstance(data, dict):
            return data
        check_texts(data, names=_that_are_paths(cls))
        return {key: _paths_as_text(value) for key, value in data.items()}

    @model_validator(mode="after")
    def _heeded(self) -> Self:
        """Nothing is said of what is not there: see `needs` of `option`."""
        fields = type(self).model_fields
        said = {name for name, field in fields.items() if getattr(self, name) != field.default}
        for name in sorted(said & self.model_fields_set):
            needs = hint(fields[name], "needs") or ()
            if needs and not said.intersection(needs):
                others = " or ".join(f"`{other}`" for other in needs)
                raise ValueError(f"`{name}` is of no use without {others}; give that as well, or leave it out")
        return self


@cache
def _that_are_paths(options: type[TrickOptions]) -> frozenset[str]:
    """The options that are marked with `path`."""
    return frozenset(name for name, field in options.model_fields.items() if hint(field, "path"))


def _paths_as_text(value: Any) -> Any:
    """A path as text, also within lists and tuples."""
    if isinstance(value, list | tuple):
        return type(value)(map(_paths_as_text, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_texts(data: Mapping[str, Any], names: Collection[str] = ()) -> None:
    """Raises ValueError for plain data with a text in it that no one can mean: too long, or no text at all.

    names: keys of what may be a file's name, which may have bytes that are no text in UTF-8.
    """
    for key, value in data.items():
        _check_texts(value, NO_NAME if key in names else NO_TEXT)


def _check_texts(data: Any, none: re.Pattern[str]) -> None:
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ValueError(
                f"expected texts of at most {MAX_TEXT:,} characters, got one of {len(value):,} that begins "
                f"{value[:20]!r}; shorten it"
            )
        if isinstance(value, str) and (odd := none.search(value)):
            raise ValueError(f"expected text, got {value[:40]!a}, where {odd[0]!a} is none; write it in UTF-8")
        if isinstance(value, dict | list | tuple):
            left.extend(value.values() if isinstance(value, dict) else value)


def option(
    default: Any = ..., help: str = "", *, flag: str = "", path: Marked = False, needs: Sequence[str] = (),
    **limits: Any,
) -> Any:  # fmt: skip
    """An option of the command line, `--name-of-the-field VALUE` unless `flag` says another name.

    A `bool` field becomes a flag, a `list` field may be given many times, a `tuple` takes as many values as it
    has parts, a `Literal` becomes a choice. `path` marks a file that is read: recipes keep it relative to
    themselves. It is True; or, where a value may be something else, the suffixes of such files, as of fonts: a path is
    then only what has one of them, or a separator. Where paths stand within a text, it is a function that gives the
    text with a change made to each of them: `path(text, change)`.
    "model" marks a directory of weights or a hub name. Of a `tuple` it is said of the first part. `needs` names other
    options, of which one must be given for this one to act.
    `limits` go to `pydantic.Field` (`ge`, `le`, ...).
    """
    return _field("option", default, help, flag, path, limits, needs)


def argument(default: Any = ..., help: str = "", *, path: Marked = False, **limits: Any) -> Any:
    """A positional argument of the command line; a `list` field takes all that are left."""
    return _field("argument", default, help, "", path, limits)


def _field(
    cli: str, default: Any, help: str, flag: str, path: Marked, limits: dict[str, Any], needs: Sequence[str] = ()
) -> Any:  # fmt: skip
    marked = list(path) if isinstance(path, tuple) else path
    hints: dict[str, Any] = {"cli": cli, "flag": flag, "path": marked, "needs": list(needs)}
    return Field(default, description=help, json_schema_extra=hints, **limits)


def hint(field: FieldInfo, key: str) -> Any:
    """What `option` or `argument` noted on a field: `cli`, `flag` or `path`."""
    extra = field.json_schema_extra
    return extra.get(key) if isinstance(extra, dict) else None
