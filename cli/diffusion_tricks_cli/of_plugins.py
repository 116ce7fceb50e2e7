"""The commands that plugins add. No torch here."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import click

from diffusion_tricks.errors import DiffusionTricksError, PluginError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks_cli.many.calls import repeated


class Brought(NamedTuple):
    """A command, and the plugin that brought it."""

    plugin: str
    command: click.Command


def commands_of_plugins(ctx: click.Context, taken: Collection[str] = ()) -> dict[str, Brought]:
    """Every command that a plugin adds, by name, found once for a command line.

    taken: names of the program's own. A plugin that fails at it, or takes a name that is taken, is noted as broken.
    """
    if __name__ not in ctx.meta:
        ctx.meta[__name__] = _found(taken)
    found: dict[str, Brought] = ctx.meta[__name__]
    return found


class Extended(click.Group):
    """A group of the program with the commands that plugins add to it, by names of two words, such as `plugins new`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their second words."""
        return list(self._added(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that second word."""
        return self._added(ctx).get(cmd_name)

    def _added(self, ctx: click.Context) -> dict[str, click.Command]:
        first = f"{self.name} "
        found = commands_of_plugins(ctx).items()
        return {name.removeprefix(first): brought.command for name, brought in found if name.startswith(first)}


def _found(taken: Collection[str]) -> dict[str, Brought]:
    made: dict[str, Brought] = {}
    for implementation in host().manager.hook.register_commands.get_hookimpls():
        group, plugin = click.Group(), str(implementation.plugin_name)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                implementation.function(cli=group)
            if twice := sorted(group.commands.keys() & {*taken, *made}):
                raise ValueError(f"there is already a command {twice[0]!r}")
            own = {name: repeated(_named(command, plugin)) for name, command in group.commands.items()}
            made |= {name: Brought(plugin, command) for name, command in own.items()}
        except BaseException as error:
            if is_interrupt(error):
                raise
            _note_broken(plugin, f"{type(error).__name__}: {error}")
    return made


def _named(command: click.Command, plugin: str) -> click.Command:
    """The command of a plugin, which is named in what goes wrong in it."""
    if not isinstance(command, click.Command):
        raise TypeError(f"expected a command of Click, got a {type(command).__name__}")
    command = copy.copy(command)  # the plugin may hand on the same one again
    own = command.invoke

    def invoke(ctx: click.Context) -> Any:
        try:
            return own(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, DiffusionTricksError):
            raise
        except Exception as error:
            said = f"command {command.name!r} of plugin {plugin!r} failed: {type(error).__name__}: {error}"
            raise PluginError(said) from error

    command.invoke = invoke  # type: ignore[method-assign]
    return command


def _note_broken(plugin: str, error: str) -> None:
    statuses = host().statuses
    statuses[:] = [replace(s, error=error) if s.name == plugin and s.works else s for s in statuses]
