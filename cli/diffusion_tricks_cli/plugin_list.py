"""`plugins`: those that were found, what each registers, and what is wrong with them. No torch here."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import click

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.registration import PLURALS, Entry, PluginStatus
from diffusion_tricks_cli.common import Once, example
from diffusion_tricks_cli.of_plugins import Extended, commands_of_plugins
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags


class Plugins(Once, Extended):
    """`plugins`, and what plugins add to it."""


@click.group(
    cls=Plugins, invoke_without_command=True, subcommand_metavar="[new NAME]",
    epilog=example("plugins", "plugins --check --json", "plugins new soft-light"),
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--check", is_flag=True, help="Load and try all they register; exit code 3 if anything is broken.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool, check: bool) -> None:
    """List the plugins that were found, what each registers, and what is wrong with the broken ones.

    With --check, every trick and view of a plugin from outside is made and tried on a tiny model, its hooks, the
    defaults of its options, what its distribution requires and how long it takes to load are looked at.
    """
    if ctx.invoked_subcommand is not None:
        return
    commands = commands_of_plugins(ctx)
    rows = [_row(s, [name for name, one in commands.items() if one.plugin == s.name], check) for s in host().statuses]
    if as_json:
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            _say(row)
    if check and (broken := [row["name"] for row in rows if row["errors"]]):
        echo(f"Error: broken: {', '.join(broken)}; see above", err=True)
        ctx.exit(PluginError.exit_code)


def _row(status: PluginStatus, commands: list[str], check: bool) -> dict[str, Any]:
    """A plugin as plain data; commands: the names of those that it adds."""
    brought = {kind: [e for e in host().entries(kind).values() if e.plugin == status.name] for kind in PLURALS}
    if not status.works:  # another of its name has registered these
        brought, commands = {kind: [] for kind in PLURALS}, []
    found, untried = _looked_at(status, brought, check)
    errors = [in_flags(error) for error in (status.error, *found) if error]
    state = f"skipped: {in_flags(status.skipped)}" if status.skipped else "broken" if errors else "ok"
    row = {"name": status.name, "version": status.version, "origin": status.origin, "status": state, "errors": errors}
    names = {plural: [entry.name for entry in brought[kind]] for kind, plural in PLURALS.items()}
    checked = {"untried": untried, "seconds": round(status.seconds, 3)} if check else {}
    return row | names | {"commands": commands} | checked


def _looked_at(
    status: PluginStatus, brought: dict[str, list[Entry]], check: bool
) -> tuple[list[str], list[str]]:  # fmt: skip
    """What is wrong with what a plugin registers, and what could not be tried.

    Without `check` it is only looked whether the modules of tricks and views are there.
    """
    if not check:
        return [_missing(entry) for kind in ("trick", "view") for entry in brought[kind]], []
    from diffusion_tricks.testing.examine import examine

    found = examine(status)
    return found.faults, found.untried


def _missing(entry: Entry) -> str:
    """Why an entry cannot be loaded, by its module alone; nothing where that is there."""
    module = entry.target.partition(":")[0]
    try:
        there = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    return "" if there else f"{entry.kind} {entry.name!r}: there is no module {module!r}"


def _say(row: dict[str, Any]) -> None:
    echo(f"{row['name']} {row['version'] or ''}".rstrip() + f"  ({row['origin']})  {row['status']}")
    for plural in (*PLURALS.values(), "commands"):
        if names := row[plural]:
            echo(f"  {plural}: {', '.join(names)}")
    for error in row["errors"]:
        echo(f"  error: {error}")
    for said in row.get("untried", ()):
        echo(f"  note: {said}")
