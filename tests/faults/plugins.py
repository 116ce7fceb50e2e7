"""Bad plugins: whatever one does, it is named, the exit code is 3, there is no traceback, and all else works."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from PIL import Image

from command_line import Outcome, run
from faults.harness import MODEL, OK, Case, Harness
from faults.models import tiny

BAD_PLUGINS = Harness(
    "plugins", "a bad plugin, a file or installed, is named, exit 3, and all else works beside it", 75, 200,
    lambda rng: _cases(rng),
)  # fmt: skip
NEVER_SHOWN = ("views_of", "parameters")  # what fails there costs a score or a line for other programs, no picture
HEAD = """
from diffusion_tricks.plugin import Trick, TrickOptions, View, hookimpl, option
from PIL import Image
import sys
"""
REGISTER = """
@hookimpl
def register_tricks(register):
    register("bad", "PLUGIN:Bad", summary="bad")
"""
TRICK = """
class Options(TrickOptions):
    strength: float = option(1.0, "how bad")

class Bad(Trick[Options]):
    Options = Options
    name = "bad"
"""


@dataclass(frozen=True)
class BadPlugin:
    """A plugin's source, and when it fails: while it is "loaded", when its trick is "built", or in a "run".

    fails: "" for one that is harmless, but for what it prints or leaves out. says: what the message holds.
    """

    name: str
    source: str
    fails: str = ""
    says: str = ""

    @property
    def called(self) -> str:
        """The name of its module, which no other test has."""
        return f"bad_{self.name}"

    def write(self, folder: Path) -> Path:
        """Its file, in a folder."""
        file = folder / f"{self.called}.py"
        file.write_text(self.source.replace("PLUGIN", self.called))
        return file


def at_import(name: str, statement: str, says: str) -> BadPlugin:
    return BadPlugin(name, f"{HEAD}\n{statement}\n{TRICK}{REGISTER}", "loaded", says)


def at_registration(name: str, statement: str, says: str) -> BadPlugin:
    hook = f"@hookimpl\ndef register_tricks(register):\n    {statement}\n"
    return BadPlugin(name, f"{HEAD}{TRICK}{hook}", "loaded", says)


def of_class(name: str, source: str, says: str) -> BadPlugin:
    return BadPlugin(name, f"{HEAD}{source}{REGISTER}", "built", says)


def in_run(name: str, hook: str, says: str, fails: str = "run") -> BadPlugin:
    body = "".join(f"    {line}\n" for line in hook.splitlines())
    return BadPlugin(name, f"{HEAD}{TRICK}\n    @hookimpl\n{body}{REGISTER}", fails, says)


def method(name: str, source: str, says: str) -> BadPlugin:
    body = "".join(f"    {line}\n" for line in source.splitlines())
    return BadPlugin(name, f"{HEAD}{TRICK}\n{body}{REGISTER}", "run", says)


ESTIMATE = "def estimate_noise(self, ask, step):\n"
RAISED = {
    "exit": ("sys.exit(0)", "SystemExit: 0"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base": ("raise BaseException('boom')", "BaseException: boom"),
    "generator_exit": ("raise GeneratorExit", "GeneratorExit"),
    "error": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "recursion": ("def f(): f()\n    f()", "RecursionError"),
}
HOOKS = {
    "prepare": "def prepare(self, run):\n    {}",
    "prompts": "def prompts(self, run):\n    {}",
    "start": "def start(self, run):\n    {}",
    "before_step": "def before_step(self, step):\n    {}",
    "estimate": ESTIMATE + "    {}\n    yield [ask]",
    "after_step": "def after_step(self, step):\n    {}",
    "close": "def close(self, run):\n    {}",
    "finish": "def finish_image(self, run, image, index):\n    {}",
    "report": "def report(self, run, image, index):\n    {}",
}

RAISING = {
    "prepare error", "prepare exit", "prompts error", "start interrupt", "before_step exit", "before_step error",
    "estimate exit", "estimate error", "estimate base", "after_step error", "after_step exit", "finish error",
    "finish exit", "report error", "report interrupt", "close error", "before_step recursion",
}  # fmt: skip
CONSTRUCTED = TRICK + "    def __init__(self, **options):\n        {}\n"

PLUGINS = (
    at_import("import_error", "raise RuntimeError('boom')", "RuntimeError: boom"),
    at_import("import_exit", "sys.exit(0)", "SystemExit: 0"),
    at_import("import_interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    at_import("import_base", "raise BaseException('boom')", "BaseException: boom"),
    at_import("import_missing", "import not_there_at_all", "ModuleNotFoundError"),
    at_import("import_syntax", "def (", "SyntaxError"),
    at_registration("register_error", "raise RuntimeError('boom')", "RuntimeError: boom"),
    at_registration("register_exit", "sys.exit(0)", "SystemExit: 0"),
    at_registration("register_interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    at_registration("register_twice", "[register('bad', 'PLUGIN:Bad') for _ in '12']", "already a trick called 'bad'"),
    at_registration("register_built_in", "register('hybrid', 'PLUGIN:Bad')", "already a trick called 'hybrid'"),
    at_registration("register_nothing", "register()", "TypeError"),
    at_registration("register_number", "register(7, 'PLUGIN:Bad')", "TypeError"),
    of_class("no_trick", "class Bad: pass\n", "expected a class that inherits from Trick"),
    of_class("no_class", "Bad = 7\n", "expected a class that inherits from Trick"),
    of_class("not_there", "", "cannot be loaded"),
    of_class(
        "options_no_model", "class Bad(Trick):\n    Options = dict\n    name = 'bad'\n", "expected Options that inherit"
    ),
    of_class("option_trick", TRICK.replace("strength", "trick"), "an option called 'trick'"),
    of_class("option_help", TRICK.replace("strength", "help"), "an option called 'help'"),
    of_class("constructor", CONSTRUCTED.format("raise OSError('boom')"), "OSError: boom"),
    of_class("constructor_exit", CONSTRUCTED.format("sys.exit(0)"), "SystemExit: 0"),
    *(
        in_run(f"{hook}_{kind}", text.format(statement), says)
        for hook, text in HOOKS.items()
        for kind, (statement, says) in RAISED.items()
        if f"{hook} {kind}" in RAISING
    ),
    in_run("prompts_text", "def prompts(self, run):\n    return 'a rabbit'", "it must give a list of prompts"),
    in_run("start_number", "def start(self, run):\n    return 7", "it must give a Start or None"),
    in_run("estimate_plain", ESTIMATE + "    return 7", "be a generator"),
    in_run("estimate_number", ESTIMATE + "    yield 7", "yield a list of asks"),
    in_run("estimate_answer", ESTIMATE + "    yield [ask]\n    return 7", "return an Estimate"),
    in_run("estimate_forever", ESTIMATE + "    while True:\n        yield [ask]", "yielded questions 1000 times"),
    in_run("finish_number", "def finish_image(self, run, image, index):\n    return 7", "must give a picture"),
    in_run(
        "finish_closed",
        "def finish_image(self, run, image, index):\n    image = image.copy()\n    image.close()\n    return image",
        "cannot be read",
    ),
    in_run("report_set", "def report(self, run, image, index):\n    run.facts[index]['x'] = {1}", "no plain data"),
    in_run("report_spoils", "def report(self, run, image, index):\n    run.facts[index] = 7", "no plain data"),
    in_run("wrapper", "def nothing(self, run):\n    pass", "unknown hook 'nothing'"),
    method("views_of", "def views_of(self, image):\n    raise RuntimeError('boom')", ""),
    method("variants", "def variants(self):\n    raise RuntimeError('boom')", "RuntimeError: boom"),
    method("parameters", "def parameters(self):\n    raise RuntimeError('boom')", ""),
)  # fmt: skip
QUIET = (
    BadPlugin("prints", f"{HEAD}print('hello')\n{TRICK}{REGISTER}"),
    in_run("finish_nothing", "def finish_image(self, run, image, index):\n    return None", "", ""),
    in_run("prints_in_run", "def before_step(self, step):\n    print('hello')", "", ""),
)
COMMAND = (
    HEAD
    + """
import click

@hookimpl
def register_commands(cli):
    @cli.command()
    def shout():
        {}
"""
)


def _cases(rng: random.Random) -> Iterator[Case]:
    """Every one as a file, then every one installed."""
    plugins = [*PLUGINS, *QUIET]
    yield from ((f"{each.name}, a file", partial(_as_file, each)) for each in plugins)
    rng.shuffle(plugins)
    yield from ((f"{each.name}, installed", partial(_installed, each)) for each in plugins)


def _as_file(plugin: BadPlugin) -> str | None:
    return _wrong(plugin, "--plugin", plugin.write(Path()))


def _installed(plugin: BadPlugin) -> str | None:
    site = Path("site").resolve()
    with installed([plugin], site), mock.patch.object(sys, "path", [str(site), *sys.path]):
        return _wrong(plugin)


@contextmanager
def installed(plugins: list[BadPlugin], site: Path) -> Iterator[None]:
    """A folder with plugins as an installer leaves them, each with its entry point; their modules go at the end."""
    with ExitStack() as forgotten:
        for plugin in plugins:
            facts = site / f"{plugin.called}-1.0.dist-info"
            facts.mkdir(parents=True)
            plugin.write(site)
            (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {plugin.called}\nVersion: 1.0\n")
            (facts / "entry_points.txt").write_text(f"[diffusion_tricks]\n{plugin.called} = {plugin.called}\n")
            forgotten.callback(sys.modules.pop, plugin.called, None)
        importlib.invalidate_caches()
        yield


def _wrong(plugin: BadPlugin, *there: object) -> str | None:
    """What is wrong with the command line beside a plugin, and where its trick is used; there: words that load it.

    One that was not asked for by name leaves other commands alone; a file that was, and is broken, ends them.
    """
    beside = _refused if there and plugin.fails == "loaded" else _alone
    return _listed(plugin, *there) or beside(plugin, *there) or _used(plugin, *there)


def _refused(plugin: BadPlugin, *there: object) -> str | None:
    outcome = _cover(*there)
    named = plugin.called in outcome.err and plugin.says in outcome.err and outcome.err.count("\n") == 1
    fine = outcome.code == MODEL and named and not Path("cover.png").exists()
    return None if fine else f"cover ends with {outcome.code}: {outcome.err[-300:]}"


def _alone(plugin: BadPlugin, *there: object) -> str | None:
    outcome = _cover(*there)
    fine = outcome.code == OK and outcome.json["path"] == "cover.png"
    return None if fine else f"cover beside {plugin.name} ends with {outcome.code}: {outcome.out} {outcome.err[-300:]}"


def _cover(*there: object) -> Outcome:
    Image.new("RGB", (16, 16)).save("in.png")
    return run(*there, "cover", "in.png", "--title", "x", "-o", "cover.png", "--json")


def _listed(plugin: BadPlugin, *there: object) -> str | None:
    for words in (["--help"], ["--version"], ["cover", "--help"]):
        outcome = run(*there, *words)
        if outcome.code != OK:
            return f"{words[0]} ends with {outcome.code}: {outcome.err[-300:]}"
    row = next(row for row in run(*there, "plugins", "--json").json if row["name"] == plugin.called)
    broken = plugin.fails == "loaded"
    if (row["status"] == "broken") != broken or (broken and plugin.says not in str(row["errors"])):
        return f"it is listed as {row}"
    return None


def _used(plugin: BadPlugin, *there: object) -> str | None:
    make = ["make", "-m", tiny(), "-p", "a", "--steps", 2, "--seed", 1, "-o", "out.png", "--json", "bad"]
    made, file = run(*there, *make), Path("out.png")
    if not plugin.fails or plugin.name in NEVER_SHOWN:
        fine = made.code == OK and made.json["path"] == file.name and file.is_file()
        return None if fine else f"make ends with {made.code}: {made.out} {made.err[-300:]}"
    if made.code != MODEL or "Traceback" in made.err or file.exists():
        return f"make ends with {made.code}: {made.err[-300:]}"
    says = "" if plugin.fails == "loaded" else plugin.says
    named = "bad" in made.err and says in made.err and made.json["error"]
    return None if named else f"neither its name nor {says!r} is said: {made.err[-300:]}"
