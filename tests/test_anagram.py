"""Visual anagrams against the paper's formula, written out here with a plain loop and the pipeline's own UNet."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import UsageError, load_model, sample
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance

Map = Callable[[Tensor], Tensor]
SIDE, STEPS, SCALE = 16, 5, 7.0
# view: (the view, its inverse, its inverse for a variance)
BY_HAND: dict[str, tuple[Map, Map, Map]] = {
    "identity": (lambda x: x, lambda x: x, lambda x: x),
    "flip": (lambda x: x.flip(-2), lambda x: x.flip(-2), lambda x: x.flip(-2)),
    "rotate_cw": (
        lambda x: torch.rot90(x, -1, (2, 3)), lambda x: torch.rot90(x, 1, (2, 3)), lambda x: torch.rot90(x, 1, (2, 3)),
    ),
    "negate": (lambda x: -x, lambda x: -x, lambda x: x),
}  # fmt: skip


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_pipeline("if")


def papers_anagram(pipe: Any, views: list[tuple[str, str]], latents: Tensor) -> Tensor:
    """Visual Anagrams, arXiv:2311.17919, algorithm 1, on DeepFloyd IF: eps is the mean over all views, of guided
    estimates; the learned variance is the mean of the conditional ones, moved back through the views.

    Rows go through the UNet as uncond, cond of each view in turn, as a convolution's rounding depends on the order.
    """
    scheduler = copy.deepcopy(pipe.scheduler)
    scheduler.set_timesteps(STEPS)
    prompts = [prompt for _, prompt in views]
    cond, uncond = pipe.encode_prompt(prompts, negative_prompt=[""] * len(views))
    text = torch.stack([uncond, cond], 1).flatten(0, 1)
    generator, x = torch.Generator().manual_seed(0), latents
    for t in scheduler.timesteps:
        seen = torch.cat([BY_HAND[name][0](x) for name, _ in views])
        with torch.no_grad():
            output = pipe.unet(seen.repeat_interleave(2, 0), t, encoder_hidden_states=text, return_dict=False)[0]
        eps_uncond, eps_cond = output[::2, :3], output[1::2, :3]
        guided = eps_uncond + SCALE * (eps_cond - eps_uncond)
        variances = output[1::2, 3:]
        eps = torch.stack([BY_HAND[name][1](e[None]) for (name, _), e in zip(views, guided, strict=True)]).mean(0)
        var = torch.stack([BY_HAND[name][2](v[None]) for (name, _), v in zip(views, variances, strict=True)]).mean(0)
        x = scheduler.step(torch.cat([eps, var], 1), t, x, generator=generator, return_dict=False)[0]
    return x


@pytest.mark.parametrize(
    "names",
    [("identity", "rotate_cw"), ("identity", "flip"), ("identity", "negate"), ("flip", "negate", "rotate_cw")],
    ids="+".join,
)
def test_an_anagram_with_learned_variance_is_the_papers(pipe: Any, names: tuple[str, ...]) -> None:
    views = list(zip(names, ("a rabbit", "a duck", "a skull"), strict=False))
    latents = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    theirs = papers_anagram(pipe, views, latents)
    tricks = [Anagram(views=views), Guidance(scale=SCALE)]
    steps = list(sample(load_model(pipe, device="cpu"), latents=latents, tricks=tricks, seed=0, steps=STEPS))
    assert steps[-1].estimate.variance is not None
    assert torch.equal(steps[-1].x, theirs), f"largest difference {(steps[-1].x - theirs).abs().max():.1e}"


def test_two_prompts_alone_are_identity_and_flip(pipe: Any) -> None:
    model = load_model(pipe, device="cpu")
    short, long = (
        list(sample(model, tricks=[trick], seed=0, steps=2))[-1].x
        for trick in (Anagram(prompts=["a", "b"]), Anagram(views=[("identity", "a"), ("flip", "b")]))
    )
    assert torch.equal(short, long)


RABBIT, DUCK = (torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(s)) * 2 - 1 for s in (0, 1))
TWO = [("identity", "rabbit"), ("rotate_cw", "duck")]


def ends_in(trick: Anagram, steps: int = 12, scheduler: str = "ddim", variance: float | None = None) -> Tensor:
    model = exact_model({"rabbit": RABBIT, "duck": DUCK}, variance=variance)
    return list(sample(model, tricks=[trick], steps=steps, scheduler=scheduler))[-1].x


def test_reduction_mean_ends_in_the_mean_of_the_pictures_turned_back() -> None:
    """With exact denoisers, x0 of the mean estimate is the mean of what the views' x0 say of the picture."""
    expected = (RABBIT + DUCK.rot90(1, (2, 3))) / 2
    torch.testing.assert_close(ends_in(Anagram(views=TWO)), expected, atol=1e-5, rtol=0)


def test_weights_lean_towards_their_view() -> None:
    expected = (3 * RABBIT + DUCK.rot90(1, (2, 3))) / 4
    torch.testing.assert_close(ends_in(Anagram(views=TWO, weights=[3, 1])), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ends_in(Anagram(views=TWO, weights=[1, 0])), RABBIT, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("steps", "last"), [(3, "rabbit"), (4, "duck")])
@pytest.mark.parametrize("scheduler", ["ddim", "heun"])
def test_reduction_alternate_takes_turns(steps: int, last: str, scheduler: str) -> None:
    """An exact denoiser forgets what came before its last step, so the picture tells whose turn that was."""
    expected = RABBIT if last == "rabbit" else DUCK.rot90(1, (2, 3))
    trick = Anagram(views=TWO, reduction="alternate")
    torch.testing.assert_close(ends_in(trick, steps, scheduler), expected, atol=1e-5, rtol=0)


def test_alternate_asks_one_view_a_step() -> None:
    model = exact_model({"rabbit": RABBIT, "duck": DUCK})
    steps = list(sample(model, tricks=[Anagram(views=TWO, reduction="alternate")], steps=4))
    assert [step.rows for step in steps] == [1, 1, 1, 1]


def test_the_same_view_and_prompt_twice_is_asked_once() -> None:
    model = exact_model({"rabbit": RABBIT})
    steps = list(sample(model, tricks=[Anagram(views=[("identity", "rabbit")] * 2)], steps=2))
    assert [step.rows for step in steps] == [1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "anagram: say what each view shows"),
        ({"views": TWO, "prompts": ["a", "b"]}, "not both"),
        ({"prompts": ["a"]}, "expected two prompts, for identity and flip, got 1"),
        ({"views": TWO[:1]}, "an anagram needs at least two views, got 1"),
        ({"views": TWO, "weights": [1, 2, 3]}, r"expected 2 weights, one for each view, got \[1.0, 2.0, 3.0\]"),
        ({"views": TWO, "weights": [1, -1]}, r"weights.1: expected a weight of at least 0, .* got -1"),
        ({"views": TWO, "weights": [0, 0]}, "not all 0"),
        ({"views": TWO, "weights": [1, float("nan")]}, r"weights.1: expected a weight of at least 0, .* got nan"),
        ({"views": TWO, "weights": [1, 2], "reduction": "alternate"}, "take turns have no weights"),
        (
            {"views": TWO, "reduction": "median"},
            "reduction: .*'mean', 'alternate', .* or 'least_squares', got 'median'",
        ),
        ({"views": [("identity", "a"), ("flp", "b")]}, "unknown view 'flp'; did you mean 'flip'"),
        ({"views": TWO, "view": "flip"}, "view: Extra inputs are not permitted"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Anagram(**options)


def test_a_view_that_does_not_fit_the_size_is_refused_before_the_first_step() -> None:
    with pytest.raises(UsageError, match="patches:3 needs a height and width that 3 divides"):
        ends_in(Anagram(views=[("identity", "rabbit"), ("patches:3", "duck")]))


@pytest.mark.parametrize("options", [{}, {"reduction": "alternate"}, {"weights": [1, 2]}], ids=str)
def test_an_anagram_holds_what_a_trick_must(options: dict[str, Any]) -> None:
    check_trick(Anagram(views=[("identity", "a rabbit"), ("negate", "a duck")], **options))


def test_a_jigsaw_of_two_given_pictures_ends_in_the_best_there_is() -> None:
    """Of all pictures, (A + v^-1 B) / 2 is nearest to both A as it is and B through the view, in least squares."""
    a, b = torch.rand(2, 1, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    jigsaw = view_named("jigsaw:4,seed=3")
    model = exact_model({"a": a, "b": b})
    trick = Anagram(views=[("identity", "a"), ("jigsaw:4,seed=3", "b")])
    x = list(sample(model, tricks=[trick], seed=0, steps=20, scheduler="ddim"))[-1].x
    torch.testing.assert_close(x, (a + jigsaw.invert(b)) / 2, rtol=0, atol=2e-3)
