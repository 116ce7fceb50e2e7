"""Stable Diffusion's x4 upscaler behind models of latents and of pixels, against diffusers' own pipelines."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import IFSuperResolutionPipeline
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, Step, TrickEntry, load_model, make, sample
from diffusion_tricks.devices.compile import memory_format
from diffusion_tricks.errors import PluginError, RecipeError, UnknownName, UsageError
from diffusion_tricks.families.table import UPSCALERS
from diffusion_tricks.generate.defaults import settled_tricks
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.loading.known import IF_II, ON_THE_HUB, X4
from diffusion_tricks.loading.known import UPSCALERS as KNOWN_UPSCALERS
from diffusion_tricks.loading.load import upscaler_from
from diffusion_tricks.loading.location import upscaler_named, upscaler_of
from diffusion_tricks.model.cascade import needs_upscaling, stages
from diffusion_tricks.recipes.paths import with_models
from diffusion_tricks.recipes.reading import read_recipe
from diffusion_tricks.recipes.recipe import recipe_from
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing import check_trick, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid, Inpaint, SDEdit

STEPS, SCALE, UPSCALE, SEED = 2, 5.0, 3.0, 5
TWO: dict[str, Any] = {"size": (64, 64), "steps": STEPS, "upscale_steps": STEPS, "seed": SEED}
THREE = TWO | {"size": (256, 256)}
PROMPTS = ["a rabbit", "a duck", "a skull"]


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny_pipeline("sd")


@pytest.fixture(scope="module")
def x4() -> Any:
    return tiny_pipeline("x4")


@pytest.fixture(scope="module")
def model(base: Any, x4: Any) -> Model:
    return load_model(base, device="cpu", upscaler=x4)


@pytest.fixture(scope="module")
def deepfloyd() -> tuple[Any, Any]:
    return tiny_pipeline("if"), tiny_upscaler()


@pytest.fixture(scope="module")
def three(deepfloyd: tuple[Any, Any], x4: Any) -> Model:
    return load_model(deepfloyd[0], device="cpu", upscaler=[deepfloyd[1], x4])


def last(model: Model, prompt: Any = "a rabbit", **request: Any) -> Step:
    *_, step = sample(model, prompt=prompt, **{**TWO, **request})
    return step


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(SEED + i) for i in range(count)]


def embedded(pipe: Any, prompts: list[str], **how: Any) -> dict[str, Tensor]:
    """What the pipeline's own `encode_prompt` gives for each prompt alone, put together."""
    pairs = [pipe.encode_prompt(prompt, do_classifier_free_guidance=True, **how) for prompt in prompts]
    cond, uncond = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    return {"prompt_embeds": cond, "negative_prompt_embeds": uncond}


PLAIN = {"device": "cpu", "num_images_per_prompt": 1}


# against diffusers


@pytest.mark.parametrize("scales", [(1.0, 1.0), (SCALE, UPSCALE)])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("noise_level", [0, 20, 350])
def test_behind_latents_it_is_the_two_pipelines_of_diffusers(
    model: Model, base: Any, x4: Any, scales: tuple[float, float], count: int, noise_level: int
) -> None:
    prompts, drawn = PROMPTS[:count], generators(count)
    request: dict[str, Any] = {"num_inference_steps": STEPS, "generator": drawn}
    small = base(**request, **embedded(base, prompts, **PLAIN), guidance_scale=scales[0], output_type="pt").images
    expected = x4(
        **request, **embedded(x4, prompts, **PLAIN), guidance_scale=scales[1], noise_level=noise_level, image=small,
        output_type="latent",
    ).images  # fmt: skip
    guidance = Guidance(scale=scales[0], upscale_scale=scales[1])
    step = last(model, prompts, tricks=[guidance], noise_level=noise_level)
    assert torch.equal(step.x, expected), f"largest difference {(step.x - expected).abs().max():.1e}"
    assert step.rows == count * (1 if scales[1] == 1 else 2)
    assert expected.std() > 0.1


def test_its_picture_is_the_pipelines(model: Model, base: Any, x4: Any) -> None:
    (drawn,) = generators(1)
    request: dict[str, Any] = {"num_inference_steps": STEPS, "generator": drawn, "output_type": "pt"}
    small = base("a rabbit", **request, guidance_scale=SCALE).images
    expected = x4("a rabbit", **request, guidance_scale=UPSCALE, image=small).images
    step = last(model, tricks=[Guidance(scale=SCALE, upscale_scale=UPSCALE)], noise_level=20)
    pixels = (step.run.pixels() / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=0)
    assert pixels.shape == (1, 3, 64, 64)


def test_three_stages_are_the_three_pipelines_of_diffusers(three: Model, deepfloyd: tuple[Any, Any], x4: Any) -> None:
    first, second = deepfloyd
    scales, drawn = (SCALE, UPSCALE, UPSCALE), generators(1)
    request: dict[str, Any] = {"num_inference_steps": STEPS, "generator": drawn}
    texts = embedded(first, ["a rabbit"], clean_caption=False)
    small = first(**request, **texts, guidance_scale=scales[0], output_type="pt").images
    middle = second(**request, **texts, guidance_scale=scales[1], image=small, noise_level=50, output_type="pt").images
    expected = x4(
        "a rabbit", **request, guidance_scale=scales[2], noise_level=50, image=(middle / 2 + 0.5).clamp(0, 1),
        output_type="latent",
    ).images  # fmt: skip
    tricks = [Guidance(scale=SCALE, upscale_scale=UPSCALE)]
    steps = list(sample(three, prompt="a rabbit", tricks=tricks, noise_level=50, **THREE))
    assert [(step.stage, step.run.size[0]) for step in steps] == [(1, 16)] * 2 + [(2, 64)] * 2 + [(3, 256)] * 2
    assert torch.equal(steps[-1].x, expected)
    assert steps[-1].run.stage_count == 3


def test_recording_leaves_the_upscaler_and_torchs_own_randomness_as_they_were(model: Model, x4: Any) -> None:
    scheduler, state, random = x4.scheduler, dict(vars(x4.scheduler)), torch.get_rng_state()
    second: Any = model.second
    second.behind(model).encode_prompts(["a new prompt", None], (64, 64))
    assert x4.scheduler is scheduler
    assert vars(scheduler) == state
    assert "forward" not in vars(x4.unet)
    assert torch.equal(torch.get_rng_state(), random)


# views


def reference(x4: Any, views: list[tuple[Callable[[Tensor], Tensor], str]], small: Tensor, drawn: Any) -> Tensor:
    """Visual Anagrams (arXiv:2311.17919), written for this upscaler: every view sees latents and picture alike, and
    asks for its own prompt; the velocities are turned back and averaged. All views are their own inverse here."""
    scheduler = copy.deepcopy(x4.scheduler)
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(small.shape, generator=drawn)
    picture = x4.low_res_scheduler.add_noise(2 * small - 1, noise, torch.tensor([20]))
    x = torch.randn(1, 4, *small.shape[-2:], generator=drawn)
    for t in scheduler.timesteps:
        answers = []
        for view, prompt in views:
            text = embedded(x4, [prompt], **PLAIN)
            pair = torch.cat([text["negative_prompt_embeds"], text["prompt_embeds"]])
            seen = view(torch.cat([x, picture], dim=1)).expand(2, -1, -1, -1)
            level = torch.tensor([20, 20])
            with torch.no_grad():
                uncond, cond = x4.unet(seen, t, encoder_hidden_states=pair, class_labels=level)[0].chunk(2)
            answers.append(view(uncond + UPSCALE * (cond - uncond)))
        x = scheduler.step(torch.stack(answers).mean(0), t, x, return_dict=False)[0]
    return x


def flipped(x: Tensor) -> Tensor:
    return x.flip(-2)


def test_every_view_has_its_own_prompt_and_its_own_picture(model: Model, x4: Any) -> None:
    tricks = [
        Anagram(views=[("identity", "a rabbit"), ("flip", "a duck")]), Guidance(scale=1, upscale_scale=UPSCALE)
    ]  # fmt: skip
    steps = list(sample(model, tricks=tricks, noise_level=20, **TWO))
    small = steps[STEPS - 1]
    assert small.stage == 1
    (drawn,) = generators(1)
    torch.randn(1, 4, 8, 8, generator=drawn)  # what stage one drew, with a scheduler that draws in no step
    unit = (small.run.pixels() / 2 + 0.5).clamp(0, 1)
    expected = reference(x4, [(lambda x: x, "a rabbit"), (flipped, "a duck")], unit, drawn)
    torch.testing.assert_close(steps[-1].x, expected, rtol=0, atol=1e-5)  # rows are asked in another order there
    other = Anagram(views=[("identity", "a rabbit"), ("flip", "a skull")])
    *_, elsewhere = sample(model, tricks=[other, tricks[1]], noise_level=20, **TWO)
    assert (elsewhere.x - expected).abs().max() > 0.01


@pytest.mark.parametrize(
    "trick",
    [
        Anagram(views=[("identity", "a rabbit"), ("flip", "a duck")]),
        Anagram(views=[("identity", "a rabbit"), ("negate", "a duck")]),  # in pixel space
        Hybrid(far="a skull", near="a duck"),
    ],
    ids=["latent", "pixel", "hybrid"],
)
def test_tricks_hold_behind_latents_what_they_must(model: Model, trick: Any) -> None:
    check_trick(trick, model, **{**TWO, "seed": 5})


def test_an_anagram_of_identities_is_the_plain_picture_in_three_stages(three: Model) -> None:
    guidance = Guidance(scale=SCALE, upscale_scale=UPSCALE)
    anagram = Anagram(views=[("identity", "a rabbit")] * 2)
    plain = last(three, tricks=[guidance], **THREE)
    assert torch.equal(last(three, None, tricks=[anagram, guidance], **THREE).x, plain.x)


# pictures that are given


def photo(path: Path, size: tuple[int, int]) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize("name", ["model", "three"])
def test_inpainting_changes_no_pixel_outside_the_mask(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = photo(tmp_path / "photo.png", (90, 70))
    entry = TrickEntry(trick="inpaint", image=path, mask="box:20,10,50,45")
    how = THREE if name == "three" else TWO
    (result,) = make(Recipe(prompt="a hat", tricks=[entry], **how), model=request.getfixturevalue(name))
    inside = np.zeros((70, 90), bool)
    inside[10:45, 20:50] = True
    changed = (np.asarray(Image.open(path)) != np.asarray(result.image)).any(axis=2)
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9
    assert result.facts["changed_outside"] == 0


def test_the_last_stage_of_inpainting_ends_in_the_known_latents(model: Model, tmp_path: Path) -> None:
    trick = Inpaint(image=photo(tmp_path / "a.png", (64, 64)), mask="box:0,0,32,64", padding=100)
    step = last(model, tricks=[trick])
    expected = step.run.latents_of(step.run.source.tensor((64, 64)))  # type: ignore[union-attr]
    assert step.x.shape == expected.shape == (1, 4, 16, 16)
    assert torch.equal(step.x[..., 8:], expected[..., 8:])
    assert not torch.equal(step.x[..., :8], expected[..., :8])


def test_sdedit_of_strength_0_upscales_the_picture_itself(model: Model, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", (16, 16))
    step = last(model, tricks=[SDEdit(image=path, strength=0.0)], noise_level=0)
    assert step.run.condition is not None
    decoded = step.run.previous.pixels().clamp(-1, 1)  # type: ignore[union-attr]
    assert step.run.condition.picture.shape == (1, 3, 16, 16)
    assert float((step.run.condition.picture - decoded).std()) < 0.02  # the noise of level 0


# sizes


def test_a_size_goes_to_the_stages_that_make_it(model: Model, three: Model) -> None:
    assert [size for _, size in stages(model, (32, 24))] == [(32, 24)]
    assert [size for _, size in stages(model, (96, 64))] == [(24, 16), (96, 64)]
    assert [size for _, size in stages(three, (128, 64))] == [(32, 16), (128, 64)]
    assert [size for _, size in stages(three, (256, 128))] == [(16, 8), (64, 32), (256, 128)]
    assert [size for _, size in stages(three, (512, 512))] == [(32, 32), (128, 128), (512, 512)]


@pytest.mark.parametrize("size", [(136, 136), (72, 64)])
def test_a_size_that_cannot_be_made_behind_latents_is_refused(model: Model, size: tuple[int, int]) -> None:
    message = (
        "'StableDiffusionPipeline' makes 16x16 pixels, or sides up to 32, and with its upscaler 64x64 pixels, or sides "
        f"up to 128, in multiples of 32; got {size[0]}x{size[1]}"
    )
    with pytest.raises(UsageError, match=message):
        last(model, size=size)


@pytest.mark.parametrize("size", [(528, 528), (260, 256)])
def test_a_size_that_three_stages_cannot_make_is_refused(three: Model, size: tuple[int, int]) -> None:
    message = (
        "makes 16x16 pixels, or sides up to 32, and with its upscalers 256x256 pixels, or sides up to 512, in multiples"
        f" of 32; got {size[0]}x{size[1]}"
    )
    with pytest.raises(UsageError, match=message):
        last(three, size=size)


def test_latents_are_held_to_their_size_by_an_upscaler_alone(model: Model, base: Any) -> None:
    alone = load_model(base, device="cpu")
    assert needs_upscaling(model, (64, 64))
    assert not needs_upscaling(alone, (64, 64))
    assert last(alone, upscale_steps=None).x.shape == (1, 4, 32, 32)


def test_a_noise_level_that_it_does_not_have(model: Model) -> None:
    with pytest.raises(UsageError, match="noise level must be between 0 and 350 for this upscaler, got 351"):
        last(model, noise_level=351)


# from files, and without weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, deepfloyd: tuple[Any, Any], x4: Any) -> Path:
    """A directory with three models, each within the one it stands behind."""
    folder = tmp_path_factory.mktemp("models") / "three"
    first, second = deepfloyd
    own = {name: first.components[name] for name in ("tokenizer", "text_encoder")}
    larger = IFSuperResolutionPipeline(**{**second.components, **own}, requires_safety_checker=False)
    for pipe, where in ((first, ""), (larger, "larger"), (x4, "larger/largest")):
        pipe.save_pretrained(folder / where)
    (folder / "diffusion_tricks.json").write_text(json.dumps({"steps": 4, "guidance": 2.0, "upscaler": "larger"}))
    (folder / "larger" / "diffusion_tricks.json").write_text(json.dumps({"steps": 3, "upscaler": "largest"}))
    return folder


def test_a_plan_shows_three_stages_as_they_are_made(folder: Path) -> None:
    recipe = Recipe(
        model=str(folder), prompt="a", size=(256, 256), upscale_steps=2, noise_level=5, seed=1, upscale_scheduler="ddim"
    )
    planned = plan(recipe)
    assert [stage.scheduler for stage in planned.stages] == ["DDPMScheduler", "ddim", "ddim"]
    (result,) = make(recipe, model=load_model(folder, device="cpu"))
    assert [(s.model, s.size, sum(s.rows)) for s in planned.stages] == [
        ("three", (16, 16), 8), ("larger", (64, 64), 4), ("largest", (256, 256), 4),
    ]  # fmt: skip
    assert [(s["model"], tuple(s["size"]), s["rows_total"]) for s in result.facts["stages"]] == [
        (stage.model, stage.size, sum(stage.rows)) for stage in planned.stages
    ]
    assert result.image.size == (256, 256)
    assert (result.recipe.upscale_steps, result.recipe.upscale_scheduler, result.recipe.noise_level) == (2, "ddim", 5)
    assert result.recipe.tricks == [TrickEntry(trick="guidance", scale=2.0)]  # each later stage has its own scale
    (again,) = make(result.recipe, model=load_model(folder, device="cpu"))
    assert again.image.tobytes() == result.image.tobytes()


def test_each_stage_has_its_own_steps_guidance_and_noise_unless_told(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    assert [(s.defaults.steps, s.defaults.guidance, s.defaults.noise_level) for s in _behind(model)] == [
        (3, 4.0, 50), (75, 9.0, 20),
    ]  # fmt: skip
    recipe = Recipe(model=str(folder), prompt="a", size=(256, 256))
    assert [len(stage.rows) for stage in plan(recipe).stages] == [4, 3, 75]
    levels = [one.family.noise_level for one, _ in stages(model, (256, 256))[1:]]  # type: ignore[attr-defined]
    assert levels == [50, 20]
    assert plan(recipe).stages[2].rows[0] == 2
    assert plan(recipe.model_copy(update={"upscale_guidance": 1.0})).stages[2].rows[0] == 1


def _behind(model: Model) -> list[Any]:
    second: Any = model.second
    return [second, second.second]


def test_only_what_is_borrowed_is_left_out(folder: Path) -> None:
    (_, (larger, _), (largest, _)) = stages(load_model(folder, device="cpu"), (256, 256))
    assert larger.pipe.text_encoder is None
    assert (folder / "larger" / "text_encoder").is_dir()
    assert largest.pipe.text_encoder is not None


def test_a_later_stage_on_cuda_is_laid_out_as_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[str] = []
    monkeypatch.setattr(
        "diffusion_tricks.devices.compile.channels_last", lambda pipe: laid_out.append(type(pipe).__name__)
    )
    monkeypatch.setattr("diffusion_tricks.loading.load._placed", lambda pipe, *_, **__: pipe)  # it would move there
    upscaler_from(str(folder / "larger"), torch.device("cuda"), torch.float32).behind(  # type: ignore[union-attr]
        load_model(folder, device="cpu")
    )
    assert laid_out == ["IFSuperResolutionPipeline"]


@pytest.mark.parametrize("asked", [False, True])
def test_every_stage_is_laid_out_as_asked(folder: Path, asked: bool) -> None:
    made = stages(load_model(folder, device="cpu", channels_last=asked), (256, 256))
    expected = torch.channels_last if asked else torch.contiguous_format
    assert [memory_format(stage.pipe.unet) for stage, _ in made] == [expected] * 3


def test_known_models_have_it_behind_them() -> None:
    for name, (repository, *_) in ON_THE_HUB.items():
        expected = "DeepFloyd/IF-II-L-v1.0" if name == "if" else "stabilityai/stable-diffusion-x4-upscaler"
        assert upscaler_of(name, Path(repository), UPSCALERS[0].defaults) == expected
    assert KNOWN_UPSCALERS["DeepFloyd/IF-II-L-v1.0"] == "stabilityai/stable-diffusion-x4-upscaler"
    planned = plan(Recipe(model="if", prompt="a", size=(1024, 1024), steps=2, upscale_steps=3))
    assert [(stage.model, stage.size, stage.rows) for stage in planned.stages] == [
        ("if", (64, 64), [2] * 2),
        ("DeepFloyd/IF-II-L-v1.0", (256, 256), [2] * 3),
        ("stabilityai/stable-diffusion-x4-upscaler", (1024, 1024), [2] * 3),
    ]


def test_the_command_line_makes_three_stages(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["-m", folder, "--size", "256", "--upscale-steps", "1", "--steps", "1", "--seed", "3", "--json"]
    made = run("anagram", "a rabbit", "a duck", *line, "-o", "a.png")
    assert made.code == 0, made.err
    assert [stage["model"] for stage in made.json["stages"]] == ["three", "larger", "largest"]
    planned = run("plan", *line, "anagram", "a rabbit", "a duck")
    assert planned.code == 0, planned.err
    assert planned.json["rows_total"] == made.json["rows_total"]
    again = run("rerun", "a.png", "-m", folder, "-o", "b.png")
    assert again.code == 0, again.err
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert a.size == (256, 256)
        assert a.tobytes() == b.tobytes()


# named by a recipe or on the command line


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, base: Any, deepfloyd: tuple[Any, Any], x4: Any) -> Path:
    """A folder of models that know nothing of each other."""
    folder = tmp_path_factory.mktemp("apart")
    for name, pipe in {"sd": base, "if": deepfloyd[0], "middle": deepfloyd[1], "larger": x4}.items():
        pipe.save_pretrained(folder / name)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", None)


HOW = ["--size", "64", "--steps", "2", "--upscale-steps", "3", "--seed", "5"]


def test_the_command_line_names_an_upscaler(apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["generate", "a rabbit", *HOW, "-o", "a.png", "-m"]
    line += [apart / "sd", "--upscaler", apart / "larger", "--scheduler", "ddim"]
    with monkeypatch.context() as without:
        without.setattr("diffusion_tricks.loading.load._loaded", None)
        planned, told = run(*line, "--json", "--dry-run"), run(*line, "--dry-run")
    assert (planned.code, told.code) == (0, 0), planned.err
    assert not Path("a.png").exists()
    made = run(*line, "--json")
    assert made.code == 0, made.err
    stages = [("sd", [16, 16], 2), ("larger", [64, 64], 3)]
    assert [(stage["model"], stage["size"], stage["steps"]) for stage in made.json["stages"]] == stages
    assert [(stage["model"], stage["size"], stage["steps"]) for stage in planned.json["stages"]] == stages
    assert planned.json["rows_total"] == made.json["rows_total"] == 10
    assert planned.json["recipe"]["upscaler"] == [str(apart / "larger")]
    assert "size:          64x64, upscaled from 16x16" in told.lines
    assert "steps:         2 + 3" in told.lines
    expected = make(
        Recipe(prompt="a rabbit", size=(64, 64), steps=2, upscale_steps=3, seed=5, scheduler="ddim"),
        model=load_model(str(apart / "sd"), device="cpu", upscaler=str(apart / "larger")),
    )
    with Image.open("a.png") as picture:
        assert picture.tobytes() == expected[0].image.tobytes()


def test_two_upscalers_stand_one_behind_the_other(apart: Path) -> None:
    line = ["--upscaler", apart / "middle", "--upscaler", apart / "larger", "--size", 256, "--steps", 1, "--json"]
    planned = run("plan", "-m", apart / "if", "-p", "a", *line, "--upscale-steps", 1)
    assert planned.code == 0, planned.err
    assert [(stage["model"], stage["size"]) for stage in planned.json["stages"]] == [
        ("if", [16, 16]), ("middle", [64, 64]), ("larger", [256, 256]),
    ]  # fmt: skip
    data = {"model": str(apart / "if"), "upscaler": [str(apart / "middle"), str(apart / "larger")], "prompt": "a"}
    (made,) = make(recipe_from(data | {"size": [256, 256], "steps": 1, "upscale_steps": 1, "seed": 1}), device="cpu")
    assert [stage["rows_total"] for stage in made.facts["stages"]] == [s["rows_total"] for s in planned.json["stages"]]
    assert made.image.size == (256, 256)


@pytest.mark.usefixtures("no_weights")
def test_an_upscaler_holds_latents_to_twice_their_size_and_makes_the_rest(apart: Path) -> None:
    alone = Recipe(model=str(apart / "sd"), prompt="a", steps=1)
    behind = alone.model_copy(update={"upscaler": [str(apart / "larger")]})
    for recipe, size, sizes in (
        (alone, 64, [64]), (behind, 64, [16, 64]), (behind, 32, [32]), (behind, 128, [32, 128]),
    ):  # fmt: skip
        planned = plan(recipe.model_copy(update={"size": (size, size)}))
        assert [stage.size[0] for stage in planned.stages] == sizes
    with pytest.raises(UsageError, match="'sd' makes 16x16 pixels, or sides up to 32, and with its upscaler 64x64"):
        make(behind.model_copy(update={"size": (136, 136)}), device="cpu")


def test_a_plan_of_a_model_that_is_not_here_leaves_the_rest_to_its_upscaler() -> None:
    recipe = Recipe(model="owner/away", upscaler=["x4"], prompt="a", size=(2048, 2048), steps=2, upscale_steps=3)
    planned = plan(recipe)
    assert not planned.known
    assert [(stage.model, stage.size, len(stage.rows)) for stage in planned.stages] == [
        ("owner/away", (512, 512), 2), (X4, (2048, 2048), 3),
    ]  # fmt: skip
    odd = recipe.model_copy(update={"size": (1022, 1022), "upscale_steps": None})
    assert [stage.size for stage in plan(odd).stages] == [(1022, 1022)]
    tiny = odd.model_copy(update={"upscaler": ["if-ii"], "size": (2, 2)})
    assert [stage.size for stage in plan(tiny).stages] == [(2, 2)]


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("told", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("x5", 2, "unknown upscaler 'x5'; did you mean 'x4'? (or a directory, or owner/name at the hub)"),
        ("./gone", 2, "there is no directory ./gone; expected a known name, the directory of a diffusers pipeline or"),
        ("x4@", 2, f"expected a branch, a tag or a commit behind the @, as in {X4}@main, got ''"),
        ("sd", 3, "'sd' is of StableDiffusionPipeline and no upscaler: expected IFSuperResolutionPipeline or"),
        ("empty", 3, "empty is not a diffusers pipeline: it has no model_index.json"),
    ],
)
def test_names_that_are_no_upscalers(
    apart: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, message: str, told: list[str]
) -> None:
    monkeypatch.chdir(apart)
    outcome = run("generate", "a", "-m", "sd", "--upscaler", name, "-o", "never.png", *told)  # of any size
    assert (outcome.code, outcome.out) == (code, "")
    error = next(line for line in outcome.err.splitlines() if line.startswith("Error: "))
    assert message in error
    assert not (apart / "never.png").exists()


def test_short_names_of_upscalers(base: Any) -> None:
    assert (upscaler_named("x4"), upscaler_named("if-ii@v1")) == (X4, f"{IF_II}@v1")
    model = load_model(base, device="cpu", upscaler=["if-ii", "x4@v1"])
    assert [second.name for second in _behind(model)] == [IF_II, X4]
    for wrong in ("x5", ["x4", "x5"]):
        with pytest.raises(UnknownName, match="unknown upscaler 'x5'; did you mean 'x4'"):
            load_model(base, device="cpu", upscaler=wrong)


def test_a_model_that_is_given_must_have_the_recipes_upscaler(model: Model, apart: Path) -> None:
    recipe = Recipe(prompt="a", upscaler=[str(apart / "larger")], size=(64, 64), steps=1, upscale_steps=1, seed=1)
    with pytest.raises(
        UsageError, match=r"asks for the upscaler .*larger, and the model given lacks it; give it to lo"
    ):
        make(recipe, model=model)
    given = load_model(str(apart / "sd"), device="cpu", upscaler=recipe.upscaler)
    assert make(recipe, model=given)[0].image.size == (64, 64)
    with pytest.raises(UsageError, match="asks for the upscaler x4, and the model given lacks it"):
        make(recipe.model_copy(update={"upscaler": [*recipe.upscaler, "x4"]}), model=given)


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_a_recipe_file_may_name_one_upscaler_or_several(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.toml").write_text('upscaler = "x4"\n')
    (tmp_path / "a.json").write_text('{"upscaler": "x4"}')
    recipe = read_recipe(tmp_path / name)
    assert recipe.upscaler == ["x4"]
    assert recipe.data() == {"upscaler": ["x4"], "version": 1}
    assert Recipe().data() == {"version": 1}
    assert recipe_from({"upscaler": ["if-ii", "x4"]}).upscaler == ["if-ii", "x4"]
    with pytest.raises(RecipeError, match="recipe: upscaler: expected a list, got 4"):
        recipe_from({"upscaler": 4})


def test_an_upscaler_of_a_recipe_lies_beside_it(tmp_path: Path) -> None:
    for name in ("x4", "mine"):
        (tmp_path / name).mkdir()
    file = tmp_path / "a.toml"
    file.write_text('upscaler = ["./x4", "mine", "x4", "owner/name@v1", "x4@v1"]\n')
    assert read_recipe(file).upscaler == [
        str(tmp_path / "x4"), str(tmp_path / "mine"), "x4", "owner/name@v1", "x4@v1",
    ]  # fmt: skip
    for away in ("../mine", "/srv/mine"):
        file.write_text(f'upscaler = "{away}"\n')
        with pytest.raises(RecipeError, match=f"the path '{away}' leads out of the recipe's folder"):
            read_recipe(file)
    recipe = Recipe(model="/srv/sdxl", upscaler=["/srv/x4", "/srv/mine", "x4", "owner/name"])
    cut = with_models(recipe, lambda path: Path(path).name)
    assert (cut.model, cut.upscaler) == ("./sdxl", ["./x4", "mine", "x4", "name"])  # never the known ones


def test_no_path_of_an_upscaler_gets_into_a_picture_or_a_saved_recipe(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(apart / "sd", tmp_path / "sd")
    line = ["generate", "a", "-m", "sd", *HOW]
    made = run(*line, "--upscaler", apart / "larger", "-o", "a.png", "--save-recipe", "far.toml")
    assert made.code == 0, made.err
    assert read_record("a.png")["recipe"]["upscaler"] == ["larger"]
    assert str(apart).encode() not in Path("a.png").read_bytes()
    assert (read_recipe(Path("far.toml")).model, read_recipe(Path("far.toml")).upscaler) == ("sd", ["larger"])
    note = "keeps of the upscaler its name alone, 'larger', as it lies elsewhere; give it with --upscaler"
    assert [line for line in made.err.splitlines() if "Note: " in line] == [f"Note: far.toml {note}"]
    for command in ("rerun", "a.png"), ("run", "far.toml"):
        refused = run(*command, "-o", "b.png")
        assert refused.code == 2
        lost = "a.png was made with the upscaler 'larger', which is no known name, and no directory or file here; give"
        assert (lost if command[0] == "rerun" else "unknown upscaler 'larger'") in refused.err
        again = run(*command, "--upscaler", apart / "larger", "-o", f"{command[0]}.png")
        assert again.code == 0, again.err
        assert Path(f"{command[0]}.png").stat().st_size
        with Image.open("a.png") as one, Image.open(f"{command[0]}.png") as two:
            assert one.tobytes() == two.tobytes()
    shutil.copytree(apart / "larger", tmp_path / "x4")
    near = run(*line, "--upscaler", "./x4", "-o", "c.png", "--save-recipe", "near.toml")
    assert near.code == 0, near.err
    assert "Note" not in near.err
    assert 'upscaler = [\n    "./x4",\n]' in Path("near.toml").read_text()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    again = run("run", "../near.toml", "-o", "../d.png")
    assert again.code == 0, again.err
    with Image.open("../c.png") as one, Image.open("../d.png") as two:
        assert one.tobytes() == two.tobytes()


# what tricks say of their options


def test_a_record_holds_what_a_trick_settled_of_what_it_was_told(model: Model) -> None:
    recipe = Recipe(
        prompt="a",
        tricks=[TrickEntry(trick="sdedit", image="a.png", sweep=True), TrickEntry(trick="guidance", scale=3.0)],
    )
    sdedit, guidance = SDEdit(image="a.png", start_index=1), Guidance(scale=3.0)
    run = begin(model, Sampling(prompt="a", **{k: v for k, v in TWO.items() if k != "seed"}), tricks=[sdedit, guidance])
    assert run.settled(sdedit) == {}
    assert settled_tricks(recipe, [sdedit, guidance], run) == recipe.tricks
    run.settle(sdedit, image="b.png", start_index=2)
    run.stages[1].settle(sdedit, fit="pad")
    assert run.settled(sdedit) == {"image": "b.png", "start_index": 2, "fit": "pad"}
    assert settled_tricks(recipe, [sdedit, guidance], run) == [
        TrickEntry(trick="sdedit", image="b.png", sweep=True, fit="pad"),  # the sweep says where to start
        recipe.tricks[1],
    ]
    with pytest.raises(PluginError, match="trick 'guidance' settles strength, of which it has no option; name its own"):
        run.settle(guidance, strength=1.0)


def test_a_wrong_name_is_refused_before_the_model_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(UnknownName, match="unknown upscaler 'x5'"):
        load_model("emoji", device="cpu", upscaler=["x4", "x5"])


def test_a_plan_of_an_unknown_model_refuses_nothing_that_it_may_upscale() -> None:
    planned = plan(Recipe(model="owner/name", prompt="a", size=(512, 512), upscale_steps=2, noise_level=5))
    assert (planned.known, planned.size, planned.steps) == (False, (512, 512), 50)
    with pytest.raises(UsageError, match="nothing is upscaled at size 512x512"):
        plan(Recipe(model="sd15", prompt="a", size=(512, 512), upscale_steps=2))
    large = plan(Recipe(model="sd15", prompt="a", size=(2048, 2048), upscale_steps=3))
    assert [(stage.size, len(stage.rows)) for stage in large.stages] == [((512, 512), 51), ((2048, 2048), 3)]
