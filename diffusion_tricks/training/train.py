"""Trains the embedded model, one process for each core:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m diffusion_tricks.training.train --out DIR --minutes 90

v-prediction on a cosine schedule (arXiv:2202.00512, arXiv:2102.09672). The time given is wall-clock: the learning rate follows the clock, not the step.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import nn
from transformers import T5EncoderModel, T5Tokenizer

from diffusion_tricks.training.emoji import Captioned, caption_texts, concepts
from diffusion_tricks.training.network import pipeline, schedule, text_encoder, token_ids, train_tokenizer, unet

CHANNELS = (16, 32, 64, 128, 256)
TEXT_DROPOUT = 0.1
SHIFT = 8.0


@dataclass
class Stage:
    """One resolution of the training: pictures of `size` for `minutes`, learning rate from `high` down to `low`."""

    size: int
    minutes: float
    high: float
    low: float


class Network(nn.Module):
    """The UNet and the text encoder that is trained with it."""

    def __init__(self, denoiser: nn.Module, encoder: T5EncoderModel):
        super().__init__()
        self.denoiser = denoiser
        self.encoder = encoder

    def forward(self, x: torch.Tensor, t: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        text = self.encoder(ids, attention_mask=mask)[0]
        prediction: torch.Tensor = self.denoiser(x, t, encoder_hidden_states=text, return_dict=False)[0][:, :3]
        return prediction


def velocity_loss(
    network: Network, x0: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, alphas: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of v = sqrt(abar) eps - sqrt(1 - abar) x0, one random step per picture."""
    t = (torch.rand(()) + torch.arange(len(x0)) / len(x0)) % 1 * len(alphas)  # stratified over the batch
    share = t / len(alphas)  # more often noisy: what is to be drawn is settled there (arXiv:2403.03206, section 5.3.2)
    t = SHIFT * share / (1 + (SHIFT - 1) * share) * len(alphas)
    t = t.long().clamp(0, len(alphas) - 1)[torch.randperm(len(x0))]
    alpha, sigma = alphas[t].sqrt()[:, None, None, None], (1 - alphas[t]).sqrt()[:, None, None, None]
    eps = torch.randn_like(x0)
    with torch.autocast(x0.device.type, torch.bfloat16):
        v = network(alpha * x0 + sigma * eps, t, ids, mask)
    error: torch.Tensor = v.float() - (alpha * eps - sigma * x0)
    return error.square().mean()


def train_stage(
    network: Network, tokenizer: T5Tokenizer, stage: Stage, out: Path, batch: int, decay: float
) -> EMAModel:
    """Trains for the stage's minutes and returns the moving average of the weights."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(1 + accelerator.process_index)  # but other noise
    data = Captioned(concepts(), stage.size, seed=accelerator.process_index)
    alphas = schedule().alphas_cumprod
    optimizer = torch.optim.AdamW(network.parameters(), lr=stage.high, betas=(0.9, 0.99), weight_decay=0.01)
    network, optimizer = accelerator.prepare(network, optimizer)
    average = EMAModel(network.parameters(), decay=decay, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    began = saved = time.monotonic()
    total, seen, step = 0.0, 0, 0
    for pictures, captions in data.batches(batch):
        elapsed = float(broadcast(torch.tensor((time.monotonic() - began) / 60 / stage.minutes)))  # one clock for all
        if elapsed >= 1:
            break
        warm = min(1.0, step / 50)
        optimizer.param_groups[0]["lr"] = warm * (
            stage.low + (stage.high - stage.low) * (1 + math.cos(math.pi * elapsed)) / 2
        )
        dropped = [("" if torch.rand(()) < TEXT_DROPOUT else c).lower() for c in captions]
        loss = velocity_loss(network, pictures, *token_ids(tokenizer, dropped), alphas)
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(network.parameters())
        total, seen, step = total + loss.item(), seen + batch * accelerator.num_processes, step + 1
        if step % 50 == 0 and accelerator.is_main_process:
            rate = seen / (time.monotonic() - began)
            print(
                f"{stage.size}px step {step} seen {seen} loss {total / 50:.4f} {rate:.1f}/s {elapsed:.0%}", flush=True
            )
            total = 0.0
        if time.monotonic() - saved > 300 and accelerator.is_main_process:
            save(accelerator.unwrap_model(network), average, tokenizer, out / f"{stage.size}")
            saved = time.monotonic()
    if accelerator.is_main_process:
        save(accelerator.unwrap_model(network), average, tokenizer, out / f"{stage.size}")
    return average


def take_over(network: Network, weights: dict[str, torch.Tensor]) -> None:
    """Sets the network's weights to those of a narrower one; what is new starts without effect on what was there."""
    state = network.state_dict()
    for name, old in weights.items():
        if name.endswith("time_emb_proj.weight"):
            state[name].zero_()
        state[name][tuple(slice(side) for side in old.shape)] = old


def save(network: Network, average: EMAModel, tokenizer: T5Tokenizer, folder: Path) -> None:
    """Writes the averaged weights as a pipeline directory; training goes on unchanged."""
    average.store(network.parameters())
    average.copy_to(network.parameters())
    parts = copy.deepcopy(network.denoiser), copy.deepcopy(network.encoder)
    average.restore(network.parameters())
    pipeline(*parts, tokenizer).save_pretrained(folder)
    torch.save(network.state_dict(), folder / "training.pt")


def main() -> None:
    """Trains for the given time and leaves a pipeline directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--from-weights", type=Path, help="go on from the weights of a directory this wrote")
    parser.add_argument("--batch", type=int, default=16, help="of each process")
    parser.add_argument("--peak", type=float, default=1e-3, help="learning rate after the warm-up")
    parser.add_argument("--decay", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)  # the same first weights in every process
    tokenizer = (
        T5Tokenizer.from_pretrained(options.from_weights / "tokenizer")
        if options.from_weights
        else train_tokenizer(caption_texts())
    )
    network = Network(unet(options.size, CHANNELS), text_encoder(len(tokenizer)))
    if options.from_weights:
        take_over(network, torch.load(options.from_weights / "training.pt", weights_only=True))
    train_stage(
        network,
        tokenizer,
        Stage(options.size, options.minutes, options.peak, 1e-6),
        options.out,
        options.batch,
        options.decay,
    )


if __name__ == "__main__":
    main()
