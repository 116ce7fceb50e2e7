"""Trainings that go by a name: sets of options, as data. No torch here.

`denoiser`, `time`, `class` and `flow` are the exercises of a course on generative models; `emoji` is the model inside.
"""

from __future__ import annotations

from typing import Any

from diffusion_tricks.errors import UnknownName

# The exercises ask for a rate of 1e-2, which their own U-Net stands; diffusers' does not: its loss stays at 1, or with
# a warm-up rises again from 0.2 to 0.4.
EXERCISE = {
    "data": "digits", "size": 28, "channels": 1, "objective": "epsilon", "schedule": "linear", "timesteps": 300,
    "width": 64, "epochs": 20, "batch": 128, "optimizer": "adam", "lr": 2e-3, "lr_schedule": "exponential",
    "lr_final": 0.1, "warm_up": 100,
}  # fmt: skip

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "denoiser": (
        "one step from noise of sigma 0.5, without time",
        {
            "task": "denoiser", "data": "digits", "size": 28, "channels": 1, "objective": "sample", "sigma": 0.5,
            "width": 128, "epochs": 5, "batch": 256, "optimizer": "adam", "lr": 1e-4, "warm_up": 0,
        },
    ),
    "time": ("time-conditioned, on all digits at once", EXERCISE | {"task": "unconditional"}),
    "class": (
        "class-conditioned, shown with guidance 5 after epochs 1, 5, 10 and 20",
        EXERCISE | {"task": "class", "dropout": 0.1, "guidance": 5.0, "sheets": [1, 5, 10, 20]},
    ),
    "flow": (
        "flow matching, class-conditioned, sampled in 50 steps",
        EXERCISE
        | {
            "task": "class", "objective": "flow", "timesteps": 1000, "guidance": 5.0, "sheets": [1, 5, 10, 20],
            "sheet_steps": 50, "sampling_steps": 50,
        },
    ),
    "emoji": (
        "the model inside: text, 64x64, by the clock",
        {
            "task": "text", "data": "emoji", "size": 64, "channels": 3, "objective": "v", "schedule": "cosine",
            "widths": "16,32,64,128,256", "minutes": 90.0, "batch": 16, "optimizer": "adamw", "lr": 1.5e-3,
            "lr_schedule": "cosine", "warm_up": 50, "beta2": 0.99, "shift": 8.0, "ema": 0.999, "precision": "bfloat16",
            "guidance": 2.0, "sampling_steps": 25, "sheet_count": 16,
        },
    ),
}  # fmt: skip


def preset(name: str) -> dict[str, Any]:
    """The options of a preset. Raises UnknownName."""
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    return dict(PRESETS[name][1])
