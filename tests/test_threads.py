"""Runs in several threads on one model: each gives the picture that it gives alone, and the model stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import Model, Recipe, UsageError, load_model, make, sample
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.fallback import FallbackFamily
from diffusion_tricks.families.onestep import Left, standing_in
from diffusion_tricks.families.replay import Recorded
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.testing.pipelines import tiny_upscaler
from diffusion_tricks_plugins import Anagram, Cache, Guidance
from unadapted import unadapted

THREADS = 3
RUNS = 6
WORDS = ("a rabbit", "a duck", "a skull", "a hat", "an owl", "a boat")


def by_adapter() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


def by_adapter_of_transformers() -> Model:
    return load_model(tiny_pipeline("flux"), device="cpu")


def by_adapter_of_flows() -> Model:
    return load_model(tiny_pipeline("sd3"), device="cpu")


def by_its_own_call() -> Model:
    return load_model(unadapted("cogview4"), device="cpu")


def by_its_own_call_with_a_unet() -> Model:
    pipe = tiny_pipeline("sd")
    return Model(pipe, "sd", torch.device("cpu"), torch.float32, opened=FallbackFamily(pipe))


def with_an_upscaler() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())


def picture(model: Model, i: int, **more: Any) -> Tensor:
    """One run with words, numbers of steps and schedulers of its own."""
    tricks = [Guidance(scale=3, negative=WORDS[(i + 1) % len(WORDS)])]
    if i % 3 == 0:
        tricks.insert(0, Anagram(prompts=[f"{WORDS[i % len(WORDS)]} {i}", "a duck"]))
    steps = list(sample(model, prompt=f"{WORDS[i % len(WORDS)]} {i}", tricks=tricks, seed=i, steps=2 + i % 2, **more))
    return model.decode(steps[-1].x) if model.second is None else steps[-1].x


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` gives for 0, 1, ... in threads that begin at the same time."""
    gate = threading.Barrier(THREADS)

    def begun(i: int) -> Any:
        if i < THREADS:
            gate.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begun, range(count)))


def marks(model: Model) -> dict[str, Any]:
    """What stands on the instances of a pipeline and of its networks' modules."""
    parts = {name: part for name, part in model.pipe.components.items() if isinstance(part, torch.nn.Module)}
    modules = {f"{name}.{path}": module for name, part in parts.items() for path, module in part.named_modules()}
    own = {name: (sorted(vars(module)), len(module._forward_pre_hooks)) for name, module in modules.items()}
    held = {name: id(part) for name, part in model.pipe.components.items()}
    return own | {"pipeline": (sorted(vars(model.pipe)), held, model.pipe._progress_bar_config)}


@pytest.mark.parametrize(
    ("opened", "more"),
    [
        (by_adapter, {}),
        (by_adapter_of_flows, {}),
        (by_its_own_call, {}),
        (by_its_own_call_with_a_unet, {}),
        (with_an_upscaler, {"size": (64, 64), "upscale_steps": 2}),
    ],
)
def test_three_threads_share_a_model(opened: Callable[[], Model], more: dict[str, Any]) -> None:
    alone, shared = opened(), opened()
    expected = [picture(alone, i, **more) for i in range(RUNS)]
    picture(shared, 0, **more)  # its pipeline leaves marks of its own on the network
    before = marks(shared)
    got = together(RUNS, lambda i: picture(shared, i, **more))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert marks(shared) == before
    torch.testing.assert_close(picture(shared, 1, **more), expected[1], atol=0, rtol=0)


def test_pictures_of_recipes_are_made_in_threads() -> None:
    recipes = [Recipe(prompt=WORDS[i % 6], seed=i, steps=2) for i in range(RUNS)]
    alone = by_adapter()
    expected = [make(recipe, alone)[0].image.tobytes() for recipe in recipes]
    shared = by_adapter()
    assert together(RUNS, lambda i: make(recipes[i], shared)[0].image.tobytes()) == expected


def test_pipelines_that_share_a_denoiser_take_turns_too() -> None:
    pipe = tiny_pipeline("sd")
    models = [load_model(type(pipe)(**pipe.components, requires_safety_checker=False), device="cpu") for _ in range(3)]
    expected = [picture(models[0], i) for i in range(RUNS)]
    got = together(RUNS, lambda i: picture(models[i % 3], i))
    assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))


def test_a_run_without_a_cache_is_left_alone_by_one_with_a_cache() -> None:
    expected, shared = [picture(by_adapter_of_transformers(), i) for i in (1, 2)], by_adapter_of_transformers()

    def work(i: int) -> Tensor | None:
        if i:
            return picture(shared, i)
        list(sample(shared, prompt="a rabbit", tricks=[Cache(threshold=10, probes=0)], steps=8))
        return None

    _, *got = together(3, work)
    assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))


def test_two_caches_on_one_model_at_the_same_time_are_refused_in_words() -> None:
    model = by_adapter_of_transformers()
    first = sample(model, prompt="a rabbit", tricks=[Cache()], steps=4)
    next(first)
    with pytest.raises(UsageError, match=r"another run has a cache on it; let that end first, or load the model anew"):
        next(sample(model, prompt="a duck", tricks=[Cache()], steps=4))
    list(first)
    assert len(list(sample(model, prompt="a duck", tricks=[Cache()], steps=4))) == 4


def test_a_lock_goes_with_its_pipeline_and_is_no_part_of_it() -> None:
    pipe = tiny_pipeline("sd")
    assert alone_with(pipe) is alone_with(pipe)
    assert alone_with(pipe) is not alone_with(tiny_pipeline("sd"))
    assert not any("lock" in name for name in (*vars(pipe), *vars(pipe.unet), *pipe.config))


def test_what_cannot_be_a_key_has_a_lock_too() -> None:
    assert alone_with(SimpleNamespace(unet=None)) is alone_with(SimpleNamespace())


def elsewhere(work: Callable[[], Any]) -> Any:
    """What `work` gives, or raises, in another thread."""
    caught: list[Any] = []

    def run() -> None:
        try:
            caught.append(work())
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0]


def test_a_pipeline_that_its_owner_calls_meanwhile_is_never_left_by_our_exceptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its owner's thread knows no lock: the denoiser answers it, and a borrowed scheduler says who has it."""
    model = by_adapter_of_transformers()
    network, seen = model.family.denoiser, list[Any]()
    row = model.family.record(["a rabbit"], model.family.size)[0]
    x = torch.zeros(1, 64, network.config["in_channels"])  # type: ignore[index]
    own = type(model.pipe).encode_prompt

    def encode(*arguments: Any, **named: Any) -> Any:
        call = {"hidden_states": x, "timestep": torch.ones(1), **row, "return_dict": False}
        seen.append(elsewhere(lambda: network(**call)))
        return own(*arguments, **named)

    monkeypatch.setattr(type(model.pipe), "encode_prompt", encode)
    model.encode_prompts(["a duck"], model.family.size)
    assert not isinstance(seen[0], Recorded)

    fallback = by_its_own_call_with_a_unet()
    picture(fallback, 0)
    seen.clear()
    unet = type(fallback.pipe.unet)
    forward = unet.forward

    def asked(*arguments: Any, **named: Any) -> Any:
        if not seen:
            seen.append(None)
            seen[0] = elsewhere(lambda: fallback.pipe("a duck", num_inference_steps=1, output_type="latent"))
        return forward(*arguments, **named)

    monkeypatch.setattr(unet, "forward", asked)
    picture(fallback, 0)
    assert isinstance(seen[0], ModelError)
    assert "in another thread" in str(seen[0])
    assert not isinstance(seen[0], Left)


def test_attributes_are_put_back_that_stood_in() -> None:
    pipe = tiny_pipeline("sd")
    before = dict(vars(pipe))
    with standing_in(pipe, scheduler="another"):
        assert pipe.scheduler == "another"
    assert vars(pipe) == before


def test_libraries_that_two_threads_keep_quiet_speak_again() -> None:
    from diffusers.utils import logging

    before = logging.get_verbosity()
    first, second = quiet_libraries(), quiet_libraries()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logging.get_verbosity() == logging.ERROR
    second.__exit__(None, None, None)
    assert logging.get_verbosity() == before
