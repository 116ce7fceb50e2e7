"""The refiner of a model: a folder in its directory, which its own file of defaults names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.loading.checks import check_directory, check_whole
from diffusion_tricks.loading.defaults_file import defaults_of

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model, Refiner


def refiner_of(model: Model, location: Path, load: Callable[[Path], Model]) -> Refiner | None:
    """What answers in the model's place where little noise is left; None where it names nothing, or has LoRA.

    location: where the model lies. load: gives the model in a folder, placed as the model itself is. Weights that were
    added to a model would go without where another answers, so it then answers everywhere itself.
    Raises ModelError for a folder that is not there, or that holds what cannot answer for the model.
    """
    named = model.defaults.refiner
    if named is None:
        return None
    if model.loras:
        model.memory.notes.append(f"with LoRA {model.name!r} answers everywhere itself, without its refiner")
        return None
    refiner = load(refiner_folder(location, named))
    refiner.name = f"{model.name}/{named}"
    return checked(model, refiner)


def refiner_folder(location: Path, named: str) -> Path:
    """Where the refiner of that name lies in a model's directory. Raises ModelError where it does not, or not whole."""
    if not (folder := location / named).is_dir():
        raise ModelError(f"{location / DEFAULTS_FILE} names a refiner, and beside it is no folder {named}; "
                         "put it there, or take the name out")  # fmt: skip
    check_whole(folder)
    check_directory(folder)
    return folder


def below_of(folder: Path) -> int:
    """The timestep below which the refiner in a folder answers. Raises ModelError for one that does not say."""
    below = defaults_of(folder).below
    if below is None:
        raise _silent(folder.name)
    return below


def checked(model: Model, refiner: Model) -> Refiner:
    """The refiner of a model. Raises ModelError for one that cannot answer in its place."""
    from diffusion_tricks.diffusion.levels import prediction_of, uses_learned_variance
    from diffusion_tricks.families.plain import PlainFamily
    from diffusion_tricks.model.model import Refiner

    below = refiner.defaults.below
    if below is None:
        raise _silent(refiner.name)
    if not isinstance(refiner.family, PlainFamily) or refiner.family.embeddings:
        raise ModelError(
            f"the refiner {refiner.name!r} is of {type(refiner.pipe).__name__}; expected one without text and classes"
        )
    own, its = model.pipe.scheduler, refiner.pipe.scheduler
    asked = {
        "pixels per latent": (model.family.scale, refiner.family.scale),
        "channels": (model.family.channels, refiner.family.channels),
        "prediction": (prediction_of(own), prediction_of(its)),
        "learned variance": (uses_learned_variance(own), uses_learned_variance(its)),
        f"noise at timestep {below}": (_level(model, below), _level(refiner, below)),
    }
    wrong = [f"{name} {found} where the model has {had}" for name, (had, found) in asked.items() if had != found]
    if wrong:
        raise ModelError(f"the refiner {refiner.name!r} does not fit {model.name!r}: {'; '.join(wrong)}")
    if model.family.multiple % refiner.family.multiple:
        raise ModelError(f"the refiner {refiner.name!r} makes sizes in multiples of {refiner.family.multiple}, and "
                         f"{model.name!r} in those of {model.family.multiple}; expected fewer levels")  # fmt: skip
    return Refiner(refiner, below)


def _silent(name: str) -> ModelError:
    return ModelError(f"the refiner {name!r} does not say below which timestep it answers; its {DEFAULTS_FILE} is to "
                      "do so, as in \"below\": 400")  # fmt: skip


def _level(model: Model, t: int) -> tuple[float, float]:
    """alpha and sigma at a timestep, as far as they matter. Raises UsageError for a timestep that there is not."""
    level = model.level(t)
    return round(level.alpha, 4), round(level.sigma, 4)
