"""What the families of transformers share: how a prompt is recorded, how that is replayed, how a schedule shifts."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.families.base import Family
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.families.replay import dtype_of, recorded
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.vae import decoded, encoded
from diffusion_tricks.types import Row, Size

TIMES = 1000  # timesteps in 1, as networks of flows count them
AS_ASKED = {"use_resolution_binning": False, "clean_caption": False}  # nothing rounded, nothing rewritten
EXPECTED = "a text-to-image pipeline with its text encoders"
# what a scheduler's configuration may say of dynamic shifting, and what pipelines take where it does not
SHIFTING = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}


class TransformerFamily(Family):
    """A family whose denoiser is called `transformer` and works on the latents of a VAE.

    shared: recorded arguments without a row for each prompt, such as positions.
    """

    part = "transformer"
    shared: ClassVar[frozenset[str]] = frozenset()

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """One recording per prompt: a picture does not depend, to the last bit, on what is made beside it."""
        return [self.row(prompt, size, distilled) for prompt in prompts]

    @abstractmethod
    def row(self, prompt: str | None, size: Size, distilled: float | None) -> Row:
        """The denoiser's arguments for one prompt; None is the family's own unconditional."""

    def recorded(self, size: Size, **call: Any) -> Row:
        """The arguments of the pipeline's first denoiser call; torch's own randomness stays what it was."""
        return recorded(
            self.pipe, "a prompt alone", EXPECTED, self.part,
            width=size[0], height=size[1], generator=torch.Generator(), output_type="latent", **call,
        ).arguments  # fmt: skip

    def replayed(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The raw output of the recorded call for other input (n ...) and timesteps (n), one recorded row each."""
        once = {name: rows[0][name] for name in self.shared}
        arguments = stacked(rows, without=self.shared)
        network = self.denoiser
        with differentiable(network, x):
            output: Tensor = network(
                hidden_states=x.to(dtype_of(network)), timestep=t, **arguments, **once, **more, return_dict=False
            )[0]
        return output

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the VAE's posterior, scaled."""
        return encoded(self.pipe.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """The VAE's picture."""
        return decoded(self.pipe.vae, latents)


def shifted(
    calculate_shift: Callable[..., float], shape: Shape, scheduler: Any, size: Size, **defaults: float
) -> dict[str, Any]:
    """`mu`, by which a scheduler with dynamic shifting leaves more noise in larger pictures; nothing for others.

    calculate_shift: the pipeline's own. defaults: where they are not those of SHIFTING. A picture has one token for
    each square of `shape.multiple` pixels.
    """
    if not scheduler.config.get("use_dynamic_shifting"):
        return {}
    tokens = (size[0] // shape.multiple) * (size[1] // shape.multiple)
    values = (scheduler.config.get(name, value) for name, value in (SHIFTING | defaults).items())
    return {"mu": calculate_shift(tokens, *values)}


def even(steps: int) -> Any:
    """Sigmas that fall evenly from 1 to 1 / steps; most pipelines write this out."""
    return np.linspace(1.0, 1 / steps, steps)


def falling(scheduler: Any, steps: int, rule: Callable[[int], Any] = even) -> dict[str, Any]:
    """`sigmas` before they are shifted, by the pipeline's own rule; nothing for schedulers that take none."""
    if steps < 1 or "sigmas" not in inspect.signature(scheduler.set_timesteps).parameters:
        return {}
    return {"sigmas": np.asarray(rule(steps))}
