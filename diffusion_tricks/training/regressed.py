"""Makes a second stage that asks nothing of the noise: whatever the step, it says what the enlarged picture is.

    python -m diffusion_tricks.training.regressed UPSCALER OUT

A second stage whose training drew hardly anything but pure noise (`--shift` of 30 and more) answers at the first step
already, and what it takes from the noise there is grain.  So the weights by which it sees the noisy picture become
nothing, its sense of time what it is at the first step, and its answer v the clean picture that v stands for there:

    x0 = alpha x_T - sigma v = -v          where alpha is nothing

It stays a pipeline of diffusers, with the same picture after one step as after many, and can go on learning:
`train --task upscale --from OUT --objective sample --shift 1000000000`, after which this is to be done again.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import DiffusionTricksError, ModelError, UsageError
from diffusion_tricks.training import folder
from diffusion_tricks.training.shipped import forget_where
from diffusion_tricks.training.upscale import opened_upscaler

RGB = 3
DEFAULTS: dict[str, Any] = {"steps": 1, "guidance": 1.0, "scheduler": None, "noise_level": 0}
KINDS = ("v_prediction", "sample")


def regressed(pipe: Any) -> Any:
    """A copy of an upscaler without noise and time. Raises ModelError for one that predicts noise."""
    kind = pipe.scheduler.config.prediction_type
    if kind not in KINDS:
        raise ModelError(f"expected an upscaler that predicts one of {', '.join(KINDS)}, got {kind}; train another")
    made, unet = copy.copy(pipe), copy.deepcopy(pipe.unet)
    last = int(pipe.scheduler.config.num_train_timesteps) - 1
    _blind(unet, last)
    if kind == "v_prediction":
        unet.conv_out.weight.data[:RGB].neg_()
        unet.conv_out.bias.data[:RGB].neg_()
    scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, prediction_type="sample")
    made.register_modules(unet=unet, scheduler=scheduler)
    return made


@torch.no_grad()
def _blind(unet: UNet2DConditionModel, t: int) -> None:
    """Has the network see no noisy picture, and `t` whatever the time is."""
    unet.conv_in.weight[:, :RGB] = 0
    first = unet.time_embedding.linear_1
    embedded = unet.time_proj(torch.tensor([t]))[0].to(first.weight)
    first.bias += first.weight @ embedded
    first.weight.zero_()


def write(upscaler: Path, out: Path) -> None:
    """Writes an upscaler anew, in float16. Raises UsageError where there is one, and what `regressed` raises."""
    if out.exists():
        raise UsageError(f"{out} is there already; expected a directory that is not")
    made = regressed(opened_upscaler(str(upscaler)))
    made.unet.half()
    out.mkdir(parents=True)
    folder.save_pipeline(out, made, DEFAULTS)
    for file in out.rglob("*.json"):
        forget_where(file)


def main(argv: list[str] | None = None) -> int:
    """Writes the upscaler that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upscaler", type=Path, help="the directory of one, as `train --task upscale` writes it")
    parser.add_argument("out", type=Path, help="the directory to write, which is not there yet")
    given = parser.parse_args(argv)
    try:
        with quiet_libraries():
            write(given.upscaler, given.out)
    except DiffusionTricksError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
