"""What a report of a fault should say of the machine and of what is installed; no secrets, and no path but below ~."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import API_VERSION, FONT_FILES, UsageError, font_folders, host, prompts_kept

LIBRARIES = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "numpy", "pillow", "scipy",
    "pydantic", "click", "pluggy", "xformers", "triton",
)  # fmt: skip
# extra: (what it needs, what for)
EXTRAS = {
    "lora": (("peft",), "--lora"),
    "quantize": (("bitsandbytes",), "--quantize"),
    "film": (("imageio_ffmpeg",), "films as .mp4"),
    "print": (("fpdf", "uharfbuzz"), "sheets as .pdf"),
    "heic": (("pillow_heif",), "photos as .heic"),
    "learn": (("sklearn",), "some figures of the course"),
    "datasets": (("datasets",), "training on data sets of the hub"),
    "guiders": (("kornia",), "frequency-decoupled guidance"),
    "drawings": (("resvg_py",), "training on drawings"),
    "ray": (("ray",), "batches on a Ray cluster"),
    "docs": (("mkdocs", "material", "mkdocstrings"), "building the site of the docs"),
}
TOLD = (
    "CUDA_VISIBLE_DEVICES",
    "DIFFUSION_TRICKS_PLUGINS",
    "DIFFUSION_TRICKS_PROMPTS_MB",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
)
GIB = 1024**3


def examined() -> dict[str, Any]:
    """All that is told, as plain data, by section."""
    sections: dict[str, Any] = {
        "versions": dict(_versions()), "device": _device(), "memory": _memory(), "fonts": _fonts(), "hub cache": _hub(),
        "encoded prompts": _prompts(),
        "environment": {name: os.environ[name] for name in TOLD if name in os.environ}, "plugins": _plugins(),
        "missing": dict(_missing()),
    }  # fmt: skip
    told: dict[str, Any] = _below_home(sections)
    return told


def is_well(sections: dict[str, Any]) -> bool:
    """Whether the libraries can be imported, and no plugin is broken."""
    return "error" not in sections["device"] and not any(row["status"] == "broken" for row in sections["plugins"])


def page(sections: dict[str, Any]) -> str:
    """The same for people to read, in one page."""
    return "\n".join(line for title, section in sections.items() for line in (f"{title}:", *_lines(section)))


def _lines(section: Any) -> Iterator[str]:
    if isinstance(section, dict):
        yield from (f"  {name}: {value}" for name, value in section.items())
    for row in section if isinstance(section, list) else ():
        error = f": {row['error']}" if row["error"] else ""
        yield f"  {row['name']} {row['version'] or ''} ({row['origin']}): {row['status']}, {row['seconds']} s{error}"
    if not section:
        yield "  none"


def _versions() -> Iterator[tuple[str, str]]:
    yield "diffusion-tricks", _version("diffusion-tricks") or "not installed, run from its source"
    yield "plugin API", API_VERSION
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield from ((name, found) for name in LIBRARIES if (found := _version(name)))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    """What torch finds to compute on."""
    try:
        import diffusers  # noqa: F401  # whether it can be
        import torch
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    found: dict[str, Any] = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / GIB:.1f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "Apple"
    return found


def _memory() -> dict[str, str]:
    import psutil

    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    return {
        "main": f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free",
        "disk of this folder": f"{disk.free / GIB:.1f} of {disk.total / GIB:.1f} GiB free",
    }


def _fonts() -> dict[str, Any]:
    """How many files of fonts lie in each folder that is looked through."""
    folders = [Path(folder) for folder in font_folders()]
    counts = {str(f): sum(p.suffix.lower() in FONT_FILES for p in f.rglob("*")) for f in folders if f.is_dir()}
    return {folder: f"{count} files" for folder, count in counts.items() if count} or {"none": "but the one inside"}


def _hub() -> dict[str, Any]:
    """How much of the hub is on this machine; names are left out, as some may be private."""
    try:
        from huggingface_hub import constants, scan_cache_dir

        folder = Path(constants.HF_HUB_CACHE)
        if not folder.is_dir():
            return {"folder": f"{folder}, which is not there"}
        found = scan_cache_dir(folder)
        return {"folder": str(folder), "holds": f"{len(found.repos)} repositories, {found.size_on_disk / GIB:.1f} GiB"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _prompts() -> dict[str, str]:
    """How much is kept of what text encoders made of prompts."""
    try:
        kept = prompts_kept()
    except UsageError as error:
        return {"error": str(error)}
    if not kept.limit:
        return {"folder": "none, as they are not kept"}
    cannot = {} if kept.writable else {"note": "the folder may not be written, so no more are kept"}
    prompts = f"{kept.rows} prompt{'' if kept.rows == 1 else 's'}"
    held = f"{prompts}, {kept.bytes / GIB:.1f} of at most {kept.limit / GIB:.1f} GiB"
    return {"folder": str(kept.folder), "holds": held} | cannot


def _plugins() -> list[dict[str, Any]]:
    return [
        {
            "name": one.name, "version": one.version, "origin": one.origin, "seconds": round(one.seconds, 3),
            "status": "skipped" if one.skipped else "broken" if one.error else "ok", "error": one.error or one.skipped,
        }
        for one in host().statuses
    ]  # fmt: skip


def _missing() -> Iterator[tuple[str, str]]:
    """What is not here, for what, and how to get it."""
    for extra, (modules, purpose) in EXTRAS.items():
        if lacking := [module for module in modules if importlib.util.find_spec(module) is None]:
            yield purpose, f"{', '.join(lacking)}; pip install 'diffusion-tricks[{extra}]'"
    if sys.platform == "linux" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        yield "--compile", "a C compiler"


def _below_home(data: Any) -> Any:
    """The same with ~ for the home folder, wherever it is named."""
    if isinstance(data, dict):
        return {_below_home(key): _below_home(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_below_home(one) for one in data]
    home = str(Path.home())
    return data.replace(home, "~") if isinstance(data, str) and len(home) > 1 else data
