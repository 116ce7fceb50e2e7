"""Every example runs, with a tiny model, and shows what it says it shows."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from skimage import data

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.plugin import Level
from diffusion_tricks.testing import denoiser_model, tiny_pipeline
from diffusion_tricks_plugins import Guidance

EXAMPLES = Path(__file__).parents[1] / "examples"
SIDE = 16  # pixels of the tiny model


@pytest.fixture(scope="module")
def model() -> Model:
    return replace(load_model(tiny_pipeline("if"), device="cpu"), defaults=Defaults(steps=4, guidance=3.0))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where the types of its options are looked up
    spec.loader.exec_module(module)
    return module


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_every_example_is_tested() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    inside = {"attention_maps", "prompt_to_prompt", "classifier_guidance"}
    assert names == {"guidance", "sdedit", "inpaint", "anagram", "hybrid", "overlay", *inside}


def test_guidance_of_scale_1_is_the_model_itself(model: Model, tmp_path: Path) -> None:
    one, nine = example("guidance").main(model, tmp_path, scales=(1, 9))
    assert pixels(one).shape == (SIDE, 20 * SIDE, 3)
    plain = [to_images(step.estimate.clean)[0] for step in sample(model, prompt="a rocket", seed=0, steps=20)]
    assert (pixels(one) == np.hstack([np.asarray(frame) for frame in plain])).all()
    assert (pixels(one) != pixels(nine)).any()


def test_sdedit_of_strength_0_is_the_drawing_and_more_strength_changes_it(model: Model, tmp_path: Path) -> None:
    files = example("sdedit").main(model, tmp_path, strengths=(0, 0.5, 1))
    with Image.open(tmp_path / "drawing.png") as drawing:
        shrunk = np.asarray(drawing.resize((SIDE, SIDE), Image.Resampling.LANCZOS)).astype(int)
    distances = [np.abs(pixels(path) - shrunk).mean() for path in files]
    assert distances[0] == 0
    assert distances[1] > 0
    assert distances[2] > 0


def test_inpainting_leaves_every_pixel_outside_the_ellipse(model: Model, tmp_path: Path) -> None:
    result = example("inpaint").main(model, tmp_path)
    changed = (pixels(tmp_path / "inpaint.png") != data.cat()).any(axis=2)
    y, x = np.indices(changed.shape)
    outside = ((x - 389.5) / 56) ** 2 + ((y - 214.5) / 56) ** 2 > 1  # half a pixel and a bit around the ellipse
    assert not changed[outside].any()
    assert changed[~outside].mean() > 0.9
    assert result.facts["changed_outside"] == 0


def test_anagrams_in_a_batch_are_the_single_ones_and_lie_beside_themselves_turned(model: Model, tmp_path: Path) -> None:
    results = example("anagram").main(model, tmp_path, count=3)
    alone = example("anagram").main(replace(model), tmp_path / "alone", count=1)[0]
    assert [result.seed for result in results] == [0, 1, 2]
    assert np.abs(np.asarray(results[0].image).astype(int) - np.asarray(alone.image)).max() <= 1
    assert results[0].facts["rows_per_step"] == 4
    page = pixels(tmp_path / "anagram-2.png")
    assert (page[:, :SIDE] == np.asarray(results[2].image)).all()
    assert (np.rot90(page[:, SIDE:], 2) == page[:, :SIDE]).all()


def test_hybrids_cost_one_row_for_each_prompt_and_one_for_guidance(model: Model, tmp_path: Path) -> None:
    results = example("hybrid").main(model, tmp_path)
    assert [result.facts["rows_per_step"] for result in results] == [3, 4]
    assert pixels(tmp_path / "hybrid-2.png").shape == (SIDE, SIDE * 7 // 4, 3)
    assert (pixels(tmp_path / "hybrid-2.png") != pixels(tmp_path / "hybrid-3.png")).any()


def test_covers_carry_text_and_leave_the_rest_of_the_photograph(model: Model, tmp_path: Path) -> None:
    on_photo, made = example("overlay").main(model, tmp_path)
    changed = (pixels(on_photo) != data.astronaut()).any(axis=2)
    assert changed[340:].any(), "title and author are missing"
    assert not changed[:340].any(), "a caption keeps to the foot of the picture"
    assert pixels(made).shape == (8 * SIDE, 8 * SIDE, 3)


def test_attention_maps_show_each_word_and_leave_the_picture_alone(model: Model, tmp_path: Path) -> None:
    module = example("attention_maps")
    page = module.main(model, tmp_path, "a red cat")
    assert pixels(page).shape[1] > 4 * pixels(page).shape[0] / 2
    looking, plain = module.Looking(), [Guidance(scale=4)]
    *_, seen = sample(model, prompt="a red cat", tricks=[*plain, looking], seed=1, steps=2)
    *_, alone = sample(model, prompt="a red cat", tricks=plain, seed=1, steps=2)
    torch.testing.assert_close(seen.x, alone.x, rtol=0, atol=1e-5)
    assert [placed.word for placed in looking.words] == ["a", "red", "cat"]
    assert looking.maps.shape == (3, SIDE, SIDE)
    assert float(looking.maps.min()) >= 0


def test_prompt_to_prompt_changes_the_second_picture_alone(model: Model) -> None:
    trick = example("prompt_to_prompt").PromptToPrompt

    def made(until: float, **more: Any) -> torch.Tensor:
        tricks = [Guidance(scale=4), trick(until=until)]
        return list(sample(model, prompt=["a rabbit", "a cat"], seeds=[3, 3], tricks=tricks, steps=4, **more))[-1].x

    alone, taken, one_by_one = made(0), made(0.6), made(0.6, max_rows=1)
    torch.testing.assert_close(alone[0], taken[0], rtol=0, atol=1e-5)
    assert (alone[1] - taken[1]).abs().max() > 1e-3
    torch.testing.assert_close(taken, one_by_one, rtol=0, atol=1e-4)


def test_a_classifier_leads_to_its_posterior_and_to_its_class(model: Model, tmp_path: Path) -> None:
    """Data are N(0, 1), p(y | x0) = Phi(x0 / s) of each value: p(y | x) = Phi(x0(x) / sqrt(s^2 + r^2)), in closed form.

    Of x0 given y then: mean sqrt(2 / pi) / sqrt(1 + s^2), variance 1 - mean^2.
    """
    module, s, side = example("classifier_guidance"), 0.5, 32
    exact = denoiser_model(
        lambda x, level, prompts: level.alpha / (level.alpha**2 + level.sigma**2) * x,
        (3, side, side),
        DDIMScheduler(clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"),
    )

    def positive(clean: torch.Tensor, level: Level) -> torch.Tensor:
        r2 = level.sigma**2 / (level.alpha**2 + level.sigma**2)
        return torch.special.log_ndtr(clean / (s**2 + r2) ** 0.5).sum((1, 2, 3))

    tricks = [module.ClassifierGuidance(positive)]
    *_, last = sample(exact, prompt="a", tricks=tricks, steps=250, count=4, seed=3, scheduler="ddim")
    mean = (2 / np.pi) ** 0.5 / (1 + s**2) ** 0.5
    assert abs(float(last.x.mean()) - mean) < 0.02
    assert float(last.x.var()) == pytest.approx(1 - mean**2, rel=0.05)

    page = pixels(module.main(model, tmp_path, steps=4))
    assert page.shape[1] > 3 * SIDE
    reds = {}
    for name, tricks in {"red": [module.ClassifierGuidance(module.red, 150)], "alone": []}.items():
        *_, last = sample(model, prompt="a", tricks=tricks, seed=1, steps=4)
        reds[name] = float(module.red(last.run.pixels(), last.level))
    assert reds["red"] > reds["alone"]
