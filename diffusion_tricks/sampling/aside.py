"""What the model says of other latents than those of a step, and at other levels: as inversion asks it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.steps import begin_at, input_scaling
from diffusion_tricks.sampling.unread import heard
from diffusion_tricks.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.sampling.step import Step


def answered_at(step: Step, x: Tensor, index: int, prompt: Prompt = None) -> Estimate:
    """The model's own answer about latents x (b c h w) at the level before step `index` of a step's run.

    It passes no trick, and its rows count as those of `step`. prompt: named by a trick's hook `prompts`; None is the
    family's own unconditional.
    """
    from diffusion_tricks.model.batching import answer  # here, as it needs torch

    run = step.run
    scheduler = copy.deepcopy(run.scheduler)  # its input scaling goes by the step that it stands at
    if hasattr(scheduler, "_step_index"):
        scheduler._step_index = None
    begin_at(scheduler, index)
    terms = replace(run.terms, scale_input=input_scaling(scheduler))
    t = run.timesteps[index].to(x.device)
    asks = [Ask(x, prompt, run.condition)]
    (estimate,), rows = answer(run.model, asks, t, run.levels[index], terms, run.span)
    heard(run, asks, run.levels[index], step.index)
    step.rows += rows
    run.rows += rows
    return estimate
