"""ControlNets: a second network beside a UNet, which is shown a picture and adds to what the UNet has made so far.

eps = unet(x_t, t, prompt; r_1, ..., r_mid),   r = scale * net(x_t, t, prompt, picture)      arXiv:2302.05543
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.diffusion.conditioning import Condition, Control, Network
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.families.replay import dtype_of
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.io.pixels import flatten
from diffusion_tricks.types import Row

if TYPE_CHECKING:
    from PIL.Image import Image


HEARD = ("encoder_hidden_states", "added_cond_kwargs")  # of a UNet's arguments, what its ControlNet is told too
GRAY = 127.5


class ControlNet:
    """A `ControlNetModel` of diffusers as a `Network`.

    scale: of what it adds, 0 is nothing at all. source: by which the same one is loaded again.
    """

    def __init__(self, net: torch.nn.Module, scale: float = 1.0, source: str = ""):
        self.net, self.scale, self.source = net, scale, source
        self.channels = int(net.config["in_channels"])  # type: ignore[index]

    def arguments(self, x: Tensor, t: Tensor, rows: Sequence[Row], pictures: Tensor) -> dict[str, Any]:
        """The residuals of the UNet's blocks, for its input (n c h w) and pictures (n 3 H W) as `control` gives them.

        Of input channels that stand behind the latents, such as a mask, it sees none.
        """
        dtype = dtype_of(self.net)
        recorded = stacked(rows)
        told = {name: recorded[name] for name in HEARD if name in recorded}
        seen = ((pictures + GRAY) / 255).to(dtype)  # (n 3 H W) in 0..1
        with differentiable(self.net, x):
            down, mid = self.net(
                x[:, : self.channels].to(dtype), t, controlnet_cond=seen, conditioning_scale=self.scale, **told,
                return_dict=False,
            )  # fmt: skip
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}


class Absent:
    """Stands for a network beside a model that has a shape and no weights, as in a plan."""

    def __init__(self, source: str = ""):
        self.source = source

    def arguments(self, x: Tensor, t: Tensor, rows: Sequence[Row], pictures: Tensor) -> dict[str, Any]:
        """Nothing."""
        return {}


def control(image: Image, network: Network, device: torch.device) -> Control:
    """A picture of 8 bit beside a network of this file: as (1 3 H W) in -127.5..127.5, gray is 0; laid on white.

    So a view that negates or fills acts on it as on any picture, and each value comes back to the last bit.
    """
    import numpy as np

    pixels = torch.from_numpy(np.asarray(flatten(image)).astype(np.float32).transpose(2, 0, 1).copy())  # (3 H W)
    return Control(network, Condition(pixels[None].to(device) - GRAY))
