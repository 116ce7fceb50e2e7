"""What a Python caller can get wrong: an error of the project says what was expected, what came, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field

from diffusion_tricks import (
    DiffusionTricksError,
    Model,
    ModelError,
    PluginError,
    Recipe,
    Trick,
    TrickEntry,
    TrickOptions,
    UsageError,
    View,
    load_model,
    make,
    mean,
    option,
    sample,
)
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import RecipeError, UnknownName
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Guidance
from diffusion_tricks_plugins.views.orthogonal import Patches


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


class Options(TrickOptions):
    strength: int = option(1, "how much", ge=0)


class Rolled(View):
    by: int = Field(1, ge=0)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(self.by, -1)

    def invert(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(-self.by, -1)


RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"promt": "x"}, "recipe: promt: Extra inputs are not permitted, got 'x'; did you mean 'prompt'?"),
    "far key": ({"zzz": 1}, "recipe: zzz: Extra inputs are not permitted, got 1; known are: best_of, count, "),
    "steps": ({"steps": 0}, "recipe: steps: expected at least 1, got 0"),
    "half a step": ({"steps": 2.5}, "recipe: steps: expected a whole number, got 2.5"),
    "yes": ({"steps": True}, "recipe: steps: must be a whole number, got True"),
    "size": ({"size": (0, 5)}, "recipe: size.0: expected at least 1, got 0"),
    "one side": ({"size": (64,)}, "recipe: size.1: Field required"),
    "count": ({"count": 0}, "recipe: count: expected at least 1, got 0"),
    "seed": ({"seed": 2**64}, "recipe: seed: expected a number below 9223372036854775808, got 18446744073709551616"),
    "seeds": ({"seed": 2**63 - 2, "count": 3}, "recipe: seed 9223372036854775806 with count 3 and best_of 1 goes on"),
    "candidates": (
        {"seed": 2**63 - 5, "count": 3, "best_of": 2},
        "recipe: seed 9223372036854775803 with count 3 and best_of 2 goes on beyond 9223372036854775807, the largest "
        "seed; give a smaller one",
    ),
    "trick": ({"tricks": [{"scale": 3}]}, "recipe: tricks.0.trick: Field required"),
    "object": ({"tricks": [3]}, "recipe: tricks.0: Input should be a valid dictionary or instance of"),
    "class": ({"tricks": [Guidance]}, "recipe: tricks.0: Input should be a valid dictionary or instance of"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_are_refused_in_our_own_words(case: str) -> None:
    asked, message = RECIPES[case]
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}"):
        Recipe(**asked)


def test_what_else_is_made_of_keywords_is_refused_likewise() -> None:
    with pytest.raises(RecipeError, match=r"^trick entry: trick: Field required$"):
        TrickEntry()  # type: ignore[call-arg]
    jigsaw = r"^view 'jigsaw:abc': grid: expected a side or columns x rows, as in 4 or 4x6, got 'abc'$"
    with pytest.raises(UsageError, match=jigsaw):
        view_named("jigsaw:abc")
    with pytest.raises(UsageError, match=r"^view 'rotate:abc': degrees: expected a number, got 'abc'$"):
        view_named("rotate:abc")
    with pytest.raises(UsageError, match=r"^view Patches: grid: expected at least 1, got 0$"):
        Patches(grid=0)
    with pytest.raises(UsageError, match=r"^view Rolled: bi: Extra inputs .*, got 2; did you mean 'by'\?$"):
        Rolled(bi=2)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"^Options: strength: expected at least 0, got -1$"):
        Options(strength=-1)


def test_what_is_made_of_keywords_still_is() -> None:
    assert Recipe(tricks=[{"trick": "flip", "x": 1}]).tricks == [TrickEntry(trick="flip", x=1)]  # type: ignore[list-item]
    assert Recipe(steps=np.int64(3), seed=2**63 - 2, count=2).seeds == [2**63 - 2, 2**63 - 1]
    assert Recipe.model_validate({"steps": 3}).steps == 3
    assert Rolled().model_copy(update={"by": 3}).by == 3


SAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "half a step": ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
    "no step": ({"steps": 0}, "steps must be between 1 and 1000 for this model, got 0"),
    "no stride": ({"stride": 0}, "stride must be between 1 and 999 for this model, got 0"),
    "yes": ({"steps": True}, "steps must be a whole number, got True"),
    "text": ({"max_rows": "2"}, "max_rows must be a whole number, got '2'"),
    "count": ({"count": 0}, "count must be at least 1, got 0"),
    "one side": ({"size": 64}, "size must be (width, height) in pixels, as in (64, 64), got 64"),
    "no side": ({"size": (0, 5)}, "size must be a multiple of 2 in both directions, got 0x5; the nearest are 2x4 and"),
    "half a side": ({"size": (16.0, 16)}, "size must be (width, height) in pixels, as in (64, 64), got (16.0, 16)"),
    "seed": ({"seed": 2**64}, "a seed must be a whole number between -2**63 and 2**64 - 1, got 18446744073709551616"),
    "half a seed": ({"seed": 0.5}, "a seed must be a whole number between -2**63 and 2**64 - 1, got 0.5"),
    "last seed": ({"seed": 2**64 - 1, "count": 2}, "a seed must be a whole number between -2**63 and 2**64 - 1"),
    "seeds": ({"seeds": 3}, "seeds must be a list of whole numbers, got 3"),
    "no seeds": ({"seeds": []}, "count must be at least 1, got 0"),
    "seeds and count": ({"seeds": [1, 2], "count": 3}, "count is 3, and there are 2 seeds; leave count out"),
    "prompt": ({"prompt": 3}, "prompt must be a text, or a list with one for each picture, got 3"),
    "prompts": ({"prompt": ["a", 3]}, "prompt must be a text, or a list with one for each picture, got ['a', 3]"),
    "no prompts": ({"prompt": []}, "count must be at least 1, got 0"),
    "too many": ({"prompt": ["a", "b"], "count": 3}, "expected one prompt, or one for each of 3 pictures, got 2"),
    "two lengths": ({"steps": 3, "stride": 3}, "steps and stride both say which steps are made; give one of them"),
    "timesteps": ({"timesteps": 3}, "timesteps must be a list of whole numbers, got 3"),
    "half a timestep": ({"timesteps": [3.5]}, "timesteps must be a list of whole numbers, got [3.5]"),
    "scheduler": ({"scheduler": 3}, "scheduler must be a name, such as 'ddim', got 3"),
    "unknown scheduler": ({"scheduler": "dim"}, "unknown scheduler 'dim'; did you mean 'ddim'?"),
    "noise level": ({"noise_level": 1.5}, "noise_level must be a whole number, got 1.5"),
    "low noise level": ({"noise_level": -1}, "nothing is upscaled at size 16x16; "),
    "distilled": ({"distilled_guidance": "3"}, "distilled_guidance must be a number of at least 0, got '3'"),
    "no number": ({"distilled_guidance": float("nan")}, "distilled_guidance must be a number of at least 0, got nan"),
    "trick": ({"tricks": Guidance(scale=3)}, "tricks must be a list of tricks, as in [Guidance(scale=7)], got a Guid"),
    "tricks": ({"tricks": [3]}, "tricks must be a list of tricks, as in [Guidance(scale=7)], got a int in it"),
    "name": ({"tricks": ["guidence"]}, "unknown trick 'guidence'; did you mean 'guidance'?"),
    "class": ({"tricks": [Guidance]}, "tricks must be a list of tricks, as in [Guidance(scale=7)], got a type in it"),
    "latents": ({"latents": 3}, "latents must be a tensor (b c h w) of standard normal noise, got a int"),
    "shape": ({"latents": torch.zeros(16, 16)}, "latents must be a tensor (b c h w) of standard normal noise, got one"),
    "array": (
        {"latents": np.zeros((1, 3, 16, 16))},
        "latents must be a tensor (b c h w) of standard normal noise, got",
    ),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_runs_are_refused_in_our_own_words(case: str, model: Model) -> None:
    asked, message = SAMPLES[case]
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        list(sample(model, **{"prompt": "a rabbit"} | asked))


def test_numbers_of_numpy_are_numbers(model: Model) -> None:
    asked: dict[str, Any] = {
        "prompt": "a",
        "steps": np.int64(2),
        "seed": np.uint8(3),
        "size": tuple(np.array([16, 16])),
    }
    plain = list(sample(model, prompt="a", steps=2, seeds=[3, 4], size=(16, 16)))[-1]
    assert torch.equal(list(sample(model, **asked, count=np.int32(2)))[-1].x, plain.x)
    assert torch.equal(list(sample(model, prompt="a", steps=2, seeds=np.array([3, 4])))[-1].x, plain.x)  # type: ignore[arg-type]
    assert plain.run.noise.seeds == (3, 4)


CALLS: dict[str, tuple[Callable[[], Any], type[DiffusionTricksError], str]] = {
    "name for a model": (
        lambda: list(sample("emoji", prompt="a")),  # type: ignore[arg-type]
        UsageError, "expected a model, as load_model gives it, got 'emoji'; give load_model('emoji')",
    ),
    "pipeline for a model": (
        lambda: list(sample(tiny_pipeline("if"), prompt="a")),  # type: ignore[arg-type]
        UsageError, "expected a model, as load_model gives it, got a IFPipeline",
    ),
    "name to make with": (
        lambda: make(Recipe(prompt="a"), model="emoji"),  # type: ignore[arg-type]
        UsageError, "expected a model, as load_model gives it, got 'emoji'; give load_model('emoji')",
    ),
    "key": (lambda: make("a rabbit", sede=3), RecipeError, "recipe: sede: Extra inputs are not permitted, got 3; did"),
    "two prompts": (
        lambda: make("a rabbit", prompt="a duck"), UsageError, "here are two prompts, 'a rabbit' and 'a duck'; give",
    ),
    "recipe and more": (
        lambda: make(Recipe(prompt="a"), steps=3), UsageError, "a Recipe says all that is made, and here is `steps` be",
    ),
    "table for a recipe": (
        lambda: make({"prompt": "a"}),  # type: ignore[arg-type]
        UsageError, "expected a Recipe, got a dict; make one, as in Recipe(",
    ),
    "rows to make with": (
        lambda: make(Recipe(prompt="a"), load_model(tiny_pipeline("if"), device="cpu"), max_rows=0),
        UsageError, "max_rows must be at least 1, got 0",
    ),
    "watch": (
        lambda: make(Recipe(prompt="a"), watch=3),  # type: ignore[arg-type]
        UsageError, "watch must be a function of a step, got a int",
    ),
    "scorer": (
        lambda: make(Recipe(prompt="a"), scorer="clip"),  # type: ignore[arg-type]
        UsageError, "scorer must be a Scorer, got a str",
    ),
    "number to load": (
        lambda: load_model(3), ModelError, "expected a model's name, a directory or a DiffusionPipeline, got a int",
    ),
    "no name": (lambda: load_model(None), ModelError, "expected a model's name, a directory or a DiffusionPipeline"),
    "device": (lambda: load_model(device=3), UsageError, "unknown device 3; expected auto, cpu"),  # type: ignore[arg-type]
    "no device": (lambda: load_model(device=None), UsageError, "unknown device None; expected auto"),  # type: ignore[arg-type]
    "dtype": (
        lambda: load_model(dtype=torch.float16),  # type: ignore[arg-type]
        UnknownName, "unknown dtype torch.float16; did you mean 'float16'?",
    ),
    "memory": (lambda: load_model(memory=3), UnknownName, "unknown memory 3; known are: auto, low, lowest"),  # type: ignore[arg-type]
    "bits": (lambda: load_model(quantize=4), UnknownName, "unknown quantize 4; did you mean 'nf4'?"),  # type: ignore[arg-type]
    "lora": (
        lambda: load_model(loras="style.safetensors"),
        UsageError, "loras must be a list of files, as in ['style.safetensors'], got 'style.safetensors'",
    ),
    "loras": (lambda: load_model(loras=[3]), UsageError, "loras must be a list of files, as in"),  # type: ignore[list-item]
    "upscaler": (
        lambda: load_model(upscaler=3), ModelError, "expected an upscaler's name, a directory or a DiffusionPipeline",
    ),
    "mean of none": (lambda: mean([]), PluginError, "expected at least one estimate to take the mean of, got none"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_calls_are_refused_in_our_own_words(case: str) -> None:
    call, kind, message = CALLS[case]
    with pytest.raises(kind, match=f"^{re.escape(message)}") as caught:
        call()
    assert type(caught.value) is kind


def test_nothing_is_made_where_the_seeds_do_not_suffice(tmp_path: Path, model: Model) -> None:
    with pytest.raises(RecipeError, match="goes on beyond"):
        make(Recipe(prompt="a", count=2).model_copy(update={"seed": 2**63 - 1}), model)


def estimate(value: float) -> Estimate:
    return Estimate(torch.full((1, 3, 2, 2), value), torch.zeros(1, 3, 2, 2), Level(0.8, 0.6))


def test_an_estimate_has_a_negative() -> None:
    e = Estimate(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), Level(0.8, 0.6), torch.ones(1, 3, 2, 2))
    assert torch.equal((-e).value, -e.value)
    assert (-e).variance is e.variance
    assert torch.equal((-(e - estimate(3.0))).value, (estimate(3.0) - e).value)


@pytest.mark.parametrize(
    "combine",
    [
        lambda e: e + 1.0, lambda e: 1.0 + e, lambda e: e - 1, lambda e: 1 - e, lambda e: e + e.value,
        lambda e: e.value + e, lambda e: e - e.value, lambda e: e.value - e, lambda e: e + None,
    ],
)  # fmt: skip
def test_what_is_no_estimate_is_not_added_to_one(combine: Callable[[Estimate], Any]) -> None:
    with pytest.raises(TypeError, match=r"only estimates are added to .* got an? (float|int|Tensor|NoneType); .*\.map"):
        combine(estimate(1.0))


def test_estimates_are_not_multiplied() -> None:
    with pytest.raises(TypeError, match=r"an estimate is multiplied by a number or a tensor, got an Estimate"):
        estimate(1.0) * estimate(2.0)  # type: ignore[operator]
    mask = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert torch.equal((mask * estimate(2.0)).value, (estimate(2.0) * mask).value)


def test_a_mean_has_a_weight_for_each() -> None:
    with pytest.raises(PluginError, match=r"^expected 2 weights, >= 0 and not all 0, got \[1\.0\]$"):
        mean([estimate(1.0), estimate(2.0)], [1.0])
    with pytest.raises(PluginError, match=r"^expected 2 weights, >= 0 and not all 0, got \[0, 0\]$"):
        mean([estimate(1.0), estimate(2.0)], [0, 0])


class Plain(Trick[Options]):
    """Says its options once."""


class Closer(Plain):
    """As above."""


def test_the_options_of_a_trick_are_said_once() -> None:
    assert Plain.Options is Options
    assert Closer(strength=3).options == Options(strength=3)
    with pytest.raises(UsageError, match=r"^plain: strenth: Extra inputs are not permitted, got 3; did you mean 'str"):
        Plain(strenth=3)
