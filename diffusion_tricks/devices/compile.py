"""What makes a model faster and leaves its pictures alone but for rounding: compiling, memory formats, transfers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.devices.oom import memory_is_full
from diffusion_tricks.devices.text_encoders import quantised
from diffusion_tricks.errors import ModelError

if TYPE_CHECKING:
    pass

COMPILERS = ("c++", "g++", "clang++", "cl")
SHAPES = 64  # that one network may be compiled for; torch gives up compiling after 8
INSTEAD = "leave `compile` out"


class Compiled:
    """A denoiser that is compiled for each number of rows it is asked with, and for no more of them than it must.

    network: its `forward` is replaced on the instance, until `undo`. graphs: whole calls are kept as CUDA graphs, which
    spares the launch of every kernel: most for small models and few rows.
    """

    def __init__(
        self, network: torch.nn.Module, *, graphs: bool = False, backend: str | Callable[..., Any] = "inductor"
    ):
        self.network, self.graphs = network, graphs
        self.format = memory_format(network)
        self._counts: dict[torch.Size, list[int]] = {}
        config = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, SHAPES)
        mode = "reduce-overhead" if graphs else None
        self._own = vars(network).get("forward")
        self._run = torch.compile(network.forward, dynamic=False, mode=mode, backend=backend)
        network.forward = self._forward

    def undo(self) -> None:
        """The network as it was."""
        vars(self.network).pop("forward", None)
        if self._own is not None:
            self.network.forward = self._own

    def filled(self, x: Tensor, most: int | None = None) -> int:
        """How many rows a call with x (n c h w) is filled up to, rather than compiled for anew.

        That is the least number it was compiled for, if that is not twice as large; never more than `most`.
        """
        counts = self._counts.setdefault(x.shape[1:], [])
        count = len(x)
        fitting = [n for n in counts if count <= n < 2 * count and (most is None or n <= most)]
        if not fitting:
            counts.append(count)
        return min(fitting, default=count)

    def _forward(self, *arguments: Any, **named: Any) -> Any:
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        arguments, named = self._even(arguments), self._even(named)
        try:
            output = self._run(*arguments, **named)
        except torch._dynamo.exc.TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            if memory_is_full(cause):
                raise cause from None
            why = f"{type(cause).__name__}: {(str(cause).strip().splitlines() or ['no message'])[0]}"
            raise ModelError(f"{type(self.network).__name__} cannot be compiled here: {why}; {INSTEAD}") from error
        return _copied(output) if self.graphs else output

    def _even(self, value: Any) -> Any:
        """All tensors laid out alike: the strides that a view or a step leaves would each be compiled for."""
        if isinstance(value, Tensor):
            return value.contiguous(memory_format=self.format if value.ndim == 4 else torch.contiguous_format)
        if isinstance(value, dict):
            return {key: self._even(one) for key, one in value.items()}
        return type(value)(self._even(one) for one in value) if type(value) in (list, tuple) else value


def _copied(value: Any) -> Any:
    """Tensors of their own: the next replay of a graph overwrites its outputs."""
    if isinstance(value, Tensor):
        return value.clone()
    return type(value)(_copied(one) for one in value) if type(value) in (list, tuple) else value


def no_compiler(device: str) -> str | None:
    """Why nothing can be compiled here for a type of device, or None."""
    if device == "cpu":
        return None if any(map(shutil.which, COMPILERS)) else "there is no C++ compiler here"
    if device != "cuda":
        return f"torch does not compile for {device}"
    return None if find_spec("triton") else "triton is not installed, which torch compiles with for CUDA"


def memory_format(network: torch.nn.Module) -> torch.memory_format:
    """How a network wants its pictures (b c h w) laid out: as its first weight of that shape is."""
    weight = next((w for w in network.parameters() if w.ndim == 4 and w.shape[1] > 1 and w.shape[2] > 1), None)
    if weight is not None and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def channels_last(pipe: Any) -> None:
    """Lays out the weights of convolutions channels last, as NVIDIA's kernels want them; of UNets and their VAEs.

    Other networks have few convolutions, or such over time too.
    """
    unet, vae = getattr(pipe, "unet", None), getattr(pipe, "vae", None)
    if unet is None or quantised(pipe):
        return
    unet.to(memory_format=torch.channels_last)
    if vae is not None and type(vae).__name__ in ("AutoencoderKL", "AutoencoderTiny"):
        vae.to(memory_format=torch.channels_last)
