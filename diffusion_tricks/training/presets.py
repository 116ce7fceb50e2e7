"""Trainings that go by a name: sets of options, as data. No torch here.

`denoiser`, `time`, `class` and `flow` are the exercises of a course on generative models, with `-quick` in minutes, as
the digit models inside were made (times are those of two cores with nothing else to do); `emoji` is the model inside,
`emoji-refiner` what answers in its place at low noise, and `emoji-upscaler` its second stage.
"""

from __future__ import annotations

from typing import Any

from diffusion_tricks.errors import UnknownName

# The exercises ask for a rate of 1e-2, which their own U-Net stands; diffusers' does not: its loss stays at 1, or with
# a warm-up rises again from 0.2 to 0.4. DDPM's steps bear a guidance of 5, DDIM's do not: of 20 digits all can be read,
# with DDIM 8, as it clips the picture but not the noise that it goes on with.
EXERCISE = {
    "data": "digits", "size": 28, "channels": 1, "objective": "epsilon", "schedule": "linear", "timesteps": 300,
    "width": 64, "epochs": 20, "batch": 128, "optimizer": "adam", "lr": 2e-3, "lr_schedule": "exponential",
    "lr_final": 0.1, "warm_up": 100, "scheduler": "ddpm", "sheet_steps": 50,
}  # fmt: skip

LONG_LESSON = "8 to 10 core-hours"

# What fits into a lesson on two cores: a narrow network, more steps for its schedule, and fewer pictures an epoch.
LESSON = EXERCISE | {
    "width": 16, "timesteps": 400, "batch": 32, "pictures": 3000, "sheets": [1, 5, 20], "keep_models": True,
}  # fmt: skip

EMOJI = {
    "task": "text", "data": "emoji", "size": 64, "channels": 3, "objective": "v", "schedule": "cosine",
    "optimizer": "adamw", "lr_schedule": "cosine", "beta2": 0.99, "ema": 0.999, "precision": "bfloat16",
    "guidance": 2.0, "sampling_steps": 25, "sheet_count": 16,
}  # fmt: skip

# The second generation: many things in several drawings (`data/sets.py`), first the layout of the noisiest steps, then
# the clean surfaces of the least noisy.
LONG = EMOJI | {
    "data": "drawings.npz", "channels_last": True, "compile": True, "lr_schedule": "inverse-sqrt", "shift": 4.0,
    "shift_end": 1.0, "profiles": [0.05, 0.1], "sheet_count": 30,
}  # fmt: skip

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "denoiser": (
        f"one step from noise of sigma 0.5, without time; {LONG_LESSON}",
        {
            "task": "denoiser", "data": "digits", "size": 28, "channels": 1, "objective": "sample", "sigma": 0.5,
            "width": 128, "epochs": 5, "batch": 256, "optimizer": "adam", "lr": 1e-4, "warm_up": 0,
        },
    ),
    "time": (f"time-conditioned, on all digits at once; {LONG_LESSON}", EXERCISE | {"task": "unconditional"}),
    "class": (
        f"class-conditioned, shown with guidance 5 after epochs 1, 5, 10 and 20; {LONG_LESSON}",
        EXERCISE | {"task": "class", "dropout": 0.1, "guidance": 5.0, "sheets": [1, 5, 10, 20]},
    ),
    "flow": (
        f"flow matching, class-conditioned, sampled in 50 steps; {LONG_LESSON}",
        EXERCISE
        | {
            "task": "class", "objective": "flow", "timesteps": 1000, "guidance": 5.0, "sheets": [1, 5, 10, 20],
            "scheduler": None,
            "sheet_steps": 50, "sampling_steps": 50,
        },
    ),
    "denoiser-quick": (
        "for a lesson: width 16, 2 minutes",
        {
            "task": "denoiser", "data": "digits", "size": 28, "channels": 1, "objective": "sample", "sigma": 0.5,
            "width": 16, "epochs": 5, "pictures": 6000, "batch": 32, "optimizer": "adam", "lr": 2e-3,
            "lr_schedule": "exponential", "lr_final": 0.1, "warm_up": 50,
        },
    ),
    "time-quick": ("for a lesson: width 16, T = 400, 4 minutes", LESSON | {"task": "unconditional"}),
    "class-quick": (
        "for a lesson: width 16, T = 400, shown with guidance 5 after epochs 1, 5 and 20, 4 minutes",
        LESSON | {"task": "class", "dropout": 0.1, "guidance": 5.0},
    ),
    "flow-quick": (
        "for a lesson: width 16, sampled in 50 steps, 4 minutes",
        LESSON
        | {"task": "class", "objective": "flow", "guidance": 5.0, "scheduler": None},
    ),
    "emoji": (
        "the model inside: text, 64x64, by the clock on two cores",
        EMOJI
        | {
            "widths": "16,32,64,128,256", "batch": 16, "processes": 2, "device": "cpu", "lr": 1e-3, "warm_up": 150,
            "shift": 6.0, "minutes": 300.0,
        },
    ),
    # Days of two cores at the lowest priority. Two processes of one thread each wait for each other once a step, two
    # threads of one process at every operation, which stands still beside other work. No end need be known: the rate
    # falls with the inverse root of the steps until a cool-down is asked for, and the average is chosen afterwards.
    "emoji-relay": (
        "the model inside, for days beside other work: see diffusion_tricks.training.relay",
        LONG
        | {
            "widths": "32,64,96,128,256", "batch": 16, "processes": 2, "lr": 1e-3, "lr_hold": 6000, "warm_up": 200,
            "shift_over": 600_000, "averages": 50_000, "steps": 47_000, "device": "cpu",
        },
    ),
    # A GPU has time for more things, and for width where pictures are small: 15.1 million in the UNet and 1.5 in the
    # text encoder, with the upscaler's 2.5 some 38 MB in float16. Large batches spread the noise levels evenly.
    "emoji-gpu": (
        "the model inside, on a GPU; with `data` as diffusion_tricks.training.data.sets wrote it",
        LONG
        | {
            "widths": "32,64,96,192,224", "batch": 256, "workers": 12, "lr": 1.5e-3, "lr_schedule": "constant",
            "cool_down": 0.3, "warm_up": 300, "shift_over": 3_000_000, "averages": 500_000, "minutes": 25.0,
        },
    ),
    # What is left to draw at low noise is edges and flat colours, whatever the thing: so it reads nothing, is small and
    # is wide where pictures are large. An absolute error has the median as its best answer: flat colours stay flat.
    "emoji-refiner": (
        "what answers in its place below timestep 600, without text; with `data` as data.sets wrote it",
        {
            "task": "unconditional", "data": "drawings.npz", "size": 64, "channels": 3, "objective": "v",
            "schedule": "cosine", "error": "absolute", "below": 600, "widths": "32,48,64,64", "minutes": 40.0,
            "batch": 16, "device": "cpu", "optimizer": "adamw", "lr": 2e-3, "lr_schedule": "cosine", "warm_up": 100,
            "beta2": 0.99, "ema": 0.999, "precision": "bfloat16", "channels_last": True, "held_out": 64,
        },
    ),
    # Nearly all steps are drawn from pure noise, so that one step is enough; an absolute error has the median of what a
    # pixel may be as its best answer, where a squared one has the mean: so flat colours stay flat and edges sharp.
    "emoji-upscaler": (
        "its second stage, 64x64 to 256x256 in one step; with `data` as data.sets wrote it with a side of 256",
        {
            "task": "upscale", "data": "drawings.npz", "first_stage": "emoji", "size": 256, "channels": 3, "crop": 128,
            "objective": "v", "schedule": "cosine", "error": "absolute", "shift": 30.0, "widths": "16,32,64,128",
            "minutes": 60.0, "batch": 8, "processes": 2, "device": "cpu", "optimizer": "adamw", "lr": 1e-3,
            "lr_schedule": "cosine", "warm_up": 100, "beta2": 0.99, "ema": 0.999, "precision": "bfloat16",
            "channels_last": True, "compile": True, "guidance": 1.0, "sampling_steps": 1, "sheet_count": 12,
            "sheet_steps": 1, "held_out": 32,
        },
    ),
}  # fmt: skip


def preset(name: str) -> dict[str, Any]:
    """The options of a preset. Raises UnknownName."""
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    return dict(PRESETS[name][1])
