"""diffusion_tricks opens the denoising loop: tricks ask the model, the core answers all pending asks in one batch.

Public names are imported when first used, so that `import diffusion_tricks` costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.lazy import opening

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.ask import Ask as Ask
    from diffusion_tricks.diffusion.estimate import Estimate as Estimate
    from diffusion_tricks.diffusion.estimate import mean as mean
    from diffusion_tricks.errors import DiffusionTricksError as DiffusionTricksError
    from diffusion_tricks.errors import ModelError as ModelError
    from diffusion_tricks.errors import OutOfMemory as OutOfMemory
    from diffusion_tricks.errors import PluginError as PluginError
    from diffusion_tricks.errors import UsageError as UsageError
    from diffusion_tricks.generate.make import make as make
    from diffusion_tricks.generate.make import making as making
    from diffusion_tricks.generate.result import Result as Result
    from diffusion_tricks.generate.score import Score as Score
    from diffusion_tricks.generate.score import Scorer as Scorer
    from diffusion_tricks.generate.score import ViewScore as ViewScore
    from diffusion_tricks.generate.together import made_together as made_together
    from diffusion_tricks.hosting.host_hooks import hookimpl as hookimpl
    from diffusion_tricks.hosting.loaded import load_plugin as load_plugin
    from diffusion_tricks.io.grid import labelled_grid as labelled_grid
    from diffusion_tricks.loading.load import load_model as load_model
    from diffusion_tricks.model.model import Model as Model
    from diffusion_tricks.recipes.likeness import likeness as likeness
    from diffusion_tricks.recipes.recipe import Recipe as Recipe
    from diffusion_tricks.registry.branch import Branch as Branch
    from diffusion_tricks.registry.entry import TrickEntry as TrickEntry
    from diffusion_tricks.registry.options import TrickOptions as TrickOptions
    from diffusion_tricks.registry.options import argument as argument
    from diffusion_tricks.registry.options import option as option
    from diffusion_tricks.registry.trick import Shown as Shown
    from diffusion_tricks.registry.trick import Trick as Trick
    from diffusion_tricks.registry.view import View as View
    from diffusion_tricks.sampling.loop import sample as sample
    from diffusion_tricks.sampling.run import Run as Run
    from diffusion_tricks.sampling.start import Start as Start
    from diffusion_tricks.sampling.step import Step as Step

__version__ = "0.1.0"

_HOMES = {
    "diffusion.ask": ("Ask",),
    "diffusion.estimate": ("Estimate", "mean"),
    "errors": ("DiffusionTricksError", "ModelError", "OutOfMemory", "PluginError", "UsageError"),
    "generate.make": ("make", "making"),
    "generate.result": ("Result",),
    "generate.score": ("Score", "Scorer", "ViewScore"),
    "generate.together": ("made_together",),
    "io.grid": ("labelled_grid",),
    "hosting.host_hooks": ("hookimpl",),
    "hosting.loaded": ("load_plugin",),
    "loading.load": ("load_model",),
    "model.model": ("Model",),
    "recipes.likeness": ("likeness",),
    "recipes.recipe": ("Recipe",),
    "registry.branch": ("Branch",),
    "registry.entry": ("TrickEntry",),
    "registry.options": ("TrickOptions", "argument", "option"),
    "registry.trick": ("Shown", "Trick"),
    "registry.view": ("View",),
    "sampling.loop": ("sample",),
    "sampling.run": ("Run",),
    "sampling.step": ("Step",),
    "sampling.start": ("Start",),
}
__getattr__, __dir__, __all__ = opening(__name__, _HOMES)
__all__ += ["__version__"]
