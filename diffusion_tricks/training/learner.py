"""One step of learning, and the state behind it: network, optimizer, average of the weights, generators."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.averages import PowerAverages
from diffusion_tricks.training.checkpoints import random_states, set_random_states
from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.levels import Levels
from diffusion_tricks.training.objectives import Objective
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.task import Task

EVERY = 4  # steps between two updates of averages as long as a share of the run


class Learner:
    """Takes batches, one step each."""

    def __init__(self, task: Task, objective: Objective, options: TrainOptions, accelerator: Accelerator):
        self.task, self.objective, self.options, self.accelerator = task, objective, options, accelerator
        self.device: torch.device = accelerator.device
        self.bfloat16 = options.precision == "bfloat16" or (
            options.precision == "auto" and self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        network = task.network.to(memory_format=self.layout).train()  # type: ignore[call-overload]
        if options.compile:
            network.compile()
        self.parameters = list(network.parameters())
        optimizer = _optimizer(options, network)
        self.network, self.optimizer = accelerator.prepare(network, optimizer)
        self.average = _average(options, self.parameters)
        self.levels = Levels(objective.total)

    def autocast(self) -> Any:
        """The context in which the network computes."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else contextlib.nullcontext()

    def step(self, batch: Batch, rate: float, seen: float = 0.0) -> Tensor:
        """One step at a learning rate, once so many pictures were seen; gives the loss, not yet waited for."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        t = self.objective.times(len(batch.pictures), self.device, seen)
        errors = self._errors(self.network, batch, t, self.options.dropout)
        if self.options.profiles:  # a long run, which is watched level by level
            self.levels.note(t, errors)
        loss = errors.mean()
        self.accelerator.backward(loss)
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.parameters)
        return loss.detach()

    def _errors(self, network: Any, batch: Batch, t: Tensor, dropout: float) -> Tensor:
        """The error (b) of each picture at timesteps (b)."""
        x0 = batch.pictures.to(self.device, non_blocking=True, memory_format=self.layout)
        told = self.task.condition(batch, dropout)
        told = {name: value.to(self.device, non_blocking=True) for name, value in told.items()}
        return self.objective.errors(network, x0, t, told, self.autocast())

    def measured(self, batches: Sequence[Batch]) -> float:
        """The mean loss over batches that are not learned from, with the same noise each time, drawn as at the end."""
        network, total, count = self.accelerator.unwrap_model(self.network), 0.0, 0
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            for batch in batches:
                t = self.objective.times(len(batch.pictures), self.device, math.inf)
                total += float(self._errors(network, batch, t, 0.0).sum())
                count += len(batch.pictures)
        return total / count

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The average of the weights in the place of the weights."""
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        try:
            yield
        finally:
            self.average.restore(self.parameters)

    def sound(self) -> bool:
        """Whether every weight is a number."""
        return bool(torch.stack([p.detach().isfinite().all() for p in self.parameters]).all())

    def state(self) -> dict[str, Any]:
        """All that the next step depends on but the data; to be called in every process."""
        return {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "levels": self.levels.rounded(),
            "random": gather_object([random_states(self.device)]),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave. Raises UsageError for another number of processes."""
        if len(state["random"]) != self.accelerator.num_processes:
            raise UsageError(
                f"the training ran in {len(state['random'])} processes, and goes on in as many; "
                f"got {self.accelerator.num_processes}"
            )
        self.accelerator.unwrap_model(self.network).load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.average.to(self.device)
        self.levels.restore(state.get("levels", []) or self.levels.rounded())
        set_random_states(state["random"][self.accelerator.process_index], self.device)


def _optimizer(options: TrainOptions, network: nn.Module) -> torch.optim.Optimizer:
    shared: dict[str, Any] = {"lr": options.lr, "betas": (0.9, options.beta2), "fused": True}
    if options.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), **shared)
    return torch.optim.AdamW(network.parameters(), weight_decay=options.weight_decay, **shared)


def _average(options: TrainOptions, parameters: list[nn.Parameter]) -> Any:
    if options.profiles:
        return PowerAverages(parameters, options.profiles, EVERY)
    return EMAModel(parameters, decay=options.ema, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=True)
