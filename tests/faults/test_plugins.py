"""Fifty bad plugins against the whole command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Outcome, run
from faults.plugins import COMMAND, PLUGINS, QUIET, BadPlugin

PICTURE = Path(__file__).resolve().parents[2] / "examples" / "photos" / "cat.png"
NEVER_SHOWN = ("views_of", "parameters")  # what fails there costs a score or a line for other programs, no picture


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(plugin: BadPlugin) -> str:
    """The plugin as a file, by a name that no other test has."""
    name = f"bad_{plugin.name}"
    Path(f"{name}.py").write_text(plugin.source.replace("PLUGIN", name))
    return f"{name}.py"


def with_it(plugin: BadPlugin, *words: object) -> Outcome:
    return run("--plugin", written(plugin), *words)


@pytest.mark.parametrize("plugin", [*PLUGINS, *QUIET], ids=lambda plugin: plugin.name)
def test_all_else_works_beside_it(plugin: BadPlugin) -> None:
    assert with_it(plugin, "--help").code == 0
    assert with_it(plugin, "--version").code == 0
    listed = with_it(plugin, "plugins", "--json")
    assert listed.code == 0
    status = next(row for row in listed.json if row["name"] == f"bad_{plugin.name}")
    assert (status["status"] == "broken") == (plugin.fails == "loaded"), status
    cover = with_it(plugin, "cover", PICTURE, "--title", "x", "-o", "cover.png", "--json")
    assert (cover.code, cover.json["path"]) == (0, "cover.png")


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_it_is_named_where_it_is_used(plugin: BadPlugin, tiny: Path) -> None:
    line = ["make", "-m", tiny, "-p", "a", "--steps", 2, "--seed", 1, "-o", "out.png", "--json", "bad"]
    made = with_it(plugin, *line)
    if plugin.name in NEVER_SHOWN:
        assert made.code == 0
        return
    assert made.code == 3, made.err
    assert "bad" in made.err
    assert "Traceback" not in made.err
    if plugin.fails != "loaded":
        assert plugin.says in made.err
    assert made.json["error"]
    assert not Path("out.png").exists()


@pytest.mark.parametrize("plugin", [p for p in PLUGINS if p.fails == "loaded"], ids=lambda plugin: plugin.name)
def test_what_is_wrong_with_it_stands_in_the_list(plugin: BadPlugin) -> None:
    assert plugin.says in with_it(plugin, "plugins").out


@pytest.mark.parametrize("plugin", QUIET, ids=lambda plugin: plugin.name)
def test_what_it_prints_does_not_spoil_results(plugin: BadPlugin, tiny: Path) -> None:
    made = with_it(plugin, "make", "-m", tiny, "-p", "a", "--steps", 1, "-o", "out.png", "--json", "bad")
    assert (made.code, made.json["path"]) == (0, "out.png")


@pytest.mark.parametrize(("statement", "code", "says"), [
    ("raise RuntimeError('boom')", 3, "command 'shout' of plugin 'bad_command' failed: RuntimeError: boom"),
    ("raise click.UsageError('no')", 2, "no"),
    ("sys.exit(7)", 7, ""),
])  # fmt: skip
def test_a_command_of_a_plugin(statement: str, code: int, says: str) -> None:
    plugin = BadPlugin("command", COMMAND.format(statement), "")
    shouted = with_it(plugin, "shout")
    assert (shouted.code, "Traceback" in shouted.err) == (code, False)
    assert says in shouted.err


def test_debug_shows_where_an_error_came_from(tiny: Path) -> None:
    plugin = next(p for p in PLUGINS if p.name == "before_step_error")
    line = ["make", "-m", tiny, "-p", "a", "--steps", 2, "-o", "out.png", "bad"]
    assert "in before_step\n" in with_it(plugin, "--debug", *line).err
    assert "in before_step\n" not in with_it(plugin, *line).err


def test_a_plugin_that_adds_no_command(tmp_path: Path) -> None:
    plugin = BadPlugin("commands", COMMAND.format("pass") + "\n    raise KeyboardInterrupt\n", "")
    listed = with_it(plugin, "plugins")
    assert "KeyboardInterrupt" in listed.out
    assert with_it(plugin, "--help").code == 0
