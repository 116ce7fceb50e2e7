"""What is known of a model before it is loaded: what its configurations say, or what known models' are known to say.

Plans and sheets read it, of a known model before anything is downloaded. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.loading.checks import check_whole, lacking_in
from diffusion_tricks.loading.configs import described_in
from diffusion_tricks.loading.defaults_file import defaults_of
from diffusion_tricks.loading.known import ON_THE_HUB
from diffusion_tricks.loading.location import without_revision

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults
    from diffusion_tricks.types import Parts

VAE = {"latent_channels": 4, "block_out_channels": [128, 256, 512, 512]}
VAE_16 = VAE | {"latent_channels": 16}
CLIP: dict[str, Any] = {"text_encoder": {}}
QWEN_VL = {"text_encoder": {"architectures": ["Qwen2_5_VLForConditionalGeneration"]}}
QWEN_3 = {"text_encoder": {"architectures": ["Qwen3Model"]}}
GEMMA = {"text_encoder": {"architectures": ["Gemma2Model"]}}
NOISE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = NOISE | {"steps_offset": 1, "set_alpha_to_one": False}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
SHIFTED = FLOW | {"use_dynamic_shifting": True, "base_image_seq_len": 256, "base_shift": 0.5}
FLUX_SHIFT = SHIFTED | {"shift": 3.0, "max_image_seq_len": 4096, "max_shift": 1.15}


def _unet(side: int, channels: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "sample_size": side, "in_channels": channels, "out_channels": 4,
        "block_out_channels": [320, 640, 1280, 1280], **more,
    }  # fmt: skip


def _of_latents(unet: dict[str, Any], scheduler: dict[str, Any]) -> Parts:
    return {"unet": unet, "vae": VAE, "scheduler": scheduler, **CLIP}


def _flux(channels: int, distilled: bool, scheduler: dict[str, Any]) -> Parts:
    network = {"in_channels": channels, "out_channels": 64, "guidance_embeds": distilled}
    return {"transformer": network, "vae": VAE_16, "scheduler": scheduler, **CLIP}


PNDM = LEADING | {"_class_name": "PNDMScheduler", "skip_prk_steps": True}
UNCLIPPED = LEADING | {"clip_sample": False}
EULER = NOISE | {"_class_name": "EulerDiscreteScheduler", "steps_offset": 1, "timestep_spacing": "leading"}
# name: (the pipeline's class, the configurations of its components)
OUTLINES: dict[str, tuple[str, Parts]] = {
    "if": ("IFPipeline", {
        "unet": {"sample_size": 64, "in_channels": 3, "out_channels": 6, "block_out_channels": [704, 1408, 2112, 2816]},
        "scheduler": {
            "_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range",
            "thresholding": True, "sample_max_value": 1.5,
        },
        **CLIP,
    }),
    "sd15": ("StableDiffusionPipeline", _of_latents(_unet(64), PNDM)),
    "sd15-inpaint": ("StableDiffusionInpaintPipeline", _of_latents(_unet(64, 9), PNDM)),
    "sd21": ("StableDiffusionPipeline", _of_latents(
        _unet(96), UNCLIPPED | {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
    )),
    "sdxl": ("StableDiffusionXLPipeline", _of_latents(_unet(128), EULER)),
    "sdxl-inpaint": ("StableDiffusionXLInpaintPipeline", _of_latents(_unet(128, 9), EULER)),
    "sdxl-turbo": ("StableDiffusionXLPipeline", _of_latents(
        _unet(64), NOISE | {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
    )),
    "lcm": ("LatentConsistencyModelPipeline", _of_latents(
        _unet(96, time_cond_proj_dim=256), UNCLIPPED | {"_class_name": "LCMScheduler", "original_inference_steps": 50}
    )),
    "sd35": ("StableDiffusion3Pipeline", {
        "transformer": {"sample_size": 128, "in_channels": 16, "patch_size": 2, "pos_embed_max_size": 384},
        "vae": VAE_16, "scheduler": FLOW | {"shift": 3.0}, **CLIP,
    }),
    "flux": ("FluxPipeline", _flux(64, True, FLUX_SHIFT)),
    "schnell": ("FluxPipeline", _flux(64, False, FLOW | {"shift": 1.0})),
    "flux-fill": ("FluxFillPipeline", _flux(384, True, FLUX_SHIFT)),
    "qwen": ("QwenImagePipeline", {
        "transformer": {"in_channels": 64}, "vae": {"z_dim": 16, "temperal_downsample": [False, True, True]},
        "scheduler": SHIFTED | {"max_image_seq_len": 8192, "max_shift": 0.9, "shift_terminal": 0.02}, **QWEN_VL,
    }),
    "zimage": ("ZImagePipeline", {
        "transformer": {"in_channels": 16, "axes_lens": [1536, 512, 512]}, "vae": VAE_16,
        "scheduler": FLOW | {"shift": 3.0}, **QWEN_3,
    }),
    "pixart": ("PixArtSigmaPipeline", {
        "transformer": {"sample_size": 128, "in_channels": 4, "out_channels": 8, "patch_size": 2}, "vae": VAE,
        "scheduler": {"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "linear"}, **CLIP,
    }),
    "sana": ("SanaPipeline", {
        "transformer": {"sample_size": 32, "in_channels": 32, "patch_size": 1},
        "vae": {"latent_channels": 32, "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]},
        "scheduler": {
            "_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction",
            "use_flow_sigmas": True, "flow_shift": 3.0,
        },
        **GEMMA,
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What is known of a model.

    pipeline: its class in diffusers. parts: the configuration of each component, as `parts_of` gives it. folder: where
    they are written; None where they are known by the model's name.
    """

    pipeline: str
    parts: Parts
    folder: Path | None = None

    @property
    def defaults(self) -> Defaults:
        """How the model is run unless told otherwise: as its own file says, else as its family is."""
        from diffusion_tricks.families.lookup import defaults_for

        general = defaults_for(self.pipeline, self.parts)
        return defaults_of(self.folder, general) if self.folder else general

    @property
    def prompts(self) -> str:
        """What the model is asked by: "text", "classes", or "none" where it makes what it was trained on."""
        from diffusion_tricks.families.table import PLAIN, row_for

        row = row_for(self.pipeline, self.parts)
        if row is None or row.serves != PLAIN:
            return "text"
        return "classes" if self.parts["unet"].get("num_class_embeds") else "none"

    @property
    def takes_lora(self) -> bool:
        """Whether diffusers can hang LoRA weights on it; of known pipelines without importing diffusers."""
        from diffusion_tricks.families.refusals import pipeline_named
        from diffusion_tricks.families.table import rows

        if any(self.pipeline in row.pipelines for row in rows() if row.enlarges is None):
            return self.pipeline not in NO_LORA
        return hasattr(pipeline_named(self.pipeline), "load_lora_weights")


NO_LORA = {"DDPMPipeline", "DDIMPipeline", "PixArtSigmaPipeline"}  # of the pipelines that a family names


def said_of(name: str, folder: Path | None) -> Said | None:
    """What is known of the model called `name`, of which `folder` is on this machine; None where that is nothing.

    Of one from the hub whose settings are here in part, it is what its name tells. Raises ModelError for a directory
    that lacks a component.
    """
    if folder is not None and (Path(name).is_dir() or not lacking_in(folder)):
        check_whole(folder)
        return Said(*described_in(folder), folder)
    asked = without_revision(name)
    known = next((short for short, (repository, *_) in ON_THE_HUB.items() if asked in (short, repository)), None)
    if known is None:
        return None
    pipeline, parts = OUTLINES[known]
    return Said(pipeline, {**parts, "model_index": {"_class_name": pipeline}})
