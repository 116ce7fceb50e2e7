"""Asks are answered in lockstep, one call a depth; estimates keep their variance by the stated rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.estimate import Estimate, mean
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import PluginError
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.sampling import resolve as resolving
from diffusion_tricks.sampling.resolve import Layer, Open

LEVEL = Level(0.8, 0.6)
Answer = Callable[[list[Ask]], list[Estimate]]


class Counting:
    """A model whose answer is known: the latents' first element plus the length of the prompt."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, Any]]] = []

    def __call__(self, asks: list[Ask]) -> list[Estimate]:
        self.calls.append([(int(ask.x.flatten()[0]), ask.prompt) for ask in asks])
        return [estimate(ask.x + len(str(ask.prompt or "")), ask.x) for ask in asks]


def resolve(asks: list[Ask], layers: list[Layer], model: Answer) -> list[Estimate]:
    """The answers to what one step asks."""
    (answers,) = resolving.resolve([Open(asks, layers)], lambda pending: [model(one) for one in pending])
    return answers


def estimate(value: Tensor, x: Tensor | None = None, variance: float | None = None) -> Estimate:
    spread = None if variance is None else torch.full_like(value, variance)
    return Estimate(value, value if x is None else x, LEVEL, spread)


def latents(first: float = 0.0) -> Tensor:
    return torch.full((1, 1, 2, 2), first)


def both(a: str, b: str, ask: Ask) -> Asking:
    """The sum of two prompts."""
    first, second = yield [ask.but(prompt=a), ask.but(prompt=b)]
    return first + second


def guided(ask: Ask) -> Asking:
    """Three times the way from the unconditional."""
    uncond, cond = yield [ask.but(prompt=None), ask]
    return uncond + 3.0 * (cond - uncond)


def value(answer: Estimate) -> float:
    return float(answer.value.flatten()[0])


def test_without_tricks_the_model_answers() -> None:
    model = Counting()
    (answer,) = resolve([Ask(latents(1), "abc")], [], model)
    assert value(answer) == 1 + 3
    assert model.calls == [[(1, "abc")]]


def test_nested_tricks_cost_one_call_and_shared_asks_one_row() -> None:
    model, x = Counting(), latents()
    layers = [Layer("both", partial(both, "ab", "wxyz")), Layer("guided", guided)]
    (answer,) = resolve([Ask(x, "unused")], layers, model)
    assert model.calls == [[(0, None), (0, "ab"), (0, "wxyz")]]  # the unconditional is shared: 3 rows, not 4
    assert value(answer) == 3 * 2 + 3 * 4


def test_equal_asks_are_those_of_the_same_tensor_and_prompt() -> None:
    model, x = Counting(), latents(1)
    answers = resolve([Ask(x, "a"), Ask(x, "a"), Ask(x.clone(), "a"), Ask(x, ""), Ask(x, None)], [], model)
    assert model.calls == [[(1, "a"), (1, "a"), (1, ""), (1, None)]]
    assert answers[0] is answers[1]
    assert answers[0] is not answers[2]


def test_answers_come_back_in_the_order_of_the_asks() -> None:
    def many(ask: Ask) -> Asking:
        answers = yield [ask.but(x=latents(i), prompt="p" * p) for i, p in ((3, 1), (1, 4), (2, 2), (3, 1))]
        assert [value(a) for a in answers] == [3 + 1, 1 + 4, 2 + 2, 3 + 1]
        return answers[1]

    (answer,) = resolve([Ask(latents(), "")], [Layer("many", many)], Counting())
    assert value(answer) == 5


def test_generators_of_one_depth_step_together_over_several_rounds() -> None:
    model = Counting()

    def rounds(ask: Ask) -> Asking:
        total = estimate(torch.zeros_like(ask.x), ask.x)
        for length in range(int(ask.x.flatten()[0])):
            (answer,) = yield [ask.but(prompt="p" * (length + 1))]
            total = total + answer
        return total

    outer = Layer("spread", lambda ask: spread(ask, [latents(1), latents(3), latents(2)]))
    (answer,) = resolve([Ask(latents(), "")], [outer, Layer("rounds", rounds)], model)
    assert model.calls == [[(1, "p"), (3, "p"), (2, "p")], [(3, "pp"), (2, "pp")], [(3, "ppp")]]
    assert value(answer) == (1 + 1) + (3 * 3 + 1 + 2 + 3) + (2 * 2 + 1 + 2)


def spread(ask: Ask, xs: list[Tensor]) -> Asking:
    answers = yield [ask.but(x=x) for x in xs]
    return sum(answers)  # type: ignore[return-value]


def test_a_generator_may_ask_nothing_in_a_round() -> None:
    def idle(ask: Ask) -> Asking:
        assert (yield []) == []
        (answer,) = yield [ask]
        return answer

    model = Counting()
    resolve([Ask(latents(1), "a")], [Layer("idle", idle)], model)
    assert model.calls == [[(1, "a")]]


def test_a_trick_that_gives_none_passes_the_ask_on() -> None:
    model, x = Counting(), latents()
    layers = [Layer("nothing", lambda ask: None), Layer("guided", guided)]
    (answer,) = resolve([Ask(x, "ab")], layers, model)
    assert model.calls == [[(0, None), (0, "ab")]]
    assert value(answer) == 6


def test_prompts_may_differ_by_picture() -> None:
    assert Ask(torch.zeros(3, 1, 2, 2), "a").rows == ["a", "a", "a"]
    assert Ask(torch.zeros(2, 1, 2, 2), ("a", None)).rows == ["a", None]


def returning(result: object) -> Callable[[Ask], Asking]:
    def trick(ask: Ask) -> Asking:
        yield [ask]
        return result  # type: ignore[return-value]

    return trick


def yielding(asked: Any) -> Callable[[Ask], Asking]:
    def trick(ask: Ask) -> Asking:
        (answer,) = yield ask if asked is None else asked
        return answer

    return trick


def failing(ask: Ask) -> Asking:
    yield [ask]
    raise KeyError("far")


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        (returning(None), r"trick 'odd': estimate_noise must return an Estimate.*it returned None"),
        (returning(latents()), r"trick 'odd': estimate_noise must return an Estimate.*it returned a Tensor"),
        (
            returning(estimate(torch.zeros(1, 1, 4, 4))),
            r"trick 'odd': .*the shape it was asked about, \(1, 1, 2, 2\); it returned \(1, 1, 4, 4\)",
        ),
        (yielding(None), r"trick 'odd': estimate_noise must yield a list of asks.*it yielded a Ask"),
        (yielding(["a rabbit"]), r"trick 'odd': estimate_noise must yield a list of asks.*it yielded a list"),
        (lambda ask: 7, r"trick 'odd': estimate_noise must be a generator.*it gave a int"),
        (lambda ask: 1 / 0, r"trick 'odd' failed in estimate_noise: ZeroDivisionError: division by zero"),
        (failing, r"trick 'odd' failed in estimate_noise: KeyError: 'far'"),
    ],
)
def test_a_trick_that_does_it_wrong_is_named(trick: Callable[[Ask], Asking], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        resolve([Ask(latents(), "a")], [Layer("fine", guided), Layer("odd", trick)], Counting())


def test_a_full_memory_is_not_blamed_on_the_trick() -> None:
    def full(ask: Ask) -> Asking:
        yield [ask]
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        resolve([Ask(latents(), "a")], [Layer("full", full)], Counting())


# Estimate: each line is a rule of the variance, written out by hand. u has variance 1, c 2, d 6, n none.
X = latents()
U, C, D = (estimate(torch.full_like(X, v), X, s) for v, s in ((1.0, 1.0), (5.0, 2.0), (2.0, 6.0)))
NONE = estimate(torch.full_like(X, 3.0), X)


@pytest.mark.parametrize(
    ("made", "expected", "variance"),
    [
        (U + 7 * (C - U), 1 + 7 * 4, 2),  # guidance: the conditional's
        ((C - U) * 7 + U, 1 + 7 * 4, 2),
        (C + 6 * (C - U), 5 + 6 * 4, 2),
        (U + 2 * (C - U) + 3 * (D - U), 1 + 2 * 4 + 3 * 1, (2 + 6) / 2),  # two directions: their mean
        (U + (2 * (C - U) + 3 * (D - U)), 1 + 2 * 4 + 3 * 1, (2 + 6) / 2),
        (C - 0.5 * (C - U), 5 - 0.5 * 4, 2),  # an estimate less a direction is an estimate of its own variance
        (D + (C - 0.5 * (C - U)), 2 + 5 - 0.5 * 4, (6 + 2) / 2),
        (C + D, 5 + 2, (2 + 6) / 2),
        (U + C + D, 1 + 5 + 2, (1 + 2 + 6) / 3),
        (U + (C + D), 1 + 5 + 2, (1 + 2 + 6) / 3),
        (sum([U, C, D]) / 3, 8 / 3, (1 + 2 + 6) / 3),  # type: ignore[operator]
        (mean([U, C, D]), 8 / 3, (1 + 2 + 6) / 3),
        (mean([U, D], [1, 3]), (1 + 3 * 2) / 4, (1 + 3 * 6) / 4),
        (-2.0 * C, -10, 2),  # a factor leaves it alone
        (C.map(lambda value: value * 0), 0, 2),
        (C + NONE, 8, None),
        (mean([C, NONE]), 4, None),
        (NONE + 7 * (C - NONE), 3 + 7 * 2, 2),
    ],
)
def test_arithmetic_and_the_variance(made: Estimate, expected: float, variance: float | None) -> None:
    assert value(made) == pytest.approx(expected, abs=1e-6)
    if variance is None:
        assert made.variance is None
    else:
        assert made.variance is not None
        torch.testing.assert_close(made.variance, torch.full_like(X, variance))


def test_what_a_trick_returns_counts_as_one_estimate_for_the_next() -> None:
    """Far + 0.5 (near - far) outside guidance has the variance of near, as it has without guidance."""

    def model(asks: list[Ask]) -> list[Estimate]:
        return [{"far": C, "near": D, None: U}[ask.prompt] for ask in asks]  # type: ignore[index]

    def between(ask: Ask) -> Asking:
        far, near = yield [ask.but(prompt="far"), ask.but(prompt="near")]
        return far + 0.5 * (near - far)

    plain, outside = (
        resolve([Ask(X, None)], [Layer("between", between), *inner], model)[0]
        for inner in ([], [Layer("guided", guided)])
    )
    assert plain.variance is not None
    assert outside.variance is not None
    assert float(plain.variance.mean()) == float(outside.variance.mean()) == 6


def test_a_view_moves_the_variance_and_never_negates_it() -> None:
    value = torch.arange(4.0).reshape(1, 1, 2, 2)
    seen = Estimate(value, value, LEVEL, value + 10)
    back = seen.moved(lambda v: -v.flip(-2), lambda v: v.flip(-2), X)
    torch.testing.assert_close(back.value, -value.flip(-2))
    torch.testing.assert_close(back.variance, value.flip(-2) + 10)
    assert back.x is X


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow_prediction"])
@pytest.mark.parametrize("scaling", ["ddpm", "euler"])
def test_noise_and_clean_from_every_prediction(prediction: str, scaling: str) -> None:
    """The prediction is made from known x0 and eps by its definition; both must be found again."""
    x0, eps = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (0, 1))
    a = math.sqrt(0.7)
    s = math.sqrt(0.3)
    made = {"epsilon": eps, "sample": x0, "v_prediction": a * eps - s * x0, "flow_prediction": eps - x0}[prediction]
    level = Level(a, s, prediction) if scaling == "ddpm" else Level(1.0, s / a, prediction)
    if prediction == "flow_prediction":
        level = Level(1 - s, s, prediction)
    x = level.alpha * x0 + level.sigma * eps
    found = Estimate(made, x, level)
    torch.testing.assert_close(found.clean, x0)
    torch.testing.assert_close(found.noise, eps)
    other = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(found.with_noise(other).noise, other)
    torch.testing.assert_close(found.with_clean(other).clean, other)
    torch.testing.assert_close(found.with_noise(found.noise).value, made)
    torch.testing.assert_close(found.with_clean(found.clean).value, made)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_clean_is_what_the_schedulers_of_diffusers_take_it_for(prediction: str) -> None:
    from diffusers import DDIMScheduler, EulerDiscreteScheduler

    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    output = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    ddim = DDIMScheduler(prediction_type=prediction, clip_sample=False)
    ddim.set_timesteps(10)
    t = ddim.timesteps[4]
    bar = float(ddim.alphas_cumprod[t])
    ours = Estimate(output, x, Level(math.sqrt(bar), math.sqrt(1 - bar), prediction)).clean
    torch.testing.assert_close(ours, ddim.step(output, t, x).pred_original_sample)
    euler = EulerDiscreteScheduler(prediction_type=prediction)
    euler.set_timesteps(10)
    euler.set_begin_index(4)
    euler.scale_model_input(x, euler.timesteps[4])
    ours = Estimate(output, x, Level(1.0, float(euler.sigmas[4]), prediction)).clean
    torch.testing.assert_close(ours, euler.step(output, euler.timesteps[4], x).pred_original_sample)


def test_half_precision_is_combined_in_float32() -> None:
    from diffusion_tricks.model.batching import estimate_from

    output = torch.randn(1, 6, 4, 4).half()
    made = estimate_from(output, torch.zeros(1, 3, 4, 4).half(), LEVEL)
    assert made.value.dtype == torch.float32
    assert made.variance is not None
    assert made.variance.dtype == torch.float32
    assert made.clean.dtype == made.noise.dtype == torch.float32
    torch.testing.assert_close(made.variance, output[:, 3:].float())
    assert estimate_from(output, torch.zeros(1, 6, 4, 4), LEVEL).variance is None
