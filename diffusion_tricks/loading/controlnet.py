"""Loads ControlNets: only safetensors are read, file by file, into a network built from its configuration.

No code that comes with a ControlNet is run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from diffusion_tricks.devices.memory import Work, memory_explained, persisting
from diffusion_tricks.devices.offload import HOME, settle_beside
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.devices.rungs import LOADING
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.loading.checks import BRINGS_CODE, check_safetensors
from diffusion_tricks.loading.files import variant_for, variants
from diffusion_tricks.loading.hub import Remote
from diffusion_tricks.loading.hub_errors import download_command, explained, first_line, raised_by_the_hub
from diffusion_tricks.loading.location import HubName, hub_name

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model
from diffusion_tricks.families.controlnet import Absent, ControlNet

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion_tricks.model.model import Model

CONFIG = "config.json"
SHARED = ("cross_attention_dim", "block_out_channels", "layers_per_block", "addition_embed_type")
EXPECTED = "a directory that a ControlNetModel was saved in, or a hub name (owner/name)"


def place_of(source: str) -> Path | HubName:
    """The directory or the hub's name that `source` spells. Raises ModelError for what is neither."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    name = None if source.startswith(".") else hub_name(source)
    if name is None:
        raise ModelError(f"there is no ControlNet {source!r}; expected {EXPECTED}")
    return name


def load_controlnet(source: str, model: Model, unet: Mapping[str, Any]) -> tuple[torch.nn.Module, str]:
    """The `ControlNetModel` that `source` names, not yet on a device, and the name by which the same is loaded again.

    That is `source`, or the hub's name with the commit. unet: the configuration of the model's UNet.
    Raises ModelError for a source that is none, was made for another family, or cannot be loaded.
    """
    import torch
    from diffusers import ControlNetModel

    place, dtype = place_of(source), str(model.dtype).removeprefix("torch.")
    remote = _remote(place) if isinstance(place, HubName) else None
    folder = remote.folder if remote else Path(source)
    config = _config(folder, source)
    try:
        with torch.device("meta"):
            net: torch.nn.Module = ControlNetModel.from_config(config)
        check_fits(net.config, unet, source, model.name)  # type: ignore[arg-type]
        if remote:
            remote.download(_chosen(remote.sizes, dtype))
        net.load_state_dict(_read(_weights(folder, source, dtype)), assign=True)
    except (RuntimeError, TypeError, ValueError) as error:
        why = first_line(error)
        raise ModelError(
            f"ControlNet {source!r} cannot be loaded: {why}; its weights do not fit its {CONFIG}"
        ) from error
    with quiet_libraries():  # it speaks of modules to keep in float32, of which there are none
        return net.to(model.dtype).eval(), str(remote.name) if remote else source


def check_source(source: str, unet: Mapping[str, Any], model: str) -> None:
    """Raises ModelError for a source that is none or was made for another family, as far as is known without weights.

    unet: what is known of the configuration of the model's UNet.
    """
    place = place_of(source)
    if isinstance(place, Path):
        config = _config(place, source)
        if all(key in unet for key in SHARED):
            check_fits(config, unet, source, model)


def _config(folder: Path, source: str) -> dict[str, Any]:
    """What a ControlNet's directory says it is."""
    file = folder / CONFIG
    if not file.is_file():
        raise ModelError(f"{source!r} holds no ControlNet: it has no {CONFIG}; expected {EXPECTED}")
    config = read_object(file, ModelError, libraries=True)
    kind = config.get("_class_name")
    if kind != "ControlNetModel":
        raise ModelError(f"{source!r} holds a {kind or 'thing without a name'}; expected {EXPECTED}")
    if asked := BRINGS_CODE & {key for key, value in config.items() if value}:
        raise ModelError(f"{source!r} wants to run code of its own ({', '.join(sorted(asked))}); such are refused")
    return config


def check_fits(config: Mapping[str, Any], unet: Mapping[str, Any], source: str, model: str) -> None:
    """Raises ModelError for a ControlNet that was made for UNets of another configuration, or is of a kind apart."""
    for key in SHARED:
        theirs, ours = _plain(config.get(key)), _plain(unet.get(key))
        if theirs != ours:
            raise ModelError(
                f"ControlNet {source!r} was made for another family than {model!r}: its {key} is {theirs}, the model's "
                f"{ours}; take one made for the model"
            )
    if config.get("conditioning_channels", 3) != 3 or config.get("global_pool_conditions"):
        raise ModelError(f"ControlNet {source!r} sees no picture of three colours as it is; take one that does")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def _weights(folder: Path, source: str, dtype: str) -> list[Path]:
    """The files of the variant nearest to `dtype`, all of them safetensors."""
    files = [folder / name for name in _chosen([file.name for file in folder.glob("*")], dtype)]
    if not files:
        raise ModelError(f"ControlNet {source!r}: expected weights as .safetensors, found none; convert it with"
                         " save_pretrained")  # fmt: skip
    for file in files:
        check_safetensors(file)
    return files


def _chosen(names: Collection[str], dtype: str) -> list[str]:
    found = variants(name for name in names if "/" not in name)
    return found.get(variant_for(names, ["."], dtype), [])


def _read(files: Sequence[Path]) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {key: value for file in files for key, value in load_file(file).items()}


def _remote(name: HubName) -> Remote:
    """Where a hub's ControlNet lies, its configuration on this machine; without a network, as far as it is here."""
    from huggingface_hub import HfApi, hf_hub_download

    try:
        folder = Path(hf_hub_download(name.repository, CONFIG, revision=name.revision)).parent
    except raised_by_the_hub() as error:
        raise ModelError(_explained(error, name)) from error
    exact = HubName(name.repository, folder.name)
    try:
        files = HfApi().model_info(name.repository, revision=exact.revision, files_metadata=True).siblings or ()
    except raised_by_the_hub():
        return Remote(exact, folder, {file.name: file.stat().st_size for file in folder.glob("*")})
    return Remote(exact, folder, {file.rfilename: file.size for file in files})


def _explained(error: BaseException, name: HubName) -> str:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):
        bring = download_command(name, (CONFIG, "diffusion_pytorch_model*.safetensors"))
        return f"ControlNet {name} is not on this machine; run `{bring}` where there is a network"
    if isinstance(error, EntryNotFoundError):
        return f"{name} holds no ControlNet: it has no {CONFIG}; expected {EXPECTED}"
    return explained(error, name)


# by pipeline, and they go with it: networks, each with the name of its very commit
_loaded: WeakKeyDictionary[Any, dict[str, tuple[torch.nn.Module, str]]] = WeakKeyDictionary()


def _settle(model: Model, net: torch.nn.Module, work: Work) -> None:
    work.doing = "while it loaded the ControlNet"
    settle_beside(model, net)


def controlnet_for(model: Model, source: str, scale: float = 1.0) -> ControlNet | Absent:
    """The ControlNet that `source` names, a directory or a hub name, beside a model; its weights are loaded once.

    scale: of what it adds. Beside a stand-in without weights it adds nothing. Raises UsageError for a model that takes
    no ControlNet, ModelError for a source that is none or was made for another family, or that cannot be loaded.
    """
    if not model.family.shape.controllable:
        raise UsageError(
            f"{model.name!r} takes no ControlNet: expected Stable Diffusion 1.x or 2.x, or SDXL; name one with `model`"
        )
    unet = getattr(model.pipe, model.family.part, None)
    if unet is None:
        check_source(source, getattr(model.pipe, "parts", {}).get("unet", {}), model.name)
        return Absent(source)
    with alone_with(model.pipe):
        known = _loaded.setdefault(model.pipe, {})
        if source not in known:
            with memory_explained(HOME, "while it loaded the ControlNet"):
                known[source] = load_controlnet(source, model, unet.config)
        net, exact = known[source]
        persisting(model, LOADING, partial(_settle, model, net))
    return ControlNet(net, scale, exact)
