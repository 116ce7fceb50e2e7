"""Plain values in scripts: functions and names for tricks, keywords for recipes, and what notebooks show."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from diffusion_tricks import Ask, Estimate, Model, Recipe, Trick, TrickOptions, load_model, make, mean, option, sample
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.hookspecs import Asking, hookimpl
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import exact_model, registered, tiny_pipeline
from diffusion_tricks_plugins import Guidance, Hybrid

SHAPE = (2, 3, 4, 4)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


class Options(TrickOptions):
    by: float = option(1.0, "how much")


class Fading(Trick[Options]):
    """Less of it."""

    name = "fading"

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers = yield [ask]
        return answers[0] * self.options.by


def last(model: Model, **asked: Any) -> torch.Tensor:
    *_, step = sample(model, prompt="a rose", steps=3, **asked)
    return step.x


# ---- tricks ----------------------------------------------------------------------------------------------------


def test_a_function_asks_another_question(model: Model) -> None:
    skull = last(model, tricks=[lambda ask, step: ask.but(prompt="a skull")])
    *_, other = sample(model, prompt="a skull", steps=3)
    assert torch.equal(skull, other.x)
    assert torch.equal(last(model, tricks=[lambda ask, step: None]), last(model))


def test_a_generator_function_is_the_hook_itself(model: Model) -> None:
    def half(ask: Ask, step: Step) -> Asking:
        one, other = yield [ask, ask.but(prompt="a skull")]
        return mean([one, other])

    assert torch.equal(last(model, tricks=[half]), last(model, tricks=[Averaged()]))


class Averaged(Trick[Any]):
    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        one, other = yield [ask, ask.but(prompt="a skull")]
        return mean([one, other])


def test_a_name_is_the_trick_with_its_defaults(model: Model) -> None:
    assert torch.equal(last(model, tricks=["guidance"]), last(model, tricks=[Guidance()]))


def test_a_function_that_gives_something_else(model: Model) -> None:
    with pytest.raises(PluginError, match=r"the function '<lambda>' gave a int; expected a question"):
        last(model, tricks=[lambda ask, step: 3])


# ---- make ------------------------------------------------------------------------------------------------------


def test_a_prompt_and_keywords_are_a_recipe(model: Model) -> None:
    whole = make(Recipe(prompt="a rose", seed=3, steps=2, tricks=[{"trick": "guidance", "scale": 3}]), model)[0]  # type: ignore[list-item]
    for other in (
        make("a rose", model, seed=3, steps=2, tricks=[Guidance(scale=3)]),
        make(prompt="a rose", model=model, seed=3, steps=2, tricks=[Guidance(scale=3)]),
    ):
        assert other[0].image.tobytes() == whole.image.tobytes()
        assert other[0].recipe == whole.recipe
    assert make("three", "digits", steps=1, seed=0, guidance=1)[0].facts["model"] == "digits"


def test_objects_become_data_where_they_can(model: Model) -> None:
    branch = {"trick": "hybrid", "far": "a skull", "near": "a mushroom"}
    anagram = {"trick": "anagram", "views": [("identity", branch), ("flip", "a duck")]}
    recipe = Recipe(tricks=[Hybrid(far="a", near="b"), "guidance", anagram])  # type: ignore[list-item]
    assert [entry.trick for entry in recipe.tricks] == ["hybrid", "guidance", "anagram"]
    assert not any(entry.held for entry in recipe.tricks)
    assert Recipe.model_validate(recipe.data()).data() == recipe.data()


def test_an_object_that_no_plugin_registers_makes_a_picture_all_the_same(model: Model, tmp_path: Any) -> None:
    made = make("a rose", model, seed=3, steps=2, guidance=1, tricks=[Fading(by=0.5)])[0]
    with registered(Fading):
        named = make("a rose", model, seed=3, steps=2, guidance=1, tricks=[{"trick": "fading", "by": 0.5}])[0]
        assert "notes" not in named.facts
        assert not make("a rose", model, seed=3, steps=1, tricks=[Fading(by=2)])[0].recipe.tricks[0].held
    assert made.image.tobytes() == named.image.tobytes()
    said = "no plugin has registered the trick 'fading': the record cannot make this picture again"
    assert made.facts["notes"] == [said]
    assert made.recipe.data()["tricks"][0] == {"trick": "fading", "by": 0.5}
    made.save(tmp_path / "rose.png")
    named = make("a rose", model, seed=3, steps=2, guidance=1, tricks=[lambda ask, step: ask])[0]
    named.save(tmp_path / "function.png")
    assert named.recipe.tricks[0].trick == "function"


# ---- notebooks -------------------------------------------------------------------------------------------------


def test_what_notebooks_show(model: Model) -> None:
    result = make("a rose", model, seed=3, steps=2, guidance=1)[0]
    assert repr(result) == "<Result 'a rose', guidance: 16x16, seed 3, IFPipeline>"
    steps = list(sample(model, prompt="a rose", count=2, steps=2, tricks=["guidance"]))
    assert repr(steps[0]).startswith("<Step 0 of 2: t ")
    assert repr(steps[0]).endswith("2x3x16x16>")
    assert repr(steps[0].run) == "<Run 'a rose', guidance: 2 of 16x16 in 2 steps, IFPipeline>"
    shown = [Image.open(io.BytesIO(one._repr_png_())) for one in (result, steps[0], steps[0].run)]  # type: ignore[arg-type]
    assert [image.size for image in shown] == [(256, 256), (512, 256), (512, 256)]
    for one in (result, *steps, steps[0].run):
        assert len(repr(one)) < 160


def test_a_preview_is_the_present_idea_of_the_picture() -> None:
    images = torch.rand(1, 3, 8, 8) * 2 - 1
    model = exact_model(images)
    for step in sample(model, prompt="a rose", count=2, steps=3):
        for index in (0, 1, -1):
            torch.testing.assert_close(to_tensor(step.preview(index)), images, atol=0.01, rtol=0)


def test_a_step_that_is_not_answered_shows_nothing(model: Model) -> None:
    shown: list[Any] = []

    class Looks(Trick[Any]):
        @hookimpl
        def before_step(self, step: Step) -> None:
            shown.append(step._repr_png_())

    last(model, tricks=[Looks()])
    assert shown == [None] * 3


# ---- estimates and tensors -------------------------------------------------------------------------------------


def estimate(seed: int) -> Estimate:
    generator = torch.Generator().manual_seed(seed)
    value, x, variance = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    return Estimate(value, x, Level(0.8, 0.6), variance)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 1, 4, 4), (4, 4), (2, 1, 1, 1), ()])
def test_an_estimate_times_a_tensor(shape: tuple[int, ...]) -> None:
    one, weight = estimate(0), torch.rand(shape) + 0.5
    for got in (one * weight, weight * one):
        assert isinstance(got, Estimate)
        torch.testing.assert_close(got.value, one.value * weight, rtol=0, atol=0)
        assert got.variance is one.variance
    torch.testing.assert_close((one / weight).value, one.value / weight, rtol=0, atol=0)


def test_a_tensor_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a tensor of shape \(5, 2, 3, 4, 4\) does not spread to an estimate's"):
        estimate(0) * torch.ones(5, 2, 3, 4, 4)
    assert (estimate(0) * torch.ones(4, 4, dtype=torch.float64)).value.dtype == torch.float32


def test_the_mean_with_a_weight_for_each_place() -> None:
    a, b = estimate(0), estimate(1)
    mask = torch.rand(2, 1, 4, 4)
    expected = mask * a.value + (1 - mask) * b.value
    for weights in ([mask, 1 - mask], torch.stack([mask, 1 - mask]), (3 * mask, 3 - 3 * mask)):
        got = mean([a, b], weights)
        torch.testing.assert_close(got.value, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(got.variance, mask * a.variance + (1 - mask) * b.variance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mean([a, b], [mask, 2]).value, (mask * a.value + 2 * b.value) / (mask + 2))
    with pytest.raises(PluginError, match="expected 2 weights"):
        mean([a, b], [mask])
    with pytest.raises(PluginError, match="expected 2 weights, >= 0"):
        mean([a, b], [mask, -1])


# ---- coroutines ------------------------------------------------------------------------------------------------


def test_several_runs_on_one_model_in_coroutines(model: Model) -> None:
    async def run(seed: int) -> torch.Tensor:
        steps: Iterator[Step] = sample(model, prompt=f"rose {seed}", seed=seed, steps=4, tricks=["guidance"])
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            latest = step.x
        return latest

    async def both() -> list[torch.Tensor]:
        return await asyncio.gather(run(1), run(2))

    for seed, together in zip((1, 2), asyncio.run(both()), strict=True):
        *_, alone = sample(model, prompt=f"rose {seed}", seed=seed, steps=4, tricks=["guidance"])
        torch.testing.assert_close(together, alone.x, rtol=0, atol=0)


def test_one_iterator_is_not_for_two_at_a_time(model: Model) -> None:
    steps: list[Any] = []

    def again(ask: Ask, step: Step) -> None:
        next(steps[0])

    steps.append(sample(model, prompt="a rose", steps=2, tricks=[again]))
    with pytest.raises((PluginError, UsageError), match="generator already executing"):
        next(steps[0])
