"""docs/hooks.md says what there is: every hook with its arguments, every name of what hooks are given, the version."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks import Ask, Estimate, Run, Start, Step
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.hookspecs import HostHooks, RunHooks
from diffusion_tricks.hosting.api import API_VERSION

PAGE = (Path(__file__).parents[1] / "docs" / "hooks.md").read_text()
MADE_LATER = {Run: {"hook", "levels", "trace", "repainted", "begun"}}  # in `__post_init__`


def rows(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    below = re.split(r"^#+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| (`[^|]*`) \|", below, re.MULTILINE)


@pytest.mark.parametrize(("heading", "hooks"), [("Host hooks", HostHooks), ("Run hooks", RunHooks)])
def test_every_hook_has_its_row(heading: str, hooks: type) -> None:
    specified = {
        f"`{name}({', '.join(list(inspect.signature(hook).parameters)[1:])})`"
        for name, hook in inspect.getmembers(hooks, inspect.isfunction)
    }
    assert set(rows(heading)) == specified


@pytest.mark.parametrize("kind", [Ask, Estimate, Step, Run, Level, Start])
def test_every_name_of_what_hooks_are_given_has_its_row(kind: type[Any]) -> None:
    told = re.findall(r"`(\w+)", " ".join(rows(kind.__name__)))
    has = {field.name for field in dataclasses.fields(kind)} | set(dir(kind)) | MADE_LATER.get(kind, set())
    assert sorted(told) == sorted(name for name in has if not name.startswith("_"))


def test_methods_are_told_with_their_arguments() -> None:
    for kind in (Ask, Estimate, Step, Run, Level):
        for name, arguments in re.findall(r"`(\w+)\(([^)]*)\)`", " ".join(rows(kind.__name__))):
            given = list(inspect.signature(getattr(kind, name)).parameters.values())[1:]
            said = [f"**{one.name}" if one.kind is one.VAR_KEYWORD else one.name for one in given]
            assert arguments.split(", ") if arguments else said == [], (kind, name)


def test_the_version_and_its_changes_are_told() -> None:
    assert f'`diffusion_tricks.plugin.API_VERSION` is "{API_VERSION}"' in PAGE
    versions = re.findall(r"^\| (\d+\.\d+) \|", PAGE, re.MULTILINE)
    assert versions[0] == API_VERSION
    assert len(set(versions)) == len(versions)
