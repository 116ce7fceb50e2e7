"""Which pipelines can be run from a prompt and latents, judged by their `__call__` alone; and what the others lack."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from diffusion_tricks.diffusion.followed import not_followed
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.defaults import Defaults

if TYPE_CHECKING:
    from diffusion_tricks.types import Parts

PICTURES = (
    "image", "images", "input_image", "input_images", "mask_image", "control_image", "reference_image", "source_image",
    "image_embeds", "image_embeddings", "video", "videos",
)  # fmt: skip
FILMS = ("num_frames", "video_length", "frames")
NEEDED = ("prompt", "latents", "width", "height")
AS_PIP_CALLS_IT = {"opencv": "opencv-python", "bs4": "beautifulsoup4"}  # where that is not the library's own name
GUIDED = ("true_cfg_scale", "guidance_scale")
REFINED = ("pag_scale",)  # guidance of its own kind, by more rows than were asked for


def pipeline_named(name: str) -> type | None:
    """The pipeline class of diffusers of that name, or None where the installed version has none.

    Raises ModelError for one that needs a library that is not installed: what diffusers then has is a class that
    stands for it.
    """
    import diffusers

    found = getattr(diffusers, name, None)
    if not isinstance(found, type):
        return None
    if lacking := [library for library in getattr(found, "_backends", ()) if not _installed(library)]:
        needs = "library" if len(lacking) == 1 else "libraries"
        pip = " ".join(AS_PIP_CALLS_IT.get(library, library.replace("_", "-")) for library in lacking)
        are = "is" if len(lacking) == 1 else "are"
        raise ModelError(
            f"{name} needs the {needs} {_listed(lacking)}, which {are} not installed; run: pip install {pip}"
        )
    return found


def _installed(library: str) -> bool:
    """Whether a library that diffusers may do without is installed, as it sees it."""
    from diffusers.utils.import_utils import BACKENDS_MAPPING

    known = BACKENDS_MAPPING.get(library)
    return bool(known[0]()) if known else importlib.util.find_spec(library) is not None


def call_of(pipeline: type) -> dict[str, Any]:
    """The parameters of the pipeline's `__call__`, each with its default; `inspect.Parameter.empty` is none."""
    parameters = list(inspect.signature(pipeline.__call__).parameters.values())[1:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {parameter.name: parameter.default for parameter in named}


def other_input(pipeline: type) -> str | None:
    """What a call takes that is no text, a picture or a number of frames; None where text alone will do."""
    call = call_of(pipeline)
    if pictures := [name for name in PICTURES if name in call]:
        return (
            f"it cannot be run from a prompt alone, its call needs a picture ({_listed(pictures)}); load the "
            "text-to-image pipeline of the same model, and let a trick bring the picture"
        )
    if films := [name for name in FILMS if name in call]:
        return f"it makes films, not pictures ({_listed(films)})"
    return None


def replayable(pipeline: type) -> bool:
    """Whether a pipeline's first denoiser call has one row for each prompt, and starts from text, or from a mask."""
    call = call_of(pipeline)
    return not any(name in call for name in REFINED) and ("mask_image" in call or other_input(pipeline) is None)


def missing(pipeline: type) -> str | None:
    """Why a pipeline cannot be run step by step by its own call; None where it can, as far as its call tells."""
    call = call_of(pipeline)
    if other := other_input(pipeline):
        return other
    if lacks := [name for name in NEEDED if name not in call]:
        return f"its call takes no {_listed(lacks)}"
    if needs := [name for name, default in call.items() if default is inspect.Parameter.empty and name != "prompt"]:
        return f"its call needs {_listed(needs)} as well as a prompt"
    if not any(name in call for name in GUIDED):
        return f"its guidance cannot be switched off: its call takes no {_listed(GUIDED, 'or')}"
    if not hasattr(pipeline, "encode_prompt"):
        return "its texts cannot be prepared once: it has no encode_prompt"
    return None


def unfollowed(parts: Parts) -> str | None:
    """Why the steps of a model's scheduler cannot be followed; None where they can, as far as its settings tell."""
    return not_followed(parts.get("scheduler", {}))


def refusal(name: str, why: str) -> str:
    """The message for a pipeline that cannot be opened."""
    return f"{name} is not a pipeline this version can open: expected a text-to-image pipeline, and {why}"


def own_defaults(pipeline: type, distilled: bool = False) -> Defaults:
    """Steps and guidance scale as the pipeline's call has them; the general ones where it has none that can be used.

    distilled: its `guidance_scale` is an input of the network, and says nothing of guidance by two answers.
    """
    call, general = call_of(pipeline), Defaults()
    names = [name for name in GUIDED if name in call and not (distilled and name == "guidance_scale")]
    scale = next((call[name] for name in names), 1.0 if distilled else general.guidance)
    try:
        return Defaults(call.get("num_inference_steps", general.steps), scale)
    except ValueError:
        return general


def _listed(names: Iterable[str], last: str = "and") -> str:
    *most, end = names
    return f"{', '.join(most)} {last} {end}" if most else end
