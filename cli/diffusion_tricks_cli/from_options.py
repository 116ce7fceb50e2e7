"""From a trick's pydantic `Options` to parameters of Click, and from values back to words. No torch here."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from diffusion_tricks.registry.branch import Branch, Prompted
from diffusion_tricks.registry.options import TrickOptions, hint

Kind = click.ParamType[Any]
LIMITS = {"ge": ("min", False), "gt": ("min", True), "le": ("max", False), "lt": ("max", True)}


class Positional(click.Argument):
    """An argument with a line of help."""

    def __init__(self, name: str, note: str = "", **settings: Any):
        super().__init__([name], **settings)
        self.note = note


def parameters(options: type[TrickOptions], prompted: Kind = click.STRING) -> list[click.Parameter]:
    """One Click parameter for each option of a trick: arguments, then what must be said, and its own before inherited.

    prompted: how a prompt is read in whose place tricks may stand.
    """
    made = [_parameter(name, field, prompted) for name, field in options.model_fields.items()]
    own = vars(options).get("__annotations__", {})
    return sorted(made, key=lambda p: (isinstance(p, click.Option), not p.required, p.name not in own))


def _parameter(name: str, field: FieldInfo, prompted: Kind) -> click.Parameter:
    annotation, limits, many = _plain(field.annotation, field.metadata)
    whole = hint(field, "path") and get_origin(annotation) is not tuple
    kind = click.Path() if whole else _type(annotation, limits, prompted)
    help_text = field.description or ""
    if hint(field, "cli") == "argument":
        required = field.is_required()
        return Positional(name, help_text, type=kind, nargs=-1 if many else 1, required=required, default=None)
    flag = "--" + (hint(field, "flag") or name.replace("_", "-"))
    if annotation is bool:
        return _flag(flag, name, field, help_text)
    settings: dict[str, Any] = {"type": kind, "multiple": many, "required": field.is_required(), "help": help_text}
    return click.Option([flag, name], **settings | _default(field) | _metavar(annotation))


def _flag(flag: str, name: str, field: FieldInfo, help_text: str) -> click.Option:
    """`--name`, with `--no-name` beside it where the default is yes, or is neither."""
    both = flag if field.default is False else f"{flag}/--no-{flag.removeprefix('--')}"
    return click.Option([both, name], is_flag=True, default=field.default, help=help_text)


def _default(field: FieldInfo) -> dict[str, Any]:
    default = field.get_default(call_default_factory=True) if not field.is_required() else None
    if default is PydanticUndefined or default is None or default == "" or default == []:
        return {}
    return {"default": default, "show_default": True}


def _metavar(annotation: Any) -> dict[str, Any]:
    """`TEXT TEXT` for a tuple, which Click would put in brackets."""
    if get_origin(annotation) is not tuple:
        return {}
    words = {str: "TEXT", Prompted: "TEXT", int: "INTEGER", float: "NUMBER"}
    return {"metavar": " ".join(words.get(part, "VALUE") for part in get_args(annotation))}


def _plain(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, list[Any], bool]:
    """The annotation without None, Annotated and list; the limits that stood with it; whether it was a list."""
    limits, many = list(metadata), False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *notes = get_args(annotation)
            limits += [m for note in notes for m in (note.metadata if isinstance(note, FieldInfo) else [note])]
        elif origin in {Union, types.UnionType} and len(_without_none(annotation)) == 1:
            annotation = _without_none(annotation)[0]
        elif origin is list and not many:
            annotation, many, limits = get_args(annotation)[0], True, []
        else:
            return annotation, limits, many


def _without_none(annotation: Any) -> list[Any]:
    return [part for part in get_args(annotation) if part is not type(None)]


class NumberOrText(click.ParamType):  # type: ignore[type-arg]
    """A number, or what else the option takes as a text."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, where it is one."""
        try:
            return float(value)
        except ValueError:
            return value


NUMBER_OR_TEXT = NumberOrText()


def _type(annotation: Any, limits: Sequence[Any], prompted: Kind) -> Any:
    """The Click type; what Click has none for is left a text, which pydantic reads."""
    if Branch in get_args(annotation):
        return prompted
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if get_origin(annotation) is tuple:
        return tuple(_type(_plain(part, ())[0], (), prompted) for part in get_args(annotation))
    ranged = _range(limits)
    if annotation is int:
        return click.IntRange(**ranged) if ranged else click.INT
    if annotation is float:
        return click.FloatRange(**ranged) if ranged else click.FLOAT
    return NUMBER_OR_TEXT if set(get_args(annotation)) == {float, str} else click.STRING


def _range(limits: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for limit in limits:
        for key, (side, is_open) in LIMITS.items():
            if (value := getattr(limit, key, None)) is not None:
                found |= {side: value, f"{side}_open": is_open}
    return found


def given(ctx: click.Context, params: Iterable[click.Parameter]) -> dict[str, Any]:
    """What the user said of these parameters, as plain data; defaults are left to whoever reads it."""
    said = (p.name for p in params if ctx.get_parameter_source(p.name or "") is ParameterSource.COMMANDLINE)
    return {name: _listed(ctx.params[name]) for name in said if name and ctx.params[name] is not None}


def _listed(value: Any) -> Any:
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def words(params: Iterable[click.Parameter], values: Mapping[str, Any], reserved: Iterable[str] = ()) -> list[str]:
    """The words of a command line that say `values`: options first, then arguments.

    reserved: words that cannot stand as an argument without `--` before them.
    """
    options: list[str] = []
    arguments: list[str] = []
    for param in params:
        if param.name in values and isinstance(param, click.Option):
            options += option_words(param, values[param.name])
        elif param.name in values:
            value = values[param.name]
            values_of = value if isinstance(value, list) else [value]
            arguments += [word for part in values_of for word in _said([param.type], [part])]
    guard = any(word.startswith("-") or word in set(reserved) for word in arguments)
    return [*options, *(["--"] if guard else []), *arguments]


def option_words(option: click.Option, value: Any) -> list[str]:
    """The words that give an option a value."""
    flag = option.opts[0]
    if option.is_flag:
        return [flag] if value else option.secondary_opts[:1]
    times = value if option.multiple and isinstance(value, list) else [value]
    kinds: Sequence[Any] = getattr(option.type, "types", [option.type])
    parts = [one if option.nargs > 1 else [one] for one in times]
    return [word for one in parts for word in (flag, *_said(kinds, one))]


def _said(kinds: Sequence[Any], values: Sequence[Any]) -> Iterable[str]:
    for kind, value in zip(kinds, values, strict=True):
        yield from kind.words(value) if hasattr(kind, "words") else [getattr(kind, "text", str)(value)]
