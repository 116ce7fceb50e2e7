"""A full memory: what is given up for it, and that the picture stays what it was. Memory is made full by hand here.

Offloading runs with the real hooks, from the CPU to the CPU; what they do on an accelerator is not run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, Step, Trick, hookimpl, load_model, make, sample
from diffusion_tricks.devices import offload
from diffusion_tricks.devices import rungs as ladder
from diffusion_tricks.devices.capacity import rows_that_fit, width_of
from diffusion_tricks.devices.memory import Memory, Work
from diffusion_tricks.devices.text_encoders import hooked
from diffusion_tricks.errors import ModelError, OutOfMemory, UnknownName, UsageError
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.unet import UNetFamily
from diffusion_tricks.loading.quantize import check_quantize, quantised_parts, quantization
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.testing.pipelines import FAMILIES, tiny_controlnet
from diffusion_tricks_plugins import Anagram, ControlNet, Guidance

ROUNDING = 1e-4  # networks of random weights; convolutions of fewer rows may round otherwise
SIZE = (16, 16)


def full(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


class Full:
    """A function of a family that memory is too full for, until `enough` says otherwise of what it is called with."""

    def __init__(self, function: Callable[..., Any], enough: Callable[..., bool]):
        self.function, self.enough = function, enough
        self.calls: list[int] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append(len(arguments[0]))
        return self.function(*arguments, **named) if self.enough(*arguments) else full()


def filled(monkeypatch: pytest.MonkeyPatch, model: Model, what: str, enough: Callable[..., bool]) -> Full:
    function = Full(getattr(model.family, what), enough)
    monkeypatch.setattr(model.family, what, function)
    return function


def opened(kind: str = "sd", memory: str = "auto") -> Model:
    return load_model(tiny_pipeline(kind), device="cpu", memory=memory)


def last(model: Model, **request: Any) -> Tensor:
    tricks = request.pop("tricks", [Guidance(scale=4)])
    return list(sample(model, **{"prompt": "a rabbit", "steps": 3, "scheduler": "ddim"} | request, tricks=tricks))[-1].x


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines offload as from an accelerator, to the CPU, which diffusers' own call for layers cannot name."""

    def layers(self: Any, device: torch.device) -> None:
        for module in self.components.values():
            if isinstance(module, torch.nn.Module):
                accelerate.cpu_offload(module, device, offload_buffers=len(module._parameters) > 0)

    monkeypatch.setattr(ladder, "may_offload", lambda holder: not hooked(holder.pipe))
    monkeypatch.setattr("diffusers.DiffusionPipeline.enable_sequential_cpu_offload", layers)


def test_rows_are_halved_until_they_fit_and_the_run_goes_on_from_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, model = last(opened(), count=4), opened()
    calls = filled(monkeypatch, model, "predict", lambda x, t, rows: len(x) <= 2).calls
    steps = list(sample(model, prompt="a rabbit", tricks=[Guidance(scale=4)], steps=3, count=4, scheduler="ddim"))
    torch.testing.assert_close(steps[-1].x, expected, atol=ROUNDING, rtol=0)
    assert calls == [8, 4, 2, 2, 2, 2, *[2, 2, 2, 2] * 2]  # no step is begun anew, and none fails after the first
    assert [step.rows for step in steps] == [8] * 3
    assert model.memory.given_up == ["4 rows at a time", "2 rows at a time"]
    assert model.memory.told()[0][0] == "memory was full on 8 rows of 16x16; went on with 4 rows at a time"


def test_a_full_memory_is_told_in_the_thread_that_met_it() -> None:
    """Another finishes earlier pictures meanwhile, which have nothing to do with it."""
    memory = Memory(notes=["of loading"])
    memory.gave_up("2 rows at a time", "on 4 rows")
    memory.cut_to(2)
    memory.cut_to(3)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(memory.told).result() == (["of loading"], None)
        pool.submit(memory.gave_up, "tiles", "decoding").result()
        assert memory.told() == (["memory was full on 4 rows; went on with 2 rows at a time"], 2)
        assert memory.told() == ([], None)
        assert pool.submit(memory.told).result() == (["memory was full decoding; went on with tiles"], None)


def test_prompts_of_earlier_runs_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, model = last(opened(), count=4), opened()
    monkeypatch.setattr(ladder, "WORTH_FORGETTING", 2**14)
    for prompt in ("a duck", "a skull"):
        last(model, prompt=prompt)
    calls = filled(monkeypatch, model, "predict", lambda *_: not {"a duck", "a skull"} & kept(model)).calls
    assert torch.equal(last(model, count=4), expected)
    assert (calls, kept(model)) == ([8, 8, 8, 8], {None, "a rabbit"})
    assert model.memory.given_up == ["prompts that are encoded anew where they are asked again"]


def kept(model: Model) -> set[str | None]:
    return {prompt for prompt, _ in model._prompts.rows}


def test_forgetting_prompts_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened()
    monkeypatch.setattr(ladder, "WORTH_FORGETTING", 0)
    last(model, prompt="a duck")
    filled(monkeypatch, model, "predict", full)
    with pytest.raises(OutOfMemory, match=r"also with prompts that are encoded anew .* and 1 row at a time"):
        last(model)
    assert model.forget_prompts() == 0


def test_few_prompts_are_not_worth_forgetting() -> None:
    model = opened()
    model.encode_prompts(["a duck"], SIZE)
    assert ladder.old_prompts(model, Work()) is None
    assert kept(model) == {"a duck"}


def test_what_is_computed_stays_where_memory_gets_full_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, model = last(opened("if"), count=3, max_rows=2), opened("if")
    filling = iter([True] * 4 + [False] + [True] * 99)
    calls = filled(monkeypatch, model, "predict", lambda x, t, rows: next(filling)).calls
    torch.testing.assert_close(last(model, count=3, max_rows=2), expected, atol=ROUNDING, rtol=0)
    assert calls == [2, 2, 2, 2, 2, *[1] * 10]  # two rows of the second step are not computed again


def test_tricks_are_asked_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Counting(Trick[Any]):
        name = "counting"

        @hookimpl
        def estimate_noise(self, ask: Any, step: Step) -> Any:
            asked.append(step.index)
            return (yield [ask])[0]

    model = opened()
    filled(monkeypatch, model, "predict", lambda x, t, rows: len(x) == 1)
    last(model, tricks=[Counting()], count=2)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("what", ["record", "predict", "decode", "encode"])
def test_models_are_offloaded_where_that_helps(monkeypatch: pytest.MonkeyPatch, accelerated: None, what: str) -> None:
    model, plain = opened("sdxl"), opened("sdxl")
    filled(monkeypatch, model, what, lambda *_: model.memory.offloaded == "models")
    x = last(model)
    pixels = model.decode(x)
    torch.testing.assert_close(x, last(plain), atol=ROUNDING if what == "predict" else 0, rtol=0)
    assert torch.equal(pixels, plain.decode(x))
    assert torch.equal(model.encode(pixels), plain.encode(pixels))
    assert model.memory.given_up == ["1 row at a time"] * (what == "predict") + [
        "models on the device only while they work"
    ]
    assert hooked(model.pipe)


@pytest.mark.parametrize("kind", ["if", "sd", "flux", "qwen"])
def test_layers_are_offloaded_last(monkeypatch: pytest.MonkeyPatch, accelerated: None, kind: str) -> None:
    model = opened(kind)
    filled(monkeypatch, model, "predict", lambda *_: model.memory.offloaded == "layers")
    expected = last(opened(kind), scheduler=None)
    torch.testing.assert_close(last(model, scheduler=None), expected, atol=ROUNDING, rtol=0)
    assert all(weight.is_meta for weight in model.family.denoiser.parameters())
    assert dtype_of(model.family.denoiser) == torch.float32
    assert model.memory.given_up[-1] == "layers on the device only while they work, which is slow"


def test_the_end_of_the_ladder_says_what_was_tried(monkeypatch: pytest.MonkeyPatch, accelerated: None) -> None:
    model = opened()
    filled(monkeypatch, model, "predict", lambda *_: False)
    tried = "1 row at a time and models on the device only while they work and layers on the device only .*slow"
    with pytest.raises(OutOfMemory, match=f"on 1 row of 16x16, also with {tried}; try a smaller `size`, `count=1`, or"):
        last(model)


def test_pictures_are_decoded_and_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, model = opened(), opened()
    latents = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    decodings = filled(monkeypatch, model, "decode", lambda x: len(x) <= 2).calls
    encodings = filled(monkeypatch, model, "encode", lambda x: len(x) <= 2).calls
    pixels = model.decode(latents)
    torch.testing.assert_close(pixels, plain.decode(latents), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(model.encode(pixels), plain.encode(pixels), atol=ROUNDING, rtol=0)
    assert (decodings, encodings) == ([5, 2, 2, 1], [2, 2, 1])  # what was learnt of the one holds for the other
    assert [len(part) for part in (model.decode(latents, 1), model.decode(latents[:2]))] == [5, 2]
    assert decodings[4:] == [1, 1, 1, 1, 1, 2]


def test_tiles_come_last_and_only_while_a_picture_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened()
    vae = model.pipe.vae
    filled(monkeypatch, model, "decode", lambda x: vae.use_tiling)
    model.decode(torch.zeros(2, 4, 8, 8))
    assert not vae.use_tiling
    assert model.memory.given_up == ["1 picture at a time", ladder.TILED]
    monkeypatch.setattr(model.family, "decode", full)
    with pytest.raises(
        OutOfMemory, match="while it decoded 1 picture, also with 1 picture at a time and pictures in til"
    ):
        model.decode(torch.zeros(2, 4, 8, 8))
    assert not vae.use_tiling


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny_pipeline("if").save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_text_encoders_are_thrown_away_on_the_cpu_and_loaded_for_new_prompts(
    monkeypatch: pytest.MonkeyPatch, saved: Path
) -> None:
    model, plain = load_model(saved, device="cpu"), opened("if")
    filled(monkeypatch, model, "predict", lambda *_: model.memory.thrown)
    torch.testing.assert_close(last(model), last(plain), atol=ROUNDING, rtol=0)
    assert all(weight.is_meta for weight in model.pipe.text_encoder.parameters())
    torch.testing.assert_close(last(model, prompt="a duck"), last(plain, prompt="a duck"), atol=ROUNDING, rtol=0)
    assert all(weight.is_meta for weight in model.pipe.text_encoder.parameters())  # and thrown away again
    assert model.memory.given_up == ["1 row at a time", "text encoders that are loaded anew for each new prompt"]


def test_a_pipeline_s_owner_keeps_its_text_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened("if")
    monkeypatch.setattr(model.family, "predict", full)
    with pytest.raises(OutOfMemory):
        last(model)
    assert not any(weight.is_meta for weight in model.pipe.text_encoder.parameters())


def test_a_pipeline_with_hooks_of_its_own_is_left_alone(monkeypatch: pytest.MonkeyPatch, accelerated: None) -> None:
    pipe = tiny_pipeline("sd")
    pipe.enable_model_cpu_offload(device="cpu")
    hooks = list(pipe._all_hooks)
    model = load_model(pipe, device="cpu", memory="lowest")
    assert pipe._all_hooks == hooks
    monkeypatch.setattr(model.family, "predict", full)
    with pytest.raises(OutOfMemory):
        last(model)
    assert model.memory.offloaded is None


def test_a_model_that_does_not_fit_is_loaded_offloaded(monkeypatch: pytest.MonkeyPatch, accelerated: None) -> None:
    moved = torch.nn.Module.to
    monkeypatch.setattr("diffusers.DiffusionPipeline.to", lambda self, *_, **__: self if hooked(self) else full())
    monkeypatch.setattr("diffusers.DiffusionPipeline.enable_model_cpu_offload", models_offloaded(moved))
    model = opened()
    assert model.memory.notes == [
        "memory was full while it loaded the model; went on with models on the device only while they work"
    ]


def models_offloaded(moved: Any) -> Any:
    def enable(self: Any, device: torch.device) -> None:
        _, hook = accelerate.cpu_offload_with_hook(self.unet, device)
        self._all_hooks = [hook]

    return enable


@pytest.mark.parametrize(("mode", "offloaded", "rows"), [("low", "models", None), ("lowest", "layers", 1)])
def test_modes(accelerated: None, mode: str, offloaded: str, rows: int | None) -> None:
    model, plain = opened("sd", mode), opened()
    assert model.memory.offloaded == offloaded
    assert model.memory.notes == []  # nothing was full
    assert model.rows_at_once(SIZE, 1) == 1
    if rows is not None:
        assert model.rows_at_once(SIZE, None) == rows
    assert model.pictures_at_once(SIZE, None) == 1
    x = last(model, count=2)
    torch.testing.assert_close(x, last(plain, count=2), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(model.decode(x), plain.decode(x), atol=ROUNDING, rtol=0)


def test_low_on_the_cpu_throws_text_encoders_away(saved: Path) -> None:
    model = load_model(saved, device="cpu", memory="low")
    assert torch.equal(last(model), last(opened("if")))
    assert all(weight.is_meta for weight in model.pipe.text_encoder.parameters())


def test_a_mode_that_is_none() -> None:
    with pytest.raises(UnknownName, match="unknown memory 'lov'; did you mean 'low'"):
        opened(memory="lov")


@dataclass
class Drawn:
    notes: list[int] = field(default_factory=list)


class Greedy(Trick[Any]):
    """Draws noise and notes it before a step; finds memory full there while `times` is 2, after it while it is 1."""

    name = "greedy"
    times = 0

    @hookimpl
    def before_step(self, step: Step) -> None:
        drawn = step.run.noise.draw(step.run.latent_shape)
        notes = step.run.state(self, Drawn).notes
        notes.append(step.index)
        self.fill(step, 2)
        step.x = step.x + 0.01 * drawn * len(notes)

    @hookimpl
    def after_step(self, step: Step) -> None:
        self.fill(step, 1)

    def fill(self, step: Step, times: int) -> None:
        if step.index == 1 and self.times == times:
            type(self).times -= 1
            full()


@pytest.mark.parametrize("scheduler", ["ddpm", "dpm++2m", "euler-a"])
def test_a_step_that_a_trick_fills_the_memory_in_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, accelerated: None, scheduler: str
) -> None:
    monkeypatch.setattr(Greedy, "times", 0)
    expected = last(opened(), tricks=[Greedy()], scheduler=scheduler, count=2)
    monkeypatch.setattr(Greedy, "times", 2)
    model = opened()
    steps = list(sample(model, prompt="a rabbit", tricks=[Greedy()], scheduler=scheduler, count=2, steps=3))
    assert torch.equal(steps[-1].x, expected)
    assert [step.rows for step in steps] == [2, 2, 2]
    assert steps[-1].run.rows == 6
    assert model.memory.told()[0][0].startswith("memory was full in step 1; went on with models on the device only")


def test_the_noise_a_trick_forked_is_set_back_with_it(monkeypatch: pytest.MonkeyPatch, accelerated: None) -> None:
    class Forked(Trick[Any]):
        name = "forked"
        full = False

        @hookimpl
        def before_step(self, step: Step) -> None:
            noise = step.run.state(self).setdefault("noise", step.run.noise.fork("forked"))
            step.x = step.x + noise.draw(step.run.latent_shape)
            if step.index == 1 and type(self).full:
                type(self).full = False
                full()

    expected = last(opened(), tricks=[Forked()])
    Forked.full = True
    assert torch.equal(last(opened(), tricks=[Forked()]), expected)


@pytest.mark.parametrize("tricks", [[Anagram(views=[("identity", "a rabbit"), ("rotate_cw", "a duck")])], []])
def test_any_tricks_any_rows(monkeypatch: pytest.MonkeyPatch, tricks: list[Trick[Any]]) -> None:
    tricks = [*tricks, Guidance(scale=4)]
    expected, model = last(opened("if"), tricks=tricks, count=3), opened("if")
    filled(monkeypatch, model, "predict", lambda x, t, rows: len(x) == 1)
    torch.testing.assert_close(last(model, tricks=tricks, count=3), expected, atol=ROUNDING, rtol=0)


def test_the_facts_of_a_picture_say_what_memory_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened()
    filled(monkeypatch, model, "predict", lambda x, t, rows: len(x) <= 2)
    recipe = Recipe(prompt="a rabbit", seed=0, steps=2, count=9, guidance=1)
    first, *_, ninth = make(recipe, model)
    assert (first.facts["max_rows"], ninth.facts["max_rows"]) == (2, None)  # the ninth was made alone
    assert first.facts["notes"] == [
        f"memory was full on {n} rows of 16x16; went on with {n // 2} rows at a time" for n in (8, 4)
    ]
    assert "notes" not in ninth.facts
    assert make(recipe, opened())[0].facts["max_rows"] is None


def test_rows_are_guessed_from_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened()
    row = 64 * 8 * 8 * model.pipe.unet.config.block_out_channels[0] * 4  # bytes: activations, latents, width, float32
    monkeypatch.setattr("diffusion_tricks.devices.capacity.free_memory", lambda device: int(4.1 * row))

    def fitting() -> int | None:
        return rows_that_fit(model.pipe.unet.config, SIZE[0] * SIZE[1] // 4, model.device, model.dtype)

    assert fitting() == 3
    calls = filled(monkeypatch, model, "predict", lambda *_: True).calls
    last(model, count=4)
    assert calls == [3, 3, 2] * 3
    assert model.memory.told() == ([], 3)
    monkeypatch.setattr("diffusion_tricks.devices.capacity.free_memory", lambda device: 1)
    assert fitting() == 1
    monkeypatch.setattr("diffusion_tricks.devices.capacity.free_memory", lambda device: None)
    assert fitting() is None


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_width_of_every_family_is_known(kind: str) -> None:
    pipe = tiny_pipeline(kind)
    network = getattr(pipe, "unet", None) or pipe.transformer
    assert width_of(network.config) is not None
    if getattr(pipe, "vae", None) is not None:
        assert width_of(pipe.vae.config) is not None


def test_the_dtype_of_weights_that_are_stored_in_fewer_bits() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).to(torch.bfloat16)
    for stored in (torch.uint8, torch.int8, torch.float8_e4m3fn):
        network[0].weight = torch.nn.Parameter(torch.zeros(2, 2).to(stored), requires_grad=False)
        assert dtype_of(network) == torch.bfloat16
    network[0].to("meta")
    assert dtype_of(network) == torch.bfloat16
    network._keep_in_fp32_modules = ["0"]
    network[0].to(torch.float32)
    assert dtype_of(network) == torch.bfloat16


def test_what_is_quantised() -> None:
    index = {
        "_class_name": "FluxPipeline", "feature_extractor": [None, None],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
    }  # fmt: skip
    assert quantised_parts(index) == ["text_encoder_2", "transformer"]
    assert quantization(None, Path(), torch.bfloat16) == {}


@pytest.mark.parametrize(
    ("kind", "device", "source", "error", "message"),
    [
        ("int4", "cuda", "emoji", UnknownName, "unknown quantize 'int4'; did you mean 'int8'"),
        ("nf4", "cpu", "emoji", UsageError, "`quantize` works on CUDA alone, got device cpu; leave it out"),
        ("nf4", "cuda", object(), UsageError, "takes a model's name or directory, got a object; leave it out"),
        ("nf4", "cuda", __file__, UsageError, "got a checkpoint in one file; leave it out"),
        ("int8", "cuda", "emoji", ModelError, r"needs no_such_package, .*pip install 'diffusion-tricks\[quantize\]'"),
    ],
)  # fmt: skip
def test_what_cannot_be_quantised(
    monkeypatch: pytest.MonkeyPatch, kind: str, device: str, source: Any, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr("diffusion_tricks.loading.quantize.PACKAGE", "no_such_package")
    with pytest.raises(error, match=message):
        check_quantize(kind, torch.device(device), source)


def test_on_the_command_line(saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    make_it = ("generate", "a rabbit", "-m", saved, "--steps", 2, "--count", 2, "--guidance", 1)
    predict = "diffusion_tricks.families.unet.UNetFamily.predict"
    original = UNetFamily.predict
    monkeypatch.setattr(predict, lambda self, x, t, rows: original(self, x, t, rows) if len(x) == 1 else full())
    made = run(*make_it, "--json", "-o", "out-{index}.png")
    assert made.code == 0
    facts = [json.loads(line) for line in made.lines]
    assert [fact["max_rows"] for fact in facts] == [1, 1]
    assert "Note: memory was full on 2 rows of 16x16; went on with 1 row at a time" in made.err
    again = run("rerun", "out-0.png", "-m", saved, "--json", "-o", "again.png")
    assert again.json["max_rows"] == 1
    for words, code, message in (
        (["--memory", "lov"], 2, "unknown memory 'lov'; did you mean 'low'?"),
        (["--quantize", "nf4"], 2, "--quantize works on CUDA alone, got device cpu; leave it out"),
        (["--quantize", "int4"], 2, "unknown quantize 'int4'; did you mean 'int8'?"),
    ):
        refused = run(*make_it, "--device", "cpu", *words)
        assert (refused.code, message in refused.err) == (code, True), refused.err


def test_the_memory_of_a_second_stage_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusion_tricks.testing import tiny_upscaler

    def model() -> Model:
        return load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())

    request = {"size": (64, 64), "upscale_steps": 2, "count": 2}
    expected, tight = last(model(), **request), model()
    stage = tight.second.behind(tight) if tight.second else None
    assert stage is not None
    kind = type(stage.family)
    predict = kind.predict
    monkeypatch.setattr(kind, "predict", lambda self, x, t, rows: predict(self, x, t, rows) if len(x) < 3 else full())
    torch.testing.assert_close(last(tight, **request), expected, atol=ROUNDING, rtol=0)
    again = tight.second.behind(tight) if tight.second else None
    assert again is not None
    assert again.memory.given_up == ["2 rows at a time"]  # remembered for the next run
    assert tight.memory.given_up == []


@pytest.fixture(autouse=True)
def much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs on this computer, memory is full in these tests only where they say so."""
    monkeypatch.setattr("diffusion_tricks.devices.capacity._available", lambda: 2**40)


@pytest.fixture
def pattern(tmp_path: Path) -> ControlNet:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    Image.effect_noise(SIZE, 90).convert("RGB").save(tmp_path / "pattern.png")
    return ControlNet(image=tmp_path / "pattern.png", network=tmp_path / "net")


@pytest.mark.parametrize("how", ["models", "layers"])
def test_a_controlnet_is_offloaded_with_the_models(
    monkeypatch: pytest.MonkeyPatch, accelerated: None, pattern: ControlNet, how: str
) -> None:
    tricks, model, came = [pattern, Guidance(scale=4)], opened(), list[torch.nn.Module]()
    expected = last(opened(), tricks=tricks)
    called = offload.WhileItWorks.pre_forward
    monkeypatch.setattr(
        offload.WhileItWorks, "pre_forward", lambda self, m, *a, **k: (came.append(m), called(self, m, *a, **k))[1]
    )
    filled(monkeypatch, model, "predict", lambda *_: model.memory.offloaded == how)
    torch.testing.assert_close(last(model, tricks=tricks), expected, atol=ROUNDING, rtol=0)
    (net,) = model.memory.beside
    if how == "models":
        assert came
        assert set(came) == {net}
    else:
        assert all(weight.is_meta for weight in net.parameters())


@pytest.mark.parametrize("mode", ["low", "lowest"])
def test_a_controlnet_of_a_model_that_is_offloaded_never_comes_to_stay(
    accelerated: None, pattern: ControlNet, mode: str
) -> None:
    model = opened("sd", mode)
    expected = last(opened(), tricks=[pattern])
    for _ in range(2):
        torch.testing.assert_close(last(model, tricks=[pattern]), expected, atol=ROUNDING, rtol=0)
    (net,) = model.memory.beside
    assert hasattr(net, "_hf_hook") or all(hasattr(m, "_hf_hook") for m in net.modules() if m._parameters)


def test_a_controlnet_that_does_not_fit_makes_the_models_leave(
    monkeypatch: pytest.MonkeyPatch, accelerated: None, pattern: ControlNet
) -> None:
    model, moved = opened(), torch.nn.Module.to
    fits = lambda self, *a, **k: (  # noqa: E731
        full() if "ControlNet" in type(self).__name__ and torch.device("cpu") in a and not model.memory.offloaded
        else moved(self, *a, **k)
    )  # fmt: skip
    monkeypatch.setattr("diffusers.ControlNetModel.to", fits)
    last(model, tricks=[pattern])
    assert model.memory.given_up == ["models on the device only while they work"]
