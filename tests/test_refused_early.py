"""What a model cannot do is refused before its weights, often gigabytes, are read: as a plan of it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
from PIL import Image
from safetensors.torch import save_file

from command_line import run
from diffusion_tricks import Trick, hookimpl
from diffusion_tricks.errors import PluginError
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.generate.rehearsal import check_before
from diffusion_tricks.recipes.recipe import Recipe, TrickEntry
from diffusion_tricks.testing import tiny_controlnet, tiny_pipeline
from unadapted import unadapted

KINDS = ("sd", "flux", "if", "ddpm", "qwen", "aura")
TALL = "overlay --title " + "x" * 4000
CASES = {
    "a scheduler of other models": ("flux", "--scheduler ddim", 2, "flow, which scheduler 'ddim' cannot follow"),
    "distilled guidance": ("sd", "--distilled-guidance 3", 2, "takes no distilled guidance"),
    "LoRA weights": ("ddpm", "--lora style.safetensors", 3, "takes no LoRA: diffusers has no way"),
    "too many steps": ("sd", "--steps 2000", 2, "steps must be between 1 and 1000"),
    "nothing to upscale": ("sd", "--upscale-steps 3", 2, "nothing is upscaled"),
    "a size": ("flux", "--size 18x16", 2, "size must be a multiple of"),
    "a mask that is not there": ("sd", "inpaint photo.png --mask gone.png", 2, "gone.png"),
    "a mask without alpha": ("sd", "inpaint photo.png --mask alpha", 2, "alpha"),
    "a turn of what is not square": (
        "if", "--size 32x16 anagram --view identity a --view rotate_cw b", 2, "quarter turn needs a square",
    ),
    "any angle on latents": ("sd", "anagram --space latent --view identity a --view rotate:30 b", 2, "rotate"),
    "a text that does not fit": ("if", TALL, 2, "the text is too long"),
    "a network for other models": ("flux", "controlnet photo.png --network net", 2, "takes no ControlNet"),
    "a network of another family": ("sd", "controlnet photo.png --network net", 3, "made for another family than 'sd'"),
    "two ways to say the steps": ("sd", "--stride 30 --steps 10", 2, "--steps 10 and --stride 30 both say which steps"),
    "an inpainted picture made larger": (
        "sd", "--enlarge 2 inpaint photo.png --mask box:0,0,9,9", 2, "so --enlarge 2 would do nothing; leave it out",
    ),
    "a film of several runs": ("sd", "--steps-out film.gif sdedit photo.png --sweep", 2, "shows one run, but 7"),
    "the best of a strip": ("sd", "--best-of 2 sdedit photo.png --sweep", 2, "a strip of variants has no best one"),
    "an edit of no step": (
        "sd", "--steps 4 --scheduler ddim sdedit photo.png --strength 0.1", 2, "no step would be run; use --strength",
    ),
    "weights that no encoder heeds": ("qwen", "--negative (dull:1.3)", 2, "QwenImagePipeline cannot weigh the words"),
    "weights along a schedule": (
        "qwen", "anagram b [c:(d:1.5):0.5]", 2, "cannot weigh the words of a prompt, as its text encoders are neither",
    ),
    "a gradient that its pipeline does not follow": ("aura", "dps photo.png", 2, "own call follows no gradients"),
    "a prompt of a model without": ("ddpm", "", 2, "this model takes no prompt, it makes what it was trained on"),
    "a class that is none": ("classes", "", 2, "unknown class 'a'"),
    "no class where guidance needs one": (
        "known", "--guidance 3", 2, "this model knows classes only, and was asked for none",
    ),
    "a network that is gone": ("sd", "controlnet photo.png --network ./gone", 3, "there is no ControlNet"),
}  # fmt: skip


def save_classes(folder: Path, names: list[str]) -> None:
    """A model of three classes, or of fewer and an embedding for none of them."""
    unet = UNet2DModel(
        sample_size=16, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, num_class_embeds=3,
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    (folder / "diffusion_tricks.json").write_text(json.dumps({"classes": names}))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each of KINDS, and a ControlNet for a wider UNet than theirs."""
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        (unadapted if kind == "aura" else tiny_pipeline)(kind).save_pretrained(folder / kind)
    config = dict(tiny_controlnet("sd").config) | {"cross_attention_dim": 48}
    ControlNetModel.from_config(config).save_pretrained(folder / "net")
    for name, classes in (("classes", ["cat", "dog"]), ("known", ["a", "dog", "owl"])):
        save_classes(folder / name, classes)
    Image.new("RGB", (32, 32), "white").save(folder / "photo.png")
    save_file({"unet.x.lora_A.weight": torch.zeros(2, 2)}, folder / "style.safetensors")
    return folder


@pytest.fixture(autouse=True)
def no_weights(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails whoever loads a pipeline."""
    monkeypatch.chdir(models)
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_it_is_refused_by_plans_and_runs_alike(models: Path, case: str, dry: list[str]) -> None:
    kind, asked, code, message = CASES[case]
    prompt = [] if "anagram" in asked else ["-p", "a"]  # it brings its own
    outcome = run("make", "-m", f"./{kind}", *prompt, "-o", "never.png", *dry, *asked.split())
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    assert re.search(f"^Error: .*{re.escape(message)}", outcome.err, re.MULTILINE), outcome.err
    assert not (models / "never.png").exists()


FINISHED = {
    "a text that does not fit": ("--title " + "x" * 4000, "the text is too long"),
    "a font that is none": ("--title a --font nowhere.ttf", "nowhere.ttf"),
    "a model's settings": ("--title a --steps 4 --guidance 3", "no use for --guidance and --steps, as no model makes"),
    "an enlargement": ("--title a --enlarge 2", "no use for --enlarge"),
    "several pictures": ("--title a --count 2", "is one picture, got --count 2"),
}


@pytest.mark.parametrize("case", FINISHED)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_a_finished_picture_cannot_have(models: Path, case: str, dry: list[str]) -> None:
    asked, message = FINISHED[case]
    outcome = run("cover", "photo.png", "-o", "never.png", *dry, *asked.split())
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert message in outcome.err
    assert not (models / "never.png").exists()


def test_where_to_compute_is_noted_as_idle_for_a_finished_picture(models: Path) -> None:
    outcome = run("cover", "photo.png", "--text", "a", "--device", "cpu", "--max-rows", 2, "-o", "a.png", "--force")
    assert outcome.code == 0, outcome.err
    assert "Note: no model makes a picture that is only finished, so nothing was done with --device" in outcome.err


def test_a_pipeline_that_cannot_be_opened(models: Path) -> None:
    index = models / "sd" / "model_index.json"
    said = json.loads(index.read_text())
    index.write_text(json.dumps(said | {"_class_name": "StableDiffusionImg2ImgPipeline"}))
    try:
        outcome = run("generate", "a", "-m", "./sd", "-o", "never.png")
    finally:
        index.write_text(json.dumps(said))
    assert (outcome.code, "its call needs a picture (image)" in outcome.err) == (3, True), outcome.err


class Looks(Trick):  # type: ignore[type-arg]
    """Wants weights, which a stand-in has not."""

    name = "looks"

    @hookimpl
    def prepare(self, run: object) -> None:
        run.model.pipe.unet.parameters()  # type: ignore[attr-defined]


def test_what_a_plugin_cannot_do_with_a_stand_in_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrickEntry, "build", lambda entry: Looks())
    recipe = Recipe(model="./sd", prompt="a", seed=0, guidance=None, tricks=[TrickEntry(trick="looks")])
    with pytest.raises(PluginError, match="looks"):
        plan(recipe)
    check_before(recipe)


@pytest.mark.parametrize(("name", "code"), [("./ddpm", 0), ("./sd", 2), ("./classes", 2), ("owner/unknown", 2)])
def test_a_prompt_may_be_missing_only_where_none_is_known_to_be_taken(name: str, code: int) -> None:
    outcome = run("plan", "-m", name)
    assert (outcome.code, "a prompt is missing" in outcome.err) == (code, code == 2), outcome.err


@pytest.mark.parametrize("name", ["qwen", "zimage", "sana"])
def test_a_model_that_is_not_here_is_known_not_to_weigh_words(name: str) -> None:
    outcome = run("plan", "-m", name, "-p", "a (red:1.4) cat")
    assert (outcome.code, "cannot weigh the words" in outcome.err) == (2, True), outcome.err
    assert run("plan", "-m", name, "-p", "a (red) cat").code == 0


@pytest.mark.parametrize("name", ["./sd", "./flux", "./if", "sd35", "flux", "pixart", "owner/unknown"])
def test_weights_are_planned_where_they_are_heeded_or_nothing_is_known(name: str) -> None:
    assert run("plan", "-m", name, "-p", "a (red:1.4) cat").code == 0
