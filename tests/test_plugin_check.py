"""`plugins --check` finds what is wrong with a plugin, and names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import run
from diffusion_tricks import Trick, TrickOptions, option
from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting import host as manager
from diffusion_tricks.hosting.api import API_VERSION, HookDeprecation, check_api, deprecated
from diffusion_tricks.testing import examine as examining
from diffusion_tricks.testing import registered
from diffusion_tricks.testing.examine import Findings, examine, misfits_of
from diffusion_tricks_plugins import TRICKS

HEAD = """
from typing import Literal
from diffusion_tricks.plugin import Trick, TrickOptions, View, argument, hookimpl, option

@hookimpl
def register_tricks(register):
    for name in [name for name, kind in globals().items() if isinstance(kind, type) and kind.__module__ == __name__]:
        if issubclass(globals()[name], Trick) or name == "NoTrick":
            register(name.lower(), f"{__name__}:{name}")

@hookimpl
def register_views(register):
    for name in [name for name, kind in globals().items() if isinstance(kind, type) and kind.__module__ == __name__]:
        if issubclass(globals()[name], View):
            register(name.lower(), f"{__name__}:{name}")

class Needy(TrickOptions):
    text: str = option()
    image: str = argument(path=True)
    share: float = option(ge=0, lt=1)
    how: Literal["a", "b"] = option()
    many: list[tuple[str, int]] = option()

class Fine(Trick[Needy]):
    @hookimpl
    def prompts(self, run):
        return [self.options.text]

    @hookimpl
    def estimate_noise(self, ask, step):
        answers = yield [ask.but(prompt=self.options.text)]
        return answers[0]

class Flat(View):
    def apply(self, x):
        return x

    def invert(self, x):
        return x
"""
FAULTS = {
    "Misspelt": (
        "    @hookimpl\n    def estimate_nosie(self, ask, step):\n        yield [ask]\n",
        "unknown hook 'estimate_nosie'; did you mean 'estimate_noise'",
    ),
    "Undecorated": ("    def before_step(self, step):\n        pass\n", "before_step is no hook without @hookimpl"),
    "Signature": (
        "    @hookimpl\n    def after_step(self, step, model):\n        pass\n",
        "after_step takes model, which it is not given; expected after_step(step)",
    ),
    "Plain": (
        "    @hookimpl\n    def estimate_noise(self, ask, step):\n        return ask\n",
        "estimate_noise must be a generator: yield lists of asks, and return one estimate; it gave a Ask",
    ),
    "Options": ("    Options = 7\n", "expected Options that inherit from TrickOptions, got 7"),
    "Reserved": (
        "    class Options(TrickOptions):\n        help: str = option('')\n",
        "has an option called 'help', which stands for something else",
    ),
    "Range": (
        "    class Options(TrickOptions):\n        scale: float = option(9, ge=0, le=1)\n",
        "its defaults do not fit its own options: scale: expected at most 1, got 9",
    ),
    "Fails": ("    @hookimpl\n    def prepare(self, run):\n        1 / 0\n", "failed in prepare: ZeroDivisionError"),
    "Wrong": (
        "    @hookimpl\n    def before_step(self, step):\n        step.x.mul_(0)\n        step.x = step.x[:1]\n",
        "",
    ),
}


def written(folder: Path, name: str, code: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(code)
    return file


def test_every_fault_is_found(tmp_path: Path) -> None:
    code = HEAD + "class NoTrick:\n    pass\n\nclass Askew(Flat):\n    def invert(self, x):\n        return x + 1\n"
    code += "".join(f"\nclass {name}(Trick):\n{body}" for name, (body, _) in FAULTS.items())
    done = run("plugins", "--check", "--json", "--plugin", written(tmp_path, "faulty", code))
    assert done.code == PluginError.exit_code
    row = next(row for row in done.json if row["name"] == "faulty")
    assert row["status"] == "broken"
    for name, (_, message) in FAULTS.items():
        (said,) = [error for error in row["errors"] if f"trick {name.lower()!r}" in error]
        assert message in said
    others = [error for error in row["errors"] if not any(repr(name.lower()) in error for name in FAULTS)]
    assert ["expected a class that inherits from Trick" in others[0], "invert(apply(x)) is not x" in others[1]] == [
        True
    ] * 2
    assert len(others) == 2
    assert row["untried"] == []
    assert all(row["status"] == "ok" for row in done.json if row["name"] != "faulty")


def test_a_plugin_without_faults_passes(tmp_path: Path) -> None:
    done = run("plugins", "--check", "--plugin", written(tmp_path, "sound", HEAD))
    assert done.code == 0, done.out
    assert "sound  (sound.py)  ok" in done.out


def test_a_broken_plugin_alone_ends_the_check_with_3(tmp_path: Path) -> None:
    file = written(tmp_path, "lost", "import nowhere")
    assert run("plugins", "--plugin", file).code == 0
    checked = run("plugins", "--plugin", file, "--check")
    assert checked.code == PluginError.exit_code
    assert checked.err == "Error: broken: lost; see above\n"


def test_what_is_slow_is_named(tmp_path: Path) -> None:
    written(tmp_path, "slow_library", "import time\ntime.sleep(0.6)\n")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport slow_library\n"
    done = run("plugins", "--check", "--json", "--plugin", written(tmp_path, "waits", code))
    (error,) = next(row for row in done.json if row["name"] == "waits")["errors"]
    assert "s to import slow_library, for which every help waits; import it where it is used" in error
    assert done.code == PluginError.exit_code


def test_a_misspelt_host_hook(tmp_path: Path) -> None:
    code = "from diffusion_tricks import hookimpl\n@hookimpl\ndef register_trick(register):\n    pass\n"
    done = run("plugins", "--check", "--json", "--plugin", written(tmp_path, "odd", code))
    assert "unknown hook 'register_trick'; did you mean 'register_tricks'" in done.json[-1]["errors"][0]


@pytest.mark.parametrize(
    ("needed", "faults"),
    [
        (["diffusion-tricks", "numpy >= 1; python_version >= '3'", "nowhere; extra == 'test'"], []),
        (["numpy"], ["dist does not require diffusion-tricks; add it to its dependencies"]),
        (["diffusion_tricks", "nowhere-at-all > 2"], ["dist requires nowhere-at-all>2, which is not installed"]),
        (["diffusion-tricks", "numpy > 99"], ["dist requires numpy>99, and numpy {numpy} is installed"]),
        (["diffusion-tricks", "??"], ["what dist requires cannot be read: "]),
    ],
)
def test_what_a_distribution_requires(needed: list[str], faults: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy

    monkeypatch.setattr(examining, "requires", lambda name: needed)
    found = list(misfits_of(manager.PluginStatus("name", "dist", "1.0", distribution="dist")))
    assert len(found) == len(faults)
    for said, fault in zip(found, faults, strict=True):
        assert said.startswith(fault.format(numpy=numpy.__version__))


def test_what_cannot_be_guessed_is_said() -> None:
    class Options(TrickOptions):
        network: str = option(path="model")

    class Networked(Trick[Options]):
        pass

    with registered(Networked) as made:
        found = examine(made.statuses[-1])
    assert found == Findings([], ["trick 'networked' is not tried: its option 'network' names a model"])


def test_the_built_in_tricks_have_no_faults() -> None:
    """They are not tried in the command itself, which is for plugins from outside."""
    status = manager.PluginStatus("diffusion_tricks_plugins", "built in", distribution=manager.OWN)
    assert examine(status) == Findings()
    assert len(TRICKS) > 10


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("1.9", f"was written for version 1.9 of the plugin API, and this is {API_VERSION}; update diffusion-tricks"),
        ("2.0", "update diffusion-tricks"),
        ("0.9", "it must be brought up to date, see docs/hooks.md"),
        (1.0, "DIFFUSION_TRICKS_API must be a text such as '1.0', got 1.0"),
        ("one", "must be a text such as '1.0'"),
    ],
)
def test_a_plugin_for_another_version_of_the_hooks_is_not_loaded(said: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message):
        check_api(SimpleNamespace(DIFFUSION_TRICKS_API=said))
    code = f"DIFFUSION_TRICKS_API = {said!r}\n{HEAD}"
    assert message in run("plugins", "--plugin", written(tmp_path, "other", code)).out


def test_a_plugin_for_these_hooks_is_loaded() -> None:
    for said in (None, "1.0", API_VERSION):
        check_api(SimpleNamespace(DIFFUSION_TRICKS_API=said))


def test_a_hook_that_goes_warns_whoever_fills_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Old(manager.HostHooks):
        @deprecated("register_ways", since="1.1", instead="register_movements")
        def register_ways(self, register: Callable[..., None]) -> None: ...

    monkeypatch.setattr(manager, "HostHooks", Old)
    code = "from diffusion_tricks import hookimpl\n@hookimpl\ndef register_ways(register):\n    pass\n"
    file = written(tmp_path, "older", code)
    said = "the hook register_ways goes with version 1.2 of the plugin API; fill register_movements"
    with manager.made_anew(), pytest.warns(HookDeprecation, match=said):
        manager.host([file])
    done = run("plugins", "--plugin", file)
    assert done.code == 0
    assert f"Warning: {said}" in done.err
