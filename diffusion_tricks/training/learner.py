"""One step of learning, and the state behind it: network, optimizer, average of the weights, generators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.checkpoints import random_states, set_random_states
from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.objectives import Objective
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.task import Task


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
        self.average = EMAModel(
            self.parameters, decay=options.ema, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=True
        )

    def autocast(self) -> Any:
        """The context in which the network computes."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else contextlib.nullcontext()

    def step(self, batch: Batch, rate: float) -> Tensor:
        """One step at a learning rate; gives the loss, not yet waited for."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(self.network, batch, self.options.dropout)
        self.accelerator.backward(loss)
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.parameters)
        return loss.detach()

    def _loss(self, network: Any, batch: Batch, dropout: float) -> Tensor:
        x0 = batch.pictures.to(self.device, non_blocking=True, memory_format=self.layout)
        told = self.task.condition(batch, dropout)
        told = {name: value.to(self.device, non_blocking=True) for name, value in told.items()}
        return self.objective.loss(network, x0, told, self.autocast())

    def measured(self, batches: Sequence[Batch]) -> float:
        """The mean loss over batches that are not learned from, with the same noise each time."""
        network, total, count = self.accelerator.unwrap_model(self.network), 0.0, 0
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            for batch in batches:
                total += float(self._loss(network, batch, 0.0)) * len(batch.pictures)
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
        set_random_states(state["random"][self.accelerator.process_index], self.device)


def _optimizer(options: TrainOptions, network: nn.Module) -> torch.optim.Optimizer:
    betas = (0.9, options.beta2)
    if options.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=options.lr, betas=betas)
    return torch.optim.AdamW(network.parameters(), lr=options.lr, betas=betas, weight_decay=options.weight_decay)
