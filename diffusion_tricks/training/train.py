"""Trains the embedded model, one process for each core:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m diffusion_tricks.training.train --out DIR --minutes 90 --shift 8

v-prediction on a cosine schedule (arXiv:2202.00512, arXiv:2102.09672). The time given is wall-clock: the learning rate
follows the clock, not the step. What decides whether a small model draws the right thing is the noisiest steps, where
the text alone must say what to draw; so steps are drawn shifted towards them (arXiv:2403.03206, section 5.3.2). Finish
with a shorter run `--from-weights` of the first, at a lower shift and peak, which cleans up the details.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from transformers import T5EncoderModel, T5Tokenizer

from diffusion_tricks.training.emoji import Captioned, caption_texts, concepts
from diffusion_tricks.training.network import pipeline, schedule, text_encoder, token_ids, train_tokenizer, unet

CHANNELS = (16, 32, 64, 128, 256)
TEXT_DROPOUT = 0.1
WARM_UP = 50  # steps
REPORT = 50  # steps
SAVE = 300  # seconds


class Network(nn.Module):
    """The UNet and the text encoder that is trained with it."""

    def __init__(self, denoiser: nn.Module, encoder: T5EncoderModel):
        super().__init__()
        self.denoiser = denoiser
        self.encoder = encoder

    def forward(self, x: Tensor, t: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """The velocity (b 3 h w) of noisy pictures (b 3 h w) at steps (b), under token ids and mask (b 77)."""
        text = self.encoder(ids, attention_mask=mask)[0]
        prediction: Tensor = self.denoiser(x, t, encoder_hidden_states=text, return_dict=False)[0][:, :3]
        return prediction


def shifted_steps(count: int, total: int, shift: float) -> Tensor:
    """Training steps (b) in 0..total-1, stratified over the batch; shift > 1 draws noisy ones more often, 1 none."""
    share = (torch.rand(()) + torch.arange(count) / count) % 1
    share = shift * share / (1 + (shift - 1) * share)
    return (share * total).long().clamp(0, total - 1)[torch.randperm(count)]


def velocity_loss(
    network: Network, x0: Tensor, tokens: tuple[Tensor, Tensor], alpha_bars: Tensor, shift: float
) -> Tensor:
    """Mean squared error of v = sqrt(abar) eps - sqrt(1 - abar) x0, one step per picture (b 3 h w)."""
    t = shifted_steps(len(x0), len(alpha_bars), shift)
    alpha, sigma = alpha_bars[t].sqrt()[:, None, None, None], (1 - alpha_bars[t]).sqrt()[:, None, None, None]
    eps = torch.randn_like(x0)
    with torch.autocast(x0.device.type, torch.bfloat16):
        v = network(alpha * x0 + sigma * eps, t, *tokens)
    error: Tensor = v.float() - (alpha * eps - sigma * x0)
    return error.square().mean()


def train(network: Network, tokenizer: T5Tokenizer, options: argparse.Namespace) -> None:
    """Trains for the minutes given, and saves the moving average of the weights now and then, and at the end."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(1 + accelerator.process_index)
    data = Captioned(concepts(), options.size, seed=accelerator.process_index)
    alpha_bars = schedule().alphas_cumprod
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.peak, betas=(0.9, 0.99), weight_decay=0.01)
    network, optimizer = accelerator.prepare(network, optimizer)
    average = EMAModel(network.parameters(), decay=options.decay, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    began = saved = time.monotonic()
    total = 0.0
    for step, (pictures, captions) in enumerate(data.batches(options.batch)):
        done = float(broadcast(torch.tensor((time.monotonic() - began) / 60 / options.minutes)))  # one clock for all
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = options.peak * min(1.0, step / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
        kept = [("" if torch.rand(()) < TEXT_DROPOUT else caption).lower() for caption in captions]
        loss = velocity_loss(network, pictures, token_ids(tokenizer, kept), alpha_bars, options.shift)
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(network.parameters())
        total += loss.item()
        if (step + 1) % REPORT == 0 and accelerator.is_main_process:
            print(f"step {step + 1}  loss {total / REPORT:.4f}  {done:.0%}", flush=True)
            total = 0.0
        if time.monotonic() - saved > SAVE and accelerator.is_main_process:
            save(accelerator.unwrap_model(network), average, tokenizer, options.out)
            saved = time.monotonic()
    if accelerator.is_main_process:
        save(accelerator.unwrap_model(network), average, tokenizer, options.out)


def save(network: Network, average: EMAModel, tokenizer: T5Tokenizer, folder: Path) -> None:
    """Writes the averaged weights as a pipeline directory, and the weights themselves to go on from."""
    average.store(network.parameters())
    average.copy_to(network.parameters())
    parts = copy.deepcopy(network.denoiser), copy.deepcopy(network.encoder)
    average.restore(network.parameters())
    pipeline(*parts, tokenizer).save_pretrained(folder)
    torch.save(network.state_dict(), folder / "training.pt")


def started(options: argparse.Namespace) -> tuple[Network, T5Tokenizer]:
    """Network and tokenizer, new or from a directory that `save` wrote."""
    known = options.from_weights
    tokenizer = T5Tokenizer.from_pretrained(known / "tokenizer") if known else train_tokenizer(caption_texts())
    torch.manual_seed(options.seed)  # the same first weights in every process
    network = Network(unet(options.size, CHANNELS), text_encoder(len(tokenizer)))
    if known:
        network.load_state_dict(torch.load(known / "training.pt", weights_only=True))
    return network, tokenizer


def main() -> None:
    """Trains for the given time and leaves a pipeline directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--from-weights", type=Path, help="go on from a directory this wrote")
    parser.add_argument("--batch", type=int, default=16, help="of each process")
    parser.add_argument("--peak", type=float, default=1.5e-3, help="learning rate after the warm-up")
    parser.add_argument("--shift", type=float, default=8.0, help="towards the noisiest steps; 1 is uniform")
    parser.add_argument("--decay", type=float, default=0.999, help="of the moving average")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(*started(options), options)


if __name__ == "__main__":
    main()
