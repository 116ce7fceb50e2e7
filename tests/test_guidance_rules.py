"""CFG++, Perp-Neg, several prompts in one and dynamic thresholding, against their formulas written out by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_tricks import Model, UsageError, load_model, sample
from diffusion_tricks.plugin import Step, answered_at
from diffusion_tricks.testing import check_trick, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance
from diffusion_tricks_plugins.guidance_variants import thresholded

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {kind: load_model(tiny_pipeline(kind), device="cpu") for kind in ("if", "sd", "sd-v", "sd3")}


def steps(model: Model, *tricks: Any, prompt: Any = "a duck", **more: Any) -> list[Step]:
    how = {"steps": 4, "seed": 1, **more}
    return list(sample(model, prompt=prompt, tricks=list(tricks), **how))


def answers(step: Step, x: Tensor, *prompts: Any) -> list[Any]:
    return [answered_at(step, x, step.index, prompt) for prompt in prompts]


@pytest.mark.parametrize(("kind", "scheduler"), [("sd", "ddim"), ("sd-v", "ddim"), ("sd", "euler"), ("sd3", "euler")])
def test_cfg_plus_plus_renoises_with_the_unconditional(models: dict[str, Model], kind: str, scheduler: str) -> None:
    made = steps(models[kind], Guidance(variant="cfg++", scale=0.7), scheduler=scheduler)
    for before, step in pairwise(made):
        now, then = step.level, step.next_level
        uncond, cond = answers(step, before.x, None, "a duck")
        x0 = uncond.clean + 0.7 * (cond.clean - uncond.clean)
        torch.testing.assert_close(step.x, then.alpha * x0 + then.sigma * uncond.noise, rtol=1e-4, atol=1e-4)
        assert now.sigma > then.sigma


def test_cfg_plus_plus_has_a_scale_of_its_own(models: dict[str, Model]) -> None:
    assert Guidance(variant="cfg++").options.strength == 0.6
    with pytest.raises(UsageError, match="scale from 0 to 1, got 7"):
        Guidance(variant="cfg++", scale=7)
    one = steps(models["sd"], Guidance(variant="cfg++", scale=1), scheduler="ddim")
    assert {step.rows for step in one} == {2}
    for scheduler in ("heun", "pndm"):
        with pytest.raises(UsageError, match="needs a scheduler of one evaluation a step"):
            steps(models["sd"], Guidance(variant="cfg++"), scheduler=scheduler)


def test_perp_neg_moves_away_at_right_angles(models: dict[str, Model]) -> None:
    made = steps(models["sd"], Guidance(scale=5, variant="perp-neg", negative="a rabbit", negative_weight=1.5), count=2)
    step, before = made[1], made[0]
    assert step.rows == 6
    u, c, n = (one.value.double().numpy() for one in answers(step, before.x, None, "a duck", "a rabbit"))
    for i in range(2):
        d, away = c[i] - u[i], n[i] - u[i]
        perp = away - (away * d).sum() / (d * d).sum() * d
        assert abs((perp * d).sum()) < 1e-6 * np.linalg.norm(perp) * np.linalg.norm(d) + 1e-9
        expected = u[i] + 5 * (d - 1.5 * perp)
        torch.testing.assert_close(step.estimate.value[i].double(), torch.from_numpy(expected), **CLOSE)
    with pytest.raises(UsageError, match="needs `negative`"):
        Guidance(variant="perp-neg")


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_several_prompts_in_one_are_composed(models: dict[str, Model], scale: float) -> None:
    made = steps(models["if"], Guidance(scale=scale), prompt="a duck AND a rabbit :0.5 AND fog:-1")
    step, before = made[1], made[0]
    assert step.rows == 4
    u, *each = (one.value for one in answers(step, before.x, None, "a duck", "a rabbit", "fog"))
    cond = u + sum(w * (e - u) for w, e in zip((1, 0.5, -1), each, strict=True))
    expected = cond if scale == 1 else u + scale * (cond - u)
    torch.testing.assert_close(step.estimate.value, expected, **CLOSE)


def test_each_picture_is_composed_of_its_own_prompts(models: dict[str, Model]) -> None:
    prompts = ["a duck AND a rabbit :0.5", "a cat", None]
    together = steps(models["sd"], Guidance(scale=5), prompt=prompts, count=3)
    for i, prompt in enumerate(prompts):
        alone = steps(models["sd"], Guidance(scale=5), prompt=prompt, seed=1 + i)
        torch.testing.assert_close(together[-1].x[i : i + 1], alone[-1].x, rtol=0, atol=5e-4)


def test_an_anagram_asks_several_in_each_view(models: dict[str, Model]) -> None:
    views = [("identity", "a duck AND fog :0.5"), ("flip", "a cat")]
    made = steps(models["if"], Anagram(views=views), Guidance(scale=3), prompt=None)
    assert {step.rows for step in made} == {5}


def test_thresholding_is_imagens(models: dict[str, Model]) -> None:
    plain, made = (steps(models["if"], Guidance(scale=9, threshold=t), count=2) for t in (None, 0.9))
    x0 = plain[0].estimate.clean.double().numpy()
    for i in range(2):
        s = max(1.0, np.quantile(np.abs(x0[i]), 0.9))
        expected = torch.from_numpy(np.clip(x0[i], -s, s) / s)
        torch.testing.assert_close(made[0].estimate.clean[i].double(), expected, rtol=0, atol=1e-3)
    within = plain[0].estimate.with_clean(plain[0].estimate.clean.clamp(-1, 1))
    torch.testing.assert_close(thresholded(within, 0.9).clean, within.clean, rtol=0, atol=1e-4)
    with pytest.raises(UsageError, match="thresholding is for pixels"):
        steps(models["sd"], Guidance(threshold=0.995))


@pytest.mark.parametrize(
    "options", [{"variant": "cfg++"}, {"variant": "perp-neg", "negative": "z"}, {"threshold": 0.9}]
)
def test_the_rules_keep_what_every_trick_keeps(options: dict[str, Any]) -> None:
    check_trick(Guidance(**options))
