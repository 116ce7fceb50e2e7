"""UNets that inpaint: they see, behind the noisy latents, a mask and the latents of what is known of a picture.

    eps = unet([x_t, m, E((1 - m) picture)], t, prompt)        Latent Diffusion Models, arXiv:2112.10752, section 4.5

Nine channels for a VAE of four. diffusers shows all of them the mask by its nearest pixels, and so it is done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.errors import PluginError
from diffusion_tricks.families.vae import encoded, upcasts
from diffusion_tricks.types import Size

KEY = "seen by an inpainting UNet"


def mask_and_latents(pipe: Any, condition: Condition, shape: tuple[int, int]) -> Tensor:
    """What stands behind the latents (b 1+c h w), `shape` of them: the mask, 1 where all is new, and what is known.

    Made once of each condition. Raises PluginError for a condition that does not say what of it is new.
    """
    seen: Tensor = condition.remembered(KEY, lambda: _made(pipe, condition, shape))
    return seen


def _made(pipe: Any, condition: Condition, shape: tuple[int, int]) -> Tensor:
    if condition.new is None:
        raise PluginError("a model that inpaints was shown a picture without its mask; give Condition(picture, new)")
    known = encoded(pipe.vae, condition.picture, upcasts(pipe))
    mask = (F.interpolate(condition.new.to(known), shape) >= 0.5).to(known)  # a view may have blurred its edge
    return torch.cat([mask.expand(len(known), -1, -1, -1), known], dim=1)


def nothing_known(vae: Mapping[str, Any], size: Size, scale: int) -> dict[str, Any]:
    """The arguments of an inpainting pipeline for an empty picture, all of it new; its VAE has nothing to do."""
    width, height = size
    empty = torch.zeros(1, vae["latent_channels"], height // scale, width // scale)  # taken for latents, as it is
    mask = torch.ones(1, 1, height, width)
    return {"image": empty, "masked_image_latents": empty, "mask_image": mask, "strength": 1.0}
