"""Recipes made together: each picture is its single run's but for rounding, and they share the model's calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks import (
    Branch,
    Model,
    Recipe,
    Result,
    Step,
    Trick,
    hookimpl,
    likeness,
    load_model,
    made_together,
    make,
)
from diffusion_tricks.errors import PictureError, PluginError, RecipeError, UsageError
from diffusion_tricks.generate import batch
from diffusion_tricks.registry.trick import changing
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.loop import denoise, denoise_together
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.testing import registered, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import (
    DPS,
    Anagram,
    Cache,
    Guidance,
    Hybrid,
    Inpaint,
    SDEdit,
    TimeTravel,
)

# Of latents of spread 1, in float32: rows of a larger batch are summed in another order, and otherwise without AVX-512.
ROUNDING = 5e-5
STEPS = 5
SCHEDULERS = ("ddpm", "ddim", "euler", "heun", "dpm++2m", "pndm")
UNSEEN = {"seconds", "peak_memory_mb", "score", "candidates"}  # facts that are no two runs', or are of pixels


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


@pytest.fixture(scope="module")
def upscaled() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    return str(path)


class Calls:
    """Counts the rows of each call of a network."""

    def __init__(self, model: Model):
        self.rows: list[int] = []
        self.handle = model.family.denoiser.register_forward_hook(
            lambda _, given, named, output: self.rows.append(len(output[0])), with_kwargs=True
        )

    def __enter__(self) -> list[int]:
        return self.rows

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def runs(model: Model, photo: str, scheduler: str) -> list[Run]:
    """Runs of many kinds, one schedule, each with its own seeds."""
    inpaint = {"image": photo, "mask": "box:25%,25%,75%,75%"}
    asked: list[tuple[Any, list[Trick[Any]]]] = [
        ("a rabbit", [Guidance(scale=7)]),
        (["a rabbit", None, "a duck"], [Guidance(scale=3, negative="a skull")]),
        ("a hat", [Guidance(scale=3, variant="perp-neg", negative="a skull")]),
        (None, [Anagram(views=[("identity", "a rabbit"), ("rotate_cw", "a duck")]), Guidance(scale=5)]),
        (None, [Hybrid(far="a skull", near="a mushroom"), Guidance(scale=2)]),
        ("a boat", [SDEdit(image=photo, strength=0.5), Guidance(scale=2)]),
        ("an owl", [Inpaint(**inpaint, resample=2)]),
        ("an owl", [TimeTravel(repeat=2)]),
        ("a cat", [DPS(image=photo, reduce=1)]),
        ("a dog", [DPS(image=photo, reduce=1), Guidance(scale=2)]),
        ("a bee", [Guidance(scale=2, pag=3)]),
        ("an ant", [Guidance(scale=2, pag=3)]),
    ]
    return [
        begin(model, Sampling(prompt=prompt, seed=i, steps=STEPS, scheduler=scheduler), tricks)
        for i, (prompt, tricks) in enumerate(asked)
    ]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_run_is_its_own_but_for_rounding(model: Model, photo: str, scheduler: str) -> None:
    alone, together = runs(model, photo, scheduler), runs(model, photo, scheduler)
    with Calls(model) as apart:
        taken = [[step.index for step in denoise(run)] for run in alone]
    with Calls(model) as shared:
        steps = list(denoise_together(together))
    for run, other, own in zip(alone, together, taken, strict=True):
        assert run.latents is not None
        torch.testing.assert_close(other.latents, run.latents, atol=ROUNDING, rtol=ROUNDING)
        assert [step.index for step in steps if step.run is other] == own
        assert other.rows == run.rows
        assert other.facts == run.facts
    assert sum(shared) == sum(apart)
    assert len(shared) < 0.6 * len(apart)


def test_runs_that_differ_in_their_steps_meet_where_they_can(model: Model, photo: str) -> None:
    """A run that begins later, or that repeats steps, is waited for: the noisiest steps go first."""
    kinds: list[list[Trick[Any]]] = [
        [],
        [SDEdit(image=photo, strength=0.4)],
        [Inpaint(image=photo, mask="box:25%,25%,75%,75%", resample=3)],
    ]
    with Calls(model) as rows:
        steps = list(denoise_together([begin(model, Sampling(prompt="a", steps=STEPS), tricks) for tricks in kinds]))
    assert len(rows) == 5 + 4 * 2  # those that are repeated, all but the last, twice more
    assert rows[-1] == 3
    assert [step.index for step in steps if step.run.tricks == ()] == [0, 1, 2, 3, 4]
    times = [float(step.t) for step in steps]
    assert times == sorted(times, reverse=True)


def test_schedules_that_share_no_timestep_share_no_call(model: Model) -> None:
    alike = [begin(model, Sampling(prompt="a", timesteps=times), []) for times in ([900, 500], [900, 100])]
    with Calls(model) as rows:
        list(denoise_together(alike))
    assert rows == [2, 1, 1]


def anagram(first: str, second: str, seed: int, **more: Any) -> Recipe:
    views = [["identity", first], ["flip", second]]
    return Recipe(seed=seed, **{"steps": 3, "tricks": [{"trick": "anagram", "views": views}]} | more)


WORDS = ("a rabbit", "a duck", "a skull", "a hat", "an owl", "a boat", "a cat", "a dog", "a bee")
ANAGRAMS = [anagram(WORDS[i], WORDS[i + 1], seed=i) for i in range(8)]


def test_many_anagrams_take_as_many_calls_as_one(model: Model) -> None:
    with Calls(model) as one:
        make(ANAGRAMS[0], model)
    with Calls(model) as all_of_them:
        made_together(ANAGRAMS, model)
    assert len(all_of_them) == len(one) == 3
    assert all_of_them == [8 * rows for rows in one]
    with Calls(model) as few:
        made_together(ANAGRAMS, model, max_rows=5)
    assert set(few) == {5, 32 % 5}


def alike(made: list[Result], expected: list[Result], most: int = 0) -> None:
    """The same pictures, but for `most` of their 255 levels, recipes and facts."""
    for one, other in zip(made, expected, strict=True):
        off = np.abs(np.asarray(one.image, np.int16) - np.asarray(other.image, np.int16))
        assert off.max() <= most
        assert one.recipe == other.recipe
        assert (one.seed, one.index, one.provenance) == (other.seed, other.index, other.provenance)
        mine, theirs = ({k: v for k, v in each.facts.items() if k not in UNSEEN} for each in (one, other))
        assert mine == theirs


def test_pictures_records_and_facts_are_those_of_make(photo: str) -> None:
    model = load_model("emoji", device="cpu")
    guided = [{"trick": "guidance", "scale": 3}]
    recipes = [
        anagram("a rabbit", "a duck", 1),
        anagram("a rabbit", "a duck", 2, guidance=4, enlarge=2),
        Recipe(prompt=["a cat", "a glimmerwight"], seed=3, steps=3, tricks=guided),
        Recipe(seed=4, steps=3, tricks=[{"trick": "hybrid", "far": "a skull", "near": "a mushroom"}]),
        Recipe(prompt="a rocket", seed=5, steps=3, tricks=[{"trick": "sdedit", "image": photo, "strength": 0.7}]),
        Recipe(prompt="a hat", seed=6, steps=3, tricks=[{"trick": "inpaint", "image": photo, "mask": "box:0,0,8,8"}]),
    ]
    made = [one() for one in made_together(recipes, model)]
    for recipe, results in zip(recipes, made, strict=True):
        alike(results, make(recipe, model), most=1)
    assert made[2][1].facts["unknown_words"]
    assert all(result.facts["seconds"] > 0 for results in made for result in results)


def test_one_recipe_is_that_of_make_to_the_bit(model: Model) -> None:
    recipe = anagram("a rabbit", "a duck", 1, count=2)
    alike(made_together([recipe], model)[0](), make(recipe, model))


def test_more_pictures_than_a_batch_strips_candidates_and_existing_ones(model: Model, photo: str) -> None:
    recipes = [
        Recipe(prompt="a rabbit", seed=1, steps=2, count=10),
        Recipe(prompt="a duck", seed=2, steps=2, count=3, best_of=2),
        Recipe(prompt="a cat", seed=3, tricks=[{"trick": "sdedit", "image": photo, "sweep": True}]),
        Recipe(picture=photo, tricks=[{"trick": "overlay", "title": "Boo"}]),
        anagram("a rabbit", "a duck", 1),
    ]
    made = [one() for one in made_together(recipes, model)]
    assert [len(results) for results in made] == [10, 3, 1, 1, 1]
    for recipe, results in zip(recipes, made, strict=True):
        expected = make(recipe, model)
        for one, other in zip(results, expected, strict=True):
            assert one.facts.keys() == other.facts.keys()
            assert one.seed == other.seed
            assert (one.score is None) == (recipe.best_of == 1)
        alike([results[-1]], [expected[-1]], most=1)


TWO: dict[str, Any] = {"size": (64, 64), "steps": 3, "upscale_steps": 2}


def test_stages_go_together_too(upscaled: Model) -> None:
    recipes = [
        anagram("a rabbit", "a duck", 1, **TWO),
        Recipe(prompt="a cat", seed=2, guidance=2, **TWO),
        Recipe(prompt="a dog", seed=3, **TWO),
        Recipe(prompt="a dog", seed=4, **TWO | {"noise_level": 20}),
        Recipe(prompt="a dog", seed=5, steps=3),
    ]
    expected = [make(recipe, upscaled) for recipe in recipes]
    made = made_together(recipes, upscaled)
    for one, results in zip(made, expected, strict=True):
        alike(one(), results, most=1)


def test_the_network_of_a_later_stage_is_shared(upscaled: Model) -> None:
    """Of three runs two noise the smaller pictures alike; the third is answered by itself."""
    levels = (50, 50, 20)
    runs = [begin(upscaled, Sampling(prompt="a", seed=i, noise_level=s, **TWO)) for i, s in enumerate(levels)]
    later = [run.stages[1] for run in runs]
    assert later[0].model is later[1].model is not later[2].model
    with Calls(upscaled) as first, Calls(later[0].model) as second:
        steps = list(denoise_together(runs))
    assert first == [3, 3, 3]
    assert sorted(second) == [1, 1, 2, 2]
    assert [step.stage for step in steps] == [1] * 9 + [2] * 6
    alone = [begin(upscaled, Sampling(prompt="a", seed=i, noise_level=s, **TWO)) for i, s in enumerate(levels)]
    for run, other in zip(alone, runs, strict=True):
        list(denoise(run))
        torch.testing.assert_close(other.stages[1].latents, run.stages[1].latents, atol=ROUNDING, rtol=ROUNDING)


class Noting(Trick[Any]):
    """Notes when it is prepared and closed, and fails where it is told to."""

    name = "noting"

    def __init__(self, heard: list[str], mark: str, fails: str = "", error: BaseException | None = None) -> None:
        super().__init__()
        self.heard, self.mark, self.fails, self.error = heard, mark, fails, error or ZeroDivisionError("broken")

    def at(self, place: str) -> None:
        if place == self.fails:
            raise self.error

    @hookimpl
    def prepare(self, run: Run) -> None:
        self.heard.append(f"prepare {self.mark}")
        self.at("prepare")

    @hookimpl
    def estimate_noise(self, ask: Any, step: Step) -> Any:
        self.at(f"estimate {step.index}")
        (answer,) = yield [ask]
        return answer.map(lambda value: value * np.nan) if self.fails == "nan" else answer

    @hookimpl
    def after_step(self, step: Step) -> None:
        self.at(f"after {step.index}")

    @hookimpl
    def close(self, run: Run) -> None:
        self.heard.append(f"close {self.mark}")
        self.at("close")

    @hookimpl
    def finish_image(self, run: Run, image: Any) -> Any:
        self.at("finish")
        return image


@pytest.mark.parametrize("fails", ["prepare", "estimate 0", "after 1", "nan", "close", "finish"])
def test_one_that_fails_takes_no_other_with_it(model: Model, fails: str) -> None:
    heard: list[str] = []
    plain = [Recipe(prompt=word, seed=i, steps=3) for i, word in enumerate(WORDS[:5])]
    bad = Recipe(prompt="a bee", seed=9, steps=3, tricks=[Noting(heard, "x", fails)])  # type: ignore[list-item]
    with registered(Noting):
        expected = [make(recipe, model) for recipe in plain]
        with pytest.raises(PluginError) as alone:
            make(bad, model)
        heard.clear()
        made = made_together([*plain[:2], bad, *plain[2:]], model)
        failed = made.pop(2)
        for one, results in zip(made, expected, strict=True):
            alike(one(), results, most=1)
        with pytest.raises(PluginError) as caught:
            failed()
    assert str(caught.value) == str(alone.value)
    assert heard.count("prepare x") == heard.count("close x") > 0


def test_recipes_that_cannot_be_fail_each_with_its_own_error(model: Model, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.png")
    recipes: list[tuple[Recipe, type[Exception], str]] = [
        (Recipe(prompt="a", seed=1, tricks=[{"trick": "sdedit", "image": missing}]), PictureError, "missing.png"),
        (Recipe(prompt="a", seed=1, tricks=[{"trick": "hybird"}]), UsageError, "did you mean"),
        (Recipe(seed=1), UsageError, "a prompt is missing"),
        (Recipe(prompt="a", seed=1, steps=4000), UsageError, "steps must be between"),
        (Recipe(prompt="a", seed=1, lora=["a.safetensors"]), UsageError, "lacks it"),
        (Recipe(prompt="a").model_copy(update={"seed": 2**63 - 1, "count": 3}), RecipeError, "largest seed"),
    ]
    made = made_together([Recipe(prompt="a", seed=1, steps=2), *(recipe for recipe, _, _ in recipes)], model)
    assert made.pop(0)()[0].image.size == (16, 16)
    for one, (_, kind, said) in zip(made, recipes, strict=True):
        with pytest.raises(kind, match=said):
            one()


def test_an_interrupt_ends_all_and_closes_every_trick(model: Model) -> None:
    heard: list[str] = []
    recipes = [Recipe(prompt="a", seed=1, steps=3, tricks=[Noting(heard, mark)]) for mark in "ab"]  # type: ignore[list-item]

    def watch(step: Step) -> None:
        if step.index == 1:
            raise KeyboardInterrupt

    with registered(Noting), pytest.raises(KeyboardInterrupt):
        made_together(recipes, model, watch=watch)
    assert sorted(heard) == ["close a", "close b", "prepare a", "prepare b"]


def test_a_loop_that_its_caller_leaves_closes_every_run(model: Model) -> None:
    heard: list[str] = []
    runs = [begin(model, Sampling(prompt="a", steps=3), [Noting(heard, mark)]) for mark in "ab"]
    steps = denoise_together(runs)
    next(steps)
    steps.close()
    assert sorted(heard) == ["close a", "close b", "prepare a", "prepare b"]


def test_a_full_memory_outside_the_model_halves_what_goes_together(model: Model) -> None:
    taken: list[int] = []

    class Large(Trick[Any]):
        name = "large"

        @hookimpl
        def before_step(self, step: Step) -> None:
            taken.append(step.index)
            if len(taken) == 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with registered(Large):
        recipes = [Recipe(prompt="a", seed=i, steps=2, tricks=[Large()]) for i in range(4)]  # type: ignore[list-item]
        made = [one() for one in made_together(recipes, model)]
        assert taken == [0, 0, 0, *[0, 0, 1, 1] * 2]  # three of four, then two and two
        for recipe, results in zip(recipes, made, strict=True):
            alike(results, make(recipe, model), most=1)


def test_rows_step_down_where_the_model_fills_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    expected = [make(recipe, model) for recipe in ANAGRAMS]
    own = model.family.predict

    def predict(x: Tensor, *given: Any, **named: Any) -> Tensor:
        if len(x) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return own(x, *given, **named)

    monkeypatch.setattr(model.family, "predict", predict)
    for one, (single,) in zip(made_together(ANAGRAMS, model), expected, strict=True):
        (result,) = one()
        note = "memory was full on 32 rows of 16x16; went on with 16 rows at a time"
        assert result.facts["notes"][0] == note
        assert result.facts["max_rows"] is None  # which alone would change nothing: it takes four rows
        result.facts.pop("notes")
        alike([result], [single], most=1)


def test_another_thread_finishes_while_the_next_are_denoised(model: Model) -> None:
    expected = [make(recipe, model) for recipe in ANAGRAMS]
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(one) for k in range(0, 8, 2) for one in made_together(ANAGRAMS[k : k + 2], model)]
        made = [one.result() for one in waiting]
    for results, single in zip(made, expected, strict=True):
        alike(results, single, most=1)


def test_what_waits_is_not_begun_yet(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what the runs need does not grow with the number of pictures."""
    begun: list[Any] = []
    monkeypatch.setattr(batch, "begin", lambda *given: begun.append(given) or begin(*given))
    recipes = [Recipe(prompt="a", seed=1, steps=2, count=2 * batch.PICTURES + 1), Recipe(prompt="b", seed=2, steps=2)]
    seen: list[int] = []
    made = made_together(recipes, model, watch=lambda step: seen.append(len(begun)))
    assert seen == [2] * 4 + [3] * 2 + [4] * 2
    for recipe, one in zip(recipes, made, strict=True):
        alike(one(), make(recipe, model), most=1)


def test_what_changes_the_model_goes_alone() -> None:
    flux = load_model(tiny_pipeline("flux"), device="cpu")
    cached = {"trick": "cache", "method": "first-block", "threshold": 0.5}
    recipes = [Recipe(prompt="a", seed=i, steps=3, tricks=[cached] * (i == 1)) for i in range(3)]
    expected = [make(recipe, flux) for recipe in recipes]
    with Calls(flux) as rows:
        made = made_together(recipes, flux)
    assert sorted(rows)[-3:] == [2, 2, 2]
    for one, results in zip(made, expected, strict=True):
        alike(one(), results, most=1)
    assert expected[1][0].facts["cache"]


def test_every_step_is_watched(model: Model) -> None:
    seen: list[Step] = []
    made_together(ANAGRAMS[:2], model, watch=seen.append)
    assert [step.index for step in seen] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(UsageError, match="watch must be a function"):
        made_together(ANAGRAMS, model, watch=7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected a model"):
        made_together(ANAGRAMS, "emoji")  # type: ignore[arg-type]
    assert made_together([], model) == []


def test_likeness_is_of_what_is_asked_when(photo: str) -> None:
    plain = Recipe(prompt="a", seed=1, steps=3)
    for same in (
        Recipe(prompt="b", seed=2, steps=3, guidance=3, count=4, negative="c"),
        anagram("a rabbit", "a duck", 1),
        Recipe(prompt="a", steps=3, tricks=[{"trick": "sdedit", "image": photo, "start_index": 3}]),
    ):
        assert likeness(plain) == likeness(same)
        assert hash(likeness(plain)) == hash(likeness(same))
        assert likeness(same, same.build()) == likeness(same)
    for other in (
        Recipe(prompt="a", seed=1, steps=4),
        Recipe(prompt="a", seed=1, steps=3, scheduler="euler"),
        Recipe(prompt="a", seed=1, steps=3, model="x"),
        Recipe(prompt="a", seed=1, steps=3, lora=["a.safetensors"]),
        Recipe(prompt="a", seed=1, steps=3, size=(64, 32)),
        Recipe(prompt="a", seed=1, steps=3, tricks=[{"trick": "cache"}]),
        Recipe(picture=photo),
    ):
        assert likeness(plain) != likeness(other)
    strided = Recipe(prompt="a", tricks=[{"trick": "sdedit", "image": photo, "sweep": True}])
    assert likeness(strided) != likeness(Recipe(prompt="a"))
    assert likeness(strided, strided.build()) == likeness(strided)
    with pytest.raises(UsageError, match="did you mean"):
        likeness(Recipe(prompt="a", tricks=[{"trick": "hybird"}]))


def test_a_trick_within_another_may_change_the_model() -> None:
    nested = Hybrid(far=Branch(prompt="a", tricks=[{"trick": "cache"}]), near="a")
    assert changing([nested])
    assert changing([Cache()])
    assert not changing([Guidance(scale=3)])
