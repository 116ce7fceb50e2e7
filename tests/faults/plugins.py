"""Bad plugins: whatever one does, it is named, the exit code is 3, there is no traceback, and all else works."""

from __future__ import annotations

from dataclasses import dataclass

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

    says: what the message holds beside its name. code: the exit code, where that is another than 3.
    """

    name: str
    source: str
    fails: str
    says: str = ""
    code: int = 3


def at_import(name: str, statement: str, says: str) -> BadPlugin:
    return BadPlugin(name, f"{HEAD}\n{statement}\n{TRICK}{REGISTER}", "loaded", says)


def at_registration(name: str, statement: str, says: str) -> BadPlugin:
    hook = f"@hookimpl\ndef register_tricks(register):\n    {statement}\n"
    return BadPlugin(name, f"{HEAD}{TRICK}{hook}", "loaded", says)


def of_class(name: str, source: str, says: str) -> BadPlugin:
    return BadPlugin(name, f"{HEAD}{source}{REGISTER}", "built", says)


def in_run(name: str, hook: str, says: str, code: int = 3) -> BadPlugin:
    body = "".join(f"    {line}\n" for line in hook.splitlines())
    return BadPlugin(name, f"{HEAD}{TRICK}\n    @hookimpl\n{body}{REGISTER}", "run", says, code)


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
# harmless, but for what they print or leave out
QUIET = (
    BadPlugin("prints", f"{HEAD}print('hello')\n{TRICK}{REGISTER}", ""),
    in_run("finish_nothing", "def finish_image(self, run, image, index):\n    return None", ""),
    in_run("prints_in_run", "def before_step(self, step):\n    print('hello')", ""),
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
