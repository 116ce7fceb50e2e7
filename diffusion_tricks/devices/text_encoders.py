"""Text encoders, which work once a run: on the device only while they do, and thrown away where memory is short."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusion_tricks.devices.oom import explained
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import ModelError

if TYPE_CHECKING:
    from diffusion_tricks.devices.memory import Holder, Memory


def hooked(pipe: Any) -> bool:
    """Whether hooks move a pipeline's models, its owner's or ours; then nothing else may."""
    mapped = getattr(pipe, "hf_device_map", None) is not None
    return (
        mapped or bool(getattr(pipe, "_all_hooks", None)) or any(hasattr(m, "_hf_hook") for m in modules(pipe).values())
    )


def quantised(pipe: Any) -> bool:
    """Whether weights of a pipeline were loaded in fewer bits than they are used in."""
    return any(getattr(module, "hf_quantizer", None) is not None for module in modules(pipe).values())


def modules(pipe: Any) -> dict[str, Any]:
    """The networks of a pipeline, by name."""
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def text_encoders(pipe: Any) -> dict[str, Any]:
    """The networks of a pipeline that read prompts, by name."""
    return {name: module for name, module in modules(pipe).items() if name.startswith("text_encoder")}


def arrive(holder: Holder) -> None:
    """Brings the text encoders to the device, those without weights from where these lie."""
    fetch(holder)
    _move(holder, holder.device)


def fetch(holder: Holder) -> None:
    """Loads the text encoders that have no weights here. Raises ModelError where these cannot be loaded."""
    for name, folder in list(holder.memory.elsewhere.items()):
        setattr(holder.pipe, name, _loaded_again(getattr(holder.pipe, name), folder))
        del holder.memory.elsewhere[name]


@contextlib.contextmanager
def set_aside(pipe: Any, memory: Memory) -> Iterator[None]:
    """The pipeline without the text encoders that have no weights, as these cannot be moved; put back after."""
    attributes: dict[str, Any] = vars(pipe)  # past its __setattr__, which would note each in the configuration
    away = {name: attributes[name] for name in memory.elsewhere}
    attributes.update(dict.fromkeys(away))
    try:
        yield
    finally:
        attributes.update(away)


def without_weights(class_name: str, folder: Path, dtype: torch.dtype) -> Any:
    """A text encoder of that class of transformers, as the settings in a directory have it, on the device "meta"."""
    import transformers

    kind = getattr(transformers, class_name)
    with quiet_libraries(), torch.device("meta"):
        settings = kind.config_class.from_pretrained(folder, local_files_only=True)
        encoder = kind._from_config(settings, dtype=dtype).eval()
    encoder.name_or_path = str(folder)  # as `from_pretrained` has it
    return encoder


def leave(holder: Holder) -> None:
    """Takes the text encoders off an accelerator; without one, away where memory is short."""
    _move(holder, torch.device("cpu"))
    if holder.memory.thrown:
        throw_away(holder)


def throw_away(holder: Holder) -> bool:
    """Lets go of the weights of text encoders that can be loaded again, and says whether there were any."""
    if not holder.memory.own:
        return False
    found = {name: folder for name, module in text_encoders(holder.pipe).items() if (folder := _origin(module))}
    for name, folder in found.items():
        getattr(holder.pipe, name).to("meta")
        holder.memory.elsewhere[name] = folder
    return bool(found)


def _move(holder: Holder, device: torch.device) -> None:
    memory = holder.memory
    if holder.device.type == "cpu" or hooked(holder.pipe) or (memory.lent and memory.mode == "auto"):
        return
    for name, module in text_encoders(holder.pipe).items():
        if name not in memory.elsewhere:
            module.to(device)


def _origin(module: Any) -> Path | None:
    """The directory that the weights of a network come from, as they are; None for those that were changed since."""
    folder = Path(getattr(module, "name_or_path", None) or "-")
    changed = getattr(module, "_hf_peft_config_loaded", False) or getattr(module, "hf_quantizer", None) is not None
    gone = any(weight.is_meta for weight in module.parameters())
    return folder.resolve() if not changed and not gone and any(folder.glob("*.safetensors")) else None


def _loaded_again(module: Any, folder: Path) -> Any:
    """The network of that class in a directory. Raises ModelError where it is gone."""
    files = [file.name for file in folder.glob("*.safetensors")]
    if not files:
        raise ModelError(
            f'{folder} is gone, and a text encoder in it is needed again; put it back, or use `memory="auto"`'
        )
    variants = {found[1] if (found := re.match(r"[^.]+\.(\w+)[.-]", name)) else None for name in files}
    variant = None if None in variants else variants.pop()
    with quiet_libraries(), explained(lambda error: _cannot(folder, error)):
        return type(module).from_pretrained(
            folder, dtype=module.dtype, variant=variant, use_safetensors=True, local_files_only=True
        )


def _cannot(folder: Path, error: Exception) -> ModelError:
    said = str(error).strip().partition("\n")[0]
    return ModelError(f"the text encoder in {folder} cannot be loaded: {said or type(error).__name__}; fetch it again")
