"""diffusion_tricks opens the denoising loop: tricks ask the model, the core answers all pending asks in one batch.

Public names are imported when first used, so that `import diffusion_tricks` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusion_tricks.ask import Ask as Ask
    from diffusion_tricks.ask import Estimate as Estimate
    from diffusion_tricks.ask import mean as mean
    from diffusion_tricks.errors import DiffusionTricksError as DiffusionTricksError
    from diffusion_tricks.errors import UsageError as UsageError
    from diffusion_tricks.hookspecs import hookimpl as hookimpl
    from diffusion_tricks.making import Result as Result
    from diffusion_tricks.making import make as make
    from diffusion_tricks.making import making as making
    from diffusion_tricks.model import Model as Model
    from diffusion_tricks.models import load_model as load_model
    from diffusion_tricks.options import TrickOptions as TrickOptions
    from diffusion_tricks.options import argument as argument
    from diffusion_tricks.options import option as option
    from diffusion_tricks.recipe import Recipe as Recipe
    from diffusion_tricks.recipe import TrickEntry as TrickEntry
    from diffusion_tricks.sampler import Run as Run
    from diffusion_tricks.sampler import Start as Start
    from diffusion_tricks.sampler import Step as Step
    from diffusion_tricks.sampler import sample as sample
    from diffusion_tricks.scoring import Score as Score
    from diffusion_tricks.scoring import Scorer as Scorer
    from diffusion_tricks.trick import Shown as Shown
    from diffusion_tricks.trick import Trick as Trick
    from diffusion_tricks.views import View as View

__version__ = "0.1.0"

_HOMES = {
    "ask": ("Ask", "Estimate", "mean"),
    "errors": ("DiffusionTricksError", "UsageError"),
    "hookspecs": ("hookimpl",),
    "making": ("Result", "make", "making"),
    "model": ("Model",),
    "models": ("load_model",),
    "options": ("TrickOptions", "argument", "option"),
    "recipe": ("Recipe", "TrickEntry"),
    "sampler": ("Run", "Start", "Step", "sample"),
    "scoring": ("Score", "Scorer"),
    "trick": ("Shown", "Trick"),
    "views": ("View",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'diffusion_tricks' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"diffusion_tricks.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
