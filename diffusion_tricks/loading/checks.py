"""What a directory may hold that is loaded: settings and safetensors, no code and no pickles.

Every check looks at the files as diffusers and transformers would read them, before either does.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import ModelError
from diffusion_tricks.io.foreign import MAX_HEAD, read_head, read_object
from diffusion_tricks.loading.files import INDEX_FILE, NOT_READ, PICKLES, SETTINGS, components_of, has_weights

LIBRARIES = {"diffusers", "transformers"}
BRINGS_CODE = {"auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code"}  # keys of settings
OWN_ATTENTION = {"eager", "sdpa", "flex_attention"}  # any other may be fetched, as compiled code
SEVERAL = re.compile("Multi.*(ControlNet|Adapter)")  # classes that read folders beside their own, too
MAX_SETTINGS_BYTES = 2**28  # of vocabularies, too
SAVED = "expected a directory written by `save_pretrained` of a diffusers pipeline"
CONVERT = "convert it with save_pretrained"


def check_directory(folder: Path, weights: bool = True, without: Collection[str] = ()) -> None:
    """Raises ModelError for a directory that is no diffusers pipeline of safetensors, or that brings code.

    weights: False for one of which only the settings are read. without: components whose weights are not read.
    """
    index = read_index(folder)
    for part in components_of(index):
        _check_regular(folder / part)
    _check_code(folder, index)
    _check_reach(folder, index)
    for part, (_, class_name) in components_of(index, without).items():
        if weights:
            _check_weights(folder, part, class_name)


def check_whole(folder: Path) -> None:
    """Raises ModelError for a directory in which a component that its index names has no folder."""
    if lacking := lacking_in(folder):
        raise ModelError(f"{folder} lacks {', '.join(lacking)}; {SAVED}")


def lacking_in(folder: Path) -> list[str]:
    """The components that a directory's index names, of which there is no folder, or an empty one."""
    return [part for part in components_of(read_index(folder)) if not _files(folder / part)]


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*") if file.is_file()]


def _check_regular(folder: Path) -> None:
    """Raises ModelError for what is in a component's folder and would never end, or fill the memory, when read."""
    for file in folder.glob("*"):
        if not file.exists():
            raise ModelError(f"{file} is a link to what is not there; fetch it again")
        if not (file.is_file() or file.is_dir()):
            raise ModelError(f"{file} is no regular file; expected settings and weights")
        if file.suffix in SETTINGS and file.stat().st_size > MAX_SETTINGS_BYTES:
            raise ModelError(f"{file} is larger than {MAX_SETTINGS_BYTES:,} bytes, and no settings are")


def read_index(folder: Path) -> dict[str, Any]:
    """What a pipeline's directory says it is made of. Raises ModelError where it is no pipeline's."""
    file = folder / INDEX_FILE
    if not file.is_file():
        raise ModelError(f"{folder} is not a diffusers pipeline: it has no {INDEX_FILE}")
    index = read_object(file, ModelError, libraries=True)
    if "_class_name" not in index:
        raise ModelError(f"{file} names no pipeline: expected a _class_name and its components")
    if odd := [key for key in index if not str(key).isidentifier()]:
        raise ModelError(f"{file}: expected names of components, which are folders beside it, got {odd[0]!r}")
    return index


def check_safetensors(file: Path) -> None:
    """Raises ModelError for a file that is not safetensors, whatever its name says."""
    with file.open("rb") as opened:
        head = opened.read(64)
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= min(file.stat().st_size - 8, MAX_HEAD):
        read_head(file, ModelError)
        return
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{file} only stands for a file that git-lfs keeps; run `git lfs pull` in its folder")
    pickled = head.startswith((b"PK\x03\x04", b"\x80"))
    if pickled:
        what = "it is a pickle under another name, which may run code when read"
        raise ModelError(f"{file}: expected weights as .safetensors; {what}; {CONVERT}")
    raise ModelError(f"{file} is not safetensors, whatever its name says, or it is damaged; fetch it again")


def _check_code(folder: Path, index: dict[str, Any]) -> None:
    foreign = [key for key, value in index.items() if _is_code(folder, key, value)]
    for file in _settings(folder, index):
        asked = dict.fromkeys(_code_in(read_object(file, ModelError, libraries=True)))
        foreign += [f"{key} in {file.relative_to(folder).as_posix()}" for key in asked]
    if foreign:
        raise ModelError(f"{folder} wants to run code of its own ({', '.join(foreign)}); such models are refused")


def _check_reach(folder: Path, index: Mapping[str, Any]) -> None:
    """Raises ModelError for what would read directories that are not those of its components: nothing looks there."""
    if "Combined" in (made := index["_class_name"]):
        raise ModelError(f"{folder} is a {made}, which loads other models that it names; such models are refused")
    for part, (_, class_name) in components_of(index).items():
        if "Pipeline" in class_name or (folder / part / INDEX_FILE).exists():
            what = f"is itself a pipeline ({class_name})"
        elif SEVERAL.search(class_name):
            what = f"is several networks in one ({class_name})"
        else:
            continue
        raise ModelError(f"{folder}: its {part} {what}, and such models are refused; expected networks as components")


def _is_code(folder: Path, key: str, value: Any) -> bool:
    """A pipeline class in a file, or a component whose module is not one of the two libraries'."""
    if key == "_class_name":
        return not isinstance(value, str)
    module = value[0] if isinstance(value, list) and len(value) == 2 else None
    if not isinstance(module, str):
        return False
    beside = (folder / f"{module}.py").exists() or (folder / key / f"{module}.py").exists()
    return beside or not (module in LIBRARIES or _is_pipeline_module(module))


def _is_pipeline_module(module: str) -> bool:
    """Whether diffusers has pipelines of that name; looked up as files, as nothing is imported for a name."""
    spec = importlib.util.find_spec("diffusers")
    home = Path(spec.origin).parent / "pipelines" if spec and spec.origin else Path("pipelines")
    return module.isidentifier() and ((home / module).is_dir() or (home / f"{module}.py").is_file())


def _settings(folder: Path, index: Mapping[str, Any]) -> Iterator[Path]:
    """The settings of a pipeline and of its components; a component without a folder has its own beside the index."""
    for place in (folder, *(folder / part for part in index)):
        yield from sorted(file for file in place.glob("*.json") if "config" in file.name or file.name == INDEX_FILE)


def _code_in(value: Any) -> Iterator[str]:
    """The keys, however deep, by which settings ask for code that does not come with the libraries."""
    if isinstance(value, list):
        for each in value:
            yield from _code_in(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            attention = key.removeprefix("_").endswith(("attn_implementation", "experts_implementation"))
            if (key in BRINGS_CODE and each) or (attention and isinstance(each, str) and each not in OWN_ATTENTION):
                yield key
            yield from _code_in(each)


def _check_weights(folder: Path, part: str, class_name: str) -> None:
    files = sorted((folder / part).glob("*"))
    weights = [file for file in files if file.suffix == ".safetensors"]
    for file in weights:
        check_safetensors(file)
    pickles = [file.relative_to(folder).as_posix() for file in files if file.suffix in PICKLES]
    pickles = [] if weights else pickles
    pickles += [name for file in files for name in _named_in(file) if not name.endswith(".safetensors")]
    if pickles:
        found = f"found {', '.join(dict.fromkeys(pickles))}, which may run code when read"
        raise ModelError(f"{folder}: expected weights as .safetensors; {found}; {CONVERT}")
    if files and not weights and has_weights(class_name):
        raise ModelError(f"{folder}: expected weights as .safetensors; {part} has none; {CONVERT}")
    if others := [file.name for file in files if file.name in NOT_READ]:
        raise ModelError(f"{folder / part} holds an adapter ({', '.join(others)}); merge it into the model first")


def _named_in(file: Path) -> list[str]:
    """The files of weights that a component's index, or its settings, name; any of them would be read."""
    if ".safetensors." in file.name and file.suffix == ".json":
        parts = read_object(file, ModelError, libraries=True).get("weight_map")
        return sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
    if file.name == "config.json":
        named = read_object(file, ModelError, libraries=True).get("transformers_weights")
        return [str(named).removesuffix(".index.json")] if named is not None else []
    return []
