"""The blend by CLIP against its formula: scores that are known, candidates that are known, and plain guidance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from command_line import run as command
from diffusion_tricks import ModelError, Recipe, Scorer, Trick, TrickEntry, UsageError, load_model, make, sample
from diffusion_tricks.plugin import to_images
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, ClipGuidance, Guidance

STEPS = 4


class Known:
    """A scorer with known cosines: of each picture its mean brightness, -1..1, and with "dark" the opposite."""

    temperature = 0.1
    asked: list[list[str]]

    def __init__(self, clip: str | None = None, device: str = "cpu"):
        self.clip = clip
        self.asked = []

    def similarity(self, pictures: Any, texts: list[str]) -> Tensor:
        self.asked.append(list(texts))
        brightness = torch.tensor([float(np.asarray(p, np.float64).mean()) / 127.5 - 1 for p in pictures])
        signs = torch.tensor([-1.0 if text == "dark" else 1.0 for text in texts])
        return brightness[:, None] * signs * self.factor

    factor = 1.0


class Even(Known):
    """Finds everything alike: w = 1/2."""

    factor = 0.0


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Known)


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Even)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_pipeline("if")


def gray(value: float) -> Tensor:
    return torch.full((1, 3, 8, 8), value)


def last(*tricks: Trick[Any], pipe: Any, **how: Any) -> Step:
    *_, step = sample(load_model(pipe, device="cpu"), **{"prompt": "a", "tricks": tricks, "steps": STEPS, **how})
    return step


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("tau", "scale"), [(0.1, 1.0), (0.5, 1.0), (0.5, 3.0)])
@pytest.mark.usefixtures("known")
def test_two_grays_are_blended_by_their_brightness(prediction: str, tau: float, scale: float) -> None:
    """x0 = u + s w (c - u), w = 1 / (1 + exp((b_u - b_c) / tau)), of grays of 8 bit."""
    c, u = 102 / 127.5 - 1, 51 / 127.5 - 1
    model = exact_model({"a": gray(c), None: gray(u)}, prediction=prediction)
    trick = ClipGuidance(temperature=tau, scale=scale)
    *_, step = sample(model, prompt="a", tricks=[trick], steps=5, scheduler="ddim")
    w = 1 / (1 + np.exp((u - c) / tau))
    torch.testing.assert_close(step.x, gray(u + scale * w * (c - u)), atol=2e-5, rtol=0)


@pytest.mark.usefixtures("known")
def test_every_picture_has_its_own_weight() -> None:
    grays = {"dark": gray(-0.7), "bright": gray(0.6), None: gray(0.0)}
    *_, step = sample(exact_model(grays), prompt=["dark", "bright"], tricks=[ClipGuidance(temperature=0.5)], steps=4)
    w_dark, w_bright = 1 / (1 + np.exp(-0.7 / 0.5)), 1 / (1 + np.exp(-0.6 / 0.5))
    torch.testing.assert_close(step.x, torch.cat([gray(-0.7 * w_dark), gray(0.6 * w_bright)]), atol=5e-3, rtol=0)


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize(("own", "plain"), [(1.0, 0.5), (2.0, 1.0), (14.0, 7.0)])
def test_a_fixed_weight_is_guidance_to_the_bit(pipe: Any, own: float, plain: float) -> None:
    """eps = w c + (1 - w) u = u + w (c - u); the variance is the conditional one, as there."""
    blend, guided = last(ClipGuidance(scale=own), pipe=pipe), last(Guidance(scale=plain), pipe=pipe)
    if plain != 1:  # there guidance hands on the conditional estimate itself, and rounds nothing
        assert torch.equal(blend.x, guided.x)
    torch.testing.assert_close(blend.x, guided.x, atol=1e-5, rtol=0)
    torch.testing.assert_close(blend.estimate.variance, guided.estimate.variance, atol=1e-5, rtol=0)


def test_a_small_temperature_takes_the_better_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    for scorer, expected in ((Known, 0.5), (type("Worse", (Known,), {"factor": -1.0}), -0.5)):
        monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", scorer)
        model = exact_model({"a": gray(0.5), None: gray(-0.5)})
        *_, step = sample(model, prompt="a", tricks=[ClipGuidance(temperature=1e-6)], steps=4)
        torch.testing.assert_close(step.x, gray(expected), atol=1e-5, rtol=0)


def test_the_scores_are_those_of_the_clip_inside_on_the_decoded_candidates() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    trick, scorer = ClipGuidance(temperature=0.05), Scorer()
    (step,) = sample(model, prompt="a rabbit", tricks=[trick], steps=1)
    candidates = [next(iter(sample(model, prompt=p, steps=1))).estimate.clean for p in ("a rabbit", None)]
    images = [to_images(model.decode(clean))[0] for clean in candidates]
    s_cond, s_uncond = scorer.similarity(images, ["a rabbit"])[:, 0].tolist()
    trick.report(step.run, 0)
    (row,) = step.run.facts[0]["clip_guidance"]
    assert (row["score_cond"], row["score_uncond"]) == pytest.approx((s_cond, s_uncond), abs=1e-4)
    assert row["weight"] == pytest.approx(1 / (1 + np.exp((s_uncond - s_cond) / 0.05)), abs=1e-3)


def test_the_facts_hold_weight_and_scores_of_every_step_and_survive_json(tmp_path: Path) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    tricks = [TrickEntry(trick="clip-guidance")]
    pictures = make(Recipe(prompt=["a rabbit", "a duck"], count=2, seed=0, steps=3, tricks=tricks), model=model)
    for picture, prompt in zip(pictures, ("a rabbit", "a duck"), strict=True):
        rows = json.loads(json.dumps(picture.facts["clip_guidance"]))
        assert [row["step"] for row in rows] == [0, 1, 2]
        assert all(row["prompt"] == prompt and 0 <= row["weight"] <= 1 for row in rows)
        assert picture.facts["rows_per_step"] == 2


@pytest.mark.usefixtures("known")
def test_each_view_of_an_anagram_is_weighed_by_its_own_prompt(pipe: Any) -> None:
    trick = ClipGuidance()
    step = last(Anagram(views=[("identity", "a"), ("flip", "b")]), trick, pipe=pipe, prompt=None)
    trick.report(step.run, 0)
    assert [row["prompt"] for row in step.run.facts[0]["clip_guidance"]] == ["a", "b"] * STEPS


def test_without_a_prompt_there_is_one_candidate(pipe: Any) -> None:
    step, plain = last(ClipGuidance(), pipe=pipe, prompt=None), last(pipe=pipe, prompt=None)
    assert step.rows == 1
    assert torch.equal(step.x, plain.x)


@pytest.mark.usefixtures("known")
def test_both_stages_are_weighed_and_told(pipe: Any) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    trick = ClipGuidance()
    *_, step = sample(model, prompt="a", tricks=[trick], steps=2, upscale_steps=3, size=(64, 64))
    trick.report(step.run, 0)
    told = [(row["stage"], row["step"]) for row in step.run.facts[0]["clip_guidance"]]
    assert told == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize("kind", ["if", "sd"])
def test_it_holds_what_every_trick_must(kind: str) -> None:
    check_trick(ClipGuidance(temperature=0.2, scale=2), load_model(tiny_pipeline(kind), device="cpu"))


def test_no_clip_is_read_in_a_plan_or_a_rehearsal(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any) -> None:
        raise AssertionError("CLIP was asked for")

    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", never)
    words = ("-m", tiny, "-p", "a", "--steps", 2, "clip-guidance", "--clip", "owner/name")
    assert command("plan", *words).code == 0
    assert command("make", *words, "--dry-run", "-o", "out.png").code == 0


def test_a_strip_and_a_picture_made_again(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("make", "-m", tiny, "-p", "a", "--steps", 2, "--seed", 1, "clip-guidance", "--temperature", 0.2)
    made = command(*words, "-o", "out.png", "--steps-out", "strip.png")
    assert made.code == 0, made.err
    again = command("rerun", "out.png", "-m", tiny, "-o", "again.png")
    assert again.code == 0, again.err
    assert (tmp_path / "strip.png").exists()
    from PIL import Image

    first, second = (np.asarray(Image.open(tmp_path / name)) for name in ("out.png", "again.png"))
    assert np.array_equal(first, second)


def test_it_takes_the_place_of_guidance_and_refuses_what_cannot_be(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    both = command("make", "-m", tiny, "-p", "a", "guidance", "clip-guidance", "-o", out)
    assert both.code == 2
    assert "guidance" in both.err
    assert "clip-guidance" in both.err
    with pytest.raises(UsageError, match="temperature"):
        ClipGuidance(temperature=0)
    nowhere = command("make", "-m", tiny, "-p", "a", "--steps", 1, "-o", out, "clip-guidance", "--clip", "./nowhere")
    assert nowhere.code == 3
    assert "no CLIP model can be loaded" in nowhere.err


def test_values_that_are_no_numbers_are_the_models(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    network = model.pipe.unet
    inside = network.forward

    def broken(*given: Any, **named: Any) -> Any:
        return tuple(value * float("nan") for value in inside(*given, **{**named, "return_dict": False}))

    monkeypatch.setattr(network, "forward", broken)
    with pytest.raises(ModelError, match="the model gave"):
        make(Recipe(prompt="a", seed=0, steps=2, tricks=[TrickEntry(trick="clip-guidance")]), model=model)


def test_a_run_keeps_its_notes_apart(pipe: Any) -> None:
    trick, runs = ClipGuidance(), list[Run]()
    for seed in (0, 1):
        runs.append(last(trick, pipe=pipe, seed=seed).run)
    for run in runs:
        trick.report(run, 0)
        assert len(run.facts[0]["clip_guidance"]) == STEPS


def test_the_gradient_within_two_views_is_that_within_each() -> None:
    """Both views ask in one call of the network, and each takes a gradient through it."""

    def flipped(ask: Any, step: Step) -> Any:
        (answer,) = yield [ask.moved(lambda x: x.flip(-2), prompt="a")]
        return answer.moved(lambda x: x.flip(-2), lambda x: x.flip(-2), ask.x)

    model = load_model(tiny_pipeline("if"), device="cpu")
    led = ClipGuidance(gradient=1.0)
    *_, once = sample(model, prompt="a", tricks=[flipped, led], steps=2)
    *_, twice = sample(model, tricks=[Anagram(views=[("flip", "a"), ("flip", "a")]), led], steps=2)
    *_, plain = sample(model, prompt="a", tricks=[flipped, ClipGuidance()], steps=2)
    torch.testing.assert_close(twice.x, once.x, atol=1e-4, rtol=0)
    assert (plain.x - once.x).abs().max() > 1e-2
