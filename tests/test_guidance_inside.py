"""Guidance by a network that is hindered inside, against diffusers' own pipelines for it, and what hinders it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import StableDiffusion3PAGPipeline, StableDiffusionPAGPipeline, StableDiffusionXLPAGPipeline
from torch import Tensor

from diffusion_tricks import Model, PluginError, UsageError, load_model, sample
from diffusion_tricks.plugin import Ask, Asking, Attended, Attention, Step, Trick, TrickOptions, Without, hookimpl
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Cache, Guidance

STEPS, SCALE, PAG = 3, 4.0, 2.5
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    kinds = ("if", "sd", "sdxl", "sd3", "flux", "qwen", "pixart", "zimage", "sana")
    return {kind: load_model(tiny_pipeline(kind), device="cpu") for kind in kinds}


def noise(model: Model, count: int = 1) -> Tensor:
    family, (width, height) = model.family, model.family.size
    shape = (count, family.channels, height // family.scale, width // family.scale)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def made(model: Model, **options: Any) -> Tensor:
    tricks = [Guidance(scale=SCALE, **options)]
    return list(sample(model, prompt="a duck", tricks=tricks, latents=noise(model), steps=STEPS))[-1].x


def without_norms(pipe: Any) -> Any:
    """As of SD3.0: the PAG of diffusers leaves out the norms that SD3.5's queries and keys have."""
    for block in pipe.transformer.transformer_blocks:
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(block.attn, name, None)
    return pipe


@pytest.mark.parametrize(
    ("kind", "pipeline", "theirs", "ours"),
    [
        ("sd", StableDiffusionPAGPipeline, "mid", "mid_block"),
        ("sd", StableDiffusionPAGPipeline, "down_blocks", "down_blocks"),
        ("sdxl", StableDiffusionXLPAGPipeline, "mid", "mid_block"),
        ("sd3", StableDiffusion3PAGPipeline, "blocks.1", "blocks.1."),
    ],
)
def test_pag_is_that_of_diffusers(models: dict[str, Model], kind: str, pipeline: Any, theirs: str, ours: str) -> None:
    model = models[kind] if kind != "sd3" else load_model(without_norms(tiny_pipeline("sd3")), device="cpu")
    own = pipeline.from_pipe(model.pipe, pag_applied_layers=[theirs])
    processors = dict(model.family.denoiser.attn_processors)
    own.set_progress_bar_config(disable=True)
    width, height = model.family.size
    try:
        expected = own(
            "a duck", latents=noise(model), num_inference_steps=STEPS, guidance_scale=SCALE, pag_scale=PAG,
            output_type="latent", width=width, height=height,
        ).images  # fmt: skip
    finally:
        model.family.denoiser.set_attn_processor(processors)
    got = made(model, pag=PAG, layers=[ours])
    torch.testing.assert_close(got, expected, **CLOSE)
    assert (got - made(model)).abs().max() > 1e-3


def test_skipped_layers_are_those_of_diffusers(models: dict[str, Model]) -> None:
    model = models["sd3"]
    width, height = model.family.size
    expected = model.pipe(
        "a duck", latents=noise(model), num_inference_steps=STEPS, guidance_scale=SCALE, skip_guidance_layers=[0],
        skip_layer_guidance_scale=2.0, skip_layer_guidance_start=-1.0, skip_layer_guidance_stop=0.5,
        output_type="latent", width=width, height=height,
    ).images  # fmt: skip
    got = made(model, skip=[0], skip_scale=2.0, skip_start=0.0, skip_stop=0.5)
    torch.testing.assert_close(got, expected, **CLOSE)
    assert (got - made(model)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["if", "sd", "sdxl", "sd3", "flux", "qwen", "pixart"])
@pytest.mark.parametrize("option", ["pag", "seg"])
def test_every_family_can_be_hindered_and_is_itself_again(models: dict[str, Model], kind: str, option: str) -> None:
    model = models[kind]

    def first(**options: Any) -> Step:
        tricks = [Guidance(scale=1, **options)]
        return next(iter(sample(model, prompt="a duck", tricks=tricks, steps=2, size=(32, 32), seed=1)))

    hooks = {name: len(m._forward_hooks) for name, m in model.family.denoiser.named_modules()}
    before, hindered, after = first(), first(**{option: 2.0}), first()
    assert hindered.rows == 2
    assert not torch.equal(hindered.x, before.x)
    assert torch.equal(before.x, after.x)
    assert hooks == {name: len(m._forward_hooks) for name, m in model.family.denoiser.named_modules()}


@torch.no_grad()
def test_seg_without_end_asks_with_the_mean_of_the_queries(models: dict[str, Model]) -> None:
    model = models["sd"]
    pipe: Any = model.pipe
    first = next(iter(sample(model, prompt="a duck", tricks=[Guidance(scale=1, seg=2)], latents=noise(model), steps=3)))
    pipe.scheduler.set_timesteps(3)
    text = pipe.encode_prompt("a duck", "cpu", 1, False)[0]
    x, t = noise(model) * pipe.scheduler.init_noise_sigma, pipe.scheduler.timesteps[0]
    asked = pipe.scheduler.scale_model_input(x, t)
    cond = pipe.unet(asked, t, encoder_hidden_states=text)[0]
    queries = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    handle = queries.register_forward_hook(lambda _, __, out: out.mean(1, keepdim=True).expand_as(out))
    blurred = pipe.unet(asked, t, encoder_hidden_states=text)[0]
    handle.remove()
    torch.testing.assert_close(first.estimate.value, cond + 2 * (cond - blurred), **CLOSE)


class Watching(Trick[TrickOptions]):
    """Asks once as it is, and once with something inside."""

    name = "watching"

    def __init__(self, inside: Any) -> None:
        super().__init__()
        self.inside = inside
        self.answers: list[Any] = []

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        self.answers = yield [ask, ask.but(inside=self.inside)]
        return self.answers[1]


def watched(model: Model, inside: Any, **more: Any) -> Watching:
    trick = Watching(inside)
    next(iter(sample(model, prompt="a duck", tricks=[trick], steps=2, seed=1, **more)))
    return trick


@pytest.mark.parametrize("kind", ["if", "sd", "sdxl", "sd3", "flux", "qwen"])
def test_attention_is_its_weights_times_its_values(models: dict[str, Model], kind: str) -> None:
    met: list[Attended] = []

    def same(seen: Attended) -> Tensor:
        met.append(seen)
        weights = seen.weights
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-5)
        text, picture = (part.stop - part.start for part in (seen.text, seen.picture))
        assert text + picture == seen.key.shape[2]
        return seen.of(weights)

    trick = watched(models[kind], Attention(same), size=(32, 16), count=2, max_rows=1)
    torch.testing.assert_close(trick.answers[0].value, trick.answers[1].value, rtol=0, atol=1e-5)
    assert {seen.rows for seen in met} == {(0,), (1,)}
    assert all(seen.shape[1] == 2 * seen.shape[0] for seen in met)
    assert {seen.kind for seen in met} <= {"self", "cross", "joint"}


def test_nothing_stays_inside_after_an_error(models: dict[str, Model]) -> None:
    model = models["sd"]

    def broken(seen: Attended) -> Tensor:
        raise ValueError("broken")

    with pytest.raises(Exception, match="broken"):
        watched(model, Attention(broken))
    with pytest.raises(Exception, match="broken"):
        watched(model, Attention(broken, only=("mid_block",)))
    modules = model.family.denoiser.modules()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    block = models["sd3"].family.denoiser.transformer_blocks[0]
    watched(models["sd3"], Without([0]))
    assert "forward" not in vars(block)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sd", {"skip": [0]}, "UNet2DConditionModel has no layers that can be left out"),
        ("sd3", {"skip": [7]}, r"`skip` names layers from 0 to \d of this model, got 7"),
        ("sd", {"pag": 1, "layers": ["nowhere"]}, r"no attention called 'nowhere'.*there are down_blocks"),
        ("zimage", {"pag": 1}, "none of it can be changed"),
        ("sana", {"seg": 1}, "in a way that `pag` and `seg` cannot change"),
    ],
)
def test_what_a_network_lacks_is_refused(models: dict[str, Model], kind: str, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(sample(models[kind], prompt="a duck", tricks=[Guidance(scale=2, **options)], steps=2))


def test_a_cache_knows_no_changed_network(models: dict[str, Model]) -> None:
    with pytest.raises(UsageError, match="which a cache does not know"):
        list(sample(models["sd"], prompt="a duck", tricks=[Guidance(pag=2), Cache(method="pyramid")], steps=2))


def test_gradients_are_those_of_the_network(models: dict[str, Model]) -> None:
    model = models["sd"]
    found: dict[str, Tensor] = {}

    class Slope(Trick[TrickOptions]):
        name = "slope"

        @hookimpl
        def estimate_noise(self, ask: Ask, step: Step) -> Asking:
            x = ask.x.detach().requires_grad_()
            plain, followed = yield [ask, ask.but(x=x, gradient=True)]
            assert torch.equal(plain.value, followed.value)
            assert not plain.value.requires_grad
            (found["slope"],) = torch.autograd.grad(followed.clean.square().sum(), x)
            found["x"], found["clean"] = x.detach(), plain.clean
            return followed

    steps = iter(sample(model, prompt="a duck", tricks=[Slope()], steps=3, seed=1, count=2))
    step = next(steps)
    assert step.differentiated == 2
    assert step.rows == 4
    assert not step.x.requires_grad
    assert all(weight.requires_grad for weight in model.family.denoiser.parameters())
    direction = torch.randn(found["x"].shape, generator=torch.Generator().manual_seed(2))
    pipe: Any = model.pipe
    level, t, text = step.level, step.t, pipe.encode_prompt("a duck", "cpu", 1, False)[0].expand(2, -1, -1)

    def loss(x: Tensor) -> Tensor:
        with torch.no_grad():
            scaled = step.run.terms.scale_input(x, t)
            return level.clean(pipe.unet(scaled, t, encoder_hidden_states=text)[0], x).square().sum()

    h = 1e-3
    along = (loss(found["x"] + h * direction) - loss(found["x"] - h * direction)) / (2 * h)
    torch.testing.assert_close((found["slope"] * direction).sum(), along, rtol=2e-2, atol=0)


def test_a_gradient_is_asked_of_an_x_that_asks_for_one(models: dict[str, Model]) -> None:
    class Forgetful(Trick[TrickOptions]):
        name = "forgetful"

        @hookimpl
        def estimate_noise(self, ask: Ask, step: Step) -> Asking:
            return (yield [ask.but(gradient=True)])[0]

    with pytest.raises(PluginError, match="requires_grad_"):
        list(sample(models["sd"], prompt="a duck", tricks=[Forgetful()], steps=2))
