"""The model inside, the names of known ones, and `load_model`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.manager import Entry, host
from diffusion_tricks.quiet import quiet_libraries
from diffusion_tricks.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from diffusion_tricks.model import Defaults, Model
    from diffusion_tricks.upscaling import Upscaler

HERE = Path(__file__).parent
# name: (directory inside the package or hub name, summary)
KNOWN = {
    "emoji": (str(HERE / "emoji"), "embedded, 64x64 pixels, text-conditioned; emoji-like pictures; works offline"),
    "if": ("DeepFloyd/IF-I-XL-v1.0", "DeepFloyd IF stage I, 64x64 pixels; from the hub, 9 GB"),
    "sd15": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5, 512x512; from the hub, 3 GB"),
    "sd21": ("stabilityai/stable-diffusion-2-1", "Stable Diffusion 2.1, 768x768, v-prediction; from the hub, 3 GB"),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion XL, 1024x1024; from the hub, 7 GB"),
}
UPSCALERS = {"if": "DeepFloyd/IF-II-L-v1.0"}  # of those that have no file of defaults to name theirs
DEFAULTS_FILE = "diffusion_tricks.json"
NOT_DEFAULTS = {"classes", *Vocabulary.KEYS}  # read by the family, and by `vocabulary_of`
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


def known_models() -> dict[str, Entry]:
    """Every model that goes by a short name: the built-in ones and those of plugins."""
    return host().entries("model")


def load_model(source: Any = "emoji", *, device: str = "auto", dtype: str = "auto", upscaler: Any = None) -> Model:
    """A model, ready to run.

    source: a known name (`emoji` ships with the package), a directory that holds a diffusers pipeline, a hub name
    (`owner/name`), or a DiffusionPipeline object. device: auto (cuda, then mps, then cpu), or a torch device. dtype:
    auto (float16 on an accelerator, float32 on the CPU; an object keeps its own), float32, float16 or bfloat16.
    upscaler: the second stage for larger pictures, given as `source` is; None is the model's own, if it has one. It is
    loaded when a size asks for it. Only safetensors are read, and no code that comes with a model is run.
    Raises UnknownName and ModelError.
    """
    os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")  # before diffusers is imported
    from diffusion_tricks.model import Model

    where, precision = _device(device), _dtype(dtype)
    if not isinstance(source, str | os.PathLike):
        pipe = _placed(source, where, precision)
        second = upscaler_from(upscaler, where, precision or pipe.dtype)
        return Model(pipe, type(source).__name__, _home(pipe), pipe.dtype, second=second)
    name, precision = os.fspath(source), precision or _default_dtype(where)
    location = location_of(name)
    pipe = _placed(_loaded(name, location, precision), where)
    defaults, label = defaults_of(location), label_of(name, location)
    second = upscaler_from(upscaler or upscaler_of(name, location, defaults), where, precision)
    words = vocabulary_of(location)
    return Model(pipe, label, where, precision, defaults=defaults, second=second, vocabulary=words)


def label_of(name: str, location: Path) -> str:
    """What a model is called in results: its known or hub name, or that of its directory."""
    return name if name in known_models() or not location.is_dir() else location.resolve().name


def upscaler_of(name: str, location: Path, defaults: Defaults) -> str | None:
    """What the upscaler of a model goes by, a directory or a hub name: as its defaults say, or as it is registered."""
    if defaults.upscaler is not None:
        beside = location / defaults.upscaler
        return defaults.upscaler if "/" in defaults.upscaler and not beside.is_dir() else str(beside.resolve())
    entry = next((entry for entry in known_models().values() if name in (entry.name, entry.target)), None)
    return entry.notes.get("upscaler", UPSCALERS.get(entry.name)) if entry else None


def upscaler_from(source: Any, device: torch.device, dtype: torch.dtype) -> Upscaler | None:
    """The second stage that `source` stands for, not yet loaded; without text encoders, as it takes the base's."""
    from diffusion_tricks.model import Defaults
    from diffusion_tricks.upscaling import GUIDANCE, Upscaler

    general = Defaults(guidance=GUIDANCE)
    if source is None:
        return None
    if not isinstance(source, str | os.PathLike):
        return Upscaler(type(source).__name__, lambda: _placed(source, device, dtype), general)
    name = os.fspath(source)

    def load() -> Any:
        return _placed(_loaded(name, place_of(name), dtype, tokenizer=None, text_encoder=None), device)

    return Upscaler(label_of(name, Path(name)), load, defaults_of(Path(name), general))


def place_of(upscaler: str) -> Path:
    """The directory of an upscaler, or a path that is its hub name. Raises ModelError for a directory that is gone."""
    location = Path(upscaler)
    if location.is_absolute() and not location.is_dir():
        raise ModelError(f"the upscaler {location} is not there; expected a directory, or a hub name (owner/name)")
    return location


def _placed(pipe: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """The pipeline on the device; one with offloading hooks stays where they put it."""
    from diffusers import DiffusionPipeline

    from diffusion_tricks.model import memory_explained

    if not isinstance(pipe, DiffusionPipeline):
        raise ModelError(f"expected a model's name, a directory or a DiffusionPipeline, got a {type(pipe).__name__}")
    moved = None if getattr(pipe, "_all_hooks", None) else device
    with memory_explained(device, "while it loaded the model"), quiet_libraries():
        return pipe.to(moved, dtype) if dtype is not None else pipe.to(moved)


def _home(pipe: Any) -> torch.device:
    """Where the pipeline computes."""
    device: torch.device = pipe._execution_device
    return device


def location_of(name: str) -> Path:
    """The directory to load, or a path that is the hub name."""
    known = known_models()
    if name in known:
        return Path(known[name].target)
    if Path(name).is_dir() or (name.count("/") == 1 and not name.startswith((".", "/"))):
        return Path(name)
    raise UnknownName("model", name, known)


def _loaded(name: str, location: Path, dtype: torch.dtype, **parts: Any) -> Any:
    """The pipeline, in which `parts` stand for its own components of that name."""
    if location.is_dir():
        check_directory(location)
    from diffusers import DiffusionPipeline

    extra = {"variant": "fp16"} if location.is_dir() and _only_half(location) else {}
    try:
        with quiet_libraries():
            return DiffusionPipeline.from_pretrained(
                str(location), dtype=dtype, use_safetensors=True, local_files_only=location.is_dir(), **extra, **parts
            )
    except Exception as error:
        raise ModelError(f"model {name!r} cannot be loaded: {_first_line(error)}{_advice(location)}") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def _advice(location: Path) -> str:
    if location.is_dir():
        return "; expected a directory written by `save_pretrained` of a diffusers pipeline"
    return f"; it comes from the hub: check the name {location.as_posix()!r}, the network, and access rights"


def check_directory(folder: Path) -> None:
    """Raises ModelError for a directory that is no diffusers pipeline of safetensors, or that brings code."""
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise ModelError(f"{folder} is not a diffusers pipeline: it has no model_index.json")
    try:
        index = json.loads(index_file.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of UTF-8
        raise ModelError(f"{index_file} is not valid JSON: {error}") from None
    if not isinstance(index, dict) or "_class_name" not in index:
        raise ModelError(f"{index_file} names no pipeline: expected a _class_name and its components")
    foreign = [key for key, value in index.items() if _is_code(folder, key, value)]
    if foreign:
        raise ModelError(f"{folder} wants to run code of its own ({', '.join(foreign)}); such models are refused")
    pickles = [name for key in index for name in _pickled_only(folder, key)]
    if pickles or not any(folder.rglob("*.safetensors")):
        found = f"found {', '.join(pickles)}, which may run code when read; " if pickles else ""
        raise ModelError(f"{folder}: expected weights as .safetensors; {found}convert it with save_pretrained")


def _is_code(folder: Path, key: str, value: Any) -> bool:
    """A pipeline class in a file, or a component whose module lies in the directory."""
    if key == "_class_name":
        return isinstance(value, list)
    module = value[0] if isinstance(value, list) and value else None
    return isinstance(module, str) and ((folder / f"{module}.py").exists() or (folder / key / f"{module}.py").exists())


def _pickled_only(folder: Path, component: str) -> list[str]:
    """The pickles of a component that has no safetensors."""
    files = list((folder / component).glob("*"))
    if any(file.suffix == ".safetensors" for file in files):
        return []
    return sorted(str(file.relative_to(folder)) for file in files if file.suffix in PICKLES)


def _only_half(folder: Path) -> bool:
    files = list(folder.glob("*/*.safetensors"))  # an upscaler lies one deeper
    return all(".fp16." in file.name for file in files)


def defaults_of(location: Path, general: Defaults | None = None) -> Defaults:
    """What the model's own file of defaults says, or the general ones. Raises ModelError for a file that is wrong."""
    from diffusion_tricks.model import Defaults

    file, general = location / DEFAULTS_FILE, general or Defaults()
    if not file.is_file():
        return general
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return replace(general, **{key: value for key, value in said.items() if key not in NOT_DEFAULTS})
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: expected steps, guidance and scheduler: {error}") from None


def vocabulary_of(location: Path) -> Vocabulary | None:
    """What the model's own file of defaults says it was taught. Raises ModelError for a file that is wrong."""
    file = location / DEFAULTS_FILE
    try:
        return Vocabulary.said(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file}: expected what the model was taught: {error}") from None


def _device(name: str) -> torch.device:
    import torch

    accelerators: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name == "auto":
        return torch.device(next((kind for kind, there in accelerators.items() if there()), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; expected auto, cpu, cuda, cuda:N or mps") from None
    if device.type in accelerators and not accelerators[device.type]():
        raise ModelError(f"device {name!r} was asked for, but torch finds none here; use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {name!r} was asked for, but there are only {torch.cuda.device_count()}")
    return device


def has_device(name: str) -> bool:
    """Whether torch can compute on the device of that name here."""
    try:
        _device(name)
    except (UsageError, ModelError):
        return False
    return True


def _dtype(name: str) -> torch.dtype | None:
    import torch

    choices = {"auto": None, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in choices:
        raise UnknownName("dtype", name, choices)
    return choices[name]


def _default_dtype(device: torch.device) -> torch.dtype:
    import torch

    return torch.float32 if device.type == "cpu" else torch.float16
