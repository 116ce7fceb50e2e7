"""Bad plugins: their commands, where an error came from, and all of them installed at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Outcome, run
from faults.plugins import COMMAND, PLUGINS, QUIET, BadPlugin, installed

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "examples" / "photos" / "cat.png"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_it(plugin: BadPlugin, *words: object) -> Outcome:
    return run("--plugin", plugin.write(Path()), *words)


def test_all_of_them_installed_at_once() -> None:
    """In a process of its own, as a user has them."""
    site, plugins = Path("site").resolve(), [*PLUGINS, *QUIET]
    paths = os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins", ROOT / "cli")))
    program = [sys.executable, "-m", "diffusion_tricks_cli"]

    def said(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": paths}
        ended = subprocess.run([*program, *words], env=environment, capture_output=True, text=True, check=True)
        assert "Traceback" not in ended.stderr
        return ended.stdout

    with installed(plugins, site):
        rows = {row["name"]: row for row in json.loads(said("plugins", "--json"))}
        assert json.loads(said("cover", str(PICTURE), "--title", "x", "-o", "c.png", "--json"))["path"] == "c.png"
    assert {plugin.called for plugin in plugins} <= rows.keys()
    for plugin in plugins:
        row = rows[plugin.called]
        if plugin.fails == "loaded":
            assert row["status"] == "broken"
            assert plugin.says in str(row["errors"])
    first = min(plugin.called for plugin in plugins if rows[plugin.called]["status"] == "ok")
    clash = f"there is already a trick called 'bad', from {first!r} ({first})"
    assert {rows[plugin.called]["status"] for plugin in plugins if plugin.called < first} <= {"broken"}
    assert clash in str(rows["bad_views_of"]["errors"])


@pytest.mark.parametrize(("statement", "code", "says"), [
    ("raise RuntimeError('boom')", 3, "command 'shout' of plugin 'bad_command' failed: RuntimeError: boom"),
    ("raise click.UsageError('no')", 2, "no"),
    ("sys.exit(7)", 7, ""),
])  # fmt: skip
def test_a_command_of_a_plugin(statement: str, code: int, says: str) -> None:
    shouted = with_it(BadPlugin("command", COMMAND.format(statement)), "shout")
    assert (shouted.code, "Traceback" in shouted.err) == (code, False)
    assert says in shouted.err


def test_debug_shows_where_an_error_came_from(tiny: Path) -> None:
    plugin = next(p for p in PLUGINS if p.name == "before_step_error")
    line = ["make", "-m", tiny, "-p", "a", "--steps", 2, "-o", "out.png", "bad"]
    assert "in before_step\n" in with_it(plugin, "--debug", *line).err
    assert "in before_step\n" not in with_it(plugin, *line).err


def test_a_plugin_that_adds_no_command() -> None:
    plugin = BadPlugin("commands", COMMAND.format("pass") + "\n    raise KeyboardInterrupt\n")
    listed = with_it(plugin, "plugins")
    assert "KeyboardInterrupt" in listed.out
    assert with_it(plugin, "--help").code == 0
