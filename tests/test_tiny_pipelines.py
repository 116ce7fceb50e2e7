"""The tiny pipelines of every family: they run, hear what they are told, survive a directory, repeat themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline
from PIL import Image
from torch import Tensor

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import UnknownName
from diffusion_tricks.testing.pipelines import (
    CONTROLNETS,
    FAMILIES,
    KINDS,
    tiny_arguments,
    tiny_controlnet,
    tiny_pipeline,
)
from diffusion_tricks.testing.tiny.weights import networks

VISIBLE = 0.002  # mean difference of two pictures in 0..1; half a step of 8 bits
EXACT = {"rtol": 0.0, "atol": 0.0}


def picture(pipe: DiffusionPipeline, arguments: dict[str, Any], **more: Any) -> Tensor:
    """Of the pipeline's own `__call__` in two steps: (b h w c) in 0..1."""
    generator = torch.Generator().manual_seed(3)
    asked = {**arguments, "num_inference_steps": 2, "generator": generator, "output_type": "np", **more}
    with quiet_libraries():
        return torch.as_tensor(pipe(**asked).images)


@pytest.fixture(scope="module", params=FAMILIES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pipe(kind: str) -> DiffusionPipeline:
    return tiny_pipeline(kind)


@pytest.fixture(scope="module")
def rabbit(kind: str, pipe: DiffusionPipeline) -> Tensor:
    return picture(pipe, tiny_arguments(kind, "a rabbit"))


def weights(made: Any) -> dict[str, Tensor]:
    return {f"{i} {name}": value for i, net in enumerate(networks(made)) for name, value in net.state_dict().items()}


def test_it_runs_its_own_call(kind: str, rabbit: Tensor) -> None:
    side = FAMILIES[kind].side
    assert rabbit.shape == (1, side, side, 3)
    assert rabbit.std() > 0.05
    assert ((rabbit > 0) & (rabbit < 1)).float().mean() > 0.3  # not clipped flat


def test_it_hears_its_prompt(kind: str, pipe: DiffusionPipeline, rabbit: Tensor) -> None:
    duck = picture(pipe, tiny_arguments(kind, "a duck on a hat"))
    if FAMILIES[kind].prompted:
        assert (rabbit - duck).abs().mean() > VISIBLE
    else:
        torch.testing.assert_close(rabbit, duck, **EXACT)


def test_it_hears_its_timestep(kind: str, pipe: DiffusionPipeline) -> None:
    calls: list[tuple[list[Any], dict[str, Any]]] = []
    network = getattr(pipe, "transformer", None) or pipe.unet
    hook = network.register_forward_pre_hook(lambda _, args, kw: calls.append(([*args], {**kw})), with_kwargs=True)
    picture(pipe, tiny_arguments(kind))
    hook.remove()
    args, keywords = calls[0]
    here = answer(network, args, keywords)
    if "timestep" in keywords:
        keywords["timestep"] = elsewhere(keywords["timestep"])
    else:
        args[1] = elsewhere(args[1])
    assert (answer(network, args, keywords) - here).abs().mean() > 0.01 * here.std()


def elsewhere(t: Tensor) -> Tensor:
    return t * 0.5 if t.any() else t + 0.5  # Z-Image counts from 0 to 1, the others down from the noisy end


def answer(network: torch.nn.Module, args: list[Any], keywords: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        given = network(*args, **{**keywords, "return_dict": False})[0]
    return torch.stack(given) if isinstance(given, list) else given


def test_it_comes_back_from_a_directory(kind: str, pipe: DiffusionPipeline, rabbit: Tensor, tmp_path: Path) -> None:
    with quiet_libraries():
        pipe.save_pretrained(tmp_path, safe_serialization=True)
        again = DiffusionPipeline.from_pretrained(tmp_path, use_safetensors=True, local_files_only=True)
    assert type(again) is type(pipe)
    assert not [*tmp_path.rglob("*.bin")]
    torch.testing.assert_close(weights(again), weights(pipe), **EXACT)
    aligned(again)
    torch.testing.assert_close(picture(again, tiny_arguments(kind, "a rabbit")), rabbit, **EXACT)


def aligned(pipe: DiffusionPipeline) -> None:
    """safetensors maps weights to odd addresses, where matrix products may round their last bit otherwise."""
    pipe.set_progress_bar_config(disable=True)
    for network in networks(pipe):
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()


def test_a_seed_makes_the_same_weights_and_leaves_the_global_random_state(kind: str, pipe: DiffusionPipeline) -> None:
    state = torch.get_rng_state()
    again, other = weights(tiny_pipeline(kind)), weights(tiny_pipeline(kind, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(again, weights(pipe), **EXACT)
    assert not all(torch.equal(other[name], value) for name, value in again.items())
    assert all(value.dtype == torch.float32 for value in again.values() if value.is_floating_point())


@pytest.mark.parametrize(
    ("kind", "argument", "values"),
    [
        ("lcm", "guidance_scale", (2.0, 9.0)),
        ("flux", "guidance_scale", (1.0, 9.0)),
        ("flux-fill", "guidance_scale", (1.0, 40.0)),
        ("x4", "noise_level", (5, 200)),
        ("x4", "image", (Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16), "white"))),
        *(
            (kind, "image", (Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16), "white")))
            for kind in ("sd-inpaint", "sdxl-inpaint", "flux-fill")
        ),
    ],
)
def test_it_hears_what_is_its_own(kind: str, argument: str, values: tuple[Any, Any]) -> None:
    pipe, arguments = tiny_pipeline(kind), tiny_arguments(kind)
    one, two = (picture(pipe, {**arguments, argument: value}) for value in values)
    assert (one - two).abs().mean() > VISIBLE


def test_schnell_has_no_strength_of_guidance() -> None:
    pipe, arguments = tiny_pipeline("schnell"), tiny_arguments("schnell")
    one, two = (picture(pipe, arguments, guidance_scale=scale) for scale in (1.0, 9.0))
    torch.testing.assert_close(one, two, **EXACT)


def test_the_words_before_a_qwen_prompt_are_as_many_as_are_cut_off() -> None:
    pipe = tiny_pipeline("qwen")
    before = pipe.prompt_template_encode.split("{}")[0]
    assert len(pipe.tokenizer(before).input_ids) == pipe.prompt_template_encode_start_idx


@pytest.mark.parametrize("kind", CONTROLNETS)
def test_a_controlnet_has_a_visible_effect_and_comes_back(kind: str, tmp_path: Path) -> None:
    classes = {"sd": StableDiffusionControlNetPipeline, "sdxl": StableDiffusionXLControlNetPipeline}
    net, more = tiny_controlnet(kind), {"sd": {"requires_safety_checker": False}, "sdxl": {"add_watermarker": False}}
    net.save_pretrained(tmp_path)
    pipe = classes[kind](**tiny_pipeline(kind).components, controlnet=net, **more[kind])
    pipe.set_progress_bar_config(disable=True)
    stripes, plain = Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16))
    stripes.paste((255, 255, 255), (0, 4, 16, 8))
    seen = picture(pipe, tiny_arguments(kind), image=stripes)
    assert (seen - picture(pipe, tiny_arguments(kind), image=plain)).abs().mean() > VISIBLE
    assert (seen - picture(tiny_pipeline(kind), tiny_arguments(kind))).abs().mean() > VISIBLE
    reloaded = type(net).from_pretrained(tmp_path, use_safetensors=True, local_files_only=True)
    torch.testing.assert_close(weights(reloaded), weights(tiny_controlnet(kind)), **EXACT)


def test_the_kinds_of_old_are_families_and_a_wrong_one_is_refused() -> None:
    assert set(KINDS) < set(FAMILIES)
    with pytest.raises(UnknownName, match="unknown kind of tiny pipeline 'fluks'; did you mean 'flux'"):
        tiny_pipeline("fluks")
    with pytest.raises(UnknownName, match="unknown kind of tiny ControlNet 'sdx'; did you mean 'sdxl'"):
        tiny_controlnet("sdx")
