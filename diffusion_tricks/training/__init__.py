"""The trainers' door: small diffusion models of one's own, what they learn from, and how it went.

    from diffusion_tricks.training import options_from, train

    done = train(options_from({"out": "sevens"}, "class-quick"))

Names are imported when first used, so that reading options and presets costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.lazy import opening

if TYPE_CHECKING:
    from diffusion_tricks.training.classifier import DigitClassifier as DigitClassifier
    from diffusion_tricks.training.classifier import digit_classifier as digit_classifier
    from diffusion_tricks.training.data.opening import open_source as open_source
    from diffusion_tricks.training.data.stream import Batch as Batch
    from diffusion_tricks.training.data.stream import Source as Source
    from diffusion_tricks.training.data.stream import Stream as Stream
    from diffusion_tricks.training.figures import loss_figure as loss_figure
    from diffusion_tricks.training.figures import sheet as sheet
    from diffusion_tricks.training.folder import metrics as metrics
    from diffusion_tricks.training.interrupts import Interrupted as Interrupted
    from diffusion_tricks.training.loop import Trained as Trained
    from diffusion_tricks.training.options import TrainOptions as TrainOptions
    from diffusion_tricks.training.options import options_from as options_from
    from diffusion_tricks.training.presets import PRESETS as PRESETS
    from diffusion_tricks.training.presets import preset as preset
    from diffusion_tricks.training.run import resume as resume
    from diffusion_tricks.training.run import train as train
    from diffusion_tricks.training.showing import denoised as denoised
    from diffusion_tricks.training.showing import noised as noised
    from diffusion_tricks.training.showing import page_of as page_of
    from diffusion_tricks.training.task import Page as Page

_HOMES = {
    "training.classifier": ("DigitClassifier", "digit_classifier"),
    "training.data.opening": ("open_source",),
    "training.data.stream": ("Batch", "Source", "Stream"),
    "training.figures": ("loss_figure", "sheet"),
    "training.folder": ("metrics",),
    "training.interrupts": ("Interrupted",),
    "training.loop": ("Trained",),
    "training.options": ("TrainOptions", "options_from"),
    "training.presets": ("PRESETS", "preset"),
    "training.run": ("resume", "train"),
    "training.showing": ("denoised", "noised", "page_of"),
    "training.task": ("Page",),
}
__getattr__, __dir__, __all__ = opening(__name__, _HOMES)
