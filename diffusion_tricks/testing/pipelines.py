"""Tiny pipelines with random weights, built offline in well under a second: the families of models, small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusers import ControlNetModel, DiffusionPipeline
from PIL import Image, ImageDraw

from diffusion_tricks.errors import UnknownName
from diffusion_tricks.families.transformer import AS_ASKED
from diffusion_tricks.testing.tiny import captions, flows, latents, pixels
from diffusion_tricks.testing.tiny.texts import TEXT_WIDTH
from diffusion_tricks.testing.tiny.weights import built

Kind = Literal["if", "sd", "sd-v", "sdxl"]
KINDS: tuple[Kind, ...] = ("if", "sd", "sd-v", "sdxl")  # of FAMILIES, those where a UNet needs a prompt alone
SIDE = 16  # pixels


@dataclass(frozen=True)
class TinyFamily:
    """One row of FAMILIES: how a tiny pipeline is built, and what the pipeline's own `__call__` is to be given.

    build: draws the weights from torch's global random state. arguments: of the call, those that hold for every
    prompt. pictures: names of the call's arguments that are pictures, see `tiny_arguments`. prompted: the call takes a
    prompt. side: of the pictures that come out, in pixels.
    """

    build: Callable[[], DiffusionPipeline]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    prompted: bool = True
    side: int = SIDE


SIZED = {"height": SIDE, "width": SIDE}  # of pipelines that else make pictures of the large model's size
SANA_SIDE = 2 * SIDE  # its pipeline asks for multiples of 32
MASKED = ("image", "mask_image")
FAMILIES: dict[str, TinyFamily] = {
    "if": TinyFamily(pixels.deepfloyd, {"clean_caption": False}),
    "sd": TinyFamily(latents.stable_diffusion),
    "sd-v": TinyFamily(lambda: latents.stable_diffusion("v_prediction")),
    "sd-zsnr": TinyFamily(latents.zero_terminal_snr),
    "sdxl": TinyFamily(latents.stable_diffusion_xl),
    "lcm": TinyFamily(latents.latent_consistency),
    "turbo": TinyFamily(latents.sdxl_turbo, {"guidance_scale": 0.0}),
    "sd-inpaint": TinyFamily(latents.stable_diffusion_inpainting, SIZED, MASKED),
    "sdxl-inpaint": TinyFamily(latents.sdxl_inpainting, {**SIZED, "strength": 1.0}, MASKED),  # not 0.9999
    "sd3": TinyFamily(flows.stable_diffusion_3),
    "flux": TinyFamily(flows.flux_dev, SIZED),
    "schnell": TinyFamily(flows.flux_schnell, SIZED),
    "flux-fill": TinyFamily(flows.flux_fill, SIZED, MASKED),
    "qwen": TinyFamily(flows.qwen_image, SIZED),
    "zimage": TinyFamily(flows.z_image, SIZED),
    "pixart": TinyFamily(captions.pixart_sigma, AS_ASKED),
    "sana": TinyFamily(captions.sana, {**AS_ASKED, "height": SANA_SIDE, "width": SANA_SIDE}, side=SANA_SIDE),
    "x4": TinyFamily(latents.x4_upscaler, pictures=("image",), side=4 * SIDE),
    "ddpm": TinyFamily(pixels.ddpm, prompted=False),
    "ddim": TinyFamily(pixels.ddim, prompted=False),
}
CONTROLNETS: dict[str, Callable[[], ControlNetModel]] = {
    "sd": latents.stable_diffusion_controlnet,
    "sdxl": latents.sdxl_controlnet,
}


def tiny_pipeline(kind: str, seed: int = 0) -> DiffusionPipeline:
    """A working pipeline of a family with tiny random weights, on the CPU in float32; mostly 16 x 16 pixels.

    kind: a name in FAMILIES: "if", DeepFloyd IF stage I with learned variance; "sd", Stable Diffusion 1.x; "sd-v", the
    v-prediction of 2.x; "sdxl"; "flux"; ... seed: of the weights; the global random state is left as it was. Prompts
    and timesteps change the output visibly, and `save_pretrained` works, so it also stands in for a model directory.
    Raises UnknownName for any other kind.
    """
    return _silent(built(_family(kind).build, seed))


def tiny_arguments(kind: str, prompt: str | list[str] = "a rabbit") -> dict[str, Any]:
    """What the own `__call__` of `tiny_pipeline(kind)` is to be given, but for steps, generator and output type.

    prompt: left out for families that take none. Families that start from a picture get a drawing of 16 x 16 pixels
    and a mask that has its right half made new.
    """
    family = _family(kind)
    pictures = {"image": _drawing(), "mask_image": _right_half()}
    asked = {"prompt": prompt} if family.prompted else {}
    return {**asked, **family.arguments, **{name: pictures[name] for name in family.pictures}}


def tiny_upscaler(side: int = 64, text_width: int = TEXT_WIDTH, seed: int = 1) -> DiffusionPipeline:
    """A working upscaler of the kind of DeepFloyd IF II with tiny random weights, without a text encoder of its own.

    side: of its pictures in pixels; 64 goes with the 16 of `tiny_pipeline("if")`. text_width: of the embeddings that
    its base model makes. seed: as for `tiny_pipeline`.
    """
    return _silent(built(lambda: pixels.deepfloyd_upscaler(side, text_width), seed))


def tiny_controlnet(kind: str, seed: int = 2) -> ControlNetModel:
    """A ControlNet with tiny random weights and a visible effect, to go with `tiny_pipeline(kind)`.

    kind: "sd", which also fits "sd-v" and "sd-zsnr", or "sdxl", which also fits "turbo". Its control pictures have the
    size of the output. seed: as for `tiny_pipeline`. Raises UnknownName for any other kind.
    """
    if kind not in CONTROLNETS:
        raise UnknownName("kind of tiny ControlNet", kind, CONTROLNETS)
    return built(CONTROLNETS[kind], seed)


def _family(kind: str) -> TinyFamily:
    if kind not in FAMILIES:
        raise UnknownName("kind of tiny pipeline", kind, FAMILIES)
    return FAMILIES[kind]


def _silent(pipe: DiffusionPipeline) -> DiffusionPipeline:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _drawing() -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (230, 220, 190))
    ImageDraw.Draw(picture).ellipse((3, 4, 11, 13), fill=(40, 90, 160))
    return picture


def _right_half() -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (SIDE // 2, 0, SIDE, SIDE))
    return mask
