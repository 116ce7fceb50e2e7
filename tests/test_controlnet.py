"""ControlNet as a trick: diffusers' own pipelines as oracles, the order of views, what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    MultiControlNetModel,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
)
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, TrickEntry, UsageError, load_model, make, sample
from diffusion_tricks.errors import ModelError, RecipeError
from diffusion_tricks.families.controlnet import ControlNet as Network
from diffusion_tricks.families.controlnet import control
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.recipes.paths import mapped, paths
from diffusion_tricks.recipes.reading import anchored
from diffusion_tricks.testing import check_trick, tiny_pipeline, tiny_upscaler
from diffusion_tricks.testing.pipelines import SIDE, tiny_controlnet
from diffusion_tricks_plugins import Anagram, ControlNet, Guidance, Inpaint

STEPS = 4
PIPELINES = {"sd": StableDiffusionControlNetPipeline, "sdxl": StableDiffusionXLControlNetPipeline}
EXACT = {"rtol": 0.0, "atol": 0.0}
SUMMED = {"rtol": 0.0, "atol": 1e-5}  # residuals of several networks, or in another order of rows: rounding
NETS = {"sd": ("sd", 2), "sd-other": ("sd", 3), "sdxl": ("sdxl", 2)}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks in directories of their own, and pictures of every value there is."""
    folder = tmp_path_factory.mktemp("controlnets")
    for name, (kind, seed) in NETS.items():
        tiny_controlnet(kind, seed).save_pretrained(folder / name)
    for i in range(2):
        values = np.random.default_rng(i).permutation(256 * 3).reshape(SIDE, SIDE, 3) % 256
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str) -> Model:
    return load_model(tiny_pipeline(kind), device="cpu")


@pytest.fixture(scope="module")
def sd() -> Model:
    return load_model(tiny_pipeline("sd"), device="cpu")


def trick(here: Path, name: str = "sd", picture: int = 0, **options: Any) -> ControlNet:
    return ControlNet(image=here / f"{picture}.png", network=here / name, **options)


def theirs(model: Model, kind: str, here: Path, names: list[str], guidance: float, **call: Any) -> Tensor:
    """The final latents of diffusers' own pipeline with one network, or several."""
    nets = [tiny_controlnet(*NETS[name]) for name in names]
    pictures = [Image.open(here / f"{i}.png") for i in range(len(names))]
    pipe = PIPELINES[kind](
        **{**model.pipe.components, "scheduler": copy.deepcopy(model.pipe.scheduler)},
        controlnet=nets[0] if len(nets) == 1 else MultiControlNetModel(nets),
        **({"requires_safety_checker": False} if kind == "sd" else {"add_watermarker": False}),
    )
    pipe.set_progress_bar_config(disable=True)
    latents: Tensor = pipe(
        prompt=["a rabbit"], image=pictures[0] if len(nets) == 1 else pictures, guidance_scale=guidance,
        num_inference_steps=STEPS, generator=[torch.Generator().manual_seed(5)], output_type="latent", **call,
    ).images  # fmt: skip
    return latents


def ours(model: Model, *tricks: Any, **request: Any) -> Tensor:
    *_, last = sample(model, **{"prompt": "a rabbit", "seed": 5, "steps": STEPS, "tricks": tricks, **request})
    return last.x


@pytest.mark.parametrize(("scale", "guidance"), [(1.0, 1.0), (0.7, 5.0)])
def test_one_network_gives_the_latents_of_diffusers_pipeline(
    model: Model, kind: str, here: Path, scale: float, guidance: float
) -> None:
    expected = theirs(model, kind, here, [kind], guidance, controlnet_conditioning_scale=scale)
    made = ours(model, trick(here, kind, scale=scale), Guidance(scale=guidance))
    torch.testing.assert_close(made, expected, **EXACT)
    assert (made - ours(model, Guidance(scale=guidance))).abs().max() > 0.1


@pytest.mark.parametrize(("start", "stop"), [(0.0, 0.5), (0.5, 1.0), (0.3, 0.7), (0.1, 0.9)])
def test_an_interval_is_that_of_diffusers(sd: Model, here: Path, start: float, stop: float) -> None:
    expected = theirs(sd, "sd", here, ["sd"], 1.0, control_guidance_start=start, control_guidance_end=stop)
    made = ours(sd, trick(here, start=start, stop=stop))
    torch.testing.assert_close(made, expected, **EXACT)
    assert not torch.equal(made, ours(sd, trick(here)))


def test_two_networks_add_up_as_in_diffusers(sd: Model, here: Path) -> None:
    names, scales, stops = ["sd", "sd-other"], [0.9, 0.4], [1.0, 0.6]
    expected = theirs(
        sd, "sd", here, names, 5.0, controlnet_conditioning_scale=scales, control_guidance_start=[0.0, 0.0],
        control_guidance_end=stops,
    )  # fmt: skip
    tricks = [trick(here, n, i, scale=scales[i], stop=stops[i]) for i, n in enumerate(names)]
    torch.testing.assert_close(ours(sd, *tricks, Guidance(scale=5)), expected, **SUMMED)
    torch.testing.assert_close(ours(sd, *tricks[::-1], Guidance(scale=5)), expected, **SUMMED)


def test_what_the_network_adds_is_made_anew_in_every_step(sd: Model, here: Path, monkeypatch: Any) -> None:
    asked: list[Tensor] = []
    arguments = Network.arguments
    monkeypatch.setattr(Network, "arguments", lambda net, x, *rest: asked.append(x) or arguments(net, x, *rest))
    ours(sd, trick(here), Guidance(scale=3), scheduler="ddim")
    assert [x.shape[0] for x in asked] == [2] * STEPS
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(asked))


def test_neutral_is_scale_0_and_nothing_is_loaded_for_it(sd: Model, here: Path) -> None:
    nothing = ControlNet(image=here / "no such picture.png", network="no such network", scale=0)
    torch.testing.assert_close(ours(sd, nothing), ours(sd), **EXACT)


def test_rows_may_go_in_several_calls(sd: Model, here: Path) -> None:
    tricks = [trick(here), Guidance(scale=4)]
    torch.testing.assert_close(ours(sd, *tricks, count=3, max_rows=2), ours(sd, *tricks, count=3), **SUMMED)


def test_before_an_anagram_the_picture_moves_with_the_view_and_after_it_is_upright(sd: Model, here: Path) -> None:
    """The oracle: two questions, each with the picture as it is or as the view shows it, combined by hand."""
    upright, flipped = Image.open(here / "0.png"), Image.open(here / "0.png").transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    views = Anagram(views=[("identity", "a rabbit"), ("flip", "a duck")])
    net = Network(tiny_controlnet("sd"))
    for tricks, second in (([trick(here), views], flipped), ([views, trick(here)], upright)):
        first = next(sample(sd, seed=5, steps=STEPS, tricks=tricks))
        start = next(sample(sd, prompt="a rabbit", seed=5, steps=STEPS))
        x = start.estimate.x
        expected = []
        for prompt, picture, latents in (("a rabbit", upright, x), ("a duck", second, x.flip(-2))):
            seen = control(picture, net, sd.device).condition.picture
            rows = [sd.encode_prompts([prompt], (SIDE, SIDE))[prompt]]
            scaled = start.run.terms.scale_input(latents, start.t)
            expected.append(sd.family.predict(scaled, start.t, rows, **net.arguments(scaled, start.t, rows, seen)))
        torch.testing.assert_close(first.estimate.value, (expected[0] + expected[1].flip(-2)) / 2, **SUMMED)


def test_a_view_that_negates_inverts_the_picture(here: Path) -> None:
    from diffusion_tricks.registry.view import view_named

    picture = Image.open(here / "0.png")
    inverted = Image.eval(picture, lambda value: 255 - value)
    net = Network(tiny_controlnet("sd"))
    seen = control(picture, net, torch.device("cpu")).through(view_named("negate"))
    torch.testing.assert_close(
        seen.condition.picture, control(inverted, net, torch.device("cpu")).condition.picture, **EXACT
    )


def test_beside_a_mask_the_network_sees_the_latents_alone(here: Path) -> None:
    """StableDiffusionControlNetInpaintPipeline with a UNet of nine channels."""
    from diffusion_tricks.testing.pipelines import tiny_arguments

    pipe = tiny_pipeline("sd-inpaint")
    given = tiny_arguments("sd-inpaint")
    oracle = StableDiffusionControlNetInpaintPipeline(
        **{**pipe.components, "scheduler": copy.deepcopy(pipe.scheduler)}, controlnet=tiny_controlnet("sd"),
        requires_safety_checker=False,
    )  # fmt: skip
    oracle.set_progress_bar_config(disable=True)
    asked: list[Tensor] = []
    forward = oracle.controlnet.forward
    oracle.controlnet.forward = lambda x, *a, **k: asked.append(x) or forward(x, *a, **k)
    oracle(
        **given, control_image=Image.open(here / "0.png"), num_inference_steps=2, guidance_scale=1.0, strength=1.0,
        output_type="latent",
    )  # fmt: skip
    assert {x.shape[1] for x in asked} == {4}
    given["image"].save(here / "photo.png")
    given["mask_image"].save(here / "mask.png")
    model = load_model(pipe, device="cpu")
    tricks = [Inpaint(image=here / "photo.png", mask=here / "mask.png"), trick(here)]
    assert (ours(model, *tricks) - ours(model, tricks[0])).abs().max() > 0.1


def test_it_holds_what_every_trick_must(sd: Model, here: Path) -> None:
    check_trick(trick(here, scale=0.8, stop=0.7), sd)


def test_a_second_stage_goes_without(here: Path) -> None:
    pipe = tiny_pipeline("if")
    with pytest.raises(UsageError, match="'IFPipeline' takes no ControlNet: expected Stable Diffusion"):
        ours(load_model(pipe, device="cpu"), trick(here))
    model = load_model(pipe, device="cpu", upscaler=tiny_upscaler())
    from diffusion_tricks.sampling.begin import begin
    from diffusion_tricks.sampling.request import Sampling

    second = begin(model, Sampling(prompt="a", size=(64, 64), steps=2, upscale_steps=2), tricks=[trick(here)]).following
    assert second is not None
    second.tricks[0].prepare(second)
    assert not second.state(second.tricks[0])


@pytest.mark.parametrize("kind", ["flux", "sd3", "pixart", "ddpm"])
def test_other_families_are_refused(here: Path, kind: str) -> None:
    model = load_model(tiny_pipeline(kind), device="cpu")
    with pytest.raises(UsageError, match=r"takes no ControlNet: expected Stable Diffusion 1.x or 2.x, or SDXL"):
        ours(model, trick(here), prompt="" if kind == "ddpm" else "a rabbit")


def edited(folder: Path, into: Path, **config: Any) -> Path:
    shutil.copytree(folder, into)
    file = into / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return into


def test_what_is_no_fitting_network_is_refused(sd: Model, here: Path, tmp_path: Path) -> None:
    def refused(network: Any, message: str) -> None:
        with pytest.raises(ModelError, match=message):
            ours(sd, ControlNet(image=here / "0.png", network=network))

    refused(here / "sdxl", "made for another family than 'StableDiffusionPipeline': its cross_attention_dim is")
    refused(here / "gone", "there is no ControlNet .*gone'; expected a directory that a ControlNetModel was saved in")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no ControlNet: it has no config.json")
    refused(edited(here / "sd", tmp_path / "union", _class_name="ControlNetUnionModel"), "holds a ControlNetUnionModel")
    refused(edited(here / "sd", tmp_path / "code", auto_map={"A": "b.C"}), r"run code of its own \(auto_map\)")
    refused(edited(here / "sd", tmp_path / "pool", global_pool_conditions=True), "sees no picture of three colours")
    refused(edited(here / "sd", tmp_path / "other", attention_head_dim=1, norm_num_groups=8, num_class_embeds=3),
            "its weights do not fit its config.json")  # fmt: skip
    pickled = edited(here / "sd", tmp_path / "pickled")
    weights = next(pickled.glob("*.safetensors"))
    weights.rename(pickled / "diffusion_pytorch_model.bin")
    refused(pickled, "expected weights as .safetensors, found none")
    torch.save({"a": torch.zeros(1)}, weights)
    refused(pickled, "it is a pickle under another name, which may run code when read")
    refused(
        "owner/not-on-this-machine", "ControlNet owner/not-on-this-machine is not on this machine; run `hf download"
    )


def test_options_that_fit_nothing_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"must start before it stops, got start 0.5 and stop 0.5"):
        trick(here, start=0.5, stop=0.5)
    with pytest.raises(UsageError, match="scale: expected at least 0, got -1"):
        trick(here, scale=-1)


def recipe_for(here: Path, model: str, network: str = "sd") -> Recipe:
    entry = TrickEntry(trick="controlnet", image=str(here / "0.png"), network=network)
    return Recipe(model=model, prompt="a", steps=2, seed=1, guidance=1.0, tricks=[entry])


def test_a_plan_loads_no_weights_and_refuses_what_a_run_would(here: Path, tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "tiny-sd")
    for model in ("sd15", str(tmp_path / "tiny-sd")):  # one that is not on this machine, and one that is
        assert plan(recipe_for(here, model, "owner/name").model_copy(update={"scheduler": "ddim"})).rows == [1, 1]
    with pytest.raises(UsageError, match="'emoji' takes no ControlNet"):
        plan(recipe_for(here, "emoji", "owner/name"))
    with pytest.raises(ModelError, match=r"there is no ControlNet './gone'"):
        plan(recipe_for(here, "sd15", "./gone"))


def test_a_network_in_a_recipe_is_a_directory_beside_it_or_a_name_at_the_hub(here: Path, tmp_path: Path) -> None:
    recipe = recipe_for(here, "sd15", "owner/name").model_copy(
        update={"tricks": [TrickEntry(trick="controlnet", image="0.png", network="owner/name")]}
    )
    assert anchored(recipe, here, "").tricks[0].options["network"] == "owner/name"
    assert paths(recipe) == [Path("0.png")]
    local = recipe.model_copy(update={"tricks": [TrickEntry(trick="controlnet", image="0.png", network="sd")]})
    assert anchored(local, here, "").tricks[0].options["network"] == str(here / "sd")
    assert mapped(local, str.upper, beside=here).tricks[0].options["network"] == "SD"
    away = recipe.model_copy(update={"tricks": [TrickEntry(trick="controlnet", image="0.png", network="../sd")]})
    with pytest.raises(RecipeError, match="leads out of the recipe's folder"):
        anchored(away, here, "")


def test_the_network_is_read_once_for_a_model(sd: Model, here: Path, monkeypatch: Any) -> None:
    import diffusion_tricks.loading.controlnet as core

    loaded: list[str] = []
    load = core.load_controlnet
    monkeypatch.setattr(core, "load_controlnet", lambda source, *rest: loaded.append(source) or load(source, *rest))
    model = load_model(tiny_pipeline("sd"), device="cpu")
    for picture in (0, 1, 0):
        ours(model, trick(here, picture=picture), steps=1)
    assert loaded == [str(here / "sd")]


def test_a_picture_made_with_a_network_is_made_again_from_its_record(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_pipeline("sd").save_pretrained(tmp_path / "tiny-sd")
    shutil.copytree(here / "sd", tmp_path / "net")
    shutil.copy(here / "0.png", tmp_path / "pattern.png")
    line = ["make", "-m", "tiny-sd", "-p", "a rabbit", "--seed", "3", "--steps", "2", "-o", "out.png",
            "controlnet", "pattern.png", "--network", "net", "--scale", "0.9", "--stop", "0.5"]  # fmt: skip
    made = run(*line)
    assert made.code == 0, made.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = run("rerun", tmp_path / "out.png", "-m", tmp_path / "tiny-sd", "-o", tmp_path / "again.png")
    assert again.code == 0, again.err
    assert Image.open(tmp_path / "again.png").tobytes() == Image.open(tmp_path / "out.png").tobytes()
    (tmp_path / "net").rename(tmp_path / "moved")
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_, **__: pytest.fail("a model was loaded"))
    lost = run("rerun", tmp_path / "out.png", "-m", tmp_path / "tiny-sd", "-o", tmp_path / "lost.png")
    said = f"{tmp_path / 'out.png'} was made from 'net', which is neither beside it nor in the current folder"
    assert (lost.code, lost.err) == (2, f"Error: {said}; put it there\n")


def test_make_reads_a_picture_of_other_proportions(sd: Model, here: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", (40, 20), "black").save(wide)
    entry = TrickEntry(trick="controlnet", image=str(wide), network=str(here / "sd"), fit="pad")
    padded = make(Recipe(prompt="a", steps=2, seed=1, guidance=1.0, tricks=[entry]), model=sd)[0]
    cropped = make(
        Recipe(prompt="a", steps=2, seed=1, guidance=1.0, tricks=[entry.model_copy(update={"fit": "crop"})]), model=sd
    )[0]
    assert padded.image.tobytes() != cropped.image.tobytes()
    assert padded.provenance == "generated"
