"""The families of models: which pipelines of diffusers each serves, and how its models are run unless told otherwise.

A new family is one row and the class that it names. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families import enlarging, shapes
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.enlarging import Enlarging
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import PROJECT, hookimpl
from diffusion_tricks.types import Parts

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults


def _always(parts: Parts) -> bool:
    return True


def _distilled(parts: Parts) -> bool:
    return bool(parts["transformer"].get("guidance_embeds"))


def _consistent(parts: Parts) -> bool:
    return parts["unet"].get("time_cond_proj_dim") is not None


def _classes(parts: Parts) -> bool:
    return bool(parts["unet"].get("num_class_embeds"))


def _edm(parts: Parts) -> bool:
    return str(parts.get("scheduler", {}).get("_class_name")).startswith("EDM")


def _few_steps(parts: Parts) -> bool:
    """By a scheduler made for that, or by noise that begins at the very end of a schedule that does not end in it."""
    scheduler = parts.get("scheduler", {})
    if scheduler.get("_class_name") in FEW_STEPS:
        return True
    whole = scheduler.get("rescale_betas_zero_snr") or scheduler.get("prediction_type") == "v_prediction"
    return scheduler.get("timestep_spacing") == "trailing" and not whole


@dataclass(frozen=True)
class Serves:
    """A class of families, and its arithmetic.

    opens: "module:class" of a `Family`. of: the shape of a model of these parts; it raises ModelError where none is
    served.
    """

    opens: str
    of: Callable[[Parts], Shape]

    def shape(self, parts: Parts) -> Shape:
        """What a model of these parts makes and takes. Raises ModelError, also for settings of a wrong kind."""
        try:
            return self.of(parts)
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ModelError(f"the settings of the model hold what cannot be ({why}); fetch it anew") from error


@dataclass(frozen=True)
class FamilyRow:
    """One family, or a kind of model within it.

    title: for people. pipelines: class names of diffusers. serves: what opens it. defaults: of its models, where they
    have no file of their own. dtype: on an accelerator. when: whether a model of these configurations is of this kind.
    notes: what people should know, a sentence each. enlarges: what an upscaler makes and takes.
    """

    title: str
    pipelines: tuple[str, ...]
    serves: Serves
    defaults: Defaults = field(default_factory=Defaults)
    dtype: str = "float16"
    when: Callable[[Parts], bool] = _always
    notes: tuple[str, ...] = ()
    enlarges: Enlarging | None = None


UNET = Serves("diffusion_tricks.families.unet:UNetFamily", shapes.of_conditional_unet)
PLAIN = Serves("diffusion_tricks.families.plain:PlainFamily", shapes.of_plain_unet)
SD3 = Serves("diffusion_tricks.families.sd3:StableDiffusion3Family", shapes.of_sd3)
FLUX = Serves("diffusion_tricks.families.flux:FluxFamily", shapes.of_flux)
QWEN = Serves("diffusion_tricks.families.qwen:QwenImageFamily", shapes.of_qwen)
ZIMAGE = Serves("diffusion_tricks.families.zimage:ZImageFamily", shapes.of_zimage)
PIXART = Serves("diffusion_tricks.families.pixart:PixArtFamily", shapes.of_pixart)
SANA = Serves("diffusion_tricks.families.sana:SanaFamily", shapes.of_sana)
SD, SDXL = ("StableDiffusionPipeline",), ("StableDiffusionXLPipeline",)
WITHOUT_TEXT = ("DDPMPipeline", "DDIMPipeline")
SEES_MASK = 'it sees mask and picture; inpaint leaves its steps alone, unless told to `blend="on"`.'
FEW_STEPS = ("LCMScheduler", "TCDScheduler")
UNGUIDED = "distilled to few steps without guidance: leave its scale at 1."
TWO_GUIDANCES = (
    "its distilled guidance is an input learnt in training, and costs nothing; guidance by a second answer is another "
    "thing, off at scale 1, and costs a second row."
)
UNBINNED = "the size that is asked is made; its pipeline would round it to one of a table and resize the picture."
FAMILIES: tuple[FamilyRow, ...] = (
    FamilyRow("DeepFloyd IF, stage I", ("IFPipeline",), UNET),
    FamilyRow(
        "latent consistency models", ("LatentConsistencyModelPipeline", *SD, *SDXL), UNET,
        Defaults(steps=4, guidance=1.0, distilled_guidance=8.5), when=_consistent, notes=(TWO_GUIDANCES,),
    ),
    FamilyRow(
        "Stable Diffusion in few steps (Turbo, LCM, TCD)", SD, UNET, Defaults(steps=4, guidance=1.0), when=_few_steps,
        notes=(UNGUIDED,),
    ),
    FamilyRow("Stable Diffusion 1.x and 2.x", SD, UNET),
    FamilyRow(
        "Stable Diffusion XL in few steps (Turbo, Lightning, LCM, TCD)", SDXL, UNET, Defaults(steps=4, guidance=1.0),
        when=_few_steps, notes=(UNGUIDED,),
    ),
    FamilyRow(
        "Stable Diffusion XL with EDM's scaling (Playground v2.5)", SDXL, UNET, Defaults(steps=50, guidance=3.0),
        when=_edm, notes=("it follows no scheduler but its own.",),
    ),
    FamilyRow("Stable Diffusion XL", SDXL, UNET),
    FamilyRow("Stable Diffusion that inpaints", ("StableDiffusionInpaintPipeline",), UNET, notes=(SEES_MASK,)),
    FamilyRow("Stable Diffusion XL that inpaints", ("StableDiffusionXLInpaintPipeline",), UNET, notes=(SEES_MASK,)),
    FamilyRow(
        "Stable Diffusion 3 and 3.5", ("StableDiffusion3Pipeline",), SD3, Defaults(steps=28, guidance=7.0), "bfloat16",
    ),
    FamilyRow(
        "FLUX.1 dev", ("FluxPipeline",), FLUX, Defaults(steps=28, guidance=1.0, distilled_guidance=3.5), "bfloat16",
        when=_distilled, notes=(TWO_GUIDANCES,),
    ),
    FamilyRow(
        "FLUX.1 schnell", ("FluxPipeline",), FLUX, Defaults(steps=4, guidance=1.0), "bfloat16",
        notes=("distilled to few steps without guidance: leave its scale at 1.", "it reads 256 tokens of a prompt."),
    ),
    FamilyRow(
        "FLUX.1 Fill", ("FluxFillPipeline",), FLUX, Defaults(steps=50, guidance=1.0, distilled_guidance=30.0),
        "bfloat16", notes=(TWO_GUIDANCES, SEES_MASK),
    ),
    FamilyRow(
        "Qwen-Image", ("QwenImagePipeline",), QWEN, Defaults(steps=50, guidance=4.0), "bfloat16",
        notes=(
            "guided predictions get back the norm of the conditional ones, as in its own pipeline, unless `normalise` "
            "is off.", 'its unconditional is a blank text, " ", as in its own examples.',
        ),
    ),
    FamilyRow(
        "Z-Image", ("ZImagePipeline",), ZIMAGE, Defaults(steps=8, guidance=1.0), "bfloat16",
        notes=(
            "a guidance scale of its own pipeline is less by 1 than here, where 1 is none.",
            "the defaults are those of Z-Image-Turbo; the base model wants some 50 steps and guidance.",
            "its pipeline can keep the norm of guided predictions within the conditional ones', as "
            '`normalise="on"` does; it is off there and here unless asked.',
        ),
    ),
    FamilyRow(
        "PixArt-Sigma", ("PixArtSigmaPipeline",), PIXART, Defaults(steps=20, guidance=4.5), "bfloat16",
        notes=(UNBINNED,),
    ),
    FamilyRow(
        "Sana", ("SanaPipeline",), SANA, Defaults(steps=20, guidance=4.5), "bfloat16",
        notes=(
            UNBINNED,
            "prompts, a negative one too, are read behind its long instruction; the unconditional is not.",
        ),
    ),
    FamilyRow("without text, by class", WITHOUT_TEXT, PLAIN, when=_classes),
    FamilyRow("without text", WITHOUT_TEXT, PLAIN, Defaults(guidance=1.0)),  # there is nothing to move away from
)  # fmt: skip

# what may stand behind another model
UPSCALERS: tuple[FamilyRow, ...] = (
    FamilyRow(
        "DeepFloyd IF, stage II",
        ("IFSuperResolutionPipeline",),
        Serves("diffusion_tricks.families.deepfloyd:PixelUpscaler", enlarging.PIXELS.shape),
        Defaults(guidance=4.0),
        enlarges=enlarging.PIXELS,
    ),
    FamilyRow(
        "Stable Diffusion x4 upscaler",
        ("StableDiffusionUpscalePipeline",),
        Serves("diffusion_tricks.families.x4:LatentUpscaler", enlarging.LATENTS.shape),
        Defaults(steps=75, guidance=9.0, noise_level=20),
        enlarges=enlarging.LATENTS,
    ),
)


@hookimpl
def register_families(register: Callable[..., None]) -> None:
    """Those that the core knows."""
    for row in (*FAMILIES, *UPSCALERS):
        register(row)


def rows() -> list[FamilyRow]:
    """Every row: those of plugins first, as theirs may be kinds of models that a row of the core would take, too."""
    entries = host().entries("family").values()
    return [entry.notes["row"] for entry in sorted(entries, key=lambda entry: entry.plugin == PROJECT)]


def row_for(pipeline: str, parts: Parts) -> FamilyRow | None:
    """The first row that names the pipeline's class and fits its configurations, or None; no upscaler's."""
    found = (row for row in rows() if row.enlarges is None and pipeline in row.pipelines)
    return next((row for row in found if row.when(parts)), None)


def upscaler_row(pipeline: str) -> FamilyRow | None:
    """The row of the upscalers that names the pipeline's class, or None."""
    return next((row for row in rows() if row.enlarges and pipeline in row.pipelines), None)


def guessed_row(name: str) -> FamilyRow:
    """The row of an upscaler of which nothing is known but its name, and that it is one."""
    return UPSCALERS[1 if "x4" in name.lower() else 0]


def no_upscaler(name: str, pipeline: str) -> ModelError:
    """The error to raise for a model of a class of pipelines that enlarges nothing."""
    known = " or ".join(pipeline for row in rows() if row.enlarges for pipeline in row.pipelines)
    return ModelError(f"{name!r} is of {pipeline} and no upscaler: expected {known}")
