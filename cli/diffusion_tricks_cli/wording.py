"""From Python's words to those of a command line. No torch here.

The messages, notes and helps of core and plugins name options as Python does, in backticks: `size`, `force=True`,
`memory="low"`. On a command line the same are --size, --force and --memory low.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

import click

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.common import common_options, picture_option, program_options
from diffusion_tricks_cli.from_options import option_words, parameters
from diffusion_tricks_cli.train_options import train_options

NAMED = re.compile(r"`([a-z_]\w*)(?:=([^`]*))?`")
ON_OR_OFF = {None, "True", "False"}  # what may be said of a flag
OF_HOST = {"files": "plugin", "without": "no_plugin"}  # in Python, and on the command line


def in_flags(text: str, command: click.Command | None = None) -> str:
    """The text with the options that stand in backticks spelt as flags; what is no option stays as it is.

    command: whose options are meant first, where several commands have one of that name.
    """
    return NAMED.sub(lambda found: _flagged(found, text, command), text)


def _flagged(found: re.Match[str], text: str, command: click.Command | None) -> str:
    name, value = found.groups()
    own = [p for p in (command.params if command else ()) if isinstance(p, click.Option)]
    of_name = (o for o in chain(own, _options(text)) if o.name == OF_HOST.get(name, name))
    option = next((o for o in of_name if not (o.is_flag and value not in ON_OR_OFF)), None)
    if option is None:
        return found[0]
    if value is None:
        return option.opts[0]
    try:
        return " ".join(map(_quoted, option_words(option, ast.literal_eval(value))))
    except (SyntaxError, ValueError):  # a placeholder, as FILE
        return f"{option.opts[0]} {value}"


def _quoted(word: str) -> str:
    """Ready for a shell, in double quotes where they do."""
    plain = shlex.quote(word) == word
    return word if plain else f'"{word}"' if re.fullmatch(r"[\w ,.:/-]*", word) else shlex.quote(word)


def _options(text: str) -> Iterator[click.Option]:
    """All there are: those of the tricks that the text names, as `NAME: ...`, then those of making pictures."""
    tricks = list(host().entries("trick"))
    yield from _options_of(name for name in tricks if f"{name}: " in text)
    yield from (*common_options(), picture_option(), *program_options())
    yield from (p for p in train_options() if isinstance(p, click.Option))
    yield from _options_of(tricks)
    for command in _commands_of_plugins():
        yield from (p for p in command.params if isinstance(p, click.Option))


def _options_of(tricks: Iterable[str]) -> Iterator[click.Option]:
    for name in tricks:
        with suppress(PluginError):  # a broken one has been told of elsewhere
            yield from (p for p in parameters(host().trick(name).Options) if isinstance(p, click.Option))


def _commands_of_plugins() -> Iterator[click.Command]:
    for implementation in host().manager.hook.register_commands.get_hookimpls():
        group = click.Group()
        with suppress(Exception):  # a broken one has been told of elsewhere
            implementation.function(cli=group)
        yield from group.commands.values()
