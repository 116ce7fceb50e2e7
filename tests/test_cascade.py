"""Two stages against diffusers' own two pipelines and the papers' formulas, on tiny random weights, 16 to 64 pixels."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, Step, Trick, TrickEntry, hookimpl, load_model, make, sample
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.diffusion.schedulers import scheduler_for
from diffusion_tricks.errors import ModelError, PluginError, UsageError
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.io.grid import GAP
from diffusion_tricks.model.cascade import stages
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.testing import check_trick, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid, Inpaint, SDEdit
from diffusion_tricks_plugins.filters import blur

LARGE, STEPS, SCALE, UPSCALE = (64, 64), 3, 5.0, 3.0
TWO: dict[str, Any] = {"size": LARGE, "steps": STEPS, "upscale_steps": STEPS}
GUIDED = Guidance(scale=SCALE, upscale_scale=UPSCALE)


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny_pipeline("if")


@pytest.fixture(scope="module")
def upscaler() -> Any:
    return tiny_upscaler()


@pytest.fixture(scope="module")
def model(base: Any, upscaler: Any) -> Model:
    return load_model(base, device="cpu", upscaler=upscaler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, base: Any, upscaler: Any) -> Path:
    """A directory with both models, as the embedded one is laid out."""
    folder = tmp_path_factory.mktemp("models") / "two"
    base.save_pretrained(folder)
    upscaler.save_pretrained(folder / "upscaler")
    said = {"steps": 4, "guidance": 2.0, "upscaler": "upscaler"}
    (folder / "diffusion_tricks.json").write_text(json.dumps(said))
    (folder / "upscaler" / "diffusion_tricks.json").write_text(json.dumps({"steps": 3, "noise_level": 70}))
    return folder


def last(model: Model, **request: Any) -> Step:
    *_, step = sample(model, **{"prompt": "a rabbit", "seed": 5, **TWO, **request})
    return step


# against diffusers


def theirs(base: Any, upscaler: Any, prompts: list[str], scales: tuple[float, float], noise_level: int = 50) -> Tensor:
    """DeepFloyd's own script: one generator a picture goes through both pipelines, which share the embeddings."""
    generators = [torch.Generator().manual_seed(5 + i) for i in range(len(prompts))]
    pairs = [base.encode_prompt(prompt, clean_caption=False) for prompt in prompts]
    cond, uncond = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    request = {
        "prompt_embeds": cond, "negative_prompt_embeds": uncond, "num_inference_steps": STEPS, "generator": generators,
        "output_type": "pt",
    }  # fmt: skip
    small = base(**request, guidance_scale=scales[0]).images
    large: Tensor = upscaler(**request, image=small, guidance_scale=scales[1], noise_level=noise_level).images
    return large


@pytest.mark.parametrize("scales", [(1.0, 1.0), (SCALE, UPSCALE)])
@pytest.mark.parametrize("noise_level", [0, 50, 900])
def test_two_stages_are_the_two_pipelines_of_diffusers(
    model: Model, base: Any, upscaler: Any, scales: tuple[float, float], noise_level: int
) -> None:
    guidance = Guidance(scale=scales[0], upscale_scale=scales[1])
    step = last(model, tricks=[guidance], noise_level=noise_level)
    expected = theirs(base, upscaler, ["a rabbit"], scales, noise_level)
    assert torch.equal(step.x, expected), f"largest difference {(step.x - expected).abs().max():.1e}"
    assert step.x.shape == (1, 3, 64, 64)


def test_several_pictures_with_prompts_of_their_own(model: Model, base: Any, upscaler: Any) -> None:
    prompts = ["a rabbit", "a duck"]
    step = last(model, prompt=prompts, tricks=[GUIDED])
    torch.testing.assert_close(step.x, theirs(base, upscaler, prompts, (SCALE, UPSCALE)), rtol=0, atol=1e-4)


def test_the_pipelines_are_left_as_they_were(model: Model, upscaler: Any) -> None:
    scheduler, state = upscaler.scheduler, dict(vars(upscaler.scheduler))
    second: Any = model.second
    second.behind(model).encode_prompts(["a new prompt"], LARGE)
    assert upscaler.scheduler is scheduler
    assert vars(scheduler).keys() == state.keys()
    assert scheduler.num_inference_steps == state["num_inference_steps"]
    assert "forward" not in vars(upscaler.unet)


def test_start_and_condition_do_not_depend_on_how_the_schedulers_scale(base: Any) -> None:
    """Euler's latents are wide and scaled for the UNet; the picture beside them is neither, whoever asks for Euler."""
    seen: dict[tuple[bool, str | None], tuple[Tensor, Tensor]] = {}
    for own in (False, True):
        pipe = tiny_upscaler()
        pipe.scheduler = scheduler_for(pipe.scheduler, "euler" if own else None)
        for asked in (None, "euler"):
            watched = watch_input(pipe.unet)
            last(load_model(base, device="cpu", upscaler=pipe), upscale_scheduler=asked)
            del pipe.unet.forward
            assert all(torch.equal(x[:, 3:], watched[0][:, 3:]) for x in watched)
            seen[own, asked] = watched[0].split(3, dim=1)
    for start, condition in seen.values():
        assert torch.equal(condition, seen[False, None][1])
        torch.testing.assert_close(start, seen[False, None][0], rtol=0, atol=2e-3)  # Euler's has a share of x0 less


def watch_input(unet: Any) -> list[Tensor]:
    """What the UNet is shown from now on, without the pipeline's first call, which is recorded."""
    seen: list[Tensor] = []

    def forward(x: Tensor, *arguments: Any, **named: Any) -> Any:
        seen.append(x)
        return type(unet).forward(unet, x, *arguments, **named)

    unet.forward = forward
    return seen


# views


def reference(
    base: Any, upscaler: Any, views: list[tuple[Callable[[Tensor], Tensor], str]], small: Tensor, seed: int
) -> Tensor:
    """Stage two of the reference code of Visual Anagrams (arXiv:2311.17919): every view sees the noisy picture and the
    low-resolution one beside it alike; estimates and variances are turned back and averaged. All views are their own
    inverse here. Rows are asked in pairs, as a convolution's rounding depends on the order."""
    scheduler = copy.deepcopy(upscaler.scheduler)
    scheduler.set_timesteps(STEPS)
    cond, uncond = base.encode_prompt(
        [prompt for _, prompt in views], negative_prompt=[""] * len(views), clean_caption=False
    )
    text = torch.stack([uncond, cond], 1).flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):  # what stage one drew: its start, and the noise of every step but the last
        torch.randn(1, 3, 16, 16, generator=generator)
    x = torch.randn(1, 3, 64, 64, generator=generator)
    up = F.interpolate(small, (64, 64), mode="bilinear", align_corners=True)
    noise = torch.randn(1, 3, 64, 64, generator=generator)
    up = upscaler.image_noising_scheduler.add_noise(up, noise, torch.tensor([50]))
    levels = torch.tensor([50] * 2 * len(views))
    for t in scheduler.timesteps:
        seen = torch.cat([view(torch.cat([x, up], 1)) for view, _ in views])
        with torch.no_grad():
            output = upscaler.unet(
                seen.repeat_interleave(2, 0), t, encoder_hidden_states=text, class_labels=levels, return_dict=False
            )[0]
        eps_uncond, eps_cond, var = output[::2, :3], output[1::2, :3], output[1::2, 3:]
        guided = eps_uncond + UPSCALE * (eps_cond - eps_uncond)
        eps = torch.stack([view(e[None]) for (view, _), e in zip(views, guided, strict=True)]).mean(0)
        spatial = [(lambda v: v) if view is negated else view for view, _ in views]
        variance = torch.stack([view(v[None]) for view, v in zip(spatial, var, strict=True)]).mean(0)
        x = scheduler.step(torch.cat([eps, variance], 1), t, x, generator=generator, return_dict=False)[0]
    return x


def identity(x: Tensor) -> Tensor:
    return x


def flipped(x: Tensor) -> Tensor:
    return x.flip(-2)


def negated(x: Tensor) -> Tensor:
    return -x


@pytest.mark.parametrize(("name", "view"), [("flip", flipped), ("negate", negated)])
def test_an_anagram_of_two_stages_is_the_papers(
    model: Model, base: Any, upscaler: Any, name: str, view: Callable[[Tensor], Tensor]
) -> None:
    trick = Anagram(views=[("identity", "a rabbit"), (name, "a duck")])
    steps = list(sample(model, tricks=[trick, GUIDED], seed=5, **TWO))
    small = next(step.x for step in reversed(steps) if step.stage == 1)
    expected = reference(base, upscaler, [(identity, "a rabbit"), (view, "a duck")], small, seed=5)
    assert torch.equal(steps[-1].x, expected), f"largest difference {(steps[-1].x - expected).abs().max():.1e}"


def test_an_anagram_of_identities_is_the_plain_picture(model: Model) -> None:
    trick = Anagram(views=[("identity", "a rabbit")] * 2)
    step = last(model, tricks=[trick, GUIDED])
    assert torch.equal(step.x, last(model, tricks=[GUIDED]).x)
    assert step.rows == 2


def test_an_ask_that_is_moved_takes_its_condition_along() -> None:
    x, picture = torch.randn(2, 1, 3, 4, 4)
    condition = Condition(picture)
    ask = Ask(x, "a", condition).moved(flipped, prompt="b")
    assert torch.equal(ask.x, x.flip(-2))
    assert ask.condition is not None
    assert torch.equal(ask.condition.picture, picture.flip(-2))
    assert (ask.prompt, Ask(x, "a").moved(flipped).condition) == ("b", None)
    assert Ask(x, "a", condition).key != Ask(x, "a").key
    assert Ask(x, "a", condition).key != Ask(x, "a", Condition(picture)).key
    assert Ask(x, "a", condition).key == Ask(x, "a", condition).key


def test_a_condition_is_moved_once_for_each_view() -> None:
    """What a model made of it, such as its latents, so lasts for all steps; a view of its own is another."""
    ask, view = Ask(torch.randn(1, 3, 4, 4), "a", Condition(torch.randn(1, 3, 4, 4))), view_named("flip")
    seen = [view.through(ask).condition, ask.through(view_named("flip")).condition]
    assert seen[0] is seen[1]
    assert view_named("negate").through(ask).condition is not seen[0]


class Forgetful(Trick[Any]):
    name = "forgetful"

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers = yield [Ask(ask.x, ask.prompt)]
        return answers[0]


def test_a_question_without_its_condition_is_refused(model: Model) -> None:
    with pytest.raises(PluginError, match="question to an upscaler came without its condition; make it from `ask`"):
        last(model, tricks=[Forgetful()])


# other tricks


def test_a_hybrid_filters_both_stages_at_their_own_scale(model: Model) -> None:
    """At 64 pixels sigma is 2, at 16 a quarter of it; the second stage's estimate is put together here by hand."""
    tricks = [Hybrid(far="a skull", near="a duck"), Guidance(scale=1, upscale_scale=1)]
    steps = list(sample(model, tricks=tricks, **TWO))
    first = next(step for step in steps if step.stage == 2)
    rows = first.run.model.encode_prompts(["a skull", "a duck"], LARGE)
    assert first.run.condition is not None
    start = first.estimate.x
    both = torch.cat([start, first.run.condition.picture], 1).expand(2, -1, -1, -1)
    eps = first.run.model.family.predict(both, first.t, list(rows.values()))[:, :3]
    low = blur(2.0, 33, 64)
    expected = low(eps[:1]) + eps[1:] - low(eps[1:])
    torch.testing.assert_close(first.estimate.value, expected, rtol=0, atol=1e-5)


def photo(path: Path, size: tuple[int, int] = (150, 110)) -> str:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).resize(size).save(path)
    return str(path)


@pytest.mark.parametrize("size", [(150, 110), (64, 64)])
def test_inpainting_changes_no_pixel_outside_the_mask(model: Model, tmp_path: Path, size: tuple[int, int]) -> None:
    path = photo(tmp_path / "photo.png", size)
    entry = TrickEntry(trick="inpaint", image=path, mask="box:20,10,50,45")
    recipe = Recipe(prompt="a hat", seed=1, tricks=[entry], **TWO)
    (result,) = make(recipe, model=model)
    before, after = np.asarray(Image.open(path)), np.asarray(result.image)
    inside = np.zeros(before.shape[:2], bool)
    inside[10:45, 20:50] = True
    assert np.array_equal(before[~inside], after[~inside])
    assert (before[inside] != after[inside]).any(axis=1).mean() > 0.9
    assert result.facts["changed_outside"] == 0


def test_both_stages_of_inpainting_see_the_same_region_and_end_in_its_own_pixels(model: Model, tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png")
    steps = list(sample(model, prompt="a hat", tricks=[Inpaint(image=path, mask="box:20,10,50,45")], **TWO))
    sources = [step.run.source for step in steps]
    assert sources[0] == sources[-1]
    state = steps[-1].run.state(steps[-1].run.tricks[0])
    known = ~state["edit"].known.new.expand_as(steps[-1].x)
    assert known.any()
    assert torch.equal(steps[-1].x[known], state["edit"].known.clean[known])


def test_sdedit_starts_the_first_stage_alone(model: Model, tmp_path: Path) -> None:
    trick = SDEdit(image=photo(tmp_path / "photo.png"), strength=0.4)
    steps = list(sample(model, prompt="a", tricks=[trick], size=LARGE, steps=5, upscale_steps=3))
    assert [(step.stage, step.index) for step in steps] == [(1, 3), (1, 4), (2, 0), (2, 1), (2, 2)]


def test_sdedit_of_strength_0_upscales_the_picture(model: Model, tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png", (16, 16))
    steps = list(sample(model, prompt="a", tricks=[SDEdit(image=path, strength=0.0)], noise_level=0, **TWO))
    assert [step.stage for step in steps] == [2] * STEPS
    condition = steps[0].run.condition
    assert condition is not None
    small = torch.from_numpy(np.asarray(Image.open(path)).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    expected = F.interpolate(small, LARGE, mode="bilinear", align_corners=True)
    assert float((condition.picture - expected).std()) < 0.05  # the noise of level 0


@pytest.mark.parametrize(
    "trick",
    [
        Anagram(views=[("identity", "a rabbit"), ("negate", "a duck")]),
        Hybrid(far="a skull", near="a duck"),
        Guidance(scale=2, upscale_scale=4),
    ],
    ids=lambda trick: trick.label(),
)
def test_tricks_hold_in_two_stages_what_they_must(model: Model, trick: Trick[Any]) -> None:
    check_trick(trick, model, steps=2, upscale_steps=2, size=LARGE)


# seeds, records


def test_the_same_seed_gives_the_same_picture_alone_and_among_three(model: Model) -> None:
    together = last(model, tricks=[GUIDED], seed=5, count=3).x
    for i in range(3):
        alone = last(model, tricks=[GUIDED], seed=5 + i).x
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-4)
    assert (together[0] - together[1]).abs().mean() > 0.1


def test_what_was_made_says_how_and_is_made_again_by_its_recipe(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    recipe = Recipe(model=str(folder), prompt="a rabbit", seed=3, size=LARGE)
    (result,) = make(recipe, model=model)
    assert result.image.size == LARGE
    assert (result.facts["steps"], result.facts["rows_total"], result.facts["rows_per_step"]) == (7, 14, 2)
    assert result.facts["stages"] == [
        {"model": "two", "size": [16, 16], "steps": 4, "rows_total": 8},
        {"model": "upscaler", "size": [64, 64], "steps": 3, "rows_total": 6},
    ]
    made = result.recipe
    assert (made.size, made.steps, made.upscale_steps, made.noise_level) == (LARGE, 4, 3, 70)
    assert made.tricks == [TrickEntry(trick="guidance", scale=2.0, upscale_scale=4.0)]
    (again,) = make(made, model=model)
    assert again.image.tobytes() == result.image.tobytes()
    assert again.recipe == made
    (small,) = make(recipe.model_copy(update={"size": None}), model=model)
    assert "stages" not in small.facts
    assert small.recipe.upscale_steps is None


def test_the_upscaler_is_loaded_when_a_size_asks_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(folder, device="cpu")
    loaded = []
    second: Any = model.second
    monkeypatch.setattr(second, "load", lambda saved, load=second.load: loaded.append(1) or load(saved))
    list(sample(model, prompt="a", steps=1))
    assert not loaded
    last(model)
    last(model)
    assert loaded == [1]
    assert second.behind(model).family.pipe.text_encoder is None


# sizes


def test_a_size_goes_to_the_stages_that_make_it(model: Model) -> None:
    for size in ((16, 16), (32, 24)):
        assert stages(model, size) == [(model, size)]
    for size, small in (((64, 64), (16, 16)), ((64, 48), (16, 12)), ((128, 40), (32, 10))):
        (first, first_size), (second, second_size) = stages(model, size)
        assert (first, first_size, second_size) == (model, small, size)
        assert second.name == "IFSuperResolutionPipeline"
    *_, step = sample(model, prompt="a", size=(64, 48), steps=1, upscale_steps=1)
    assert step.x.shape == (1, 3, 48, 64)


@pytest.mark.parametrize("size", [(66, 64), (36, 36), (136, 64), (256, 256)])
def test_a_size_that_no_stage_makes_is_refused_with_those_that_can_be_made(model: Model, size: tuple[int, int]) -> None:
    message = (
        "makes 16x16 pixels, or sides up to 32, and with its upscaler 64x64 pixels, or sides up to 128, in multiples of"
        f" 8; got {size[0]}x{size[1]}"
    )
    with pytest.raises(UsageError, match=message):
        last(model, size=size)


def test_without_an_upscaler_a_large_size_is_refused(base: Any) -> None:
    with pytest.raises(UsageError, match="makes 16x16 pixels, or sides up to 32, got 64x64; `enlarge` makes them"):
        last(load_model(base, device="cpu"), upscale_steps=None)


def test_a_model_of_latents_is_not_held_to_its_own_size() -> None:
    *_, step = sample(load_model(tiny_pipeline("sd"), device="cpu"), prompt="a", steps=1, size=(64, 16))
    assert step.x.shape[-1] == 4 * step.x.shape[-2]


@pytest.mark.parametrize("told", [{"upscale_steps": 3}, {"upscale_scheduler": "ddim"}, {"noise_level": 3}])
def test_how_to_upscale_is_refused_where_nothing_is(model: Model, told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="nothing is upscaled at size 16x16; ask for a larger `size`"):
        list(sample(model, prompt="a", **told))


def test_a_noise_level_that_the_upscaler_does_not_have(model: Model) -> None:
    with pytest.raises(UsageError, match="noise level must be between 0 and 999 for this upscaler, got 1000"):
        last(model, noise_level=1000)


def test_models_that_are_no_upscalers(base: Any, upscaler: Any) -> None:
    with pytest.raises(ModelError, match="is of IFPipeline and no upscaler: expected IFSuperResolutionPip"):
        last(load_model(base, device="cpu", upscaler=base))
    with pytest.raises(ModelError, match=r"enlarges what another model makes: name that one, and a larger size"):
        load_model(upscaler)
    small = load_model(base, device="cpu", upscaler=tiny_upscaler(16))
    with pytest.raises(ModelError, match="an upscaler to 16 pixels does not go with a model of 16"):
        last(small)


def test_an_upscaler_that_is_gone_hurts_only_large_pictures(folder: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    tiny_pipeline("if").save_pretrained(gone)
    (gone / "diffusion_tricks.json").write_text(json.dumps({"steps": 1, "upscaler": "upscaler"}))
    model = load_model(gone, device="cpu")
    list(sample(model, prompt="a"))
    with pytest.raises(ModelError, match=r"upscaler .*gone/upscaler is not there; expected a directory, or a hub"):
        last(model)
    assert plan(Recipe(model=str(gone), prompt="a")).steps == 1
    with pytest.raises(ModelError, match="gone/upscaler is not there"):
        plan(Recipe(model=str(gone), prompt="a", size=LARGE))


def test_the_known_model_names_its_upscaler_and_can_be_planned() -> None:
    planned = plan(Recipe(model="if", prompt="a", size=(256, 256), steps=5, upscale_steps=2))
    assert [(stage.model, stage.size, stage.rows) for stage in planned.stages] == [
        ("if", (64, 64), [2] * 5),
        ("DeepFloyd/IF-II-L-v1.0", (256, 256), [2] * 2),
    ]


# the command line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_plan_shows_both_stages_as_they_are_made(folder: Path, here: Path) -> None:
    line = ["-m", folder, "--size", "64", "-p", "x", "--upscale-guidance", "1"]
    planned = run("plan", *line, "--json")
    assert planned.code == 0, planned.err
    made = run("make", *line, "--json", "-o", "out.png")
    assert made.code == 0, made.err
    for key in ("steps", "rows_total", "rows_per_step"):
        assert planned.json[key] == made.json[key]
    assert [stage["rows_total"] for stage in planned.json["stages"]] == [8, 3]
    assert [stage["rows_total"] for stage in made.json["stages"]] == [8, 3]
    said = run("plan", *line).out
    assert "size:          64x64, upscaled from 16x16" in said
    assert "steps:         4 + 3" in said
    assert "rows per step: 2, then 1" in said


def test_a_picture_of_two_stages_is_made_again_from_its_record(folder: Path, here: Path) -> None:
    line = ["--size", "64", "--upscale-steps", "2", "--noise-level", "20", "--upscale-scheduler", "ddim"]
    first = run("generate", "x", "-m", folder, *line, "-o", "a.png", "--seed", 4)
    assert first.code == 0, first.err
    again = run("rerun", "a.png", "-m", folder, "-o", "b.png", "--json")
    assert again.code == 0, again.err
    assert again.json["recipe"]["noise_level"] == 20
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert a.size == LARGE
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", ["film.gif", "strip.png"])
def test_a_film_shows_both_stages_at_one_size(folder: Path, here: Path, name: str) -> None:
    outcome = run("generate", "x", "-m", folder, "--size", "64", "--seed", 1, "-o", "a.png", "--steps-out", name,
                  "--count", 2)  # fmt: skip
    assert outcome.code == 0, outcome.err
    for i in range(2):
        with Image.open(name.replace(".", f"-{i}.")) as film:
            if name.endswith("gif"):
                assert (film.width >= 128 + 2 * GAP, getattr(film, "n_frames", 1)) == (True, 7)
            else:
                page = np.asarray(film.convert("RGB")).astype(int)
                left = film.width - 7 * (128 + GAP)
                squares = page[60:100, left : left + 128].reshape(40, 16, 8, 3)
                assert (squares == squares[:, :, :1]).all()
                later = page[60:100, -128 - GAP : -GAP].reshape(40, 64, 2, 3)
                assert (later == later[:, :, :1]).all()


def test_the_command_line_refuses_what_does_not_fit(folder: Path, here: Path, tiny: Path) -> None:
    outcome = run("generate", "x", "-m", folder, "--size", "66")
    assert outcome.code == 2
    assert "with its upscaler 64x64 pixels, or sides up to 128, in multiples of 8; got 66x66" in outcome.err
    outcome = run("generate", "x", "-m", tiny, "--size", "64")
    assert outcome.code == 2
    assert "makes 16x16 pixels, or sides up to 32, got 64x64" in outcome.err
    outcome = run("generate", "x", "-m", folder, "--upscale-guidance", "3")
    assert outcome.code == 2
    assert "nothing is upscaled at size 16x16" in outcome.err
    assert not list(here.glob("*.png"))
