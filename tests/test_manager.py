"""Plugins are found, registered without being loaded, and kept apart when they are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffusion_tricks.errors import PluginError, UnknownName, UsageError
from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.hosting import host as manager
from diffusion_tricks.hosting.host import ALLOWED, BUILT_IN, Host, host, plugin_versions
from diffusion_tricks.hosting.registration import Found
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.tricks import order, refuse_clashes, run_manager
from diffusion_tricks_plugins import TRICKS, Anagram, Guidance

PLUGIN = """
from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.registry.trick import Trick

class Calm(Trick):
    name = "calm"

@hookimpl
def register_tricks(register):
    register("calm", __name__ + ":Calm", summary="does nothing", note=7)

@hookimpl
def register_models(register):
    register("calm-model", "owner/calm", summary="a model")
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has no host yet, and that finds nobody else's plugins."""
    monkeypatch.setattr(manager, "_host", None)
    monkeypatch.delenv(ALLOWED, raising=False)
    install(monkeypatch, {})
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if not name.startswith(("diffusion", "torch", "transformers")):
            del sys.modules[name]


def install(monkeypatch: pytest.MonkeyPatch, plugins: dict[str, tuple[str, Callable[[], Any]]]) -> None:
    """Entry points as installed distributions bring them: name to distribution and loader."""
    points = [
        SimpleNamespace(name=name, value=name, dist=SimpleNamespace(name=dist, version="1.2"), load=load)
        for name, (dist, load) in plugins.items()
    ]
    monkeypatch.setattr(manager, "entry_points", lambda group: points if group == "diffusion_tricks" else [])


def plugin(**registered: str) -> Any:
    """A plugin object that registers tricks: name to target."""

    class Plugin:
        @hookimpl
        def register_tricks(self, register: Callable[..., None]) -> None:
            for name, target in registered.items():
                register(name, target, summary=f"the {name}")

    return Plugin()


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_listing_costs_no_torch() -> None:
    said = python(
        "import sys, diffusion_tricks, diffusion_tricks_plugins\n"
        "from diffusion_tricks.hosting.host import host\n"
        "from diffusion_tricks.loading.known import known_models\n"
        "print(sorted(host().entries('trick')), list(known_models())[0])\n"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'PIL', 'numpy') if m in sys.modules])"
    )
    assert said.splitlines() == [f"{sorted(TRICKS)} emoji", "[]"]


def test_options_of_every_trick_are_read_without_torch() -> None:
    said = python(
        "import sys\n"
        "from diffusion_tricks.hosting.host import host\n"
        "print(all(host().trick(name).Options.model_fields for name in host().entries('trick')))\n"
        "print('torch' in sys.modules)"
    )
    assert said.split() == ["True", "False"]


def test_built_in_names_are_there_and_load() -> None:
    assert list(host().entries("trick")) == list(TRICKS)
    assert host().trick("guidance") is Guidance
    assert host().find("trick", "guidance").notes["automatic"] == "guidance"
    assert {"identity", "flip", "rotate_cw"} <= set(host().entries("view"))
    assert host().find("model", "emoji").load() == host().find("model", "emoji").target
    assert host() is host()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown trick 'anagramm'; did you mean 'anagram'"):
        host().trick("anagramm")
    with pytest.raises(UnknownName, match="unknown view 'flp'; did you mean 'flip'"):
        host().find("view", "flp")


def test_an_installed_plugin_registers_and_is_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"good": ("dist-good", lambda: plugin(calm="missing_module:Calm"))})
    entry = host().find("trick", "calm")
    assert (entry.plugin, entry.summary, entry.target) == ("good", "the calm", "missing_module:Calm")
    with pytest.raises(
        PluginError, match="trick 'calm' of plugin 'good' cannot be loaded from 'missing_module:Calm': Mo"
    ):
        entry.load()
    assert plugin_versions()["dist-good"] == "1.2"


def test_a_real_entry_point_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "outside_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("outside", "outside_plugin", "diffusion_tricks")
    monkeypatch.setattr(manager, "entry_points", lambda group: [point])
    assert host().trick("calm").name == "calm"
    assert [s.origin for s in host().statuses if s.name == "outside"] == ["outside_plugin"]
    assert host().find("model", "calm-model").target == "owner/calm"


def broken_import() -> Any:
    raise ImportError("no module named 'gone'")


def leaving() -> Any:
    sys.exit(3)


def broken_register() -> Any:
    class Plugin:
        @hookimpl
        def register_tricks(self, register: Callable[..., None]) -> None:
            register("half", "m:Half")
            raise RuntimeError("half way")

    return Plugin()


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (broken_import, "ImportError: no module named 'gone'"),
        (leaving, "SystemExit: 3"),
        (broken_register, "RuntimeError: half way"),
    ],
)
def test_a_broken_plugin_is_kept_apart(monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any], error: str) -> None:
    install(monkeypatch, {"bad": ("dist-bad", load), "good": ("dist-good", lambda: plugin(calm="m:Calm"))})
    statuses = {status.name: status for status in host().statuses}
    assert statuses["bad"].error == error
    assert statuses["good"].error is None
    assert "calm" in host().entries("trick")
    assert "half" not in host().entries("trick")  # nothing half registered is left
    assert not host().manager.has_plugin("bad")
    assert "dist-bad" not in plugin_versions()


def test_a_plugin_with_a_hook_of_unknown_arguments_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        @hookimpl
        def register_tricks(self, registrar: Callable[..., None]) -> None:
            """`registrar` for `register`."""

    install(monkeypatch, {"bad": ("dist-bad", Plugin)})
    (status,) = [status for status in host().statuses if status.name == "bad"]
    assert status.error is not None
    assert "registrar" in status.error


def broken(name: str) -> str:
    """What is wrong with the plugin of that name; the last found, if there are several."""
    error = [status.error for status in host().statuses if status.name == name][-1]
    assert error is not None
    return error


def test_of_two_plugins_that_register_one_name_the_later_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch, {"one": ("dist-one", lambda: plugin(calm="a:A")), "two": ("dist-two", lambda: plugin(calm="b:B"))}
    )
    assert broken("two") == "there is already a trick called 'calm', from 'one' (dist-one)"
    assert host().find("trick", "calm").plugin == "one"
    assert host(without=["one"]).find("trick", "calm").plugin == "two"


def test_a_plugin_may_not_take_the_name_of_a_built_in_trick(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"mine": ("dist-mine", lambda: plugin(other="a:A", hybrid="a:A"))})
    assert broken("mine") == f"there is already a trick called 'hybrid', from '{BUILT_IN[0]}' (built in)"
    assert "other" not in host().entries("trick")  # nothing of a broken plugin stays


def test_a_plugin_may_not_take_the_name_of_a_known_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Models:
        @hookimpl
        def register_models(self, register: Callable[..., None]) -> None:
            register("emoji", "owner/other")

    install(monkeypatch, {"mine": ("dist-mine", Models)})
    assert broken("mine") == "there is already a model called 'emoji', from 'diffusion_tricks' (the core)"


def test_a_file_outranks_an_installed_plugin_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text(PLUGIN)
    install(monkeypatch, {"same": ("dist-one", lambda: plugin(other="a:A"))})
    made = host([tmp_path / "same.py"])
    installed, file = (status for status in made.statuses if status.name == "same")
    assert (installed.skipped, installed.error) == ("same.py takes its place", None)
    assert (file.origin, file.error) == ("same.py", None)
    assert "other" not in made.entries("trick")


def test_of_two_with_one_name_either_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "entry_points", lambda group: [
        SimpleNamespace(
            name="same", value="same", dist=SimpleNamespace(name=dist, version="1.2"),
            load=lambda dist=dist: plugin(**{dist[:3]: "a:A"}),
        )
        for dist in ("one-dist", "two-dist")
    ])  # fmt: skip
    assert [(s.distribution, s.works) for s in host().statuses[-2:]] == [("one-dist", True), ("two-dist", False)]
    for left_out, stays in (("one-dist", "two"), ("two-dist", "one")):
        made = host(without=[left_out])
        assert stays in made.entries("trick")
        assert [s.distribution for s in made.statuses[-2:] if s.skipped] == [left_out]
        assert [s.distribution for s in made.statuses if s.error] == []
    assert all(s.skipped for s in host(without=["same"]).statuses[-2:])


def test_two_distributions_with_a_plugin_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Host()
    for origin in ("dist-one", "dist-two"):
        made.add(Found("same", origin, lambda: plugin(other="a:A")))
    assert [status.error for status in made.statuses] == [
        None,
        "there is already a plugin called 'same', from dist-one; leave one out, as `without=['dist-two']`",
    ]
    assert made.find("trick", "other").plugin == "same"


def test_a_misspelt_hook_is_a_warning_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        @hookimpl
        def register_trick(self, register: Callable[..., None]) -> None:
            """For register_tricks."""

    install(monkeypatch, {"typo": ("dist-typo", Plugin), "later": ("dist-later", lambda: plugin(calm="m:Calm"))})
    with pytest.warns(UserWarning, match="plugin 'typo': unknown hook 'register_trick'; did you mean") as caught:
        assert "calm" in host().entries("trick")
    assert len(caught) == 1


def test_a_misspelt_run_hook_is_an_error_with_a_suggestion() -> None:
    class Typo(Trick[Any]):
        name = "typo"

        @hookimpl
        def estimate_noize(self) -> None:
            """For estimate_noise."""

    with pytest.raises(PluginError, match="trick 'typo': unknown hook 'estimate_noize'; did you mean 'estimate_noise'"):
        run_manager([Typo()])


@pytest.mark.parametrize(("allowed", "loaded"), [("one", ["one"]), (" two , one", ["one", "two"]), ("", []), ("x", [])])
def test_the_allow_list_is_read_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, allowed: str, loaded: list[str]
) -> None:
    touched: list[str] = []
    install(monkeypatch, {n: (f"dist-{n}", lambda n=n: touched.append(n) or plugin()) for n in ("one", "two")})
    monkeypatch.setenv(ALLOWED, allowed)
    skipped = {status.name: status.skipped for status in host().statuses}
    assert touched == loaded
    assert {name for name, why in skipped.items() if why == f"not in {ALLOWED}"} == {"one", "two"} - set(loaded)
    assert host().entries("trick")  # the built-in tricks are always there


def test_a_plugin_left_out_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "aside.py").write_text("raise SystemExit('loaded')")
    touched: list[str] = []
    install(monkeypatch, {n: (f"dist-{n}", lambda n=n: touched.append(n) or plugin()) for n in ("one", "two")})
    made = host([tmp_path / "aside.py"], without=["one", "aside"])
    assert touched == ["two"]
    assert [s.name for s in made.statuses if s.skipped == "left out by `without`"] == ["one", "aside"]


def test_leaving_out_an_unknown_plugin_is_noticed_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    install(monkeypatch, {"one": ("dist-one", lambda: touched.append("one"))})
    with pytest.raises(UnknownName, match="unknown plugin 'oen'; did you mean 'one'"):
        host(without=["oen"])
    assert touched == []


def test_a_single_file_is_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "single_file_plugin.py"
    file.write_text(PLUGIN)
    made = host([file])
    assert made is host()
    assert made.trick("calm")().label() == "calm"
    assert made.find("trick", "calm").notes == {"note": 7}
    (status,) = [s for s in made.statuses if s.name == "single_file_plugin"]
    assert (status.origin, status.error) == ("single_file_plugin.py", None)
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(PLUGIN.replace("does nothing", "from elsewhere"))
    assert host([other]).find("trick", "calm").summary == "from elsewhere"  # a later host may read another file


def test_a_broken_file_is_kept_apart_and_leaves_no_module(tmp_path: Path) -> None:
    file = tmp_path / "broken_file_plugin.py"
    file.write_text("import nowhere_to_be_found")
    (status,) = [s for s in host([file]).statuses if s.name == "broken_file_plugin"]
    assert status.error == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert "broken_file_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.py", "no such file; expected a Python file"),
        ("plugin.txt", r"expected a Python file, its name ending in \.py"),
        ("a.b.py", r"expected a Python file, its name ending in \.py and with no other dot"),
        ("json.py", "there is another module called 'json'; rename the file"),
        ("__main__.py", "there is another module called '__main__'; rename the file"),
    ],
)
def test_a_file_that_cannot_be_a_plugin(tmp_path: Path, name: str, message: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_text(PLUGIN)
    with pytest.raises(UsageError, match=f"plugin .*{message}"):
        host([tmp_path / name])


class Starting(Trick[Any]):
    name = "starting"
    place = "start"


def test_two_tricks_in_one_exclusive_place_are_an_error_that_names_both() -> None:
    with pytest.raises(UsageError, match="'starting' and 'starting 2' both fill the place 'start' of a run"):
        run_manager([Starting(), Guidance(), Starting()])
    with pytest.raises(UsageError, match="'guidance' and 'guidance 2' both fill the place 'guidance'"):
        refuse_clashes([Guidance(), Guidance(scale=3)])
    one = Anagram(prompts=["a", "b"])
    with pytest.raises(UsageError, match="the same trick object is given twice"):
        run_manager([one, one])


def test_guidance_is_innermost_wherever_it_stands_and_the_rest_keep_their_order() -> None:
    first, second = Outer(), Outer()
    assert order([Guidance(), first, second]) == ["outer", "outer 2", "guidance"]
    assert order([first, Guidance(), second]) == ["outer", "outer 2", "guidance"]
    manager = run_manager([Guidance(), first, second])
    assert manager.get_plugin("outer") is first


class Outer(Trick[Any]):
    name = "outer"

    @hookimpl
    def estimate_noise(self, ask: Any, step: Any) -> Any:
        answers = yield [ask]
        return answers[0]


class Inner(Trick[Any]):
    name = "inner"

    @hookimpl(trylast=True)
    def estimate_noise(self, ask: Any, step: Any) -> Any:
        answers = yield [ask]
        return answers[0]


def test_tricks_that_are_all_innermost_keep_their_order_too() -> None:
    assert order([Inner(), Anagram(prompts=["a", "b"]), Guidance(), Inner()]) == [
        "anagram",
        "inner",
        "guidance",
        "inner 2",
    ]


def test_a_host_without_plugins_knows_nothing() -> None:
    with pytest.raises(UnknownName, match="unknown trick 'hybrid'; known are: none"):
        Host().trick("hybrid")
