"""Brings models here: from the hub what is needed of them and no more, settings first; others are where they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.choice import default_dtype, device_of, dtype_of
from diffusion_tricks.errors import UsageError
from diffusion_tricks.loading.checks import check_directory, check_safetensors, check_whole, read_index
from diffusion_tricks.loading.configs import check_served
from diffusion_tricks.loading.hub import Need, cached, fetched
from diffusion_tricks.loading.known import UPSCALER_NAMES
from diffusion_tricks.loading.location import hub_name, location_of, upscaler_named
from diffusion_tricks.loading.single_file import settings_here, settings_of

if TYPE_CHECKING:
    import torch


def download(name: str, dtype: str = "auto") -> Path:
    """The directory of a model of the hub, with all that running it in `dtype` needs, and no more, downloaded into it.

    name: of a model or an upscaler. dtype: as for `load_model`, of which auto is that of this machine's device. Raises
    UsageError for a model that is not from the hub, and ModelError.
    """
    from diffusion_tricks.families.table import upscaler_row

    name = upscaler_named(name) if name.partition("@")[0] in UPSCALER_NAMES else name
    location = location_of(name)
    if _at_the_hub(location) is None:
        raise UsageError(f"{name!r} is on this machine; expected a model of the hub")
    row = upscaler_row(str(read_index(settings_folder(name))["_class_name"]))
    borrowed = row.enlarges.borrowed if row and row.enlarges else ()
    precision = dtype_of(dtype) or family_dtype(name, device_of("auto"))
    return brought(location, precision, without=borrowed, check=None if row else check_served)[0]


def settings_folder(name: str) -> Path:
    """The directory with the settings of the model called `name`; those of the hub's are downloaded, weights are not.

    Raises UsageError and ModelError, also for a model that may not be loaded.
    """
    no_code()
    location = location_of(name)
    hub = _at_the_hub(location)
    folder = fetched(hub, Need(weights=False))[0] if hub else settings_of(location) if location.is_file() else location
    check_directory(folder, weights=location.is_dir())
    return folder


def folder_here(location: Path, checked: bool = True) -> Path | None:
    """The directory with the settings of the model at `location`, if it is on this machine; the hub is not asked.

    Raises ModelError for a model that may not be loaded, if `checked`.
    """
    no_code()
    hub = _at_the_hub(location)
    folder = cached(hub) if hub else settings_here(location) if location.is_file() else location
    if folder is None or not folder.is_dir():
        return None
    if checked:
        check_directory(folder, weights=location.is_dir())
    return folder


def no_code() -> None:
    """Turns remote code off in diffusers, which reads this when it is first imported."""
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"


def _at_the_hub(location: Path) -> Any:
    return None if location.exists() else hub_name(location.as_posix())


def brought(
    location: Path, dtype: torch.dtype, without: Collection[str] = (), check: Callable[[Path], None] | None = None
) -> tuple[Path, str | None]:  # fmt: skip
    """The directory or file at `location`, downloaded if it is the hub's, and the commit it then is of.

    check: of the directory with its settings, before weights are read.
    """
    if hub := _at_the_hub(location):
        return fetched(hub, Need(called(dtype), tuple(without), check=check))
    if check and location.is_file():
        check_safetensors(location)
        settings = settings_of(location)
        check_directory(settings, weights=False)
        check(settings)
    elif check:
        check_directory(location, weights=False)
        check_whole(location)
        check(location)
    return location, None


def called(dtype: torch.dtype) -> str:
    """The name of a dtype, without torch's."""
    return str(dtype).removeprefix("torch.")


def family_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision that a model's family runs in on a device, by its settings, which are downloaded if need be."""
    from diffusion_tricks.loading.configs import dtype_in

    return default_dtype(device) if device.type == "cpu" else default_dtype(device, dtype_in(settings_folder(name)))
