"""LoRA weights: small changes to a model's weights, in a file of their own.

    W' = W + weight * (alpha / r) * B A        LoRA, arXiv:2106.09685, equation 3

diffusers reads the file and hangs A and B beside the model's layers. Only safetensors are read.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterable, Sequence
from logging import CRITICAL
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.model.lora import EXPECTED, Lora, lora_from

LAYER = re.compile(r"(.+?)[._]lora[._](?:A|B|down|up)\b")  # in the name of a weight, as programs write it


def checked(loras: Sequence[str]) -> tuple[Lora, ...]:
    """The LoRAs that texts say, looked at from outside: no weights are read.

    Raises UsageError and ModelError for files that cannot be loaded.
    """
    from diffusion_tricks.loading.checks import check_safetensors

    listed = isinstance(loras, Iterable) and not isinstance(loras, str)
    if not listed or not all(isinstance(text, str) for text in loras):
        raise UsageError(f"loras must be a list of files, as in ['style.safetensors'], got {loras!r}")
    found = tuple(lora_from(text) for text in loras)
    for lora in found:
        file = Path(lora.file)
        if not file.is_file():
            raise UsageError(f"there is no LoRA file {lora.file!r}; {EXPECTED}")
        if file.suffix.lower() != ".safetensors":
            raise ModelError(f"{file}: expected LoRA weights as .safetensors; other files may run code when read")
        check_safetensors(file)
    files = [Path(lora.file).resolve() for lora in found]
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise UsageError(f"the LoRA file {twice.name} is given twice; give it once, with the weights added up")
    if found and importlib.util.find_spec("peft") is None:
        raise UsageError(
            "LoRA needs the library peft, which is not installed; run: pip install 'diffusion-tricks[lora]'"
        )
    return found


def add_loras(pipe: Any, loras: Sequence[Lora], model: str, notes: list[str]) -> Any:
    """The pipeline with LoRA weights hung on its networks; of those with weight 0 nothing is read.

    notes: gets a line for each that the model takes a part of alone.
    Raises ModelError for a pipeline that takes none, and for weights that do not fit it; it is then as it was.
    """
    used = [lora for lora in loras if lora.weight]
    if not used:
        return pipe
    if not hasattr(pipe, "load_lora_weights"):
        raise takes_none(model, type(pipe).__name__)
    taken = {name for names in pipe.get_list_adapters().values() for name in names}
    names = [f"lora{i}" for i in range(len(taken), len(taken) + len(used))]
    try:
        for lora, name in zip(used, names, strict=True):
            _add(pipe, lora, name, model)
    except BaseException:
        _remove(pipe, names, all_of_them=not taken)
        raise
    pipe.set_adapters(names, [lora.weight for lora in used])
    notes += [note for lora, name in zip(used, names, strict=True) if (note := _in_part(pipe, lora, name, model))]
    return pipe


def takes_none(model: str, pipeline: str) -> ModelError:
    """The error to raise for a model of a class of pipelines that takes no LoRA."""
    return ModelError(f"{model!r} takes no LoRA: diffusers has no way to load one into {pipeline}")


def _in_part(pipe: Any, lora: Lora, name: str, model: str) -> str | None:
    """What to say of a LoRA of which diffusers left layers out, as it does without a word, where the model has none."""
    from safetensors import safe_open

    with safe_open(lora.file, framework="pt") as opened:
        held = {found[1] for key in opened.keys() if (found := LAYER.match(key))}  # noqa: SIM118 (it is no mapping)
    networks = [part for part in pipe.components.values() if hasattr(part, "named_modules")]
    hung = sum(name in getattr(m, "lora_A", ()) for network in networks for m in network.modules())
    if hung >= len(held):
        return None
    return (
        f"{model!r} took {hung} of the {len(held)} layers of {Path(lora.file).name}, which was made for another model"
    )


def _add(pipe: Any, lora: Lora, name: str, model: str) -> None:
    from diffusers.utils import logging

    from diffusion_tricks.devices.oom import memory_is_full
    from diffusion_tricks.devices.quiet import quiet_libraries
    from diffusion_tricks.loading.hub_errors import first_line

    file = Path(lora.file).resolve()
    fits = f"{lora.file} holds no LoRA for {model!r}; expected one that was trained on a model of its family"
    try:
        with quiet_libraries(), warnings.catch_warnings(action="ignore"):
            logging.set_verbosity(CRITICAL)  # it says as an error what is raised as one, too
            pipe.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=name, use_safetensors=True, local_files_only=True
            )
    except ImportError as error:
        raise ModelError(f"LoRA cannot be loaded: {first_line(error)}; update peft") from error
    except Exception as error:
        if memory_is_full(error):
            raise
        raise ModelError(fits) from error
    if not any(name in names for names in pipe.get_list_adapters().values()):
        raise ModelError(fits)


def _remove(pipe: Any, names: Iterable[str], all_of_them: bool) -> None:
    """Takes LoRA weights off again; with all of them go the layers that held them, too."""
    if all_of_them:
        pipe.unload_lora_weights()
        return
    present = {name for names in pipe.get_list_adapters().values() for name in names}
    here = [name for name in names if name in present]
    with warnings.catch_warnings(action="ignore"):  # it tells which of the others is active now
        pipe.delete_adapters(here)
