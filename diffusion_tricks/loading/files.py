"""Which files of a pipeline are read: settings, tokenizers, and of the weights one variant, as safetensors.

    unet/config.json                                    settings
    unet/diffusion_pytorch_model.safetensors            weights, the plain variant
    text_encoder/model.fp16-00001-of-00002.safetensors  weights, the variant fp16, in parts
    text_encoder/model.safetensors.index.fp16.json      their index

It works on names alone, of a directory's files or of those at the hub: nothing is opened here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from diffusion_tricks.families.defaults import DEFAULTS_FILE

INDEX_FILE = "model_index.json"
SETTINGS = {".json", ".txt", ".model", ".jinja"}  # `.model` is sentencepiece's vocabulary
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
NOT_READ = {"adapter_config.json"}  # it would bring in weights of yet another model
WEIGHTS = re.compile(
    r"(diffusion_pytorch_model|model)(\.(?P<variant>[a-zA-Z]\w*))?(-(?P<part>\d{5})-of-(?P<parts>\d{5}))?"
    r"(\.(?P<old>[a-zA-Z]\w*))?\.safetensors"
)
PART_INDEX = re.compile(
    r"(diffusion_pytorch_model|model)\.safetensors(\.(?P<old>\w+))?\.index(\.(?P<variant>\w+))?\.json"
)
WITHOUT_WEIGHTS = re.compile("Scheduler|Tokenizer|Processor|FeatureExtractor|Guid")  # in names of classes
WISHES = {"float32": (None,), "float16": ("fp16", "bf16", None), "bfloat16": ("bf16", "fp16", None)}

Variant = str | None


def components_of(index: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Library and class of each component that a pipeline's index names, but for those in `without`."""
    named = {name: value for name, value in index.items() if not name.startswith("_") and name not in without}
    pairs = {name: value for name, value in named.items() if isinstance(value, list) and len(value) == 2}
    return {name: (str(library), str(made)) for name, (library, made) in pairs.items() if library and made}


def has_weights(class_name: str) -> bool:
    """Whether components of a class come with weights; schedulers, tokenizers and the like do not."""
    return not WITHOUT_WEIGHTS.search(class_name)


def within(names: Iterable[str], folder: str) -> list[str]:
    """The names of the files right in a folder, without its own."""
    paths = [PurePosixPath(name) for name in names]
    return [path.name for path in paths if path.parent.as_posix() == folder]


def variants(names: Iterable[str]) -> dict[Variant, list[str]]:
    """The weights of one component by variant, None for the plain one; those of which a part is missing left out."""
    found: dict[Variant, list[str]] = {}
    counts: dict[Variant, int] = {}
    for name in sorted(names):
        if match := WEIGHTS.fullmatch(name):
            variant = match["variant"] or match["old"]
            found.setdefault(variant, []).append(name)
            counts[variant] = int(match["parts"]) if match["part"] else 1
    return {variant: files for variant, files in found.items() if len(files) >= counts[variant]}


def variant_for(names: Iterable[str], components: Iterable[str], dtype: str) -> Variant:
    """The variant to load: that nearest to `dtype` (float32, float16, bfloat16) of those that leave nothing out.

    A component without that variant is read as it is without one, as diffusers does it.
    """
    names = list(names)
    each = [set(found) for part in components if (found := variants(within(names, part)))]
    others = sorted({variant for found in each for variant in found if variant}, key=lambda v: (v != "fp16", v))
    for variant in (*WISHES.get(dtype, ()), *others, None):
        if all(found & {variant, None} for found in each) and any(variant in found for found in each):
            return variant
    return None  # no variant has everything


def wanted(names: Iterable[str], components: Iterable[str], variant: Variant, weights: bool = True) -> list[str]:
    """The files to read of a pipeline: its own settings, and each component's settings and weights of one variant."""
    names = list(names)
    found = [name for name in (INDEX_FILE, DEFAULTS_FILE) if name in names]
    for part in components:
        inside = within(names, part)
        chosen = [name for name in inside if PurePosixPath(name).suffix in SETTINGS and name not in NOT_READ]
        chosen = [name for name in chosen if ".index." not in name]
        if weights:
            chosen += _weights(inside, variant)
        found += [f"{part}/{name}" for name in chosen]
    return found


def _weights(inside: list[str], variant: Variant) -> list[str]:
    """The weights of a component in a variant, or without one, and the index of their parts."""
    found = variants(inside)
    read = variant if variant in found else None
    matches = {name: PART_INDEX.fullmatch(name) for name in inside}
    indices = [name for name, match in matches.items() if match and (match["variant"] or match["old"]) == read]
    return [*found.get(read, []), *indices]


def pickles_of(names: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The files among `names` in one of `folders` that are pickles by their endings."""
    inside = set(folders)
    paths = [PurePosixPath(name) for name in names]
    return sorted(path.as_posix() for path in paths if path.suffix in PICKLES and path.parent.as_posix() in inside)


def missing(
    names: Iterable[str], components: Mapping[str, tuple[str, str]], variant: Variant, weights: bool = True
) -> list[str]:
    """What a pipeline's directory lacks, as far as names tell: folders that are empty, and weights if they count."""
    names = list(names)
    lacking = []
    for part, (_, class_name) in components.items():
        inside = within(names, part)
        if not inside:
            lacking.append(part)
        elif weights and has_weights(class_name) and not {variant, None} & set(variants(inside)):
            lacking.append(f"{part}/*.safetensors")
    return lacking
