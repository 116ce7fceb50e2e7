"""Pages of the site that are made when it is built, from the code itself: commands, tricks, public names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.main import PROGRAM, cli
from diffusion_tricks_cli.wording import in_flags

ROOT = Path(__file__).resolve().parent.parent
OUT = re.compile(r"\[([^\]]*)\]\((?:\.\./)+((?:tests|examples|benchmarks|diffusion_tricks|plugins)[^)]*)\)")
DOORS = {"api": "diffusion_tricks", "plugin": "diffusion_tricks.plugin"}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made, and tells where a page is when a link says its folder."""
    pages = {"commands": commands(), "tricks": tricks(), "testing": testing()}
    pages |= {name: public(door) for name, door in DOORS.items()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What a page links to in the checkout, beside the docs, is named and no link on the site."""
    for where in OUT.findall(markdown):
        assert (ROOT / where[1].partition("#")[0]).exists(), f"there is no {where[1]}"
    return OUT.sub(r"`\2`", markdown)


def commands() -> str:
    """The help of every command, as it is printed."""
    with click.Context(cli, info_name=PROGRAM) as ctx:
        parts = ["# Commands\n", f"Exit codes are [here](exit-codes.md).\n\n```text\n{cli.get_help(ctx)}\n```\n"]
        parts += helps(cli, ctx)
    return "\n".join(parts)


def helps(group: click.Group, ctx: click.Context) -> Iterator[str]:
    """A section for each command of a group, and for those below."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        with click.Context(command, info_name=name, parent=ctx) as inner:
            title = inner.command_path.removeprefix(f"{PROGRAM} ")
            yield f"## {title}\n\n```text\n{command.get_help(inner)}\n```\n"
            if isinstance(command, click.Group):
                yield from helps(command, inner)


def tricks() -> str:
    """A table of options for each trick."""
    parts = ["# Tricks and their options\n"]
    for name, entry in host().entries("trick").items():
        trick = host().trick(name)
        parts.append(
            f"## {name}\n\n{entry.summary[:1].upper()}{entry.summary[1:]}.\n\n| option | default | |\n|---|---|---|"
        )
        for option, field in trick.Options.model_fields.items():
            default = "" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
            parts.append(f"| `{option}` | {cell(default)} | {cell(in_flags(field.description or ''))} |")
        parts.append("")
    return "\n".join(parts)


def cell(text: str) -> str:
    """Text within a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def public(door: str) -> str:
    """Every public name of a door, with its docstring."""
    module = importlib.import_module(door)
    homes: dict[str, tuple[str, ...]] = module._HOMES
    named = sorted((name, home) for home, names in homes.items() for name in names)
    about = (module.__doc__ or "").replace("`diffusion_tricks.hookspecs`", "[hooks](../hooks.md)")
    lines = [f"# `{door}`\n\n{about}\n"]
    return "\n".join([*lines, *(f"::: diffusion_tricks.{home}.{name}\n" for name, home in named)])


def testing() -> str:
    """The public names of the kit for tests."""
    module = importlib.import_module("diffusion_tricks.testing")
    names = ((name, getattr(module, name).__module__) for name in module.__all__)
    fixtures = "::: diffusion_tricks.testing.fixtures\n    options:\n      members: false\n"
    return "\n".join(
        [f"# `diffusion_tricks.testing`\n\n{module.__doc__}\n", *(f"::: {h}.{n}\n" for n, h in names), fixtures]
    )
