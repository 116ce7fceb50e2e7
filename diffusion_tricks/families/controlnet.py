"""ControlNets: a second network beside a UNet, which is shown a picture and adds to what the UNet has made so far.

eps = unet(x_t, t, prompt; r_1, ..., r_mid),   r = scale * net(x_t, t, prompt, picture)      arXiv:2302.05543
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from diffusion_tricks.devices.memory import memory_explained
from diffusion_tricks.diffusion.conditioning import Condition, Control, Network
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import dtype_of
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.io.pixels import flatten
from diffusion_tricks.loading.controlnet import check_source, load_controlnet
from diffusion_tricks.types import Row

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.model.model import Model

HEARD = ("encoder_hidden_states", "added_cond_kwargs")  # of a UNet's arguments, what its ControlNet is told too
GRAY = 127.5
# by pipeline, and they go with it: networks, each with the name of its very commit
_loaded: WeakKeyDictionary[Any, dict[str, tuple[torch.nn.Module, str]]] = WeakKeyDictionary()


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
        with torch.no_grad():
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


def controlnet_for(model: Model, source: str, scale: float = 1.0) -> ControlNet | Absent:
    """The ControlNet that `source` names, a directory or a hub name, beside a model; its weights are loaded once.

    scale: of what it adds. Beside a stand-in without weights it adds nothing. Raises UsageError for a model that takes
    no ControlNet, ModelError for a source that is none or was made for another family, or that cannot be loaded.
    """
    if not model.family.shape.controllable:
        raise UsageError(
            f"{model.name!r} takes no ControlNet: expected Stable Diffusion 1.x or 2.x, or SDXL; name one with --model"
        )
    unet = getattr(model.pipe, model.family.part, None)
    if unet is None:
        check_source(source, getattr(model.pipe, "parts", {}).get("unet", {}), model.name)
        return Absent(source)
    known = _loaded.setdefault(model.pipe, {})
    if source not in known:
        with memory_explained(model.device, "while it loaded the ControlNet"):
            known[source] = load_controlnet(source, model, unet.config)
    net, exact = known[source]
    return ControlNet(net, scale, exact)


__all__ = ["Absent", "ControlNet", "control", "controlnet_for"]
