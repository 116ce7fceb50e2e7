"""The JSON Schema of recipes, with the options of all tricks that are registered here. Imports no torch.

json-schema.org/draft/2020-12; editors complete keys, tricks and options by it, and mark what is wrong.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from diffusion_tricks.hosting.host import host
from diffusion_tricks.recipes.recipe import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = "./recipe.schema.json"  # where a saved recipe says that its schema is: beside it
ENTRY = {"$ref": "#/$defs/TrickEntry"}


def recipe_schema() -> dict[str, Any]:
    """The schema, as plain data: every recipe that can be built fits it, and what is misspelt or out of range does not.

    What depends on several values at once, or on files, it does not say. Raises PluginError for a trick that cannot be
    loaded.
    """
    names = list(host().entries("trick"))
    tricks = {name: _of(host().trick(name).Options, f"{name}.") for name in names}
    whole = _of(Recipe, "")
    parts = whole.pop("$defs", {})
    for name, schema in tricks.items():
        parts |= schema.pop("$defs", {})
        schema["properties"] = {"trick": {"const": name}, **schema.get("properties", {})}
        schema["description"] = host().find("trick", name).summary
    parts |= {"TrickEntry": _entry(names), "Branch": _branch()} | {f"trick.{n}": s for n, s in tricks.items()}
    whole["properties"] = {"$schema": {"type": "string"}, **whole["properties"]}
    return {"$schema": DIALECT, **whole, "title": "A recipe of diffusion-tricks", "$defs": parts}


def _of(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    """The schema of a model; the parts of a trick's options are named after it, but for those that all share."""
    fields: dict[str, Any] = {name: (field.annotation, _plain(field)) for name, field in model.model_fields.items()}
    copied = create_model(model.__name__, __config__=model.model_config, **fields)
    schema = copied.model_json_schema()
    parts = schema.pop("$defs", {})
    shared = {name: name if name in {"Branch", "TrickEntry"} else f"{prefix}{name}" for name in parts}
    moved: dict[str, Any] = _renamed(schema, shared)
    moved.pop("title", None)
    return moved | {"$defs": {shared[name]: _renamed(part, shared) for name, part in parts.items()}}


def _plain(field: FieldInfo) -> FieldInfo:
    """A field without what `option` notes on it, which only the command line wants to know."""
    field = copy.copy(field)
    field.json_schema_extra = None
    return field


def _renamed(data: Any, names: dict[str, str]) -> Any:
    """The same with every reference to a part under its new name."""
    if isinstance(data, dict):
        there = {key: _renamed(value, names) for key, value in data.items()}
        if isinstance(said := data.get("$ref"), str):
            there["$ref"] = f"#/$defs/{names[said.rpartition('/')[2]]}"
        return there
    return [_renamed(one, names) for one in data] if isinstance(data, list) else data


def _entry(names: list[str]) -> dict[str, Any]:
    """A trick by its name, and then its own options beside it."""
    each = [
        {"if": {"properties": {"trick": {"const": name}}}, "then": {"$ref": f"#/$defs/trick.{name}"}} for name in names
    ]
    return {"type": "object", "properties": {"trick": {"enum": names}}, "required": ["trick"], "allOf": each}


def _branch() -> dict[str, Any]:
    """Tricks in the place of a prompt: one, several, or several with the prompt that they shape."""
    several = {"type": "array", "items": ENTRY, "minItems": 1}
    properties = {"prompt": {"type": ["string", "null"]}, "tricks": several}
    whole = {"type": "object", "properties": properties, "required": ["tricks"], "additionalProperties": False}
    return {"anyOf": [ENTRY, several, whole]}
