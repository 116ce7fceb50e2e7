"""The model inside, the names of known ones, and `load_model`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.choice import device_of, dtype_of
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import ModelError
from diffusion_tricks.loading.by_code import code_of, defaults_by, made_by
from diffusion_tricks.loading.checks import SAVED, check_directory, read_index
from diffusion_tricks.loading.classes import import_classes
from diffusion_tricks.loading.configs import check_served, described_in
from diffusion_tricks.loading.defaults_file import defaults_of, vocabulary_of
from diffusion_tricks.loading.download import (
    brought,
    called,
    family_dtype,
    folder_here,
    no_code,
    settings_folder,
)
from diffusion_tricks.loading.files import components_of, missing, variant_for
from diffusion_tricks.loading.hub import names_in
from diffusion_tricks.loading.hub_errors import first_line
from diffusion_tricks.loading.kept_prompts import encoders_for_later, store_of
from diffusion_tricks.loading.location import (
    label_of,
    location_of,
    place_of,
    upscaler_named,
    upscaler_of,
)
from diffusion_tricks.loading.lora import add_loras, checked
from diffusion_tricks.loading.mismatch import misfit
from diffusion_tricks.loading.refiner import refiner_of
from diffusion_tricks.loading.single_file import settings_of, single_file

if TYPE_CHECKING:
    import torch

    from diffusion_tricks.devices.memory import Memory
    from diffusion_tricks.families.defaults import Defaults
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.model.upscaler import Upscaler


def load_model(
    source: Any = "emoji",
    *,
    device: str = "auto",
    dtype: str = "auto",
    upscaler: Any = None,
    loras: Sequence[str] = (),
    memory: str = "auto",
    quantize: str | None = None,
    compile: bool = False,
    channels_last: bool = False,
    whole: bool = True,
) -> Model:
    """A model, ready to run.

    source: a known name (`emoji` ships with the package), a directory that holds a diffusers pipeline, a checkpoint in
    one .safetensors file, a hub name (`owner/name`, or `owner/name@revision`), or a DiffusionPipeline object. device:
    auto (cuda, then mps, then cpu), or a torch device. dtype: auto (on an accelerator its family's, float16 or
    bfloat16; float32 on the CPU; an object keeps its own), float32, float16 or bfloat16. upscaler: what makes larger
    pictures of its own, given as `source` is, or as x4 or if-ii, or several, each behind the last; None is the model's
    own, if it has one. It is loaded when a size asks for it. loras: files of LoRA weights, each `FILE` or
    `FILE:WEIGHT`; they stay on a DiffusionPipeline object.
    memory: auto, low or lowest, see `memory`; a pipeline with hooks of its own is left alone. quantize: weights in
    "int8" or "nf4", see `quantizing`. compile: the denoiser is compiled, which pays for many pictures of one size.
    channels_last: a UNet that is loaded here is laid out so on a CPU, too, as on CUDA: quicker, equal but for rounding.
    whole: False promises that you neither call nor change the pipeline: large text encoders are read when needed, and
    what they make is kept on the disk. Only safetensors are read, no code is run. Raises UsageError and ModelError.
    """
    no_code()
    from diffusion_tricks.devices.memory import Memory
    from diffusion_tricks.loading.quantize import check_quantize, quantization
    from diffusion_tricks.model.model import Model

    where, precision, found = device_of(device), dtype_of(dtype), checked(loras)
    _check_upscalers(upscaler)  # a wrong one is refused before weights are read
    saved = Memory(memory, quantize=check_quantize(quantize, where, source), channels_last=channels_last)
    by_code = code_of(source)
    if by_code is not None or not isinstance(source, str | os.PathLike):
        saved.lent = by_code is None
        pipe, label = (source, type(source).__name__) if by_code is None else (made_by(by_code), by_code.name)
        pipe = _placed(add_loras(pipe, found, label, saved.notes), where, precision, saved)
        second = upscaler_from(upscaler, where, precision or pipe.dtype)
        defaults = defaults_by(by_code, _family_defaults(pipe))
        return _ready(Model(
            pipe, label, _home(pipe), pipe.dtype, defaults=defaults, second=second, loras=found, memory=saved,
        ), compile)  # fmt: skip
    name, precision = os.fspath(source), precision or family_dtype(os.fspath(source), where)
    label = label_of(name, location_of(name))
    location, commit = brought(location_of(name), precision, check=check_served)
    saved.own = not found
    later = {} if whole else encoders_for_later(location, saved, precision)
    pipe = _loaded(name, location, precision, **later, **quantization(quantize, location, precision))
    pipe = _laid_out(add_loras(pipe, found, label, saved.notes), where, saved)
    said = settings_of(location) if location.is_file() else location
    defaults, words = defaults_of(said, _family_defaults(pipe)), vocabulary_of(said)
    second = upscaler_from(upscaler or upscaler_of(name, said, defaults), where, precision)
    return _refined(Model(
        pipe, label, where, precision, defaults=defaults, revision=commit, second=second, vocabulary=words, loras=found,
        memory=saved, store=None if whole else store_of(pipe, location, precision, saved),
    ), said, {"memory": memory, "compile": compile, "channels_last": channels_last, "whole": whole})  # fmt: skip


def _refined(model: Model, location: Path, how: dict[str, Any]) -> Model:
    """The model with its refiner, if one lies with it, which is loaded as the model was; both ready."""
    load = partial(load_model, device=str(model.device), dtype=called(model.dtype), **how)
    model.refiner = refiner_of(model, location, load)
    return _ready(model, how["compile"])


def _check_upscalers(upscaler: Any) -> None:
    """Raises UnknownName for the name of one that is nothing."""
    behind = upscaler if isinstance(upscaler, list | tuple) else (upscaler,)
    for name in (each for each in behind if isinstance(each, str) and not os.path.isabs(each)):
        upscaler_named(name)


def _laid_out(pipe: Any, device: torch.device, memory: Memory) -> Any:
    """A pipeline that was loaded here, on the device; on CUDA, or where that is asked for, channels last."""
    from diffusion_tricks.devices.compile import channels_last

    pipe = _placed(pipe, device, memory=memory)
    if device.type == "cuda" or memory.channels_last:
        channels_last(pipe)
    return pipe


def _ready(model: Model, compile: bool) -> Model:
    """The model, its denoiser compiled where that is asked for. Raises UsageError where it cannot be."""
    from diffusion_tricks.loading.compiling import compiled

    model.memory.notes, _ = model.memory.told()  # whichever thread runs it first
    return compiled(model) if compile else model


def upscaler_from(source: Any, device: torch.device, dtype: torch.dtype) -> Upscaler | None:
    """The stage behind a model that `source` stands for, not yet loaded; a list names several, each behind the last.

    Raises UnknownName for a name that is nothing, ModelError for what is no pipeline.
    """
    no_code()
    from diffusion_tricks.families.table import guessed_row, upscaler_row
    from diffusion_tricks.model.upscaler import Upscaler

    if isinstance(source, list | tuple):
        stage = upscaler_from(source[0], device, dtype) if source else None
        if stage is not None and source[1:]:
            further = upscaler_from(source[1:], device, dtype)
            stage.follows = lambda: further
        return stage
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)  # an absolute path that is gone hurts large pictures alone: a model may name it itself
        return _upscaler_named(name if os.path.isabs(name) else upscaler_named(name), device, dtype)
    if source is None:
        return None
    name = type(source).__name__
    if not hasattr(source, "components"):
        raise ModelError(f"expected an upscaler's name, a directory or a DiffusionPipeline, got a {name}")
    defaults = (upscaler_row(name) or guessed_row(name)).defaults
    return Upscaler(name, lambda saved: _placed(source, device, dtype, saved), defaults)


def _upscaler_named(name: str, device: torch.device, dtype: torch.dtype) -> Upscaler:
    """Without the components that it takes from the model before it."""
    from diffusion_tricks.families.lookup import upscaler_described
    from diffusion_tricks.families.table import guessed_row, upscaler_row
    from diffusion_tricks.model.upscaler import Upscaler

    def load(saved: Memory) -> Any:
        place = place_of(name)
        settings = folder_here(place, checked=False) or settings_folder(name)
        row = upscaler_described(stage.name, *described_in(settings))
        parts = dict.fromkeys(row.enlarges.borrowed if row.enlarges else ())
        location, stage.revision = brought(place, dtype, without=parts)
        return _laid_out(_loaded(name, location, dtype, **parts), device, saved)

    here = folder_here(Path(name), checked=False)
    row = upscaler_row(str(read_index(here)["_class_name"])) if here else None
    location = here or Path(name)
    defaults = defaults_of(location, (row or guessed_row(name)).defaults)
    stage = Upscaler(label_of(name, Path(name)), load, defaults)
    stage.follows = lambda: upscaler_from(upscaler_of(name, location, defaults), device, dtype)
    return stage


def _placed(pipe: Any, device: torch.device, dtype: torch.dtype | None = None, memory: Memory | None = None) -> Any:
    """The pipeline on the device; one with offloading hooks stays where they put it."""
    from diffusers import DiffusionPipeline

    from diffusion_tricks.devices.memory import Memory
    from diffusion_tricks.devices.rungs import placed

    if not isinstance(pipe, DiffusionPipeline):
        raise ModelError(f"expected a model's name, a directory or a DiffusionPipeline, got a {type(pipe).__name__}")
    with quiet_libraries():
        return placed(pipe, device, dtype, memory or Memory())


def _family_defaults(pipe: Any) -> Defaults:
    """How models of the pipeline's family are run unless told otherwise."""
    from diffusion_tricks.families.base import parts_of
    from diffusion_tricks.families.lookup import defaults_for

    return defaults_for(type(pipe).__name__, parts_of(pipe), type(pipe))


def _home(pipe: Any) -> torch.device:
    """Where the pipeline computes."""
    device: torch.device = pipe._execution_device
    return device


def _loaded(name: str, location: Path, dtype: torch.dtype, **parts: Any) -> Any:
    """The pipeline in a directory or file, in which `parts` stand for its own components of that name."""
    try:
        with quiet_libraries():
            return single_file(location, dtype) if location.is_file() else _pipeline(location, dtype, parts)
    except ModelError:
        raise
    except Exception as error:
        if why := misfit(error):
            raise ModelError(f"model {name!r} cannot be loaded: {why}") from error
        advice = f"; {SAVED}" if location.is_dir() else "; expected a checkpoint with all parts of its model"
        raise ModelError(f"model {name!r} cannot be loaded: {first_line(error)}{advice}") from error


def _pipeline(folder: Path, dtype: torch.dtype, parts: dict[str, Any]) -> Any:
    """The pipeline in a directory, all of whose files have been looked at."""
    absent = [name for name, part in parts.items() if not hasattr(part, "parameters")]
    check_directory(folder, without=absent)
    names, components = names_in(folder), components_of(read_index(folder), without=absent)
    variant = variant_for(names, components, called(dtype))
    if lacking := missing(names, components, variant):
        raise ModelError(f"{folder} lacks {', '.join(lacking)}; {SAVED}")
    import_classes(folder)
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(
        str(folder), dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, **parts
    )
