"""Networks beside a pipeline's own, such as ControlNets: they wait off the device as its models or layers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from accelerate.utils import send_to_device

if TYPE_CHECKING:
    from diffusion_tricks.devices.memory import Holder

HOME = torch.device("cpu")


class WhileItWorks(ModelHook):  # type: ignore[misc]
    """A network is on the device in each call of it, and in the computer's own memory before and after."""

    def __init__(self, device: torch.device):
        self.device = device

    def init_hook(self, module: Any) -> Any:
        """Off the device."""
        return module.to(HOME)

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """On it, with what it is called with."""
        module.to(self.device)
        return send_to_device(args, self.device), send_to_device(kwargs, self.device)

    def post_forward(self, module: Any, output: Any) -> Any:
        """Off it again."""
        module.to(HOME)
        return output


def offload_beside(holder: Holder) -> None:
    """Takes the networks beside a pipeline off the device, whole or by layers, as its memory says of its models."""
    for network in holder.memory.beside:
        remove_hook_from_module(network, recurse=True)
        if holder.memory.offloaded == "layers":
            cpu_offload(network, holder.device, offload_buffers=len(network._parameters) > 0)
        elif holder.memory.offloaded == "models":
            add_hook_to_module(network, WhileItWorks(holder.device))


def settle_beside(holder: Holder, network: torch.nn.Module) -> None:
    """Lets a network that was just loaded, or is used anew, share a pipeline's memory: on the device, or off it."""
    if any(known is network for known in holder.memory.beside):
        return
    if not holder.memory.offloaded:
        remove_hook_from_module(network, recurse=True)  # of another model of the same pipeline
        network.to(holder.device)
    holder.memory.beside.append(network)
    offload_beside(holder)
