"""What a model can do, told from its configuration alone: held against the loaded model, and how it is run by that."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import constants

from command_line import run
from diffusion_tricks import Model, Recipe, load_model, make
from diffusion_tricks.devices.choice import default_dtype
from diffusion_tricks.diffusion.levels import prediction_of
from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.table import FAMILIES, row_for
from diffusion_tricks.generate.describe import Abilities, sheet
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.generate.rehearsal import check_before
from diffusion_tricks.loading.configs import described_in, dtype_in
from diffusion_tricks.loading.known import ON_THE_HUB
from diffusion_tricks.loading.outlines import NO_LORA, OUTLINES
from diffusion_tricks.model.cascade import link, reaches
from diffusion_tricks.testing.pipelines import tiny_pipeline
from fake_hub import FIRST, laid_out
from unadapted import unadapted

KINDS = ("if", "sd-v", "sdxl", "turbo", "lcm", "sd-inpaint", "sd3", "flux", "schnell", "zimage", "ddpm", "cogview4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for each of KINDS."""
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        pipe = unadapted(kind) if kind == "cogview4" else tiny_pipeline(kind)
        pipe.save_pretrained(folder / kind)
    return folder


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails whoever loads a pipeline."""

    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", loaded)
    monkeypatch.setattr("safetensors.torch.load_file", loaded)


def can(name: str | Path) -> Abilities:
    abilities = sheet(str(name)).abilities
    assert abilities is not None
    return abilities


@pytest.mark.parametrize("kind", KINDS)
def test_the_sheet_says_what_the_loaded_model_is(folder: Path, kind: str) -> None:
    told, model = can(folder / kind), load_model(str(folder / kind), device="cpu")
    shape = model.family.shape
    assert told.sizes == (
        {"size": list(shape.size), "most": reaches([link(model)])[0].most, "multiple": shape.multiple},
    )
    assert (told.space, told.scale) == ("pixel" if shape.scale == 1 else "latent", shape.scale)
    assert (told.channels, told.inpaints, told.controlnet) == (shape.channels, shape.inpaints, shape.controllable)
    assert (told.steps, told.guidance) == (model.defaults.steps, model.defaults.guidance)
    assert (told.distilled, told.distilled_guidance) == (shape.distilled, model.defaults.distilled_guidance)
    assert told.scheduler == type(model.pipe.scheduler).__name__
    assert told.prediction == prediction_of(model.pipe.scheduler)
    row = described(*described_in(folder / kind))
    assert (told.family, told.notes, told.dtype) == (row.title, row.notes, row.dtype)
    assert told.lora == hasattr(model.pipe, "load_lora_weights")
    assert told.prompts == ("none" if kind == "ddpm" else "text")
    assert ("controlnet" in told.tricks, "cache" in told.tricks) == (shape.controllable, shape.cacheable)
    assert {"anagram", "inpaint"} <= set(told.tricks)


def test_kinds_differ_where_they_should(folder: Path) -> None:
    assert [can(folder / kind).guidance for kind in ("flux", "turbo", "sd3", "cogview4")] == [1.0, 1.0, 7.0, 5.0]
    assert [can(folder / kind).distilled for kind in ("flux", "schnell", "lcm")] == [True, False, True]
    assert [can(folder / kind).dtype for kind in ("sdxl", "sd3")] == ["float16", "bfloat16"]
    assert [can(folder / kind).inpaints for kind in ("sd-inpaint", "sdxl")] == [True, False]
    assert [can(folder / kind).controlnet for kind in ("sd-v", "sd3")] == [True, False]
    assert [can(folder / kind).prediction for kind in ("sd-v", "sdxl", "zimage")] == [
        "v_prediction", "epsilon", "flow_prediction"
    ]  # fmt: skip
    assert "its own call" in can(folder / "cogview4").notes[0]


@pytest.mark.usefixtures("no_weights")
def test_no_weights_are_loaded_for_it(folder: Path) -> None:
    assert can(folder / "flux").steps == 28
    assert can("emoji").steps == load_defaults("emoji")["steps"]


def load_defaults(name: str) -> dict[str, Any]:
    place = sheet(name).origin.place
    defaults: dict[str, Any] = json.loads((Path(place) / "diffusion_tricks.json").read_text())
    return defaults


def test_the_model_inside_with_its_second_stage_and_what_it_was_taught() -> None:
    told = sheet("emoji")
    assert (told.origin.kind, told.origin.here, told.pipeline) == ("embedded", True, "IFPipeline")
    assert told.abilities is not None
    alone, upscaled = told.abilities.sizes
    assert alone == {"size": [64, 64], "most": 128, "multiple": 16}
    assert upscaled == {"size": [256, 256], "most": 512, "multiple": 64}
    check_before(Recipe(prompt="a", seed=0, size=(512, 448)))
    for size in ((576, 576), (500, 500), (120, 120)):
        with pytest.raises(UsageError):
            check_before(Recipe(prompt="a", seed=0, size=size))
    assert told.captions["rabbit"] == ["bunny"]
    assert "blue" in told.words


def test_which_pipelines_take_lora_is_as_diffusers_has_it() -> None:
    known = {pipeline for row in FAMILIES for pipeline in row.pipelines}
    assert {name for name in known if not hasattr(getattr(diffusers, name), "load_lora_weights")} == NO_LORA


def test_the_command_prints_a_sheet(folder: Path) -> None:
    lines = dict(row.split(":", 1) for row in run("models", "show", folder / "flux").lines if ":" in row)
    told = {name: value.strip() for name, value in lines.items()}
    assert told["from"] == f"the directory {folder / 'flux'}"
    assert told["on this machine"] == "yes"
    assert told["family"] == "FLUX.1 dev"
    assert told["size"] == "256x256; others, in multiples of 4"
    assert told["space"] == "latents of 4 channels, 2x2 pixels each"
    assert told["steps"] == "28"
    assert told["guidance"] == "1, which is none"
    assert told["distilled guidance"] == "3.5, an input of the network"
    assert told["precision"] == "bfloat16 on an accelerator, float32 on the CPU"
    assert (told["ControlNet"], told["LoRA"]) == ("no", "yes")
    assert "distilled guidance is an input" in told["note"]
    emoji = run("models", "show", "emoji")
    assert "upscaled:           256x256; others, sides up to 512, in multiples of 64" in emoji.lines
    assert emoji.lines[emoji.lines.index("It was taught to draw:") + 1] == "rabbit, bunny"


def test_the_command_prints_json_behind_or_before_the_name(folder: Path) -> None:
    told = run("models", "show", folder / "sd3", "--json").json
    assert told == json.loads(json.dumps(sheet(str(folder / "sd3")).data()))
    assert told["abilities"]["sizes"] == [{"size": [16, 16], "most": 128, "multiple": 4}]
    assert run("models", "--json", "show", folder / "sd3").json == told
    assert run("models", "--json", "emoji").json == run("models", "emoji", "--json").json


def test_a_name_alone_lists_what_it_was_taught_and_a_wrong_one_is_refused() -> None:
    assert run("models", "emoji").lines[0] == "rabbit, bunny"
    assert run("models", "show", "emojy").code == run("models", "emojy").code == 2
    assert "did you mean 'emoji'" in run("models", "show", "emojy").err
    assert run("models", "show").code == 2
    with pytest.raises(UnknownName):
        sheet("emojy")


def test_a_model_that_is_not_here_says_what_is_known_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    known = sheet("sdxl")
    assert (known.origin.kind, known.origin.here, known.origin.gigabytes) == ("hub", False, 7)
    assert (known.by_name, known.pipeline) == (True, "StableDiffusionXLPipeline")
    shown = run("models", "show", "sdxl")
    assert shown.code == 0
    assert shown.lines[0].startswith("model:              sdxl, Stable Diffusion XL, 1024x1024")
    assert shown.lines[1].endswith("the hub, stabilityai/stable-diffusion-xl-base-1.0")
    assert "no, all of it is missing; `hf download stabilityai/stable-diffusion-xl-base-1.0" in shown.lines[2]
    assert shown.lines[2].endswith("brings it, 7 GB")
    assert shown.lines[3] == "known:              by its name; its own settings are read once they are on this machine"
    other = run("models", "show", "owner/name@v2")
    assert "`hf download owner/name --revision v2" in other.out
    assert (sheet("owner/name").by_name, sheet("owner/name").abilities) == (False, None)


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_what_is_known_by_name_fits_what_its_classes_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key is an argument of the component that the pipeline's class has there, and the size is the summary's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository, summary, _ = ON_THE_HUB[name]
    pipeline, parts = OUTLINES[name]
    components = get_type_hints(getattr(diffusers, pipeline).__init__)
    for part in parts.keys() - {"scheduler"}:
        (kind, *_) = get_args(components[part]) or (components[part],)  # the first of those that may stand there
        said = set(parts[part]) - {"architectures"}  # of a text encoder, which is of another library
        assert said <= set(inspect.signature(kind.__init__).parameters), part
    scheduler: Any = getattr(diffusers, parts["scheduler"]["_class_name"])
    assert set(parts["scheduler"]) - {"_class_name"} <= set(inspect.signature(scheduler.__init__).parameters)
    told, by_repository = can(name), can(f"{repository}@main")
    assert told == by_repository
    assert f"{told.sizes[0]['size'][0]}x{told.sizes[0]['size'][1]}" in summary
    assert row_for(pipeline, {**parts, "model_index": {}}) is not None
    planned = plan(Recipe(model=name, prompt="a rabbit"))
    twice = scheduler is diffusers.PNDMScheduler  # which makes its second step twice
    assert (planned.known, planned.size) == (True, tuple(told.sizes[0]["size"]))
    assert (planned.steps, planned.rows[0]) == (told.steps + twice, 1 + (told.guidance != 1))


def test_sizes_of_known_models_are_refused_before_they_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    refused = run("generate", "a rabbit", "-m", "flux", "--size", "1000x1000", "-o", tmp_path / "out.png")
    assert (refused.code, "size must be a multiple of 16 in both directions, got 1000x1000" in refused.err) == (2, True)


def test_a_configuration_that_is_here_goes_before_what_is_known_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    laid_out(tmp_path, ON_THE_HUB["sdxl"][0], folder / "sd3")
    assert (sheet("sdxl").by_name, can("sdxl").family) == (False, "Stable Diffusion 3 and 3.5")


def test_a_model_in_the_hubs_cache_whole_and_in_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    laid_out(tmp_path, "owner/name", folder / "sd3")
    whole = sheet("owner/name")
    assert (whole.origin.place, whole.origin.revision, whole.origin.here) == ("owner/name", FIRST, True)
    assert whole.abilities == can(folder / "sd3")
    next(tmp_path.glob("models--owner--name/snapshots/*/transformer/*.safetensors")).unlink()
    part = sheet("owner/name")
    assert (part.origin.here, part.origin.lacking) == (False, ("transformer/*.safetensors",))
    assert part.abilities == whole.abilities
    assert f"at {FIRST}" in run("models", "show", "owner/name").out


def test_a_model_that_is_refused_says_why(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "sd3", tmp_path / "picture")
    index = tmp_path / "picture" / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"))
    told = sheet(str(tmp_path / "picture"))
    assert (told.pipeline, told.abilities) == ("StableDiffusion3Img2ImgPipeline", None)
    shown = run("models", "show", tmp_path / "picture")
    assert shown.code == 0
    assert "cannot be loaded:" in shown.out
    assert "its call needs a picture (image)" in shown.out
    with pytest.raises(ModelError, match="its call needs a picture"):
        plan(Recipe(model=str(tmp_path / "picture"), prompt="a rabbit"))


def test_a_directory_that_is_no_pipeline_says_so(tmp_path: Path) -> None:
    told = sheet(str(tmp_path))
    assert (told.pipeline, told.abilities) == (None, None)
    assert told.refused == f"{tmp_path} is not a diffusers pipeline: it has no model_index.json"
    assert f"cannot be loaded:   {told.refused}" in run("models", "show", tmp_path).lines


def test_only_what_is_needed_is_imported() -> None:
    code = (
        "import sys, contextlib, io\nfrom diffusion_tricks_cli.main import main\n"
        "HEAVY = {'torch', 'diffusers', 'transformers'}\n"
        "for name in ('owner/name', 'sdxl', 'emoji', 'flux'):\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main(['models', 'show', name])\n"
        "    assert not HEAVY & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_defaults_of_the_family_hold_where_a_directory_says_nothing_else(folder: Path, tmp_path: Path) -> None:
    model = load_model(str(folder / "schnell"), device="cpu")
    assert (model.defaults.steps, model.defaults.guidance) == (4, 1.0)
    assert load_model(tiny_pipeline("schnell"), device="cpu").defaults == model.defaults
    planned = plan(Recipe(model=str(folder / "schnell"), prompt="a rabbit"))
    assert planned.rows == [1, 1, 1, 1]
    (result,) = make(Recipe(model=str(folder / "schnell"), prompt="a rabbit", seed=1, size=(16, 16)), device="cpu")
    assert (result.facts["steps"], result.facts["rows_per_step"]) == (4, 1)
    guidance = next(entry for entry in result.recipe.tricks if entry.trick == "guidance")
    assert guidance.options["scale"] == 1.0
    said = tmp_path / "said"
    shutil.copytree(folder / "schnell", said)
    (said / "diffusion_tricks.json").write_text(json.dumps({"steps": 3}))
    assert [can(said).steps, can(said).guidance] == [3, 1.0]
    assert load_model(str(said), device="cpu").defaults.steps == 3
    assert plan(Recipe(model=str(said), prompt="a rabbit")).rows == [1, 1, 1]


def test_a_size_is_refused_before_weights_are_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def loaded(*_: Any, **__: Any) -> Model:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("diffusion_tricks.generate.make.load_model", loaded)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="size must be a multiple of 4 in both directions, got 18x16"):
        make(Recipe(model=str(folder / "flux"), prompt="a rabbit", size=(18, 16)))
    with pytest.raises(UsageError, match="no side longer than 128, got 256x64"):
        make(Recipe(model=str(folder / "sd3"), prompt="a rabbit", size=(256, 64)))
    with pytest.raises(UsageError, match="makes 16x16 pixels, or sides up to 32, got 64x64"):
        make(Recipe(model=str(folder / "if"), prompt="a rabbit", size=(64, 64)))
    refused = run("generate", "a rabbit", "-m", folder / "flux", "--size", "18x16", "-o", tmp_path / "out.png")
    assert (refused.code, (tmp_path / "out.png").exists()) == (2, False)
    check_before(Recipe(model="owner/name", prompt="a rabbit", size=(18, 16)))  # nothing is known of it here
    with pytest.raises(AssertionError, match="weights were loaded"):
        make(Recipe(model=str(folder / "flux"), prompt="a rabbit", size=(24, 16)))


def test_the_precision_of_a_family(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [dtype_in(folder / kind) for kind in ("sd3", "sdxl", "cogview4")] == ["bfloat16", "float16", "float16"]
    cpu, mps, cuda = (torch.device(kind) for kind in ("cpu", "mps", "cuda"))
    assert default_dtype(cpu, "bfloat16") == torch.float32
    assert default_dtype(mps, "bfloat16") == torch.bfloat16
    for has, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert default_dtype(cuda, "bfloat16") == expected
    assert default_dtype(cuda, "float16") == torch.float16
