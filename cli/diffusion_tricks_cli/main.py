"""The entry point: the group of commands, which are built when they are asked for, and the one error boundary."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from diffusion_tricks import __version__
from diffusion_tricks.errors import DiffusionTricksError, PluginError, UsageError
from diffusion_tricks.hosting.api import HookDeprecation
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.common import Once, program_options
from diffusion_tricks_cli.completion import completing
from diffusion_tricks_cli.failures import check_words, of_a_name, say_error, say_failure, wants
from diffusion_tricks_cli.hints import command_hint
from diffusion_tricks_cli.interrupts import INTERRUPTED, SAID
from diffusion_tricks_cli.links import grouped, swept
from diffusion_tricks_cli.of_plugins import commands_of_plugins
from diffusion_tricks_cli.plain import in_plain_words
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.streams import lasting_streams
from diffusion_tricks_cli.wording import in_flags

PROGRAM = "diffusion-tricks"
HOME = "diffusion_tricks_cli"
HELP = frozenset({"-h", "--help"})
TELLING = frozenset({"plugins", "doctor"})  # commands that say what is broken, and so run despite it
ASKED_FOR = f"{__name__}.files"  # of `--plugin`, in the context
# command: (where it is built, one line for the help). A name with parentheses is called with what stands in them.
COMMANDS = {
    "generate": ("commands:shortcut_command", "a picture from a prompt"),
    "edit": ("commands:shortcut_command", "redraw a picture after a prompt"),
    "inpaint": ("commands:shortcut_command", "make a part of a picture anew"),
    "outpaint": ("commands:shortcut_command", "make a picture larger, and change not one pixel of it"),
    "anagram": ("commands:shortcut_command", "a picture that shows another thing when turned"),
    "hybrid": ("commands:shortcut_command", "a picture that shows one thing from afar, another from near"),
    "cover": ("commands:shortcut_command", "title and author on a picture, without a model"),
    "make": ("commands:make_command", "any tricks, in a chain"),
    "plan": ("commands:plan_command", "how a chain nests and what it costs, without a model"),
    "run": ("records:run_command", "make what a recipe file says"),
    "rerun": ("records:rerun_command", "make a picture again from the record inside it"),
    "show": ("records:show", "how a picture was made"),
    "score": ("score:score", "how well a picture shows what it should"),
    "train": ("train:train_command", "a small model of your own"),
    "plugins": ("plugin_list:plugins", "the plugins found, and what is wrong with them"),
    "models": ("listing:models", "the models that go by a short name"),
    "views": ("listing:views", "the views of anagrams"),
}


class Program(Once, click.Group):
    """The top-level group. `--plugin` and `--no-plugin` are read, wherever they stand, before anything is loaded."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Takes the plugin options out, and makes the host with them."""
        files, without, rest = plugin_options(args)
        host([Path(file) for file in files], without)
        ctx.meta[ASKED_FOR] = {Path(file).stem: file for file in files}
        return super().parse_args(ctx, rest if ctx.resilient_parsing else grouped(swept(rest)))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Own commands, then those of plugins."""
        return [*COMMANDS, *self._of_plugins(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Builds the command of that name."""
        command = self._built(ctx, cmd_name)
        return completing(command) if command and ctx.resilient_parsing else command

    def _built(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return self._of_plugins(ctx).get(cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        built = getattr(importlib.import_module(f"{HOME}.{module}"), name)
        if isinstance(built, click.Command):
            return built
        command: click.Command = built(cmd_name) if name == "shortcut_command" else built()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command for one that is unknown, or the plugin that would bring it, but is broken."""
        known = self.list_commands(ctx)
        broken = {status.name: status.error for status in host().statuses if status.error}
        if args[0] not in known and not ctx.resilient_parsing:
            if args[0] in broken:
                raise PluginError(f"plugin {args[0]!r} is broken: {broken[args[0]]}")
            raise UsageError(f"unknown command {args[0]!r}{command_hint(args[0], known)}")
        if args[0] not in TELLING and not (ctx.resilient_parsing or HELP.intersection(args)):
            _check_files(ctx.meta[ASKED_FOR], broken)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, of which none is built for it."""
        others = {name: command.get_short_help_str() for name, command in self._of_plugins(ctx).items()}
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        with formatter.section("Commands (diffusion-tricks COMMAND --help says more)"):
            formatter.write_dl([*rows, *others.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, and options."""
        own = [CompletionItem(n, help=s) for n, (_, s) in COMMANDS.items() if n.startswith(incomplete)]
        others = [CompletionItem(name) for name in self._of_plugins(ctx) if name.startswith(incomplete)]
        return [*own, *others, *click.Command.shell_complete(self, ctx, incomplete)]

    def _of_plugins(self, ctx: click.Context) -> dict[str, click.Command]:
        """Those of one word; see `Extended` for the others."""
        found = commands_of_plugins(ctx, COMMANDS).items()
        return {name: brought.command for name, brought in found if " " not in name}


def _check_files(files: Mapping[str, str], broken: Mapping[str, str]) -> None:
    """Raises PluginError for a plugin's file, asked for by name, that is broken; one that is installed is no one's ask.

    files: the file of each plugin's name. broken: the error of each plugin's name.
    """
    if bad := next((name for name in files if name in broken), None):
        raise PluginError(f"plugin {bad!r} is broken: {broken[bad]}; mend {files[bad]}, or leave it out")


def plugin_options(args: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The values of `--plugin` and `--no-plugin`, and the words without these and `--debug`, up to a `--`."""
    found: dict[str, list[str]] = {"--plugin": [], "--no-plugin": []}
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        head, equals, value = word.partition("=")
        if word == "--":
            return found["--plugin"], found["--no-plugin"], [*rest, word, *words]
        if word == "--debug":
            continue
        if head in found and (equals or words):
            found[head].append(value if equals else words.pop(0))
        else:
            rest.append(word)
    return found["--plugin"], found["--no-plugin"], rest


@click.group(
    cls=Program,
    params=program_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Example:\n\n\b\n  diffusion-tricks anagram --view identity "a rabbit" --view rotate_cw "a duck" -o out.png',
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli(**_: Any) -> None:
    """Open up the denoising loop of a diffusion model: anagrams, hybrids, edits, inpainting, covers.

    Works offline with the model inside; any diffusers pipeline does with -m.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 all made and verified, 1 some failed, 2 usage, 3 model or plugin, 130 Ctrl-C.

    args: the words after the program's name; None is what it was called with.
    """
    with warnings.catch_warnings(), lasting_streams():
        _quieten()
        code = _run(sys.argv[1:] if args is None else args)
    sys.exit(code)


def _run(args: Sequence[str]) -> int:
    """The error boundary: the project's own errors become a message, any other keeps its traceback."""
    as_json = wants("--json", args)
    try:
        check_words(args)
        code = cli.main(args=list(args), prog_name=PROGRAM, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error = in_plain_words(error)
        error.show()
        if as_json:
            say_failure(error.format_message())
        return error.exit_code
    except DiffusionTricksError as error:
        if wants("--debug", args):
            traceback.print_exception(error)
        say_error(error, as_json, _plugins_command(args))
        return error.exit_code
    except OSError as error:
        if (said := of_a_name(error)) is None:
            raise
        say_error(said, as_json)
        return said.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(SAID, err=True)
        if as_json:
            say_failure(SAID)
        return INTERRUPTED


def _plugins_command(args: Sequence[str]) -> click.Command | None:
    """The command of a plugin that was called: its options may be called as those of others are."""
    with suppress(Exception):  # a broken plugin is told of elsewhere
        commands = commands_of_plugins(click.Context(cli), COMMANDS)
        called = next((word for word in args if word in commands or word in COMMANDS), None)
        return commands[called].command if called in commands else None
    return None


def _quieten() -> None:
    """The remarks of libraries say nothing a user could act on; those of this project are shown in a line."""
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module="diffusion_tricks")
    warnings.filterwarnings("default", category=HookDeprecation)
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    echo(f"Warning: {in_flags(str(message))}", err=True)
