"""SDEdit against diffusers' image-to-image pipelines, closed-form denoisers and the table of CS180."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, IFImg2ImgPipeline
from PIL import Image
from skimage import data

from diffusion_tricks import Recipe, TrickEntry, load_model, make, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.io.pixels import fit, to_images, to_tensor
from diffusion_tricks.recipes.recipe import recipe_from
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.start import Start
from diffusion_tricks.testing.denoisers import exact_model
from diffusion_tricks.testing.pipelines import tiny_pipeline
from diffusion_tricks.types import Fit
from diffusion_tricks_plugins import Guidance, Inpaint, SDEdit

STRIDED = list(range(990, -1, -30))
SIZE = (32, 32)


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cat (CC0), 451 x 300."""
    path = tmp_path_factory.mktemp("photos") / "cat.png"
    Image.fromarray(data.cat()).save(path)
    return path


@pytest.fixture(scope="module")
def seen(cat: Path) -> torch.Tensor:
    """The cat as a 32 px model sees it."""
    return to_tensor(fit(Image.open(cat), SIZE))


def started(trick: SDEdit, model: Any, **request: Any) -> tuple[Run, Start]:
    run = begin(model, Sampling(**request), tricks=[trick])
    run.hook.prepare(run=run)
    return run, trick.start(run)


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image)


@pytest.mark.parametrize(("i", "t"), [(1, 960), (3, 900), (5, 840), (7, 780), (10, 690), (20, 390), (0, 990), (33, 0)])
def test_start_indices_are_those_of_cs180(cat: Path, seen: torch.Tensor, i: int, t: int) -> None:
    run, start = started(SDEdit(image=str(cat), start_index=i), exact_model(seen), stride=30, scheduler="ddpm")
    assert int(run.timesteps[start.index]) == t
    assert start.index == i


@pytest.mark.parametrize("name", ["ddim", "euler", "heun", "unipc"])
def test_other_schedules_start_at_the_first_step_not_above_the_index(cat: Path, seen: torch.Tensor, name: str) -> None:
    for i in (0, 1, 5, 20, 30):
        t = STRIDED[i]
        run, start = started(SDEdit(image=str(cat), start_index=i), exact_model(seen), steps=13, scheduler=name)
        first, whole = start.index, run.timesteps[:: run.substeps]
        assert first % run.substeps == 0
        assert all(whole[: first // run.substeps] > t)
        assert all(whole[first // run.substeps :] <= t)


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
@pytest.mark.parametrize("strength", [0.05, 0.29, 0.6, 0.999, 1.0])
def test_strength_starts_where_diffusers_does_with_its_noise(
    cat: Path, seen: torch.Tensor, name: str, strength: float
) -> None:
    run, start = started(SDEdit(image=str(cat), strength=strength), exact_model(seen), steps=20, scheduler=name, seed=4)
    theirs, _ = IFImg2ImgPipeline.get_timesteps(run, run.scheduler.num_inference_steps, strength)  # reads .scheduler
    torch.testing.assert_close(run.timesteps[start.index :], theirs, rtol=0, atol=0)
    eps = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    expected = run.scheduler.add_noise(seen, eps, theirs[:1])
    torch.testing.assert_close(start.latents, expected, rtol=2e-6, atol=2e-6)  # their square roots are in float32


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_equals_diffusers_image_to_image_pipeline(tmp_path: Path, strength: float) -> None:
    picture = Image.fromarray(data.astronaut()).resize((16, 16))
    picture.save(tmp_path / "a.png")
    pipe = tiny_pipeline("if")
    reference = IFImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    reference.set_progress_bar_config(disable=True)
    expected = reference(
        "a rabbit", to_tensor(picture), strength=strength, num_inference_steps=10, guidance_scale=3.0, output_type="pt",
        generator=[torch.Generator().manual_seed(7)], clean_caption=False,
    ).images  # fmt: skip
    tricks = [SDEdit(image=str(tmp_path / "a.png"), strength=strength), Guidance(scale=3.0)]
    steps = list(sample(load_model(pipe, device="cpu"), prompt="a rabbit", tricks=tricks, steps=10, seed=7))
    assert len(steps) == int(10 * strength)
    torch.testing.assert_close(steps[-1].x, expected, rtol=0, atol=1e-5)  # float32 square roots in their add_noise


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm++2m", "unipc", "euler", "euler-a", "heun"])
@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_a_model_that_knows_only_the_picture_gives_it_back(
    cat: Path, seen: torch.Tensor, name: str, strength: float
) -> None:
    trick = SDEdit(image=str(cat), strength=strength)
    steps = list(sample(exact_model(seen), tricks=[trick], steps=10, scheduler=name, seed=1))
    assert len({int(step.t) for step in steps}) == round(10 * strength)
    torch.testing.assert_close(steps[-1].estimate.clean, seen, rtol=0, atol=1e-3)
    torch.testing.assert_close(steps[-1].x, seen, rtol=0, atol=0.02)  # some schedules end a little above no noise


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_strength_0_is_the_picture_for_no_step(cat: Path, seen: torch.Tensor, how: Fit) -> None:
    entry = TrickEntry(trick="sdedit", image=str(cat), strength=0.0, fit=how)
    result = make(Recipe(prompt="a star", seed=3, size=SIZE, tricks=[entry]), model=exact_model(seen))[0]
    np.testing.assert_array_equal(pixels(result.image), pixels(fit(Image.open(cat), SIZE, how)))
    assert (result.facts["steps"], result.facts["rows_total"]) == (0, 0)
    assert result.provenance == "edited"
    told = {"crop": "the part 75,0,375,300 of cat.png", "pad": "", "stretch": "squeezed to 32 x 32"}[how]
    assert [told in note for note in result.facts.get("notes", ())] == [True] * bool(told)


@pytest.mark.parametrize(
    ("start", "instead"),
    [
        ({"strength": 0.2}, [{"strength": 0.25}, {"steps": 5}]),
        ({"start_index": 33}, [{"start_index": 24}]),
    ],
)
def test_an_edit_of_no_step_is_refused_with_what_would_run_one(
    cat: Path, seen: torch.Tensor, start: dict[str, Any], instead: list[dict[str, Any]]
) -> None:
    def steps(changes: dict[str, Any]) -> int:
        settings: dict[str, Any] = {"prompt": "a star", "steps": 4, "scheduler": "unipc"}
        edit = {"trick": "sdedit", "image": str(cat)} | start
        for name, value in changes.items():
            (edit if name in edit else settings)[name] = value
        recipe = recipe_from({**settings, "tricks": [edit]})
        return int(make(recipe, model=exact_model(seen))[0].facts["steps"])

    with pytest.raises(UsageError, match="so no step would be run; use ") as refused:
        steps({})
    for changes in instead:
        ((name, value),) = changes.items()
        assert f"`{name}={value}`" in str(refused.value)
        assert steps(changes) == 1
    assert steps({"steps": 10, "scheduler": "ddim"}) == (2 if "strength" in start else 1)  # whose last is t = 0


def test_picture_i_of_a_batch_equals_the_single_run(cat: Path) -> None:
    model = exact_model(torch.zeros(1, 3, *SIZE))
    batch = list(sample(model, tricks=[SDEdit(image=str(cat))], steps=8, scheduler="euler-a", seed=5, count=3))
    for i in range(3):
        single = list(sample(model, tricks=[SDEdit(image=str(cat))], steps=8, scheduler="euler-a", seed=5 + i))
        assert len(single) == 4  # int(8 * 0.6)
        for one, all_ in zip(single, batch, strict=True):
            torch.testing.assert_close(one.x[0], all_.x[i], rtol=0, atol=0)


def test_a_sweep_is_the_strip_of_its_single_runs(cat: Path, seen: torch.Tensor) -> None:
    model = exact_model(seen.flip(-1))
    common: dict[str, Any] = {"prompt": "a star", "seed": 2, "steps": 10, "scheduler": "ddpm"}

    def recipe(count: int, **options: Any) -> Recipe:
        entry = {"trick": "sdedit", "image": str(cat), **options}
        return recipe_from({**common, "count": count, "tricks": [entry, {"trick": "guidance", "scale": 1}]})

    strips = make(recipe(2, sweep=True), model=model)
    starts: list[dict[str, Any]] = [{"start_index": i} for i in (1, 3, 5, 7, 10, 20)]
    singles = [make(recipe(2, own_size=False, **start), model=model) for start in [*starts, {"strength": 0.0}]]
    named = [*(f"start index {i}" for i in (1, 3, 5, 7, 10, 20)), "strength 0"]
    for i, strip in enumerate(strips):
        tiles = [single[i].image for single in singles]
        np.testing.assert_array_equal(
            pixels(strip.image), pixels(labelled_grid(tiles, columns=named, title=f"a star, seed {2 + i}"))
        )
        assert strip.facts["rows_total"] == sum(single[i].facts["rows_total"] for single in singles) > 0
        assert (strip.facts["width"], strip.facts["height"], strip.facts["variants"]) == (*strip.image.size, 7)
        alike = ", ".join(named[:5])  # this model makes one picture, wherever it begins
        note = f"the pictures of {alike} and start index 20 are the same to the bit; more `steps` may part them"
        cropped = "sdedit: the model saw the part 75,0,375,300 of cat.png, which is 451 x 300 pixels"
        assert strip.facts["notes"] == [f'{cropped}; `fit="pad"` shows all of it', note]
    np.testing.assert_array_equal(pixels(tiles[-1]), pixels(to_images(seen)[0]))
    again = make(strips[1].recipe, model=model)[0]
    np.testing.assert_array_equal(pixels(again.image), pixels(strips[1].image))


@pytest.mark.parametrize(("longest", "stride"), [(1000, 30), (400, 12)])
def test_a_sweep_makes_every_30th_step_so_that_each_start_is_another(
    cat: Path, seen: torch.Tensor, longest: int, stride: int
) -> None:
    model = exact_model(seen.flip(-1), DDPMScheduler(num_train_timesteps=longest))
    begun: list[list[int]] = []

    def watch(step: Any) -> None:
        if step.index == step.run.first:
            begun.append([step.index, int(step.t), len(step.run.timesteps)])

    entry = {"trick": "sdedit", "image": str(cat), "sweep": True}
    recipe = recipe_from({"prompt": "a star", "seed": 2, "tricks": [entry]})
    (strip,) = make(recipe, model=model, watch=watch)
    assert begun == [[i, (33 - i) * stride, 34] for i in (1, 3, 5, 7, 10, 20)]
    assert (strip.recipe.stride, strip.recipe.steps) == (stride, None)
    (again,) = make(strip.recipe, model=model)
    np.testing.assert_array_equal(pixels(again.image), pixels(strip.image))


@pytest.mark.parametrize("said", [{"steps": 12}, {"stride": 100}, {"scheduler": "unipc"}])
def test_a_sweep_follows_what_is_said_of_steps_and_a_scheduler_that_can(
    cat: Path, seen: torch.Tensor, said: dict[str, Any]
) -> None:
    entry = {"trick": "sdedit", "image": str(cat), "sweep": True}
    recipe = recipe_from({"prompt": "a star", "seed": 2, "tricks": [entry], **said})
    (strip,) = make(recipe, model=exact_model(seen.flip(-1)))
    assert strip.recipe.stride == said.get("stride")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.5, "start_index": 3}, "strength and start_index each say where to start"),
        ({"strength": 0.5, "sweep": True}, "strength and sweep each say where to start"),
        ({"strength": 1.5}, "strength: expected at most 1, got 1.5"),
        ({"start_index": 34}, "start_index: expected a number below 34, got 34"),
        ({"fit": "squash"}, "'crop', 'pad' or 'stretch'"),
    ],
)
def test_options_that_cannot_be_met(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"sdedit: .*{message}"):
        SDEdit(image="photo.png", **options)


def test_what_is_missing_is_named(tmp_path: Path, cat: Path, seen: torch.Tensor) -> None:
    model = exact_model(seen)
    with pytest.raises(UsageError, match="sdedit: a picture is missing"):
        list(sample(model, tricks=[SDEdit()]))
    with pytest.raises(PictureError, match=r"none\.png does not exist"):
        list(sample(model, tricks=[SDEdit(image=str(tmp_path / "none.png"))]))
    with pytest.raises(UsageError, match="'sdedit' and 'sdedit 2' both fill the place 'start'"):
        list(sample(model, tricks=[SDEdit(image=str(cat)), SDEdit(image=str(cat))]))
    with pytest.raises(UsageError, match="a sweep is several runs"):
        list(sample(model, tricks=[SDEdit(image=str(cat), sweep=True)]))


def test_two_pictures_in_one_run_are_an_error_that_names_both(tmp_path: Path, cat: Path, seen: torch.Tensor) -> None:
    other = tmp_path / "other.png"
    Image.open(cat).save(other)
    tricks = [SDEdit(image=str(cat)), Inpaint(image=str(other), mask="box:0,0,9,9")]
    with pytest.raises(UsageError, match=r"bring two: .*cat\.png and .*other\.png"):
        list(sample(exact_model(seen), tricks=tricks))
