"""What plugin authors test with: plugins for a while, the command line in this process, fixtures for pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from torch import Tensor

from diffusion_tricks import Trick, View, hookimpl, load_plugin
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.hosting import host as manager
from diffusion_tricks.hosting.host import host
from diffusion_tricks.plugin import TrickOptions, option
from diffusion_tricks.testing import registered, run_command
from diffusion_tricks.testing.pipelines import FAMILIES

pytest_plugins = ["pytester"]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "plugins.md"
PLUGIN = """
from diffusion_tricks import Trick, hookimpl

class Calm(Trick):
    name = "calm"

@hookimpl
def register_tricks(register):
    register("calm", __name__ + ":Calm", summary="does nothing")
"""
CONFTEST = 'pytest_plugins = ["diffusion_tricks.testing.fixtures"]'
TESTS = """
from pathlib import Path
from diffusion_tricks import Trick, sample
from diffusion_tricks.testing import check_trick

class Still(Trick):
    "Does nothing."
    name = "still"

def test_trick(tiny_model):
    check_trick(Still(), tiny_model)

def test_command(tiny_folder, registered, run_command, tmp_path):
    registered(Still)
    outcome = run_command("make", "-m", tiny_folder, "-p", "a rose", "--steps", 2, "-o", "rose.png", "still")
    assert (outcome.code, outcome.files) == (0, (Path("rose.png"),)), outcome.err
    assert (tmp_path / "rose.png").exists()

def test_it_is_gone(run_command):
    assert run_command("make", "still").code == 2

def test_file(load_plugin, run_command):
    load_plugin(Path(__file__).with_name("calm_plugin.py"))
    assert "does nothing" in run_command("make", "--help").out
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "calm_plugin.py"
    file.write_text(PLUGIN)
    return file


class Outward(View):
    """As it is."""

    def apply(self, x: Tensor) -> Tensor:
        return x

    def invert(self, x: Tensor) -> Tensor:
        return x


def test_a_plugin_is_there_within_and_gone_behind(file: Path) -> None:
    before, entries = host(), host().entries("trick")
    with load_plugin(file) as made:
        assert host() is made
        assert made.trick("calm")().label() == "calm"
        (status,) = [s for s in made.statuses if s.name == "calm_plugin"]
        assert (status.origin, status.error) == ("calm_plugin.py", None)
        assert "calm" in manager._made([], set()).entries("trick")  # a host made anew has it too
    assert host() is before
    assert host().entries("trick") == entries
    assert "calm_plugin" not in sys.modules
    assert "calm" not in manager._made([], set()).entries("trick")


def test_plugins_within_plugins_and_what_fails_within(file: Path) -> None:
    with pytest.raises(RuntimeError), load_plugin(file), registered(Outward):  # noqa: PT012
        assert {"calm"} <= set(host().entries("trick"))
        assert host().find("view", "outward").load() is Outward
        raise RuntimeError
    assert "calm" not in host().entries("trick")
    assert "outward" not in host().entries("view")


def test_a_module_and_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    with load_plugin("calm_plugin") as made:
        module = sys.modules["calm_plugin"]
        assert "calm" in made.entries("trick")
    with load_plugin(module) as made:
        assert "calm" in made.entries("trick")
    del sys.modules["calm_plugin"]


def test_a_later_one_takes_the_place_of_an_earlier_of_its_name(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(PLUGIN.replace("does nothing", "from elsewhere"))
    with load_plugin(file):
        with load_plugin(other):
            assert host().find("trick", "calm").summary == "from elsewhere"
            assert [s.name for s in host().statuses].count("calm_plugin") == 1
        assert host().find("trick", "calm").summary == "does nothing"
        assert host().trick("calm").__module__ == "calm_plugin"
        assert sys.modules["calm_plugin"].__file__ == str(file)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere", "plugin 'calm_plugin.py' cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
        (
            PLUGIN.replace('"calm", _', '"anagram", _'),
            "plugin 'calm_plugin' is broken: there is already a trick called",
        ),
    ],
)
def test_a_broken_plugin_is_an_error(file: Path, code: str, message: str) -> None:
    before = host()
    file.write_text(code)
    with pytest.raises(PluginError, match=message), load_plugin(file):
        pass
    assert host() is before
    assert "calm_plugin" not in sys.modules


def test_what_cannot_be_a_plugin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.py: no such file"), load_plugin(tmp_path / "nowhere.py"):
        pass
    with (
        pytest.raises(PluginError, match="plugin 'nowhere' cannot be loaded: ModuleNotFoundError"),
        load_plugin("nowhere"),
    ):
        pass


def test_a_trick_of_a_test_is_registered_with_its_docstring() -> None:
    class Local(Trick):
        """Does nothing at all."""

    with registered(Local, "do-little") as made:
        assert made.find("trick", "do-little").summary == "Does nothing at all."
        assert made.trick("do-little") is Local
        assert "Does nothing at all." in run_command("make", "--help").out
    assert not [name for name in sys.modules if name.startswith("do_little")]


def test_a_plugin_object_is_registered() -> None:
    module = ModuleType("of_a_test")
    module.register_models = hookimpl(lambda register: register("mine", "owner/mine"))  # type: ignore[attr-defined]
    with registered(module) as made:
        assert made.find("model", "mine").plugin == "of_a_test"


def test_the_outcome_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before = host()
    rose = "rose.png"
    Image.new("RGB", (64, 64)).save(rose)
    assert run_command("plugins", "--json", "--plugin", file).json[-1]["name"] == "calm_plugin"
    assert host() is before  # what the command loaded is gone with it
    outcome = run_command("cover", rose, "--title", "A Rose", "-o", "cover.png")
    assert (outcome.code, outcome.files) == (0, (Path("cover.png"),)), outcome.err
    assert run_command("cover", rose, "--title", "A Rose", "-o", "cover.png").files == ()  # it is there
    refused = run_command("views", "nowhere")
    assert (refused.code, refused.lines) == (2, [])
    assert "unknown view 'nowhere'" in refused.err


def test_the_fixtures(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.makepyfile(calm_plugin=PLUGIN)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist").assert_outcomes(passed=4)


def test_importing_it_says_nothing() -> None:
    words = [sys.executable, "-c", "import diffusion_tricks.testing.fixtures"]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")


def test_the_page_names_families_there_are() -> None:
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `tiny_pipeline(")]
    named = re.findall(r'"([^"]+)"', row)
    assert len(named) > 3
    assert set(named) <= set(FAMILIES)


def test_the_example_of_a_trick_without_one_has_all_that_it_needs() -> None:
    class NeededOptions(TrickOptions):
        text: str = option(..., "what else")
        share: float = option(0.5, "of it")

    class Needy(Trick[NeededOptions]):
        """Asks for more."""

        Options = NeededOptions

    with registered(Needy, "needy"):
        assert run_command("make", "needy", "--help").out.endswith('make -p "a rabbit" needy --text ...\n')
