"""What is done once and not in every step, and a denoiser that is compiled no more often than it must."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.devices import rungs as ladder
from diffusion_tricks.devices.compile import Compiled, channels_last, memory_format
from diffusion_tricks.devices.memory import Work
from diffusion_tricks.devices.text_encoders import hooked
from diffusion_tricks.devices.transfer import sent
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.replay import replayed
from diffusion_tricks.families.rows import Rows, stacked
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.loading.compiling import cannot_compile, compiled
from diffusion_tricks.model.prompt_rows import COPIES, LEAST
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.types import Row, Size
from diffusion_tricks_plugins import Anagram, Guidance

PAIR = Anagram(views=[("identity", "a rabbit"), ("rotate_cw", "a duck")])
TURNED = Anagram(views=[("flip", "a duck"), ("rotate_ccw", "a rabbit")])


class Network(nn.Module):
    """As small as a denoiser gets: a convolution, and what it hears of time and prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        return (self.convolution(sample) + 0.01 * text.mean((1, 2))[:, None, None, None] * torch.sin(timestep),)


class SmallFamily(Family):
    """Serves `Network`; a prompt is as long as its text."""

    @staticmethod
    def shape_of(parts: Any) -> Shape:
        return Shape(3, (8, 8))

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        return [{"text": torch.full((1, 4, 2), float(len(prompt or "")))} for prompt in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        return replayed(self.pipe.unet, x, t, rows, **more)

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def small(layout: torch.memory_format = torch.contiguous_format) -> Model:
    torch.manual_seed(0)
    network = Network().requires_grad_(False).to(memory_format=layout)
    scheduler = DDIMScheduler(clip_sample=False)
    pipe = SimpleNamespace(unet=network, scheduler=scheduler, components={"unet": network, "scheduler": scheduler})
    return Model(pipe, "small", torch.device("cpu"), torch.float32, Defaults(steps=4), opened=SmallFamily(pipe))


def last(model: Model, **request: Any) -> Tensor:
    return list(sample(model, **{"prompt": "a rabbit"} | request))[-1].x


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """What torch compiled for another test."""
    torch._dynamo.reset()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_run_compiles_its_denoiser_once_for_each_number_of_rows(layout: torch.memory_format) -> None:
    model, counter = small(layout), CompileCounter()
    model.compiled = Compiled(model.family.denoiser, backend=counter)
    request: dict[str, Any] = {"tricks": [PAIR, Guidance(scale=4)], "count": 2, "steps": 6}
    torch.testing.assert_close(last(model, **request), last(small(layout), **request), atol=1e-5, rtol=0)
    assert counter.frame_count == 1
    last(model, tricks=[TURNED, Guidance(scale=4)], count=2)  # x reaches it in other strides
    assert counter.frame_count == 1
    last(model, tricks=[PAIR, Guidance(scale=4, start=0.25, stop=0.75)], count=2)  # and without guidance 4
    assert counter.frame_count == 2
    model.compiled.undo()
    assert "forward" not in vars(model.family.denoiser)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_stride_is_compiled_for_anew(layout: torch.memory_format) -> None:
    network, counter = Network().requires_grad_(False).to(memory_format=layout), CompileCounter()
    x, text = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 2)
    Compiled(network, backend=counter)
    for seen in (x, x.to(memory_format=torch.channels_last), x.transpose(2, 3), x.flip(0)):
        network(seen, torch.tensor(5), text=text.transpose(1, 2).contiguous().transpose(1, 2))
        network(seen, torch.tensor(7), text=text)
    assert counter.frame_count == 1


def test_rows_that_are_left_over_are_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model, counter, asked = small(), CompileCounter(), list[int]()
    model.compiled = Compiled(model.family.denoiser, backend=counter)
    predict = model.family.predict
    monkeypatch.setattr(model.family, "predict", lambda x, t, rows: asked.append(len(x)) or predict(x, t, rows))
    expected = last(small(), count=8, steps=2)
    torch.testing.assert_close(last(model, count=8, steps=2, max_rows=3), expected, atol=1e-5, rtol=0)
    assert asked == [3, 3, 3] * 2  # 2 are left over
    assert counter.frame_count == 1


def test_a_call_is_filled_up_to_less_than_twice_its_rows_and_not_beyond_what_memory_holds() -> None:
    network = Compiled(Network(), backend="eager")
    assert [network.filled(torch.zeros(n, 3, 8, 8)) for n in (8, 5, 4, 3, 2, 1)] == [8, 8, 4, 4, 2, 1]
    assert network.filled(torch.zeros(7, 3, 8, 8), most=7) == 7
    assert network.filled(torch.zeros(7, 3, 8, 4)) == 7  # another size is another network to compile


def test_a_real_denoiser_compiles_whole_and_is_still_recorded() -> None:
    pipe, counter = tiny_pipeline("ddpm"), CompileCounter()
    model, plain = (load_model(p, device="cpu") for p in (pipe, tiny_pipeline("ddpm")))
    model.compiled = Compiled(model.family.denoiser, backend=counter)
    request: dict[str, Any] = {"prompt": "", "steps": 2}
    torch.testing.assert_close(last(model, **request), last(plain, **request), atol=1e-4, rtol=0)
    assert counter.frame_count == 1  # no graph breaks: one frame
    texts = load_model(tiny_pipeline("if"), device="cpu")
    texts.compiled = Compiled(texts.family.denoiser, backend=counter)
    texts.encode_prompts(["a rabbit", None], (16, 16))
    assert counter.frame_count == 1  # what records is not compiled
    assert vars(texts.family.denoiser)["forward"] == texts.compiled._forward


def test_what_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(
        UsageError, match="'small' cannot be compiled: there is no C\\+\\+ compiler here; leave `compile`"
    ):
        compiled(model)
    model.device = torch.device("mps")
    assert cannot_compile(model) == "torch does not compile for mps"
    model.device = torch.device("cuda")
    monkeypatch.setattr("diffusion_tricks.devices.compile.find_spec", lambda name: None)
    assert "triton is not installed" in str(cannot_compile(model))
    model.family.denoiser.hf_quantizer = object()  # type: ignore[assignment]
    assert cannot_compile(model) == "its weights are quantised"
    model.family.denoiser._hf_hook = object()  # type: ignore[assignment]
    assert "by `memory` or hooks of its own" in str(cannot_compile(model))


def test_a_model_that_memory_is_too_short_for_is_not_compiled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "may_offload", lambda holder: not hooked(holder.pipe))
    model = load_model(tiny_pipeline("ddpm"), device="cpu")
    assert ladder.models_offloaded(model, Work()) is not None
    assert compiled(model).compiled is None
    notes, _ = model.memory.told()
    assert notes[-1].startswith("not compiled, for lack of memory: its parts move on and off the device")
    model.memory.mode = "low"  # that is asked for, and so is compiling: one of them is to be left out
    with pytest.raises(UsageError, match="`memory` or hooks of its own; leave `compile` out"):
        compiled(model)


def test_a_compiler_that_fails_is_explained() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("no such kernel")

    model = small()
    model.compiled = Compiled(model.family.denoiser, backend=broken)
    with pytest.raises(ModelError, match=r"Network cannot be compiled here: .*no such kernel; leave `compile` out"):
        last(model)


def test_offloading_ends_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "may_offload", lambda holder: not hooked(holder.pipe))
    model = load_model(tiny_pipeline("ddpm"), device="cpu")
    model.compiled = Compiled(model.family.denoiser, backend="eager")
    assert ladder.models_offloaded(model, Work()) is not None
    assert model.compiled is None
    assert torch.equal(
        last(model, prompt="", steps=2), last(load_model(tiny_pipeline("ddpm"), device="cpu"), prompt="", steps=2)
    )


def test_the_outputs_of_a_graph_are_copied() -> None:
    """CUDA graphs write each output over the last."""
    kept = torch.zeros(1, 3, 8, 8)

    class Overwriting(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
            return kept.add_(x), [kept]

    network = Overwriting()
    call = Compiled(network, backend="eager", graphs=False)
    call.graphs, call._run = True, type(network).forward.__get__(network)
    (first, _), (second, _) = (network(torch.ones(1, 3, 8, 8)) for _ in range(2))
    assert (float(first.mean()), float(second.mean())) == (1, 2)


def test_prompts_are_put_together_once_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusion_tricks.families import rows

    model, joined = small(), list[int]()
    original = rows._joined
    monkeypatch.setattr(rows, "_joined", lambda values: joined.append(len(values)) or original(values))
    last(model, tricks=[PAIR, Guidance(scale=4)], count=2, steps=6)
    assert joined == [8]
    last(model, tricks=[PAIR, Guidance(scale=4)], count=2, steps=6, max_rows=3)
    assert joined == [8, 3, 3, 2]


def test_batches_that_are_remembered_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.model.prompt_rows.BATCH_BYTES", 7 * COPIES * LEAST)
    monkeypatch.setattr("diffusion_tricks.model.prompt_rows.bytes_of", lambda row: LEAST)
    model = small()
    for count in range(1, 5):
        last(model, count=count, steps=1)
    assert [len(batch) for batch in model._prompts.batches.values()] == [3, 4]


def test_rows_are_stacked_as_ever_and_nothing_that_is_taken_from_them_is_lost() -> None:
    made: list[Row] = [
        {
            "text": torch.full((1, 2), float(i)),
            "all": torch.tensor(3.0),
            "more": {"ids": torch.full((1, 1), i)},
            "list": [i],
        }
        for i in range(3)
    ]
    rows = Rows(made)
    for _ in range(2):
        batch, expected = stacked(rows), stacked(made)
        assert torch.equal(batch["text"], expected["text"])
        assert torch.equal(batch["more"]["ids"], torch.tensor([[0], [1], [2]]))
        assert (batch["list"], float(batch["all"])) == ([0, 1, 2], 3.0)
        batch["more"].pop("ids")
        batch["list"].clear()
    assert set(stacked(rows, without=frozenset({"text"}))) == {"all", "more", "list"}
    assert torch.equal(stacked(rows.at([2, 0, 0]))["text"][:, 0], torch.tensor([2.0, 0, 0]))
    assert rows.at([0, 1, 2]) is rows
    assert rows.at([1, 2]) is rows.at([1, 2])
    assert Rows([*made, {**made[0], "text": torch.zeros(1, 5)}]).kinds == [[0, 1, 2], [3]]


def test_layouts() -> None:
    pipe = tiny_pipeline("sd")
    assert memory_format(pipe.unet) == torch.contiguous_format
    before = pipe.unet(torch.ones(1, 4, 8, 8), 5, torch.ones(1, 7, pipe.unet.config.cross_attention_dim)).sample
    channels_last(pipe)
    assert memory_format(pipe.unet) == memory_format(pipe.vae) == torch.channels_last
    after = pipe.unet(torch.ones(1, 4, 8, 8), 5, torch.ones(1, 7, pipe.unet.config.cross_attention_dim)).sample
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    flux = tiny_pipeline("flux")
    channels_last(flux)
    assert memory_format(flux.vae) == torch.contiguous_format


def test_what_is_sent_arrives() -> None:
    x = torch.arange(3.0)
    assert sent(x, "cpu") is x
    assert sent(x, torch.device("cpu"), torch.float64).dtype == torch.float64
    assert sent(x, "meta").is_meta
