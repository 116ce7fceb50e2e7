"""What a shell offers for values that only this program knows: views, models, seeds of the pictures that lie here.

It goes by the names of options, so that those of plugins are served as well. No torch here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.hosting.host import host

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"})
LOOKED_AT = 50  # pictures, the newest first: a shell waits for it
Offers = Callable[[str], Iterator[CompletionItem]]


class Offered(click.ParamType):  # type: ignore[type-arg]
    """A kind of value that is read as before, with offers of its own."""

    def __init__(self, kind: Any, offers: Offers):
        self.name, self.kind, self.offers = kind.name, kind, offers

    @property
    def is_composite(self) -> bool:  # type: ignore[override]
        """As before."""
        return bool(self.kind.is_composite)

    @property
    def arity(self) -> int:  # type: ignore[override]
        """As before."""
        return int(self.kind.arity)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As before."""
        return self.kind.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What begins so."""
        return [item for item in self.offers(incomplete) if item.value.startswith(incomplete)]


def completing(command: click.Command) -> click.Command:
    """The command, whose options of known names offer what there is. It is for completing alone."""
    for param in command.params:
        for flag in param.opts:
            if flag in OFFERS and not isinstance(param.type, Offered):
                param.type = Offered(param.type, OFFERS[flag])
    return command


def views(incomplete: str) -> Iterator[CompletionItem]:
    """The views; behind a `|` those that may come next."""
    before = incomplete.rpartition("|")[0]
    for name, entry in host().entries("view").items():
        yield CompletionItem(f"{before}|{name}" if before else name, help=entry.summary)


def models(incomplete: str) -> Iterator[CompletionItem]:
    """The models that go by a name, and the directories and weights that lie here."""
    for name, entry in host().entries("model").items():
        yield CompletionItem(name, help=entry.summary)
    place = Path(os.path.expanduser(incomplete.rpartition("/")[0]) or ("/" if incomplete.startswith("/") else "."))
    shown = incomplete[: incomplete.rfind("/") + 1]
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.is_dir() and not path.name.startswith("."):
            yield CompletionItem(
                f"{shown}{path.name}" if (path / "model_index.json").is_file() else f"{shown}{path.name}/"
            )
        elif path.suffix == ".safetensors":
            yield CompletionItem(f"{shown}{path.name}")


def seeds(incomplete: str) -> Iterator[CompletionItem]:
    """The seeds in the records of the newest pictures of this folder."""
    from diffusion_tricks.recipes.record import read_record  # NumPy comes with it

    pictures = [path for path in Path().iterdir() if path.suffix.lower() in PICTURES and path.is_file()]
    told: set[str] = set()
    for picture in sorted(pictures, key=lambda path: -path.stat().st_mtime)[:LOOKED_AT]:
        try:
            seed = str(read_record(picture).get("seed"))
        except (DiffusionTricksError, OSError):
            continue
        if seed.isdigit() and seed not in told:
            told.add(seed)
            yield CompletionItem(seed, help=f"of {picture.name}")


OFFERS: dict[str, Offers] = {"--view": views, "--model": models, "--seed": seeds}
