"""Balance of an anagram's views against its formulas in NumPy, with scores that are known and exact denoisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from command_line import run as command
from diffusion_tricks import Recipe, Trick, TrickEntry, UsageError, load_model, make, sample
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, Hybrid
from diffusion_tricks_plugins.balance import Notes, lacking, rectification
from test_anagram import DUCK, RABBIT, TWO
from test_clip_guidance import Even, Known, gray

BACK = DUCK.rot90(1, (2, 3))  # the duck as the picture holds it
STEPS = 6


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Known)


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Even)


def steps_of(*tricks: Trick[Any], model: Any = None, **request: Any) -> list[Step]:
    model = exact_model({"rabbit": RABBIT, "duck": DUCK}) if model is None else model
    return list(sample(model, **{"tricks": tricks, "seed": 3, "steps": STEPS, "scheduler": "ddim"} | request))


def numpy_factor(noises: np.ndarray, a: np.ndarray) -> float:
    """The formula, a term at a time: noises (n d), weights (n)."""
    total = 0.0
    for i in range(len(a)):
        for j in range(len(a)):
            rho = noises[i] @ noises[j] / (np.linalg.norm(noises[i]) * np.linalg.norm(noises[j]))
            total += rho * a[i] * a[j]
    return float(1 / np.sqrt(total))


@pytest.mark.parametrize("n", [2, 3])
def test_the_factor_is_the_papers(n: int) -> None:
    random = np.random.default_rng(n)
    noises = random.standard_normal((n, 4, 3, 8, 8)) + random.standard_normal((1, 4, 3, 8, 8))
    a = random.uniform(0.1, 1, n)
    a /= a.sum()
    found = rectification(torch.from_numpy(noises), torch.from_numpy(a))
    expected = [numpy_factor(noises[:, b].reshape(n, -1), a) for b in range(4)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_the_rectified_mean_of_noises_of_unit_power_has_unit_power() -> None:
    noises = torch.randn(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    noises = noises / noises.square().mean((2, 3, 4), keepdim=True).sqrt()
    a = torch.tensor([0.5, 0.3, 0.2])
    together = (noises * a[:, None, None, None, None]).sum(0)
    assert float(together.square().mean()) < 0.5
    together = together * rectification(noises, a)[:, None, None, None]
    torch.testing.assert_close(together.square().mean((1, 2, 3)), torch.ones(2), atol=1e-5, rtol=0)


def test_noises_that_agree_or_cancel_leave_numbers() -> None:
    noise = torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    half = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(rectification(noise.expand(2, -1, -1, -1, -1), half), torch.ones(2), atol=1e-6, rtol=0)
    for pair in (torch.cat([noise, -noise]), noise.expand(2, -1, -1, -1, -1) * 0):
        assert rectification(pair, half).isfinite().all()


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_each_step_is_the_mean_of_the_noises_times_that_factor(prediction: str, weights: list[float] | None) -> None:
    trick = Anagram(views=TWO, balance="variance", **({"weights": weights} if weights else {}))
    model = exact_model({"rabbit": RABBIT, "duck": DUCK}, prediction=prediction)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    *_, last = steps = steps_of(trick, model=model, latents=x)
    a = np.array(weights or [1.0, 1.0]) / sum(weights or [1.0, 1.0])
    for step in steps:
        both = [(x.double() - step.alpha * x0.double()) / step.sigma for x0 in (RABBIT, BACK)]
        noises = torch.cat(both).flatten(1).numpy()
        expected = numpy_factor(noises, a) * (a @ noises)
        np.testing.assert_allclose(step.estimate.noise.flatten().numpy(), expected, atol=2e-4, rtol=1e-4)
        x = step.x
    assert last.estimate.noise.isfinite().all()


def test_the_learned_variance_stays_the_mean_of_the_views() -> None:
    model = exact_model({"rabbit": RABBIT, "duck": DUCK}, variance=0.25)
    for balance in ("variance", "score"):
        *_, step = steps_of(Anagram(views=TWO, balance=balance), model=model, scheduler="ddpm")
        torch.testing.assert_close(step.estimate.variance, torch.full((1, 3, 8, 8), 0.25))


def test_what_a_view_lacks_is_the_papers() -> None:
    s, w, f = np.array([[0.2, 0.9], [0.4, 0.3]]), np.array([1.0, 2.0]), 0.6
    wanted = w[:, None] * s ** -(1 + f)
    expected = wanted / wanted.sum(0)
    np.testing.assert_allclose(lacking(torch.from_numpy(s), [1.0, 2.0], f).numpy(), expected, rtol=1e-6)
    worst = lacking(torch.tensor([[-0.5], [0.0], [0.01]]), [1.0, 1.0, 1.0], f)
    torch.testing.assert_close(worst, torch.full((3, 1), 1 / 3))


@pytest.mark.usefixtures("known")
def test_the_view_that_lacks_more_weighs_more() -> None:
    """Exact denoisers know each view's picture from the start, so the last step's clean estimate is the closed form."""
    dim, bright = -0.2, 0.6  # brightness, which is what the scorer finds: shown as 0.01 and 0.6
    model = exact_model({"rabbit": gray(bright), "duck": gray(0.2)})
    *_, step = steps_of(Anagram(views=TWO, balance="score"), model=model)
    s, f = np.array([bright, 0.2]), (STEPS - 1) / STEPS
    a = s ** -(1 + f) / (s ** -(1 + f)).sum()
    torch.testing.assert_close(step.estimate.clean, gray(a @ s), atol=5e-3, rtol=0)
    model = exact_model({"rabbit": gray(bright), "duck": gray(dim)})
    *_, step = steps_of(Anagram(views=TWO, balance="score"), model=model)
    a = np.array([bright, 0.01]) ** -(1 + f)
    torch.testing.assert_close(step.estimate.clean, gray(a @ [bright, dim] / a.sum()), atol=5e-3, rtol=0)


@pytest.mark.usefixtures("even")
def test_views_that_lack_alike_weigh_what_was_said() -> None:
    """To the bit where all weigh the same: halves are exact."""
    plain, even = (steps_of(Anagram(views=TWO, **more))[-1].x for more in ({}, {"balance": "score"}))
    assert torch.equal(plain, even)
    plain, even = (steps_of(Anagram(views=TWO, weights=[3, 1], **more))[-1].x for more in ({}, {"balance": "score"}))
    torch.testing.assert_close(plain, even, atol=1e-5, rtol=0)


def test_off_changes_nothing_to_the_bit() -> None:
    plain, off = (steps_of(Anagram(views=TWO, **more))[-1].x for more in ({}, {"balance": "off"}))
    assert torch.equal(plain, off)


@pytest.mark.usefixtures("known")
def test_each_picture_of_a_batch_has_its_own_weights() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    tricks = [TrickEntry(trick="anagram", views=TWO, balance="score")]
    both = make(Recipe(seed=0, steps=3, count=2, tricks=tricks), model)
    for result in both:
        alone = make(result.recipe, model)[0]
        rows, again = result.facts["balance"], alone.facts["balance"]
        assert [row["step"] for row in rows] == [0, 1, 2]
        assert all(abs(sum(row["weights"]) - 1) < 1e-4 and len(row["scores"]) == 2 for row in rows)
        for row, other in zip(rows, again, strict=True):
            assert row["weights"] == pytest.approx(other["weights"], abs=2e-2)
    assert both[0].facts["balance"] != both[1].facts["balance"]


@pytest.mark.usefixtures("known")
def test_both_stages_are_balanced_and_told() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    for balance in ("variance", "score"):
        tricks = [TrickEntry(trick="anagram", views=TWO, balance=balance)]
        (made,) = make(Recipe(seed=0, steps=2, upscale_steps=2, size=(64, 64), tricks=tricks), model)
        told = [(row["stage"], row["step"]) for row in made.facts["balance"]]
        assert told == [(1, 0), (1, 1), (2, 0), (2, 1)]
        assert all(row["factor"] >= 1 - 1e-4 for row in made.facts["balance"] if "factor" in row)


def test_a_view_that_holds_tricks_is_scored_by_the_worst_of_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Listening(Even):
        def similarity(self, pictures: Any, texts: list[str]) -> Tensor:
            asked.extend(texts)
            return super().similarity(pictures, texts)

    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Listening)
    hybrid = TrickEntry(trick=Hybrid.name, far="a skull", near="a mushroom").model_dump()
    trick = Anagram(views=[("identity", hybrid), ("flip", "a duck")], balance="score")
    steps_of(trick, model=load_model(tiny_pipeline("if"), device="cpu"), steps=1, scheduler=None)
    assert asked == ["a skull", "a mushroom", "a duck"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "score", "reduction": "alternate"}, "views that take turns are not balanced; leave balance out"),
        (
            {"balance": "variance", "space": "pixel"},
            "balance by variance is between noises, and in pixel space pictures are",
        ),
        ({"balance": "score", "reduction": "balanced"}, "reduction 'balanced' is the mean with `balance=\"score\"`"),
        ({"balance": "fair"}, "balance: .*'off', 'score' or 'variance', got 'fair'"),
        ({"balance": "variance", "clip": "x"}, '`clip` is asked for `balance="score"` alone'),
        ({"clip": "x"}, "`clip` is of no use without `balance` or `reduction`"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Anagram(views=TWO, **options)


def test_views_that_act_on_the_picture_have_no_noises_to_balance() -> None:
    with pytest.raises(
        UsageError, match="pictures are combined, whose variance none lost, as some of these views need"
    ):
        steps_of(Anagram(views=[("identity", "rabbit"), ("rotate:30", "duck")], balance="variance"))


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("views", [("identity", "rotate:30"), ("identity", "flip")], ids="+".join)
def test_pictures_are_balanced_by_score_in_pixel_space(views: tuple[str, str]) -> None:
    """Gray pictures look alike through every view, so the last step's clean estimate is the closed form."""
    bright, dark = 0.6, 0.2
    model = exact_model({"rabbit": gray(bright), "duck": gray(dark)})
    named = list(zip(views, ("rabbit", "duck"), strict=True))
    *_, step = steps_of(Anagram(views=named, balance="score", space="pixel", weights=[1, 2]), model=model)
    f, s, w = (STEPS - 1) / STEPS, np.array([bright, dark]), np.array([1.0, 2.0])
    a = w * s ** -(1 + f)
    inside = step.estimate.clean[..., 3:5, 3:5]  # which both views see
    torch.testing.assert_close(inside, torch.full_like(inside, a @ s / a.sum()), atol=5e-3, rtol=0)
    assert len(step.run.state(step.run.tricks[0], Notes).found) == STEPS


@pytest.mark.usefixtures("known")
def test_the_reduction_is_another_name_for_balance_by_score() -> None:
    named, reduced = (
        steps_of(Anagram(views=TWO, **more))[-1].x for more in ({"balance": "score"}, {"reduction": "balanced"})
    )
    assert torch.equal(named, reduced)


@pytest.mark.parametrize("balance", ["score", "variance"])
def test_it_holds_what_a_trick_must(balance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Even)
    check_trick(Anagram(views=[("identity", "a rabbit"), ("negate", "a duck")], balance=balance))


def test_no_clip_is_read_in_a_plan_and_a_picture_is_made_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never:
        def __init__(self, *given: Any) -> None:
            raise AssertionError("CLIP was asked for")

    monkeypatch.chdir(tmp_path)
    words = ("anagram", "a rabbit", "a duck", "-m", tiny, "--steps", 2, "--seed", 1, "--balance")
    with monkeypatch.context() as without:
        without.setattr("diffusion_tricks.plugin.scorer_named", Never)
        assert command(*words, "score", "--dry-run").code == 0
    made = [command(*words, balance, "-o", f"{balance}.png", "--json") for balance in ("off", "score", "variance")]
    assert [one.code for one in made] == [0, 0, 0], [one.err for one in made]
    assert len({Path(f"{balance}.png").read_bytes() for balance in ("off", "score", "variance")}) == 3
    assert "balance" not in made[0].json
    assert "scores" in made[1].json["balance"][0]
    assert (
        command("rerun", "score.png", "-m", tiny, "-o", "again.png", "--json").json["balance"]
        == made[1].json["balance"]
    )
    wrong = command(*words, "score", "--reduction", "alternate")
    assert (wrong.code, "--balance" in wrong.err or "balance" in wrong.err) == (2, True)
