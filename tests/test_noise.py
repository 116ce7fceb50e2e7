"""One generator per picture: picture i of a seed and a count is the single run with seed + i."""

from __future__ import annotations

import pytest
import torch

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.testing.pipelines import tiny_pipeline

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


def test_a_picture_draws_the_same_noise_alone_and_in_a_batch() -> None:
    together = Noise([5, 6, 7])
    first, second = together.draw(SHAPE), together.draw(SHAPE)
    for i, seed in enumerate((5, 6, 7)):
        alone = Noise([seed])
        assert torch.equal(alone.draw(SHAPE)[0], first[i])
        assert torch.equal(alone.draw(SHAPE)[0], second[i])
    assert not torch.equal(first, second)


def test_the_noise_is_that_of_diffusers_for_a_list_of_generators() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    for dtype in (torch.float32, torch.float16):
        theirs = randn_tensor((2, *SHAPE), generator=generators, dtype=dtype)
        assert torch.equal(Noise([5, 6]).draw(SHAPE, dtype=dtype), theirs)
        generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    Noise([1]).draw(SHAPE)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_fork_is_independent_and_the_same_everywhere() -> None:
    noise = Noise([5, 6])
    expected = Noise([5, 6]).draw(SHAPE)
    fork = noise.fork("inpaint")
    drawn = fork.draw(SHAPE)
    assert torch.equal(noise.draw(SHAPE), expected)  # drawing from the fork took nothing from the stream
    assert torch.equal(Noise([6]).fork("inpaint").draw(SHAPE)[0], drawn[1])  # of the picture, not of the batch
    others = [expected, Noise([5, 6]).fork("sdedit").draw(SHAPE), drawn.flip(0)]
    flat = torch.stack([drawn.flatten(), *(other.flatten() for other in others)])
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 0.2
    assert Noise([5]).fork("inpaint").seeds == (16528543655277213,)  # a promise: recipes are rerun elsewhere


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_picture_i_is_the_single_run_with_seed_plus_i(model: Model, scheduler: str) -> None:
    def final(seed: int, count: int) -> torch.Tensor:
        *_, last = sample(model, prompt="a rabbit", seed=seed, count=count, steps=3, scheduler=scheduler)
        return last.x

    together = final(5, 4)
    # A batch of convolutions may round otherwise than one alone: by 1e-5 at the most, a fortieth of a pixel's level.
    # TCD has no clipping, and a cosine schedule begins where 1e-5 of noise is much of a picture.
    close = 1e-4 * max(1.0, float(together.abs().max()))
    for i in range(4):
        torch.testing.assert_close(final(5 + i, 1)[0], together[i], rtol=0, atol=close)
    torch.testing.assert_close(final(6, 2), together[1:3], rtol=0, atol=close)
    assert (together[0] - together[1]).abs().max() > 0.1
