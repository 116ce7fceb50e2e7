"""Loading models: from a directory, by name, as an object, and every way it can be refused. And their answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion_tricks import Ask, Model, load_model, sample
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import ModelError, OutOfMemory, UnknownName, UsageError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.hosting.host import Host, host
from diffusion_tricks.hosting.registration import Found
from diffusion_tricks.loading.known import known_models
from diffusion_tricks.model import batching
from diffusion_tricks.model.batching import Terms
from diffusion_tricks.model.prompt_rows import LEAST, PromptRows, bytes_of
from diffusion_tricks.testing.pipelines import tiny_pipeline
from registering import Registering

LEVEL = Level(0.8, 0.6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline("if").save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def final(model: Model) -> torch.Tensor:
    *_, last = sample(model, prompt="a rabbit", steps=2)
    return last.x


def test_a_directory_gives_the_pipeline_that_was_saved(saved: Path) -> None:
    model = load_model(saved, device="cpu")
    assert (model.name, model.device.type, model.dtype) == ("tiny", "cpu", torch.float32)
    assert model.family.size == (16, 16)
    # read from a file, weights lie elsewhere in memory, which may round a sum otherwise
    torch.testing.assert_close(final(model), final(load_model(tiny_pipeline("if"), device="cpu")), rtol=0, atol=1e-5)


def test_a_directory_named_by_a_dot_has_the_name_of_its_folder(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    assert load_model(".", device="cpu").name == "tiny"


def test_an_object_keeps_its_precision_and_names_its_class() -> None:
    pipe = tiny_pipeline("sd").to(torch.bfloat16)
    model = load_model(pipe, device="cpu")
    assert model.pipe is pipe
    assert (model.name, model.dtype) == ("StableDiffusionPipeline", torch.bfloat16)
    assert load_model(pipe, device="cpu", dtype="float32").pipe.unet.dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_precision_asked_for_is_the_one_it_runs_in(saved: Path, dtype: str) -> None:
    model = load_model(str(saved), device="cpu", dtype=dtype)
    assert model.dtype == model.pipe.unet.dtype == getattr(torch, dtype)
    step = next(sample(model, prompt="a", steps=1))
    assert step.x.dtype == model.dtype
    assert step.estimate.value.dtype == torch.float32  # combined in float32
    assert step.x.isfinite().all()


def test_half_precision_files_are_read(saved: Path, tmp_path: Path) -> None:
    tiny_pipeline("if").to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    assert list((tmp_path / "half").rglob("*.fp16.safetensors"))
    assert load_model(tmp_path / "half", device="cpu").pipe.unet.dtype == torch.float32


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model 'emojy'; did you mean 'emoji'"):
        load_model("emojy")
    with pytest.raises(UsageError, match=r"there is no directory \./no/such/folder; expected"):
        load_model("./no/such/folder")


def test_something_else_than_a_model() -> None:
    with pytest.raises(ModelError, match="expected a model's name, a directory or a DiffusionPipeline, got a int"):
        load_model(7)


def test_models_of_plugins_are_known(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    made = Host()
    made.add(Found("models", "here", lambda: Registering({"mine": str(saved)})))
    monkeypatch.setattr("diffusion_tricks.hosting.host._host", made)
    assert list(known_models()) == ["mine"]
    assert load_model("mine", device="cpu").name == "mine"
    monkeypatch.undo()
    assert "emoji" in host().entries("model")


def without_safetensors(folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        file.unlink()


def pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def change_index(folder: Path, **changes: Any) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def own_component(folder: Path) -> None:
    (folder / "unet" / "my_unet.py").write_text("raise SystemExit('this code was run')")
    change_index(folder, unet=["my_unet", "MyUNet"])


def own_component_beside(folder: Path) -> None:
    (folder / "my_unet.py").write_text("raise SystemExit('this code was run')")
    change_index(folder, unet=["my_unet", "MyUNet"])


def own_pipeline(folder: Path) -> None:
    (folder / "pipeline.py").write_text("raise SystemExit('this code was run')")
    change_index(folder, _class_name=["pipeline", "MyPipeline"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "model_index.json").unlink(),
            "is not a diffusers pipeline: it has no model_index.json",
        ),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json is not valid JSON: "),
        (lambda folder: (folder / "model_index.json").write_bytes(b"\xff\xfe"), "cannot be read as text in UTF-8"),
        (lambda folder: (folder / "model_index.json").write_text("[]"), "model_index.json holds a list, expected"),
        (lambda folder: (folder / "model_index.json").write_text("{}"), "model_index.json names no pipeline"),
        (without_safetensors, r"expected weights as \.safetensors; .* has none; convert it with save_pretrained"),
        (
            pickled,
            "expected weights as .safetensors; found unet/diffusion_pytorch_model.bin, which may run code when read",
        ),
        (own_component, r"wants to run code of its own \(unet\); such models are refused"),
        (own_component_beside, r"wants to run code of its own \(unet\); such models are refused"),
        (own_pipeline, r"wants to run code of its own \(_class_name\); such models are refused"),
        (lambda folder: shutil.rmtree(folder / "unet"), "tiny lacks unet; expected a directory written by `save_pre"),
        (lambda folder: change_index(folder, _class_name="NoSuchPipeline"), "diffusers has none of that name"),
        (
            lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"12345678"),
            "diffusion_pytorch_model.safetensors is not safetensors, whatever its name says, or it is damaged; fetch",
        ),
        (lambda folder: (folder / DEFAULTS_FILE).write_text("{"), "diffusion_tricks.json is not valid JSON: "),
        (
            lambda folder: (folder / DEFAULTS_FILE).write_text('{"step": 3}'),
            "expected steps, guidance and scheduler: .*step",
        ),
        (
            lambda folder: (folder / DEFAULTS_FILE).write_text('{"steps": "3"}'),
            "steps must be a whole number, 1 or more, got",
        ),
        (
            lambda folder: (folder / DEFAULTS_FILE).write_text('{"guidance": -1}'),
            "guidance must be a number, 0 or more",
        ),
        (
            lambda folder: (folder / DEFAULTS_FILE).write_text('{"scheduler": "eulr"}'),
            "scheduler must be one of ddpm, ",
        ),
    ],
)
def test_a_directory_that_is_refused(copied: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(copied)
    with pytest.raises(ModelError, match=message):
        load_model(copied, device="cpu")


def test_a_pickle_beside_safetensors_is_not_read(copied: Path) -> None:
    (copied / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_model(copied, device="cpu").name == "tiny"


def test_a_model_brings_its_own_defaults(copied: Path) -> None:
    assert load_model(copied, device="cpu").defaults.steps == 50
    (copied / DEFAULTS_FILE).write_text('{"steps": 3, "guidance": 2.5, "scheduler": "euler"}')
    model = load_model(copied, device="cpu")
    assert (model.defaults.steps, model.defaults.guidance) == (3, 2.5)
    steps = list(sample(model, prompt="a"))
    assert len(steps) == 3
    assert type(steps[0].run.scheduler).__name__ == "EulerDiscreteScheduler"


def test_a_device_that_is_not_here() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(
            ModelError, match=r"device 'cuda' was asked for, but torch finds none here; use `device=.cpu.` or"
        ):
            load_model(tiny_pipeline("if"), device="cuda")
    with pytest.raises(UsageError, match="unknown device 'gpu'; expected auto, cpu, cuda, cuda:N or mps"):
        load_model(tiny_pipeline("if"), device="gpu")
    with pytest.raises(UnknownName, match="unknown dtype 'float61'; did you mean 'float16'"):
        load_model(tiny_pipeline("if"), dtype="float61")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")],
)
def test_auto_is_cuda_then_mps_then_cpu(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str) -> None:
    asked: list[Any] = []
    pipe = tiny_pipeline("if")
    monkeypatch.setattr(type(pipe), "to", lambda self, *a, **k: asked.append(a) or self)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    load_model(pipe)
    assert asked[-1][0] == torch.device(expected)


def test_a_pipeline_with_offloading_hooks_stays_where_they_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    pipe = tiny_pipeline("if")
    pipe._all_hooks = [object()]
    monkeypatch.setattr(type(pipe), "to", lambda self, *a, **k: asked.append(a) or self)
    load_model(pipe, device="cpu")
    assert asked == [(None,)]


# What a loaded model answers.


@pytest.fixture
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


def answer(model: Model, asks: list[Ask], size: tuple[int, int] = (16, 16), max_rows: int | None = None) -> Any:
    return batching.answer(model, asks, torch.tensor(500), LEVEL, Terms(size, lambda x, t: 2 * x, max_rows))


def test_asks_of_one_shape_are_one_call_and_are_scaled_for_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    predict = model.family.predict

    def counted(x: torch.Tensor, t: torch.Tensor, rows: Any) -> torch.Tensor:
        calls.append(tuple(x.shape))
        return predict(x, t, rows)

    monkeypatch.setattr(model.family, "predict", counted)
    wide, tall, more = (
        torch.randn(n, 3, h, w, generator=torch.Generator().manual_seed(i))
        for i, (n, h, w) in enumerate(((1, 16, 16), (2, 24, 16), (2, 16, 16)))
    )
    asks = [Ask(wide, "a"), Ask(tall, ("b", None)), Ask(more, "c")]
    answers, rows = answer(model, asks)
    assert calls == [(3, 3, 16, 16), (2, 3, 24, 16)]
    assert rows == 5
    for ask, given in zip(asks, answers, strict=True):
        assert given.x is ask.x
        (alone,), _ = answer(model, [ask], max_rows=1)
        torch.testing.assert_close(given.value, alone.value, rtol=0, atol=1e-5)  # a batch may round otherwise
        torch.testing.assert_close(given.variance, alone.variance, rtol=0, atol=1e-5)
    row = model.encode_prompts(["a"], (16, 16))["a"]
    expected = model.pipe.unet(2 * wide, torch.tensor(500), row["encoder_hidden_states"]).sample
    torch.testing.assert_close(torch.cat([answers[0].value, answers[0].variance], 1), expected, rtol=0, atol=1e-5)


def test_prompts_are_encoded_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Any] = []
    record = model.family.record
    monkeypatch.setattr(model.family, "record", lambda prompts, *how: recorded.extend(prompts) or record(prompts, *how))
    list(sample(model, prompt=["a", "b", "a"], count=3, steps=3))
    list(sample(model, prompt="b", steps=2))
    assert recorded == ["a", "b"]
    list(sample(model, prompt="b", steps=1, size=(24, 24)))
    assert recorded == ["a", "b", "b"]  # SDXL's arguments hold the size


def test_many_prompts_do_not_fill_the_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bytes_of(model.encode_prompts([None], (16, 16))[None])  # twice that of a prompt: recorded with guidance
    monkeypatch.setattr("diffusion_tricks.model.prompt_rows.PROMPT_BYTES", 2 * one)
    model = replace(model, _prompts=PromptRows())
    for prompt in "abcde":
        model.encode_prompts([None, prompt], (16, 16))
    assert {prompt for prompt, _ in model._prompts.rows} == {None, "d", "e"}  # the unconditional, and those used last
    assert list(model.encode_prompts([*"abcde", None], (16, 16))) == [*"abcde", None]
    assert None in {prompt for prompt, _ in model._prompts.rows}


def test_bytes_are_those_of_the_whole_that_a_slice_keeps_alive() -> None:
    both = torch.zeros(2, 1024)
    assert bytes_of({"a": both[:1], "b": [{"c": both[1:]}], "d": "text"}) == both.nbytes
    assert bytes_of({"a": both[:1], "b": torch.zeros(512)}) == both.nbytes + 512 * 4
    assert bytes_of({}) == LEAST


def test_rows_larger_than_all_that_may_be_kept_are_given_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.model.prompt_rows.PROMPT_BYTES", 2 * LEAST)
    kept = PromptRows()
    row = {"text": torch.zeros(1, 1024)}
    assert kept.found(["a", None, "a"], 0, lambda prompts: [row for _ in prompts]) == {"a": row, None: row}
    assert not kept.rows


def full(*arguments: Any, **named: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def full_on_the_cpu(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to all"
    )


@pytest.mark.parametrize("failure", [full, full_on_the_cpu])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("predict", "cpu ran out of memory on 1 row of 16x16; try a smaller `size`, `count=1`"),
        ("record", "cpu ran out of memory while it encoded the prompts; try a smaller"),
        ("decode", "cpu ran out of memory while it decoded 1 picture; try a smaller `size`"),
        ("encode", "cpu ran out of memory while it encoded 1 picture; try"),
    ],
)
def test_a_full_memory_says_what_to_try(
    model: Model, monkeypatch: pytest.MonkeyPatch, what: str, message: str, failure: Callable[..., Any]
) -> None:
    monkeypatch.setattr(model.family, what, failure)
    with pytest.raises(OutOfMemory, match=message):
        final(model) if what in {"predict", "record"} else getattr(model, what)(torch.zeros(1, 3, 16, 16))


def test_a_full_memory_in_a_trick_or_a_scheduler_says_what_to_try(model: Model) -> None:
    from diffusion_tricks import Step, Trick, hookimpl

    class Large(Trick[Any]):
        name = "large"
        failure: Callable[..., Any] = staticmethod(full)

        @hookimpl
        def before_step(self, step: Step) -> None:
            type(self).failure()

    for failure in (full, full_on_the_cpu):
        Large.failure = staticmethod(failure)  # type: ignore[assignment]
        with pytest.raises(OutOfMemory, match="cpu ran out of memory in step 0; try"):
            list(sample(model, prompt="a", steps=1, tricks=[Large()]))


def test_other_failures_of_the_model_are_told_as_its_own(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that does not fit its settings is no fault of a trick or of memory; its cause stays with the error."""

    def wrong(*arguments: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(model.family, "predict", wrong)
    with pytest.raises(ModelError, match=r"its network failed \(RuntimeError: mat1 and mat2") as caught:
        final(model)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(("revision", "lent", "advice"), [
    ("a" * 40, False, "fetch it anew"), (None, True, "check that the parts of its pipeline fit each other"),
    (None, False, r"check that its settings \(config.json\) are those its weights were saved with"),
])  # fmt: skip
def test_what_to_do_about_a_network_that_failed_depends_on_where_it_came_from(
    model: Model, monkeypatch: pytest.MonkeyPatch, revision: str | None, lent: bool, advice: str
) -> None:
    monkeypatch.setattr(model.family, "predict", lambda *_: [][0])
    monkeypatch.setattr(model, "revision", revision)
    monkeypatch.setattr(model.memory, "lent", lent)
    with pytest.raises(ModelError, match=rf"its network failed \(IndexError: .*\); {advice}$"):
        final(model)


def test_text_encoders_are_on_an_accelerator_only_while_they_work(model: Model) -> None:
    model.memory.lent = False  # loaded here, not handed in
    moves: list[tuple[str, str]] = []
    model.pipe.text_encoder.to = lambda device: moves.append(("text_encoder", str(device)))
    model.encode_prompts(["stays"], (16, 16))
    assert moves == []
    model.device = torch.device("meta")  # stands for an accelerator
    model.encode_prompts(["moves"], (16, 16))
    assert moves == [("text_encoder", "meta"), ("text_encoder", "cpu")]
    model.pipe._all_hooks = [object()]  # offloading does it itself
    model.pipe.maybe_free_model_hooks = lambda: None
    model.encode_prompts(["offloaded"], (16, 16))
    assert len(moves) == 2
