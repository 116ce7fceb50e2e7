"""Every host hook: what a plugin registers is found, used, listed, and gone with the plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tricks import load_model, load_plugin, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.errors import PluginError, UnknownName, UsageError
from diffusion_tricks.families.table import FAMILIES, UPSCALERS, row_for, rows
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.scorers import scorer_named
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.registration import KINDS
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.testing import run_command, tiny_pipeline
from diffusion_tricks_plugins import VIEWS, Anagram, ClipGuidance
from diffusion_tricks_plugins.masks import mask_for

PLUGIN = '''
"""One of each."""
from diffusion_tricks.plugin import FamilyRow, Serves, View, hookimpl

@hookimpl
def register_models(register):
    register("blobs", __name__ + ":blobs", summary="random", defaults={"steps": 3, "guidance": 1.0}, size=(16, 16))
    register("amiss", __name__ + ":nothing")

@hookimpl
def register_schedulers(register):
    register("karras", "EulerDiscreteScheduler", settings={"use_karras_sigmas": True}, summary="Euler after Karras")
    register("own", __name__ + ":Own", flow=("FlowMatchEulerDiscreteScheduler", {"shift": 2.0}))
    register("flows", "FlowMatchEulerDiscreteScheduler", noise=False, flow=("FlowMatchEulerDiscreteScheduler", {}))
    register("hollow", "NoSuchScheduler")

@hookimpl
def register_families(register):
    serves = Serves("diffusion_tricks.families.unet:UNetFamily", lambda parts: None)
    register(FamilyRow("small IF", ("IFPipeline",), serves, when=lambda parts: parts["unet"]["sample_size"] == 8))

@hookimpl
def register_scorers(register):
    register("again", __name__ + ":scorer")
    register("bad", __name__ + ":blobs")

@hookimpl
def register_masks(register):
    register("left", __name__ + ":Left", summary="a share of the width")

@hookimpl
def register_views(register):
    register("still", __name__ + ":Still", summary="as it is")

@hookimpl
def register_movements(register):
    register("blink", __name__ + ":blink", view="still", summary="through black")
    register("flash", __name__ + ":flash", view="flip")

def blobs(*device):
    from diffusion_tricks.testing import tiny_pipeline
    return tiny_pipeline("if")

def scorer(device):
    from diffusion_tricks.plugin import Scorer
    return Scorer(None, device)

class Left:
    def __init__(self, text, value):
        self.share = float(value)

    def draw(self, canvas):
        import numpy as np
        width, height = canvas.size
        weights = np.zeros((height, width), np.uint8)
        weights[:, : round(width * self.share)] = 255
        return weights

class Still(View):
    def apply(self, x):
        return x

    def invert(self, x):
        return x

def blink(view, picture, share):
    return picture * 0 - 1

def flash(view, picture, share):
    return picture * 0 + share

def __getattr__(name):
    if name != "Own":
        raise AttributeError(name)
    from diffusers import DDIMScheduler
    return type("Own", (DDIMScheduler,), {"__module__": __name__})
'''


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path) -> Iterator[None]:
    file = tmp_path / "one_of_each.py"
    file.write_text(PLUGIN)
    with load_plugin(file):
        yield
    assert not [kind for kind in KINDS for entry in host().entries(kind).values() if entry.plugin == "one_of_each"]


def test_what_is_built_in_is_registered_as_a_plugins_own_is() -> None:
    assert [name for name in host().entries("scheduler") if name in SCHEDULERS] == list(SCHEDULERS)
    assert [row for row in rows() if row in (*FAMILIES, *UPSCALERS)] == [*FAMILIES, *UPSCALERS]
    assert {e.notes["view"] for e in host().entries("movement").values()} >= set(VIEWS)
    assert next(iter(host().entries("scorer"))) == "embedded"
    assert {"box", "words"} <= set(host().entries("mask"))
    for name in ("box", "circle", "luma"):
        assert callable(host().find("mask", name).load())


def test_a_model_made_by_code() -> None:
    model = load_model("blobs", device="cpu")
    assert (model.name, model.defaults.steps, model.defaults.guidance) == ("blobs", 3, 1.0)
    steps = list(sample(model, prompt="a rose"))
    other = list(sample(load_model(tiny_pipeline("if"), device="cpu"), prompt="a rose", steps=3))
    torch.testing.assert_close(steps[-1].x, other[-1].x, rtol=0, atol=0)
    with pytest.raises(PluginError, match="model 'amiss' of plugin 'one_of_each' cannot be loaded"):
        load_model("amiss")


def test_a_model_made_by_code_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = run_command("generate", "a rose", "-m", "blobs", "-o", "rose.png", "--json", "--seed", 3)
    assert made.code == 0, made.err
    assert (made.json["model"], made.json["steps"], made.json["width"]) == ("blobs", 3, 16)
    again = run_command("rerun", "rose.png", "-o", "again.png")
    assert again.code == 0, again.err
    assert (tmp_path / "again.png").read_bytes()[-200:] == (tmp_path / "rose.png").read_bytes()[-200:]
    plan = run_command("plan", "-m", "blobs", "-p", "a rose")
    assert plan.code == 0, plan.err
    assert "blobs" in run_command("models").out
    shown = run_command("models", "show", "blobs")
    assert shown.code == 0, shown.err


def test_schedulers() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    flow = load_model(tiny_pipeline("flux"), device="cpu")

    def last(name: str | None, on: object = model) -> tuple[str, torch.Tensor]:
        *_, step = sample(on, prompt="a rose", steps=3, scheduler=name)  # type: ignore[arg-type]
        return type(step.run.scheduler).__name__, step.x

    *_, karras = sample(model, prompt="a rose", steps=3, scheduler="karras")
    assert karras.run.scheduler.config.use_karras_sigmas
    assert not torch.equal(karras.x, last("euler")[1])
    assert last("own")[0] == "Own"
    torch.testing.assert_close(last("own")[1], last("ddim")[1], rtol=0, atol=0)
    assert last("own", flow)[0] == "FlowMatchEulerDiscreteScheduler"
    with pytest.raises(UsageError, match="scheduler 'flows' is for models that predict a flow"):
        last("flows")
    with pytest.raises(UsageError, match="this model predicts a flow, which scheduler 'karras' cannot follow"):
        last("karras", flow)
    with pytest.raises(PluginError, match="there is no scheduler 'NoSuchScheduler'"):
        last("hollow")
    with pytest.raises(UnknownName, match="unknown scheduler 'karas'; did you mean 'karras'"):
        last("karas")


def test_families_of_plugins_are_asked_first() -> None:
    small, large = ({"unet": {"sample_size": side}} for side in (8, 16))
    assert row_for("IFPipeline", small).title == "small IF"  # type: ignore[union-attr]
    assert row_for("IFPipeline", large).title == "DeepFloyd IF, stage I"  # type: ignore[union-attr]


def test_scorers() -> None:
    assert scorer_named("again").name == scorer_named().name == "embedded"
    assert isinstance(scorer_named("again"), Scorer)
    with pytest.raises(PluginError, match="scorer 'bad' of plugin 'one_of_each': expected a Scorer"):
        scorer_named("bad")


@pytest.mark.parametrize("trick", [ClipGuidance(clip="bad"), Anagram(prompts=["a", "b"], balance="score", clip="bad")])
def test_tricks_ask_the_scorer_of_a_name(trick: Trick) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    with pytest.raises(PluginError, match="scorer 'bad' of plugin 'one_of_each': expected a Scorer"):
        next(iter(sample(model, prompt="a", tricks=[trick], steps=2)))


def test_forms_of_masks() -> None:
    weights = mask_for("left:0.25 + box:75%,0%,100%,100%", (8, 4)).weights
    np.testing.assert_array_equal(weights[0], [255, 255, 0, 0, 0, 0, 255, 255])
    with pytest.raises(UsageError, match="did you mean left:"):
        mask_for("lefd:0.25", (8, 4))


def test_movements() -> None:
    picture = torch.rand(1, 3, 8, 8)
    assert (view_named("still").frame(picture, 0.5) == -1).all()
    assert (view_named("flip").frame(picture, 0.25) == 0.25).all()
    assert torch.equal(view_named("flip").frame(picture, 1), picture.flip(2))


def test_they_are_listed() -> None:
    row = next(row for row in run_command("plugins", "--json").json if row["name"] == "one_of_each")
    assert row["models"] == ["blobs", "amiss"]
    assert row["schedulers"] == ["karras", "own", "flows", "hollow"]
    assert row["families"] == ["small IF"]
    assert row["scorers"] == ["again", "bad"]
    assert row["masks"] == ["left"]
    assert row["views"] == ["still"]
    assert row["movements"] == ["blink", "flash"]
    assert row["commands"] == []
    rows = {row["name"]: row for row in json.loads(run_command("plugins", "--json").out)}
    assert set(rows["diffusion_tricks_show"]["commands"]) >= {"film", "page", "gallery"}
    assert "schedulers: karras" in run_command("plugins").out
