"""A model that answers in another's place at low noise: against diffusers' own pipeline, whose network is exchanged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, IFPipeline, UNet2DModel
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, Step, Trick, hookimpl, load_model, make, sample
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.inside import Attention
from diffusion_tricks.generate.outline import stand_in
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Phase, SDEdit

BELOW, STEPS, SCALE = 600, 5, 3.0
SCHEDULE: dict[str, Any] = {"timestep_spacing": "trailing", "clip_sample": True}
ABOUT = "diffusion_tricks.json"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads, and beside it the one that refines what it draws."""
    folder = tmp_path_factory.mktemp("models") / "two"
    base, refiner = tiny_pipeline("if"), tiny_pipeline("ddpm", seed=3)
    for pipe, place in ((base, folder), (refiner, folder / "refiner")):
        pipe.register_modules(scheduler=DDPMScheduler(**SCHEDULE))
        pipe.save_pretrained(place)
    (folder / ABOUT).write_text(json.dumps({"steps": STEPS, "guidance": SCALE, "refiner": "refiner"}))
    (folder / "refiner" / ABOUT).write_text(json.dumps({"below": BELOW}))
    return folder


@pytest.fixture(scope="module")
def model(two: Path) -> Model:
    return load_model(two, device="cpu", dtype="float32")


def last(model: Model, **request: Any) -> Step:
    *_, step = sample(model, **{"prompt": "a rabbit", "seed": 5, "steps": STEPS, **request})
    return step


def exchanged(base: Any, refiner: Any) -> Callable[..., Any]:
    """A forward of the base's network that gives the refiner's answers below the timestep."""
    plain = base.unet.forward

    def forward(x: Tensor, t: Tensor, *arguments: Any, **named: Any) -> Any:
        if t >= BELOW:
            return plain(x, t, *arguments, **named)
        said = refiner.unet(x[:1], t).sample  # guidance shows it the same latents twice
        return (torch.cat([said, said], 1).expand(len(x), -1, -1, -1),)  # the variance is split off, and left

    return forward


@pytest.mark.parametrize("scale", [1.0, SCALE])
@pytest.mark.parametrize("steps", [1, STEPS, 20])
def test_it_is_diffusers_pipeline_with_another_network_at_low_noise(
    two: Path, model: Model, scale: float, steps: int
) -> None:
    assert model.refiner is not None
    base = IFPipeline.from_pretrained(two)
    base.unet.forward = exchanged(base, model.refiner.model.pipe)
    theirs = base(
        "a rabbit", num_inference_steps=steps, guidance_scale=scale, generator=torch.Generator().manual_seed(5),
        output_type="pt", clean_caption=False,
    ).images  # fmt: skip
    ours = last(model, steps=steps, tricks=[Guidance(scale=scale)])
    assert torch.equal(ours.x, theirs), f"largest difference {(ours.x - theirs).abs().max():.1e}"
    alone = last(dataclasses.replace(model, refiner=None), steps=steps, tricks=[Guidance(scale=scale)])
    assert torch.equal(ours.x, alone.x) == (steps == 1)


def test_what_it_is_asked_about_the_same_latents_is_one_row(model: Model) -> None:
    rows = [step.rows for step in sample(model, prompt="a rabbit", steps=STEPS, tricks=[Guidance(scale=SCALE)])]
    late = [step.t < BELOW for step in sample(model, prompt="a rabbit", steps=STEPS)]
    assert rows == [1 if refined else 2 for refined in late]
    assert {1, 2} == set(rows)
    spared = [step.spared for step in sample(model, prompt="a rabbit", steps=STEPS, tricks=[Guidance(scale=SCALE)])]
    assert spared == [2 - count for count in rows]
    anagram = [Anagram(views=[("identity", "a rabbit"), ("flip", "a duck")]), Guidance(scale=SCALE)]
    assert [step.rows for step in sample(model, steps=STEPS, tricks=anagram)] == [2 * count for count in rows]


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_of_a_run_that_starts_from_noise_it_refines_all_it_has_learnt(two: Path, spacing: str) -> None:
    """Also where the first of the timesteps is not the noisiest of the training."""
    model = load_model(two, device="cpu")
    model.pipe.scheduler.register_to_config(timestep_spacing=spacing)
    steps = [(int(step.t), step.rows) for step in sample(model, prompt="a", steps=4, tricks=[Guidance(scale=SCALE)])]
    assert steps == [(t, 1 if t < BELOW else 2) for t, _ in steps]
    assert {rows for _, rows in steps} == {1, 2}


def test_what_it_had_to_give_up_is_told_of_the_picture(two: Path) -> None:
    model = load_model(two, device="cpu")
    assert model.refiner is not None
    model.refiner.model.memory.gave_up("fewer rows", "while it refined")
    (result,) = make(Recipe(prompt="a fox", seed=1, steps=STEPS), model)
    assert "memory was full while it refined; went on with fewer rows" in result.facts["notes"]


@pytest.mark.parametrize("where", ["two", "emoji"])
def test_a_plan_counts_the_rows_that_a_run_computes(two: Path, where: str) -> None:
    recipe = Recipe(model=str(two) if where == "two" else where, prompt="a fox", seed=1, steps=10)
    (result,) = make(recipe)
    assert plan(recipe).data()["rows_total"] == result.facts["rows_total"] < 20


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_of_a_run_that_starts_from_a_picture_it_refines_the_same_share(
    model: Model, tmp_path: Path, strength: float
) -> None:
    """So that most of what is asked for is heard, however little noise the run begins with."""
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "picture.png")
    tricks = [SDEdit(image=str(tmp_path / "picture.png"), strength=strength), Guidance(scale=SCALE)]
    steps = [(int(step.t), step.rows) for step in sample(model, prompt="a rabbit", steps=100, tricks=tricks)]
    first = steps[0][0]
    assert first < 1000 * strength
    assert steps == [(t, 1 if t < round(BELOW * (first + 1) / 1000) else 2) for t, _ in steps]
    assert {rows for _, rows in steps} == {1, 2}


def test_pictures_made_together_are_those_made_alone(model: Model) -> None:
    together = last(model, prompt=["a rabbit", "a duck"], count=2, tricks=[Guidance(scale=SCALE)])
    for i, prompt in enumerate(("a rabbit", "a duck")):
        alone = last(model, prompt=prompt, seed=5 + i, tricks=[Guidance(scale=SCALE)])
        torch.testing.assert_close(together.x[i : i + 1], alone.x, rtol=0, atol=1e-4)


class Inside(Trick[Any]):
    """Asks for what is done inside the network, which is the reading model's."""

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        return (yield [ask.but(inside=Attention(lambda seen: 0 * seen.computed()))])[0]


def test_what_is_done_inside_the_network_is_done_to_the_one_that_reads(model: Model) -> None:
    alone = dataclasses.replace(model, refiner=None)
    assert torch.equal(last(model, tricks=[Inside()]).x, last(alone, tricks=[Inside()]).x)


def test_a_gradient_goes_back_through_it(model: Model) -> None:
    found: list[bool] = []

    class Sloped(Trick[Any]):
        @hookimpl
        def estimate_noise(self, ask: Ask, step: Step) -> Asking:
            x = ask.x.detach().requires_grad_()
            (answer,) = yield [ask.but(x=x, gradient=True)]
            with torch.enable_grad():
                slope = torch.autograd.grad(answer.value.square().sum(), x)[0]
            found.append(bool(slope.abs().sum() > 0))
            return (yield [ask])[0]

    last(model, tricks=[Sloped()])
    assert found == [True] * STEPS


def test_with_lora_the_model_answers_everywhere_itself(two: Path, tmp_path: Path) -> None:
    from diffusion_tricks.loading.refiner import refiner_of

    model = dataclasses.replace(load_model(two, device="cpu"), loras=["a.safetensors"])
    assert refiner_of(model, two, load_model) is None
    assert model.memory.notes == ["with LoRA 'two' answers everywhere itself, without its refiner"]


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no folder": ({"refiner": "finer"}, {"below": BELOW}, "no folder finer; put it there"),
    "a path": ({"refiner": "../two"}, {"below": BELOW}, "name of a folder beside this file"),
    "below nothing": ({}, {}, "does not say below which"),
    "below a word": ({}, {"below": "all"}, "below must be a whole number"),
    "below none": ({}, {"below": 0}, "below must be a whole number"),
    "below too much": ({}, {"below": 5000}, "between 0 and 999"),
}


@pytest.mark.parametrize(("base", "refiner", "said"), BROKEN.values(), ids=BROKEN)
def test_a_refiner_that_cannot_be_is_refused(
    two: Path, tmp_path: Path, base: dict[str, Any], refiner: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "two"
    shutil.copytree(two, folder)
    (folder / ABOUT).write_text(json.dumps({"refiner": "refiner", **base}))
    (folder / "refiner" / ABOUT).write_text(json.dumps(refiner))
    with pytest.raises((ModelError, UsageError), match=said):
        load_model(folder, device="cpu")


def deep() -> DDPMPipeline:
    """A model whose network halves pictures three times."""
    widths, blocks = (8,) * 4, ("DownBlock2D",) * 4
    network = UNet2DModel(
        sample_size=16, block_out_channels=widths, layers_per_block=1, norm_num_groups=4, down_block_types=blocks,
        up_block_types=("UpBlock2D",) * 4,
    )  # fmt: skip
    return DDPMPipeline(network, DDPMScheduler())


UNFIT: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "one that reads": (lambda: tiny_pipeline("if"), SCHEDULE, "is of IFPipeline; expected one without text"),
    "another prediction": (
        lambda: tiny_pipeline("ddpm"), SCHEDULE | {"prediction_type": "sample"}, "prediction sample where",
    ),
    "sizes that it cannot make": (deep, SCHEDULE, "in multiples of 8, and"),
    "another schedule": (
        lambda: tiny_pipeline("ddpm"), SCHEDULE | {"beta_schedule": "squaredcos_cap_v2"}, f"noise at timestep {BELOW}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "schedule", "said"), UNFIT.values(), ids=UNFIT)
def test_one_that_cannot_answer_for_the_model_is_refused(
    two: Path, tmp_path: Path, build: Callable[[], Any], schedule: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "two"
    shutil.copytree(two, folder)
    shutil.rmtree(folder / "refiner")
    other = build()
    other.register_modules(scheduler=DDPMScheduler(**schedule))
    other.save_pretrained(folder / "refiner")
    (folder / "refiner" / ABOUT).write_text(json.dumps({"below": BELOW}))
    with pytest.raises(ModelError, match=said):
        load_model(folder, device="cpu")


def test_alone_it_draws_nothing_but_refines_a_picture(two: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (16, 16), "teal").save(picture)
    refiner = load_model(two / "refiner", device="cpu")
    with pytest.raises(UsageError, match=f"noise below timestep {BELOW} alone"):
        last(refiner, prompt=None)
    step = last(refiner, prompt=None, tricks=[SDEdit(image=str(picture), strength=0.4)])
    assert step.t < BELOW


def test_the_sheet_of_a_model_names_it(two: Path) -> None:
    lines = dict(row.split(":", 1) for row in run("models", "show", two).lines if ":" in row)
    assert lines["refiner"].strip() == "refiner, which answers where little noise is left"
    assert run("models", "show", two, "--json").json["abilities"]["refiner"] == "refiner"
    assert run("models", "show", two / "refiner", "--json").json["abilities"]["refiner"] is None


def noted(model: Model, *tricks: Any, **asked: Any) -> list[str]:
    (made,) = make(Recipe(**{"seed": 1, "tricks": tricks, **asked}), model)
    return [note for note in made.facts.get("notes", ()) if "changes nothing" in note]


def test_words_that_come_where_nothing_reads_them_are_told(model: Model) -> None:
    """Of five steps the last three are the refiner's."""
    (late,) = noted(model, Guidance(scale=3), prompt="a [cat:dog:0.7]")
    assert late == f"'a dog' is asked only from step 4 of 5 on, where {model.name}/refiner answers, which reads no " \
                   "prompts: what it says changes nothing"  # fmt: skip
    assert noted(model, Guidance(scale=3), prompt="a [cat:dog:0.3]") == []
    assert noted(model, Guidance(scale=3), prompt="a cat") == []
    (guided,) = noted(model, Guidance(scale=3, start=0.7, negative="blurry"), prompt="a cat")
    assert guided.startswith("'blurry' is asked only from step 5 of 5 on, ")
    (empty,) = noted(model, Guidance(scale=3, start=0.7), prompt="a cat")
    assert empty.startswith("the empty prompt is asked only from ")


def test_what_a_trick_asked_aside_was_read(model: Model, tmp_path: Path) -> None:
    """The inversion asks the unconditional at every level, so it was not asked by the late guidance alone."""
    picture = tmp_path / "picture.png"
    Image.new("RGB", (16, 16), "teal").save(picture)
    assert noted(model, Phase(image=str(picture)), Guidance(scale=3, start=0.7), prompt="a cat") == []


def test_a_note_does_not_depend_on_what_is_made_beside_a_picture(model: Model) -> None:
    asked = ["a [cat:dog:0.7]", "a dog", "a cat"]
    made = list(make(Recipe(prompt=asked, seed=1, tricks=[Guidance(scale=1)]), model))
    assert [["'a dog'" in note for note in one.facts.get("notes", ()) if "changes nothing" in note] for one in made] \
        == [[True], [], []]  # fmt: skip


MISSING: dict[str, tuple[str, str]] = {  # what is removed of the refiner, and what is said
    "all": (".", "no folder refiner; put it there"),
    "weights": ("unet", "lacks unet"),
    "below": (ABOUT, "the refiner 'refiner' does not say below which"),
}


@pytest.mark.parametrize(("lost", "said"), MISSING.values(), ids=MISSING)
def test_what_a_refiner_lacks_is_told_before_anything_is_loaded(
    two: Path, tmp_path: Path, lost: str, said: str
) -> None:
    folder = tmp_path / "two"
    shutil.copytree(two, folder)
    gone = folder / "refiner" / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(ModelError, match=said):
        plan(Recipe(prompt="a rabbit", model=str(folder)))
    shown = run("models", "show", folder)
    assert said in shown.out + shown.err


def test_with_lora_nothing_is_asked_of_a_refiner_beforehand(two: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(two, folder)
    shutil.rmtree(folder / "refiner")
    model, known = stand_in(str(folder), loras=["a.safetensors"])
    assert (model.refiner, known) == (None, True)
