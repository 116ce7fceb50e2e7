"""Step caches as a trick: diffusers' own cached pipelines as oracles, the error that is told, and off again after."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FasterCacheConfig, FirstBlockCacheConfig, PyramidAttentionBroadcastConfig
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, Trick, TrickEntry, UsageError, hookimpl, load_model, make, sample
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.errors import PluginError
from diffusion_tricks.generate.describe import sheet
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.model.batching import Terms, answer
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing import check_trick, tiny_pipeline, tiny_upscaler
from diffusion_tricks.testing.pipelines import tiny_arguments
from diffusion_tricks_plugins import Anagram, Cache, Guidance
from diffusion_tricks_plugins.cache_state import can_cache
from unadapted import unadapted

STEPS = 8
EXACT = {"rtol": 0.0, "atol": 0.0}
ROUNDED = {"rtol": 0.0, "atol": 2e-5}  # rows one by one, or in other numbers
ALWAYS: dict[str, Any] = {"start": 0.0, "stop": 1.0}
METHODS: dict[str, dict[str, Any]] = {
    "first-block": {"method": "first-block", "threshold": 0.5},
    "faster": {"method": "faster", **ALWAYS},
    "pyramid": {"method": "pyramid", **ALWAYS},
}


@pytest.fixture(scope="module")
def flux() -> Model:
    model = load_model(tiny_pipeline("flux"), device="cpu")
    model.encode_prompts(["a rabbit"], model.family.size)  # its pipeline leaves marks of its own on the network
    return model


@pytest.fixture(scope="module")
def twin() -> Model:
    """The same weights, never cached."""
    return load_model(tiny_pipeline("flux"), device="cpu")


def steps_of(model: Model, *tricks: Any, **request: Any) -> list[Step]:
    asked = {"prompt": "a rabbit", "seed": 5, "steps": STEPS, "size": (16, 16), "tricks": tricks, **request}
    return list(sample(model, **asked))


def made(model: Model, *tricks: Any, **request: Any) -> Tensor:
    return steps_of(model, *tricks, **request)[-1].x


def facts(model: Model, *tricks: Any, **request: Any) -> dict[str, Any]:
    told: dict[str, Any] = steps_of(model, *tricks, **request)[-1].run.facts[0]
    return told


def config_of(method: str, pipe: Any) -> Any:
    """As a user of diffusers alone would set it, for the whole schedule; the first step has nothing to skip with."""
    times = {"current_timestep_callback": lambda: pipe.current_timestep}
    if method == "first-block":
        return FirstBlockCacheConfig(threshold=METHODS[method]["threshold"])
    if method == "pyramid":
        whole = {"spatial_attention_timestep_skip_range": (-1, 2000), "cross_attention_timestep_skip_range": (-1, 2000)}
        return PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, cross_attention_block_skip_range=2, **whole, **times
        )
    return FasterCacheConfig(
        spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(-1, 1000),
        attention_weight_callback=lambda _: 0.5, is_guidance_distilled=True, **times,
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["flux", "qwen"])
def test_it_makes_the_latents_of_a_pipeline_with_that_cache(kind: str, method: str) -> None:
    pipe = tiny_pipeline(kind)
    oracle = tiny_pipeline(kind)
    oracle.transformer.enable_cache(config_of(method, oracle))
    given = {**tiny_arguments(kind), "num_inference_steps": STEPS, "output_type": "latent"}
    given |= {"true_cfg_scale": 1.0} if kind == "qwen" else {}
    expected = oracle(**given, generator=[torch.Generator().manual_seed(5)]).images
    model = load_model(pipe, device="cpu")
    last = steps_of(model, Cache(**METHODS[method]))[-1]
    from diffusion_tricks.families.packing import packed

    torch.testing.assert_close(packed(last.x), expected.reshape(packed(last.x).shape), **EXACT)
    assert last.run.facts[0]["cache"]["saved"] > 0
    assert (last.x - made(model)).abs().max() > 1e-3


def truth(model: Model, step: Step, prompt: str = "a rabbit") -> Tensor:
    """What the model answers without a cache."""
    terms: Terms = step.run.terms
    return answer(model, [Ask(step.estimate.x, prompt)], step.t, step.level, terms)[0][0].value


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("method", METHODS)
def test_the_error_told_is_that_of_the_estimates(flux: Model, twin: Model, method: str) -> None:
    steps = steps_of(flux, Cache(**METHODS[method], probes=STEPS))
    errors = [relative(step.estimate.value, truth(twin, step)) for step in steps]
    told = steps[-1].run.facts[0]["cache"]["errors"]
    assert told == pytest.approx([error for error in errors if error > 0], abs=1e-5)
    assert 0 < len(told) < STEPS
    assert errors[0] == 0


def test_two_steps_are_measured_unless_told_and_measuring_changes_nothing(flux: Model) -> None:
    for method in METHODS.values():
        counted = [facts(flux, Cache(**method, probes=n))["cache"] for n in (0, 2, STEPS)]
        assert [len(each["errors"]) for each in counted][:2] == [0, 2]
        assert len({(each["evaluations"], each["saved"]) for each in counted}) == 1
        assert facts(flux, Cache(**method))["cache"] == counted[1]
        torch.testing.assert_close(
            made(flux, Cache(**method, probes=0)), made(flux, Cache(**method, probes=8)), **EXACT
        )


def computed_in_full(
    model: Model, twin: Model, *tricks: Any, guidance: Guidance | None = None, **request: Any
) -> list[bool]:
    """Of every step, whether its estimate is the one without a cache."""
    found = []
    for step in sample(
        model, **{"prompt": "a rabbit", "seed": 5, "steps": STEPS, "size": (16, 16), "tricks": tricks} | request
    ):
        true = truth(twin, step)
        if guidance is not None and guidance.active(step):
            uncond = answer(model, [Ask(step.estimate.x, None)], step.t, step.level, step.run.terms)[0][0].value
            true = uncond + guidance.options.scale * (true - uncond)
        found.append(relative(step.estimate.value, true) < 1e-5)
    return found


def test_rows_that_were_not_asked_in_the_step_before_start_anew(flux: Model, twin: Model) -> None:
    guidance = Guidance(scale=3, start=0.25, stop=0.75)
    full = computed_in_full(flux, twin, Cache(method="pyramid", every=3, **ALWAYS), guidance, guidance=guidance)
    assert full == [True, False, True, False, False, True, True, False]


def test_another_view_of_the_same_prompt_is_not_taken_for_the_step_before(flux: Model) -> None:
    turns = Anagram(views=[("identity", "a face"), ("flip", "a face")], reduction="alternate", space="latent")
    for order in ((Cache(**METHODS["pyramid"]), turns), (turns, Cache(**METHODS["pyramid"]))):
        assert facts(flux, *order, prompt=None)["cache"]["saved"] == 0
    both = Anagram(views=[("identity", "a face"), ("flip", "a face")], space="latent")
    assert facts(flux, Cache(**METHODS["pyramid"]), both, prompt=None)["cache"]["saved"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_calls_in_parts_and_in_batches_give_the_same_pictures(flux: Model, method: str) -> None:
    cache, guidance = METHODS[method], Guidance(scale=3)
    together = made(flux, Cache(**cache), guidance, count=3)
    torch.testing.assert_close(made(flux, Cache(**cache), guidance, count=3, max_rows=2), together, **ROUNDED)
    torch.testing.assert_close(made(flux, Cache(**cache), guidance, seed=6), together[1:2], **ROUNDED)


@pytest.mark.parametrize("method", METHODS)
def test_it_holds_what_every_trick_must(flux: Model, method: str) -> None:
    check_trick(Cache(**METHODS[method]), flux, steps=4, size=(16, 16))


def marks(model: Model) -> dict[str, list[str]]:
    """What stands on the instances of the network's modules, hooks of torch included."""
    network = model.family.denoiser
    hooks = [len(network._forward_hooks), len(network._forward_pre_hooks)]
    return {"": list(map(str, hooks))} | {n: sorted(vars(module)) for n, module in network.named_modules()}


class Failing(Trick[Any]):
    """Innermost: fails in the fourth step, once the model has answered."""

    name = "failing"

    @hookimpl(trylast=True)
    def estimate_noise(self, ask: Ask, step: Step) -> Iterator[Any]:
        answers = yield [ask]
        if step.index == 3:
            raise ValueError("on purpose")
        return answers[0]


@pytest.mark.parametrize("method", METHODS)
def test_it_is_off_again_however_the_run_ends(flux: Model, method: str) -> None:
    before, plain = marks(flux), made(flux)
    made(flux, Cache(**METHODS[method]))
    assert marks(flux) == before
    with pytest.raises(PluginError, match="on purpose"):
        made(flux, Cache(**METHODS[method]), Failing())
    assert marks(flux) == before
    left = sample(flux, prompt="a rabbit", steps=STEPS, size=(16, 16), tricks=[Cache(**METHODS[method])])
    next(left), next(left)
    assert marks(flux) != before
    left.close()
    assert marks(flux) == before
    torch.testing.assert_close(made(flux), plain, **EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_another_run_between_its_steps_is_left_alone_and_leaves_it_alone(flux: Model, method: str) -> None:
    plain, alone = made(flux), made(flux, Cache(**METHODS[method]))
    request = {"prompt": "a rabbit", "seed": 5, "steps": STEPS, "size": (16, 16)}
    cached, other = sample(flux, **request, tricks=[Cache(**METHODS[method])]), sample(flux, **request)
    *_, last = zip(cached, other, strict=True)
    torch.testing.assert_close(last[0].x, alone, **EXACT)
    torch.testing.assert_close(last[1].x, plain, **EXACT)


def test_neutral_hangs_nothing_on_the_model(flux: Model) -> None:
    before, plain = marks(flux), made(flux)
    for neutral in (
        Cache(threshold=0),
        Cache(every=1),
        Cache(method="pyramid", every=1),
        Cache(method="faster", every=1),
    ):
        run = sample(flux, prompt="a rabbit", seed=5, steps=STEPS, size=(16, 16), tricks=[neutral])
        first = next(run)
        assert marks(flux) == before
        *_, last = run
        torch.testing.assert_close(last.x, plain, **EXACT)
        assert "cache" not in first.run.facts[0]


def test_outside_its_interval_all_is_computed(flux: Model, twin: Model) -> None:
    full = computed_in_full(flux, twin, Cache(method="pyramid", every=2, start=0.25, stop=0.75))
    assert full == [True, True, True, False, True, False, True, True]
    assert computed_in_full(flux, twin, Cache(threshold=9, start=0.5)) == [True] * 5 + [False] * 3


def test_pyramid_serves_unets_and_the_others_are_refused_there() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    before = marks(model)
    told = facts(model, Cache(**METHODS["pyramid"]), Guidance(scale=3), size=None)
    assert 0 < told["cache"]["saved"] < told["cache"]["evaluations"]
    assert marks(model) == before
    for method in ("first-block", "faster"):
        refused = f"cache '{method}' cannot be used with 'Stable.*': diffusers has .*; it takes `method=\"pyramid\"`$"
        with pytest.raises(UsageError, match=refused):
            made(model, Cache(**METHODS[method]), size=None)
    assert marks(model) == before


def test_a_network_of_one_block_has_no_first_one_and_others() -> None:
    model = load_model(unadapted("cogview4"), device="cpu")
    model.encode_prompts(["a rabbit"], model.family.size)  # its pipeline leaves marks of its own on the network
    before = marks(model)
    others = '`method="faster"` or `method="pyramid"`'
    with pytest.raises(UsageError, match=rf"needs two blocks .* has one; it takes {others}$"):
        made(model, Cache(method="first-block"), size=None)
    assert marks(model) == before
    run = begin(model, Sampling(prompt="a rabbit", steps=2))
    Cache(method="faster").prepare(run)


@pytest.mark.parametrize(("kind", "method"), [("flux", "first-block"), ("sd", "pyramid"), ("pixart", "pyramid")])
def test_auto_takes_what_fits_the_model_and_the_record_says_what(kind: str, method: str) -> None:
    model = load_model(tiny_pipeline(kind), device="cpu")
    recipe = Recipe(prompt="a rabbit", seed=5, steps=4, guidance=1.0, tricks=[TrickEntry(trick="cache", threshold=9)])
    (result,) = make(recipe, model=model)
    assert result.facts["cache"]["method"] == method
    assert result.recipe.tricks[0].options == {"threshold": 9, "method": method}
    (said,) = make(recipe.model_copy(update={"tricks": [TrickEntry(trick="cache", threshold=9, method=method)]}), model)
    assert said.image.tobytes() == result.image.tobytes()


DOWN, UP = ("DownBlock2D", "DownBlock2D"), ("UpBlock2D", "UpBlock2D")
ATTENDING = ("AttnDownBlock2D", "DownBlock2D")
CROSS = ("DownBlock2D", "CrossAttnDownBlock2D")


@pytest.mark.parametrize(
    ("kind", "blocks", "cacheable"),
    [
        ("ddpm", {"down_block_types": DOWN, "up_block_types": UP}, False),  # its middle alone, where none is looked for
        ("ddpm", {"down_block_types": ATTENDING, "up_block_types": UP}, True),
        ("sd", {"down_block_types": DOWN, "up_block_types": UP, "mid_block_type": "UNetMidBlock2D"}, False),
        ("sd", {"down_block_types": DOWN, "up_block_types": UP}, True),
        ("sd", {"down_block_types": CROSS, "up_block_types": UP, "mid_block_type": None}, True),
    ],
)
def test_models_without_attention_are_known_before_they_are_loaded(
    kind: str, blocks: dict[str, Any], cacheable: bool, tmp_path: Path
) -> None:
    pipe = tiny_pipeline(kind)
    pipe.unet = type(pipe.unet).from_config({**pipe.unet.config, "_use_default_values": [], **blocks})
    pipe.save_pretrained(tmp_path / kind)
    model, abilities = load_model(str(tmp_path / kind), device="cpu"), sheet(str(tmp_path / kind)).abilities
    assert abilities is not None
    assert ("cache" in abilities.tricks, model.family.shape.cacheable) == (cacheable, cacheable)
    assert (can_cache(model.family.denoiser, "pyramid") is None) == cacheable
    entry = TrickEntry(trick="cache", method="pyramid")
    recipe = Recipe(model=str(tmp_path / kind), prompt="", steps=2, tricks=[entry])
    if cacheable:
        assert plan(recipe).steps >= 2
    else:
        with pytest.raises(UsageError, match="has no attention, so no cache has anything to save; leave it out"):
            plan(recipe)


def test_networks_that_are_compiled_or_cached_already_are_refused(flux: Model) -> None:
    flux.pipe.transformer.enable_cache(FirstBlockCacheConfig())
    try:
        with pytest.raises(UsageError, match="its pipeline came with a cache that is on; turn that off"):
            made(flux, Cache())
    finally:
        flux.pipe.transformer.disable_cache()
        for module in flux.pipe.transformer.modules():
            vars(module).pop("forward", None)
    compiled = copy.copy(flux)
    compiled.compiled = object()  # type: ignore[assignment]
    with pytest.raises(UsageError, match="cannot be used with 'FluxPipeline': it is compiled"):
        begin_and_prepare(compiled, Cache())


def begin_and_prepare(model: Model, trick: Cache) -> None:
    trick.prepare(begin(model, Sampling(prompt="a rabbit", steps=2, size=(16, 16)), tricks=[trick]))


def test_options_that_fit_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match=r"the cache must start before it stops, got start 0.5 and stop 0.5"):
        Cache(start=0.5, stop=0.5)
    with pytest.raises(UsageError, match="both fill the place 'cache' of a run"):
        begin(
            load_model(tiny_pipeline("flux"), device="cpu"),
            Sampling(size=(16, 16)),
            tricks=[Cache(), Cache(method="pyramid")],
        )


def test_a_later_stage_goes_without() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    cache = Cache(**METHODS["pyramid"])
    run = begin(model, Sampling(prompt="a", size=(64, 64), steps=2, upscale_steps=2), tricks=[cache])
    assert run.following is not None
    for stage in run.stages:
        cache.prepare(stage)
    assert [bool(stage.state(cache)) for stage in run.stages] == [True, False]


def test_where_memory_gets_full_in_a_step_it_goes_on_and_starts_anew() -> None:
    flux = load_model(tiny_pipeline("flux"), device="cpu")
    flux.encode_prompts(["a rabbit"], (16, 16))
    block = flux.pipe.transformer.single_transformer_blocks[0]
    calls: list[int] = []

    def full_once(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    before, handle = marks(flux), block.register_forward_pre_hook(full_once)
    try:
        last = steps_of(flux, Cache(**METHODS["pyramid"]), count=2)[-1]
    finally:
        handle.remove()
    assert last.x.isfinite().all()
    assert last.run.facts[0]["cache"]["saved"] > 0
    assert marks(flux) == before


class Full(Trick[Any]):
    """Innermost: memory gets full in the third step, once, after the model has answered."""

    name = "full"
    happened = False

    @hookimpl(trylast=True)
    def estimate_noise(self, ask: Ask, step: Step) -> Iterator[Any]:
        answers = yield [ask]
        if step.index == 2 and not self.happened:
            self.happened = True
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return answers[0]


def test_a_step_that_is_taken_again_starts_anew(twin: Model, tmp_path: Path) -> None:
    tiny_pipeline("flux").save_pretrained(tmp_path / "tiny-flux")
    model = load_model(str(tmp_path / "tiny-flux"), device="cpu")  # its text encoders may be thrown away
    full = computed_in_full(model, twin, Cache(**METHODS["pyramid"]), Full())
    assert full == [True, False, True, False, True, False, True, False]


def test_facts_and_a_note_say_what_was_saved_and_what_it_cost(flux: Model) -> None:
    recipe = Recipe(prompt="a rabbit", seed=5, steps=STEPS, guidance=1.0, size=(16, 16))
    cached = recipe.model_copy(update={"tricks": [TrickEntry(trick="cache", threshold=0.5)]})
    result = make(cached, model=flux)[0]
    cache = result.facts["cache"]
    assert cache["method"] == "first-block"
    (note,) = result.facts["notes"]
    assert note.startswith(
        f"the cache 'first-block' saved {cache['saved']} of {cache['evaluations']} block evaluations ("
    )
    assert note.endswith(f"off by {cache['errors'][0]:.2%} and {cache['errors'][1]:.2%} (relative RMS)")
    nothing = recipe.model_copy(update={"tricks": [TrickEntry(trick="cache", threshold=1e-9)]})
    assert make(nothing, model=flux)[0].facts["notes"] == ["the cache 'first-block' saved nothing"]
    unmeasured = recipe.model_copy(update={"tricks": [TrickEntry(trick="cache", threshold=0.5, probes=0)]})
    assert make(unmeasured, model=flux)[0].facts["notes"][0].endswith("what that cost was not measured")
    assert len(plan(cached.model_copy(update={"model": "flux", "size": None})).rows) == STEPS


class Closing(Trick[Any]):
    """Notes when it is closed, and may fail at that or in a step."""

    def __init__(self, name: str, log: list[str], fails: str = ""):
        super().__init__()
        self.name, self.log, self.fails = name, log, fails  # type: ignore[misc]

    @hookimpl
    def before_step(self, step: Step) -> None:
        self.log.append(f"{self.name} {step.stage}.{step.index}")
        if self.fails == "step":
            raise ValueError("in a step")

    @hookimpl
    def close(self, run: Any) -> None:
        self.log.append(f"{self.name} closed {run.stage}")
        if self.fails == "close":
            raise ValueError("in closing")


def test_every_trick_is_closed_once_a_stage_whatever_happens() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    log: list[str] = []
    list(sample(model, prompt="a", tricks=[Closing("one", log)], size=(64, 64), steps=1, upscale_steps=1))
    assert log == ["one 1.0", "one closed 1", "one 2.0", "one closed 2"]
    log.clear()
    with pytest.raises(PluginError, match="in a step"):
        list(sample(model, prompt="a", tricks=[Closing("one", log, "step"), Closing("two", log, "close")], steps=2))
    assert sorted(log) == ["one 1.0", "one closed 1", "two closed 1"]
    log.clear()
    run = sample(model, prompt="a", tricks=[Closing("one", log)], steps=3)
    next(run)
    run.close()
    assert log == ["one 1.0", "one closed 1"]


def test_an_option_that_the_method_has_no_use_for_is_said() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    recipe = Recipe(prompt="a", seed=1, steps=3, tricks=[TrickEntry(trick="cache", method="pyramid", threshold=0.2)])
    assert "cache: `threshold` is of no use to method pyramid" in make(recipe, model)[0].facts["notes"]
