"""The rungs of the ladder that is stepped down where memory is full: each gives something up, cheapest first.

A rung says what it did, in words behind "went on with", or gives None where it has nothing to give, or no more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.memory import Placing, Work, persisting
from diffusion_tricks.devices.offload import offload_beside
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.devices.text_encoders import fetch, hooked, quantised, set_aside, throw_away

if TYPE_CHECKING:
    import torch

    from diffusion_tricks.devices.memory import Holder, Memory, Rung

WORTH_FORGETTING = 2**24  # bytes of prompts
TILED = "pictures in tiles, which may show in them as faint differences of brightness"


def old_prompts(holder: Holder, work: Work) -> str | None:
    """Encoded prompts that are not being asked forgotten, where they are many enough to matter."""
    forget: Callable[[int], int] | None = getattr(holder, "forget_prompts", None)
    return "prompts that are encoded anew where they are asked again" if forget and forget(WORTH_FORGETTING) else None


def fewer_rows(holder: Holder, work: Work) -> str | None:
    """Half as many rows in one call of the denoiser."""
    if work.rows < 2:
        return None
    holder.memory.rows[work.size] = work.rows // 2
    return _at_a_time(work.rows // 2, "row")


def fewer_pictures(holder: Holder, work: Work) -> str | None:
    """Half as many pictures in one call of the VAE."""
    if work.rows < 2:
        return None
    holder.memory.pictures[work.size] = work.rows // 2
    return _at_a_time(work.rows // 2, "picture")


def no_text_encoders(holder: Holder, work: Work) -> str | None:
    """Text encoders thrown away until a new prompt needs them; on an accelerator they are not when they do not work."""
    if holder.memory.thrown or holder.device.type != "cpu" or not throw_away(holder):
        return None
    holder.memory.thrown = True
    return "text encoders that are loaded anew for each new prompt"


def no_first_stage(holder: Holder, work: Work) -> str | None:
    """The model of the first stage off the device while the second works."""
    base: Any = getattr(getattr(holder, "family", None), "base", None)
    done = models_offloaded(base, work) if hasattr(base, "memory") else None
    return f"the first stage's {done}" if done else None


def models_offloaded(holder: Holder, work: Work) -> str | None:
    """Each model of the pipeline is on the device only while it works, and waits in the computer's own memory."""
    pipe, memory = holder.pipe, holder.memory
    if memory.offloaded or not may_offload(holder):
        return None
    _plain(holder)
    fetch(holder)
    with quiet_libraries():
        pipe.enable_model_cpu_offload(device=holder.device)
    memory.offloaded = "models"
    offload_beside(holder)
    return "models on the device only while they work"


def layers_offloaded(holder: Holder, work: Work) -> str | None:
    """Each layer of every model is on the device only while it works: far slower."""
    pipe, memory = holder.pipe, holder.memory
    if memory.offloaded == "layers" or not (memory.offloaded or may_offload(holder)) or quantised(pipe):
        return None
    _plain(holder)
    fetch(holder)
    pipe.remove_all_hooks()
    with quiet_libraries():
        pipe.enable_sequential_cpu_offload(device=holder.device)
    memory.offloaded = "layers"
    offload_beside(holder)
    return "layers on the device only while they work, which is slow"


def in_tiles(holder: Holder, work: Work) -> str | None:
    """Pictures decoded and encoded in overlapping tiles: no longer the same to the last bit."""
    if holder.memory.tiles or not hasattr(getattr(holder.pipe, "vae", None), "enable_tiling"):
        return None
    holder.memory.tiles = True
    return TILED


STEP: tuple[Rung, ...] = (no_text_encoders, no_first_stage, models_offloaded, layers_offloaded)
ROWS: tuple[Rung, ...] = (old_prompts, fewer_rows, *STEP)
PROMPTS: tuple[Rung, ...] = (old_prompts, models_offloaded, layers_offloaded)
PICTURES: tuple[Rung, ...] = (old_prompts, fewer_pictures, no_text_encoders, no_first_stage, models_offloaded, in_tiles)
LOADING: tuple[Rung, ...] = (models_offloaded, layers_offloaded)


def placed(pipe: Any, device: torch.device, dtype: torch.dtype | None, memory: Memory) -> Any:
    """The pipeline on the device, as far as its memory may be used; one with hooks stays where they put it.

    dtype: to bring it to, None leaves it. Raises OutOfMemory where not even its layers fit.
    """
    holder, precision = Placing(pipe, device, memory), () if dtype is None else (dtype,)
    stays = hooked(pipe)
    if memory.mode != "auto" and not stays:
        pipe.to(None, *precision)
        (models_offloaded if memory.mode == "low" else layers_offloaded)(holder, Work())
        memory.thrown = memory.own and device.type == "cpu"

    def move(work: Work) -> None:
        work.doing = "while it loaded the model"
        with set_aside(pipe, memory):
            pipe.to(None if stays or memory.offloaded else device, *precision)

    persisting(holder, LOADING, move)
    return pipe


@contextlib.contextmanager
def tiled(holder: Holder) -> Iterator[None]:
    """The VAE works in tiles, if it came to that; put back after."""
    vae = getattr(holder.pipe, "vae", None)
    if not holder.memory.tiles or getattr(vae, "use_tiling", True):
        yield
        return
    assert vae is not None
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()


def may_offload(holder: Holder) -> bool:
    """From an accelerator, and where no hooks of the pipeline's owner do it already."""
    return holder.device.type != "cpu" and hasattr(holder.pipe, "enable_model_cpu_offload") and not hooked(holder.pipe)


def _plain(holder: Any) -> None:
    """The denoiser no longer compiled: that was for weights that stay where they are."""
    if (compiled := getattr(holder, "compiled", None)) is not None:
        compiled.undo()
        holder.compiled = None


def _at_a_time(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'} at a time"
