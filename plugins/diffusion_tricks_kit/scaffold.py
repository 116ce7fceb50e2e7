"""A distribution with one plugin in it, which installs and passes its tests as it is."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from diffusion_tricks import TrickEntry
from diffusion_tricks.plugin import OutputError, PluginError, UnknownName, UsageError, view_named

Kind = Literal["trick", "view", "family", "command"]
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
SHARED = {"pyproject.toml": "pyproject.toml", "README.md": "README.md", "ci.yml": ".github/workflows/ci.yml"}


@dataclass(frozen=True)
class Scaffold:
    """What the templates are filled with: the name that is registered, and what is made of it."""

    name: str
    kind: Kind

    @property
    def distribution(self) -> str:
        """As it is installed: dt-my-trick."""
        return f"dt-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        """As it is imported: dt_my_trick."""
        return f"dt_{self.name.replace('-', '_')}"

    @property
    def title(self) -> str:
        """The name of its class: MyTrick."""
        return "".join(part.capitalize() for part in re.split("[-_]", self.name))

    def files(self) -> dict[str, str]:
        """The text of every file, by its path in the folder."""
        places = {f"{template}.jinja": path for template, path in SHARED.items()}
        places |= {
            f"{self.kind}.py.jinja": f"{self.module}.py",
            f"test_{self.kind}.py.jinja": f"tests/test_{self.module}.py",
        }
        load = Environment(loader=PackageLoader(__package__), undefined=StrictUndefined, keep_trailing_newline=True)
        return {path: load.get_template(name).render(it=self) for name, path in places.items()}


def make_scaffold(name: str, kind: Kind, home: Path) -> Path:
    """Writes the distribution into a folder of its own in `home`, and gives that.

    Raises UsageError for a name that is none or is taken, and OutputError where the folder is there already.
    """
    _check_name(name, kind)
    made = Scaffold(name, kind)
    folder = home / made.distribution
    files = made.files()
    try:
        folder.mkdir()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise OutputError(f"{folder} is there already, and is left as it is; choose another name, or move it") from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder


def _check_name(name: str, kind: Kind) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"expected a name of small letters, digits and single hyphens, such as soft-light, got {name!r}"
        )
    if _is_taken(name, kind):
        raise UsageError(f"there is already a {kind} called {name!r}; choose another name")
    if importlib.util.find_spec(Scaffold(name, kind).module):
        raise UsageError(f"there is already a module {Scaffold(name, kind).module!r}; choose another name")


def _is_taken(name: str, kind: Kind) -> bool:
    """Whether a trick or view of that name is registered; one that cannot be made without more is."""
    try:
        if kind == "trick":
            TrickEntry(trick=name).build()
        elif kind == "view":
            view_named(name)
        else:
            return False
    except UnknownName:
        return False
    except (UsageError, PluginError):
        return True
    return True
