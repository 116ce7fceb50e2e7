"""Pixel space against the ordinary anagram and hybrid, where both must be the same, and against formulas by hand.

Where nothing is lost in coding and views are permutations, combining clean pictures is combining noise: the estimates
are linear in each other. So a VAE that changes nothing turns the algorithm of pixel space into that of latents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from diffusion_tricks import Ask, Estimate, Trick, UsageError, hookimpl, load_model, sample
from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.start import Start
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks.types import Prompt
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid
from diffusion_tricks_plugins.filters import blur
from diffusion_tricks_plugins.pixel_space import limited, noise_through

ROUNDING = 1e-5  # of a few steps in float32, relative to the largest value
VIEWS = [("identity", "a rabbit"), ("rotate_cw", "a duck"), ("patches:4", "a skull"), ("flip", "a fish")]


def tiny(kind: str) -> Model:
    return load_model(tiny_pipeline(kind), device="cpu")


def without_loss(kind: str) -> Model:
    """A tiny model of latents whose VAE changes nothing, so that its pictures are its latents."""
    model = tiny(kind)
    model.family.encode = lambda pixels: pixels  # type: ignore[method-assign]
    model.family.decode = lambda latents: latents  # type: ignore[method-assign]
    return model


def steps_of(model: Model, *tricks: Trick[Any], **request: Any) -> list[Step]:
    return list(sample(model, tricks=tricks, **{"steps": 4, "seed": 1, **request}))


def ends_in(model: Model, *tricks: Trick[Any], **request: Any) -> Tensor:
    return steps_of(model, *tricks, **request)[-1].x


def assert_same(x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=ROUNDING * float(expected.abs().max()), rtol=0)


def noise(side: int, seed: int = 0, channels: int = 3) -> Tensor:
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(seed))


def smooth(side: int, seed: int) -> Tensor:
    """A picture in -1..1 that loses next to nothing when it is interpolated."""
    wide = blur(6.0, 33, 64)(noise(side, seed))
    return wide / wide.abs().max()


class Begins(Trick[Any]):
    """Starts from given latents at a given step, as SDEdit does from a picture."""

    name = "begins"

    def __init__(self, latents: Tensor, index: int):
        super().__init__()
        self.begin = Start(latents, index)

    @hookimpl
    def start(self, run: Run) -> Start:
        return self.begin


class Repeats(Trick[Any]):
    """Makes step 1 three times (RePaint)."""

    name = "repeats"

    @hookimpl
    def after_step(self, step: Step) -> None:
        if step.index == 1 and step.repeated < 2:
            step.repeat()


class Heard(NamedTuple):
    """One question and its answer."""

    index: int
    level: Level
    x: Tensor
    prompt: Prompt
    clean: Tensor


class Listens(Trick[Any]):
    """Notes what the model is asked, at what level, and what it answers."""

    name = "listens"

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers: list[Estimate] = yield [ask]
        self.heard.append(Heard(step.index, step.level, ask.x, ask.prompt, answers[0].clean))
        return answers[0]


class Shows(Trick[Any]):
    """Asks with a picture beside the latents, as a model that inpaints is asked."""

    name = "shows"

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers: list[Estimate] = yield [ask.but(condition=self.condition)]
        return answers[0]


class Hides(Trick[Any]):
    """Notes the picture beside the latents, by prompt, and keeps it from the model."""

    name = "hides"

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[Prompt, list[Condition | None]] = {}

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        self.shown.setdefault(ask.prompt, []).append(ask.condition)
        answers: list[Estimate] = yield [ask.but(condition=None)]
        return answers[0]


@pytest.mark.parametrize("scheduler", [None, "dpm++2m", "heun"])
def test_with_a_model_of_pixels_permutations_are_the_ordinary_anagram(scheduler: str | None) -> None:
    """Such views see the run's own latents, so this holds for every scheduler; None is DDPM with learned variance."""
    model = tiny("if")
    views = [*VIEWS, ("negate", "a key")]
    ordinary, pixel = (
        ends_in(model, Anagram(views=views, space=space), Guidance(scale=3), scheduler=scheduler)
        for space in ("latent", "pixel")
    )
    assert_same(pixel, ordinary)


@pytest.mark.parametrize("starts", ["from noise", "from a picture"])
@pytest.mark.parametrize(
    ("kind", "scheduler"), [("sd", "ddim"), ("sd", "euler"), ("sd-v", "ddim"), ("sd-v", "euler"), ("sd3", "euler")]
)
def test_views_with_latents_of_their_own_are_the_ordinary_anagram(kind: str, scheduler: str, starts: str) -> None:
    """Behind a VAE that changes nothing, for deterministic first-order schedulers: epsilon, v, flow, Euler's levels."""
    model = without_loss(kind)
    shape = (model.family.channels, 8, 8)
    start = [Begins(torch.randn(1, *shape, generator=torch.Generator().manual_seed(2)), 2)]
    ordinary, pixel = (
        ends_in(
            model, Anagram(views=VIEWS, space=space), *(start if starts != "from noise" else []), scheduler=scheduler
        )
        for space in ("latent", "pixel")
    )
    assert_same(pixel, ordinary)


@pytest.mark.parametrize("kind", ["sd", "sd-v", "sdxl", "sd3"])
def test_identity_alone_is_plain_sampling(kind: str) -> None:
    """What coding loses cancels: E(D(z)) + z - E(D(z)) = z, whatever the VAE."""
    model = tiny(kind)
    plain = ends_in(model, prompt="a rabbit")
    both = Anagram(views=[("identity", "a rabbit")] * 2, space="pixel")
    assert_same(ends_in(model, both), plain)


def test_the_first_step_is_that_of_the_formula() -> None:
    """p = mean(D(z_0), v^-1(D(z_1))), z_i' = E(v_i(p)) + z_i - E(D(z_i)), on a tiny Stable Diffusion and its negative.

    The first view is the run's own, so z_0' is its estimate; the second takes a step of DDIM by itself.
    """
    model, listens = tiny("sd"), Listens()
    trick = Anagram(views=[("identity", "a rabbit"), ("negate", "a duck")])
    first = steps_of(model, trick, listens, scheduler="ddim")[0]
    own, other, _, next_time = listens.heard[:4]
    z_0, z_1 = own.clean, other.clean
    p_0, p_1 = model.decode(z_0), model.decode(z_1)
    p = (p_0 - p_1) / 2
    assert_same(first.estimate.clean, model.encode(p) + z_0 - model.encode(p_0))
    assert not torch.allclose(first.estimate.clean, z_0, atol=0.01), "the views agreed before they were joined"
    z = model.encode(-p) + z_1 - model.encode(p_1)
    eps = (other.x - other.level.alpha * z) / other.level.sigma
    assert_same(next_time.x, next_time.level.alpha * z + next_time.level.sigma * eps)


A, B = smooth(48, 0), smooth(48, 1)
TURN = view_named("rotate:135")
SCHEDULERS = ["ddim", "ddpm", "dpm++2m", "euler", "heun"]


@pytest.mark.parametrize("weights", [[1, 1], [3, 1]])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_picture_is_the_mean_of_what_each_view_sees(scheduler: str, weights: list[float]) -> None:
    """With exact denoisers: (w_0 A + w_1 s v^-1(B)) / (w_0 + w_1 s), where s is how much the view sees of a pixel."""
    model = exact_model({"a": A, "b": B})
    trick = Anagram(views=[("identity", "a"), ("rotate:135", "b")], weights=weights)
    seen = weights[1] * TURN.seen(A).clamp(min=1e-4)
    expected = (weights[0] * A + seen * TURN.invert(B)) / (weights[0] + seen)
    torch.testing.assert_close(ends_in(model, trick, scheduler=scheduler), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("views", [("identity", "rotate:135"), ("rotate:30", "flip", "rotate:-75")], ids="+".join)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_views_of_one_picture_end_in_it(views: tuple[str, ...], prediction: str) -> None:
    """Also with no view that is the picture itself. Tolerance: a smooth picture turned there and back."""
    model = exact_model({name: view_named(name).apply(A) for name in views}, prediction=prediction)
    x = ends_in(model, Anagram(views=[(name, name) for name in views]), scheduler="ddim")
    seen = torch.stack([view_named(name).seen(A) for name in views])  # between 0 and 1 is a frame's edge
    whole = (seen == 1).any(0) & ((seen == 0) | (seen == 1)).all(0)
    assert float(whole.float().mean()) > 0.7
    torch.testing.assert_close(x * whole, A * whole, atol=0.02, rtol=0)


def test_where_the_picture_ends_a_view_keeps_its_own() -> None:
    """The corners of the turned view, which the picture does not reach, are what the model makes of that view."""
    listens, both = Listens(), exact_model({"a": A, "b": B})
    steps = steps_of(both, Anagram(views=[("identity", "a"), ("rotate:45", "b")]), listens, scheduler="ddim")
    last = [heard for heard in listens.heard if heard.prompt == "b"][-1]
    assert last.index == len(steps) - 1
    eps = (last.x - last.level.alpha * B) / last.level.sigma  # noise, where it is on its way to B
    corners = (view_named("rotate:45").filled(B) == 0)[0, 0]
    assert int(corners.sum()) > 100
    assert float(eps[..., corners].abs().max()) < 6, "the corners are not the view's own"
    assert float(eps[..., ~corners].abs().max()) > 12, "the middle is the view's own, and not the picture of both"


def test_a_view_of_its_own_moves_what_the_model_sees_beside() -> None:
    condition, hides = Condition(A, (A.mean(1, keepdim=True) > 0).float()), Hides()
    trick = Anagram(views=[("identity", "a"), ("rotate:135", "b")])
    ends_in(exact_model({"a": A, "b": B}), Shows(condition), trick, hides)
    assert all(seen is condition for seen in hides.shown["a"])
    turned = hides.shown["b"][0]
    assert turned is not None
    torch.testing.assert_close(turned.picture, TURN.apply(A))
    torch.testing.assert_close(turned.new, TURN.apply_mask(condition.new))
    assert all(seen is turned for seen in hides.shown["b"]), "moved anew in every step"


def test_an_exact_turn_is_the_view_that_permutes() -> None:
    pipe = tiny_pipeline("if")
    pipe.scheduler.register_to_config(thresholding=False, clip_sample=False)  # DDIM keeps the noise of what it clips
    model = load_model(pipe, device="cpu")
    turned, permuted = (
        ends_in(model, Anagram(views=[("identity", "a rabbit"), (name, "a duck")]), scheduler="ddim")
        for name in ("rotate:90", "rotate_ccw")
    )
    assert_same(turned, permuted)


def test_the_noise_of_views_leaves_the_samplers_stream_as_it_was() -> None:
    """A view of weight 0 that keeps latents of its own changes nothing, though DDPM draws noise in every step."""
    model = tiny("if")
    trick = Anagram(views=[("identity", "a rabbit"), ("rotate:30", "a duck")], weights=[1, 0])
    assert_same(ends_in(model, trick), ends_in(model, prompt="a rabbit"))


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_a_repeated_step_finds_every_view_at_its_level(scheduler: str) -> None:
    """x_i - alpha z is noise of spread sigma whenever the model is asked; its spread over 6912 values is within 5 %."""
    listens, model = Listens(), exact_model({"a": A, "b": TURN.apply(A)})
    trick = Anagram(views=[("identity", "a"), ("rotate:135", "b")])
    ends_in(model, trick, Repeats(), listens, scheduler=scheduler, steps=6)
    asked = [heard for heard in listens.heard if heard.prompt == "b"]
    assert [heard.index for heard in asked] == [0, 1, 1, 1, 2, 3, 4, 5]
    for place, heard in enumerate(asked):
        eps = (heard.x - heard.level.alpha * TURN.apply(A)) / heard.level.sigma
        assert float(eps.std()) == pytest.approx(1, abs=0.05), f"question {place}"
    repeats = [heard.x for heard in asked if heard.index == 1]
    assert not torch.allclose(repeats[0], repeats[1])


@pytest.mark.parametrize(
    "limits",
    [{"clip_sample": True, "clip_sample_range": 0.5}, {"thresholding": True, "sample_max_value": 1.5}, {}],
    ids=str,
)
def test_clean_latents_of_a_views_own_are_limited_as_the_runs_are(limits: dict[str, Any]) -> None:
    """As DDPM limits the x0 that it steps to, which it tells: one picture in range, one that is not."""
    scheduler = DDPMScheduler(**{"clip_sample": False, **limits})
    clean, x, t = torch.cat([0.1 * noise(16), 4 * noise(16, seed=1)]), noise(16, seed=2), 300
    bar = scheduler.alphas_cumprod[t]
    eps = (x - bar.sqrt() * clean) / (1 - bar).sqrt()
    expected = scheduler.step(eps, t, x.expand_as(clean)).pred_original_sample
    run = next(iter(sample(exact_model(A, scheduler), prompt="a", steps=1))).run
    torch.testing.assert_close(limited(run, clean), expected, atol=1e-5, rtol=0)


def test_a_view_of_its_own_stays_in_range() -> None:
    """Of a model that goes to 4 times what there is: the last question of the turned view is nearly clean."""
    listens = Listens()
    model = exact_model(4 * A, DDPMScheduler(clip_sample=True, clip_sample_range=0.5))
    ends_in(model, Anagram(views=[("identity", "a"), ("rotate:135", "b")]), listens, steps=20)
    last = [heard for heard in listens.heard if heard.prompt == "b"][-1]
    assert last.level.sigma < 0.1
    assert float(last.x.abs().max()) / last.level.alpha < 0.5 + 6 * last.level.sigma


@pytest.mark.parametrize("name", ["flip", "mirror", "rotate_cw", "rotate_180", "patches:4", "skew", "inner_circle"])
def test_permuted_noise_is_the_views_own(name: str) -> None:
    eps = noise(16)
    assert torch.equal(noise_through(view_named(name), eps, eps * float("nan")), view_named(name).apply(eps))


@pytest.mark.parametrize("name", ["flip", "rotate_cw", "patches:4"])
def test_permuted_noise_of_latents_is_the_views_own(name: str) -> None:
    eps = noise(8, channels=4)
    assert torch.equal(noise_through(view_named(name), eps, eps * float("nan"), 8), view_named(name).apply(eps))


@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize("name", ["rotate:135", "rotate:7", "rotate:45", "negate"])
def test_noise_through_any_view_is_still_noise(name: str, scale: int) -> None:
    """No value stands twice, so that all are independent."""
    eps = torch.arange(1.0, 32 * 32 + 1).reshape(1, 1, 32, 32)
    x = noise_through(view_named(name), eps, torch.zeros_like(eps), scale)
    taken = x[x > 0]
    assert len(taken.unique()) == len(taken)


@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize("name", ["rotate:135", "rotate:7", "rotate:45"])
def test_noise_goes_with_the_picture_wherever_that_reaches(name: str, scale: int) -> None:
    """Most places take the noise of the place they show, with no drift; none of those where the picture ends does."""
    eps, view = torch.arange(1.0, 32 * 32 + 1).reshape(1, 1, 32, 32), view_named(name)
    x = noise_through(view, eps, torch.zeros_like(eps), scale)
    taken, filled = x > 0, view.filled(eps)
    assert not bool((taken & (filled == 0)).any())
    assert int(taken.sum()) > 0.8 * int((filled == 1).sum())
    row, column = (x - 1) // 32, (x - 1) % 32
    for axis, index in ((2, row), (3, column)):
        own = torch.arange(32.0).reshape([32 if i == axis else 1 for i in range(4)]).expand_as(eps)
        drift = (index - view.apply(own))[taken & (filled == 1)]
        assert float(drift.mean().abs()) < 0.1
        assert float(drift.abs().max()) < 1.1


@pytest.mark.parametrize("views", [("rotate:30", "identity"), ("rotate:45", "rotate:-45")], ids="+".join)
@pytest.mark.parametrize("kind", ["if", "sd"])
def test_an_anagram_of_turns_holds_what_a_trick_must(kind: str, views: tuple[str, str]) -> None:
    trick = Anagram(views=[(views[0], "a rabbit"), (views[1], "a duck")])
    check_trick(trick, tiny(kind), scheduler="ddim")


class Counting:
    """A function that notes how many rows each call had."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function, self.rows = function, list[int]()

    def __call__(self, x: Tensor) -> Tensor:
        self.rows.append(len(x))
        return self.function(x)


def test_pictures_are_coded_in_batches_no_larger_than_asked_for() -> None:
    """Of two pictures and two views, step 1: 4 to decode; to encode the whole, what view 2 shows, and both again."""
    model = tiny("sd")
    encode, decode = Counting(model.family.encode), Counting(model.family.decode)
    model.family.encode, model.family.decode = encode, decode  # type: ignore[method-assign]
    trick = Anagram(views=[("identity", "a rabbit"), ("rotate:45", "a duck")])
    one = ends_in(model, trick, steps=2, count=2, scheduler="ddim")
    assert (decode.rows, encode.rows) == ([2, 4, 4], [4, 8, 8])  # the first of each is for the view's start
    decode.rows, encode.rows = [], []
    assert_same(ends_in(model, trick, steps=2, count=2, scheduler="ddim", max_rows=3), one)
    assert max(decode.rows + encode.rows) == 3


@pytest.mark.parametrize(
    ("kind", "views", "asked", "space"),
    [
        ("sd", ["identity", "flip"], "auto", "latent"),
        ("sd", ["identity", "patches:4"], "auto", "pixel"),
        ("sd", ["identity", "patches:4"], "latent", "latent"),
        ("sd", ["rotate_cw", "mirror"], "pixel", "pixel"),
        ("sd", ["rotate:90", "rotate:-180"], "auto", "latent"),
        ("sd", ["rotate:90", "rotate:20"], "auto", "pixel"),
        ("sd", ["identity", "negate"], "auto", "pixel"),
        ("if", ["identity", "patches:4"], "auto", "latent"),
        ("if", ["identity", "rotate:20"], "auto", "pixel"),
    ],
)
def test_where_views_act_is_chosen_and_told(kind: str, views: list[str], asked: Any, space: str) -> None:
    trick = Anagram(views=[(name, "a duck") for name in views], space=asked)
    step = steps_of(tiny(kind), trick, steps=1)[-1]
    assert step.run.facts == [{"space": space}]


def test_taking_turns_stays_on_latents() -> None:
    trick = Anagram(views=[("identity", "a rabbit"), ("patches:4", "a duck")], reduction="alternate")
    assert steps_of(tiny("sd"), trick, steps=1)[-1].run.facts == [{"space": "latent"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"space": "latent"},
            r"'rotate:45' is not orthogonal: .* N\(0, A A\^T\), .* expects N\(0, I\); use `space=.pixel.`",
        ),
        ({"reduction": "alternate"}, "'rotate:45' is not orthogonal: .*; use reduction mean"),
        ({"space": "pixel", "reduction": "alternate"}, "views take turns on latents only"),
        ({"space": "pixels"}, "'auto', 'latent' or 'pixel', got 'pixels'"),
    ],
)
def test_a_view_that_cannot_act_there_is_refused_before_the_first_step(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ends_in(tiny("if"), Anagram(views=[("identity", "a"), ("rotate:45", "b")], **options))


def test_a_view_that_does_not_fit_the_picture_is_refused_before_the_first_step() -> None:
    with pytest.raises(UsageError, match="patches:3 needs a height and width that 3 divides, got 16x16"):
        ends_in(tiny("sd"), Anagram(views=[("identity", "a"), ("patches:3", "b")]))


def test_a_view_has_to_fit_the_picture_alone() -> None:
    """Patches of 3 pixels are none of latents that are 2 pixels wide; their noise is shuffled all the same."""
    trick = Anagram(views=[("identity", "a rabbit"), ("patches:8", "a duck")])
    assert ends_in(tiny("sd"), trick, size=(24, 24)).isfinite().all()


def test_inside_a_trick_that_moves_the_latents_it_is_refused() -> None:
    turned = {"trick": "anagram", "views": [("identity", "a"), ("rotate:45", "b")]}
    with pytest.raises(UsageError, match="an anagram in pixel space must be asked about the run's own latents"):
        ends_in(tiny("if"), Anagram(views=[("flip", turned), ("mirror", "b")]))
    flipped = {"trick": "anagram", "views": [("flip", "a"), ("mirror", "b")]}
    assert ends_in(tiny("if"), Anagram(views=[("identity", flipped), ("rotate:45", "b")])).isfinite().all()


@pytest.mark.parametrize("options", [{}, {"mid": "a skull"}, {"split": "color"}, {"split": "motion"}], ids=str)
def test_with_a_model_of_pixels_a_hybrid_is_the_same_in_both_spaces(options: dict[str, str]) -> None:
    model = tiny("if")
    latent, pixel = (
        ends_in(model, Hybrid(far="a rabbit", near="a duck", space=space, **options)) for space in ("latent", "pixel")
    )
    assert_same(pixel, latent)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_latent_model_splits_the_colours_of_its_picture(kind: str) -> None:
    """z' = E(gray(D(z_far)) + D(z_near) - gray(D(z_near))) + mean(z - E(D(z)))."""
    model, latents = tiny(kind), noise(8, channels=4)
    far, near = (next(iter(sample(model, prompt=p, latents=latents, steps=3))).estimate.clean for p in ("far", "near"))
    step = next(iter(sample(model, tricks=[Hybrid(far="far", near="near", split="color")], latents=latents, steps=3)))
    p_far, p_near = model.decode(far), model.decode(near)
    p = p_far.mean(1, keepdim=True) + p_near - p_near.mean(1, keepdim=True)
    lost = (far - model.encode(p_far) + near - model.encode(p_near)) / 2
    assert_same(step.estimate.clean, model.encode(p) + lost)
    assert step.run.facts == [{"space": "pixel"}]


def test_filters_of_pixel_space_have_the_size_of_the_picture() -> None:
    """Sigma 2 at 64 pixels: 0.5 on a picture of 16, where on its latents, 8 a side, it would be 0.25."""
    model, latents = tiny("sd"), noise(8, channels=4)
    far, near = (next(iter(sample(model, prompt=p, latents=latents, steps=3))).estimate.clean for p in ("far", "near"))
    step = next(iter(sample(model, tricks=[Hybrid(far="far", near="near", space="pixel")], latents=latents, steps=3)))
    p_far, p_near, low = model.decode(far), model.decode(near), blur(2.0, 33, 16)
    lost = (far - model.encode(p_far) + near - model.encode(p_near)) / 2
    assert_same(step.estimate.clean, model.encode(low(p_far) + p_near - low(p_near)) + lost)


@pytest.mark.parametrize(
    "options", [{"split": "color"}, {"space": "pixel"}, {"space": "pixel", "mid": "a duck"}], ids=str
)
def test_a_hybrid_of_equal_prompts_is_plain_sampling_in_pixel_space(options: dict[str, str]) -> None:
    model = tiny("sd")
    plain = ends_in(model, prompt="a duck")
    assert_same(ends_in(model, Hybrid(far="a duck", near="a duck", **options)), plain)


def test_latents_have_no_colours() -> None:
    with pytest.raises(UsageError, match=r"split 'color': the latents of .* hold no colours; use `space=.pixel.`"):
        ends_in(tiny("sd"), Hybrid(far="a", near="b", split="color", space="latent"))
    steps = steps_of(tiny("sd"), Hybrid(far="a", near="b"), steps=1)
    assert steps[-1].run.facts == [{"space": "latent"}]
