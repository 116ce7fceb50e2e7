"""Gradients of what is measured in the clean estimate, with respect to the noisy latents it is an estimate of.

No paper: this is plumbing around `Ask.gradient`; what tricks make of the gradients is theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.errors import PluginError

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run


def followed(ask: Ask) -> Ask:
    """The same question, whose answer can be differentiated with respect to its own `x`."""
    return ask.but(x=ask.x.detach().requires_grad_(), gradient=True)


def slope(run: Run, measured: Tensor, ask: Ask) -> Tensor:
    """The gradient of what was measured of each picture (b), with respect to the latents of its ask (b c h w).

    Raises PluginError where a trick within answers by itself, so that nothing depends on them.
    """
    if not measured.requires_grad:
        if run.rehearsal:
            return torch.zeros_like(ask.x)
        raise PluginError("a gradient was asked, and the answer does not depend on the latents; leave out the trick"
                          " that answers in the model's place")  # fmt: skip
    (gradient,) = torch.autograd.grad(measured.sum(), ask.x, retain_graph=True)  # others came of the same call
    return gradient
