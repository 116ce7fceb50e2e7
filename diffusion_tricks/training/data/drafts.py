"""Small pictures as a first stage draws them: what an upscaler will be given, beside what it should make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.training.network import token_ids

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model

SHARE = 0.75  # of the pictures are drafts
MOST = 0.5  # of the schedule: from where the noisiest drafts are drawn
STEPS = 3

CLEAN: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {  # of x, the answer, alpha and sigma
    "epsilon": lambda x, said, alpha, sigma: (x - sigma * said) / alpha,
    "v_prediction": lambda x, said, alpha, sigma: alpha * x - sigma * said,
    "sample": lambda x, said, alpha, sigma: said,
}


class Drafts:
    """Noises pictures to a part of the schedule, and has the first stage draw them from there (SDEdit).

    x_t = alpha x0 + sigma eps, and from there by DDIM without noise      arXiv:2108.01073, arXiv:2010.02502

    So they have its faults, and lie where the pictures do that they were made of.
    pipe: an IFPipeline in float32.  guidance: the scale it draws with.  refiner: the network that answers in its place
    where little noise is left, and below which timestep of a whole schedule; as in a run, below as large a share here.
    """

    def __init__(
        self, pipe: Any, guidance: float, share: float = SHARE, most: float = MOST, steps: int = STEPS,
        refiner: tuple[Any, int] | None = None,
    ):  # fmt: skip
        self.pipe, self.guidance, self.refiner = pipe, guidance, refiner
        self.share, self.most, self.steps = share, most, steps
        self.alpha_bars: Tensor = pipe.scheduler.alphas_cumprod
        self.clean = CLEAN[pipe.scheduler.config.prediction_type]

    @classmethod
    def by(cls, model: Model) -> Drafts:
        """As a model in float32 draws them, with its refiner if it has one."""
        late = model.refiner
        refiner = (late.model.pipe.unet, late.below) if late is not None else None
        return cls(model.pipe, model.defaults.guidance, refiner=refiner)

    def of(self, small: Tensor, captions: Sequence[str], random: np.random.Generator) -> Tensor:
        """Pictures (b 3 h w) in -1..1, a share of them as the first stage draws them under their captions."""
        chosen = np.nonzero(random.random(len(small)) < self.share)[0].tolist()
        begins = random.uniform(0, self.most, len(small)) * (len(self.alpha_bars) - 1)
        noise = torch.from_numpy(random.standard_normal(small.shape, dtype=np.float32))
        if not chosen:
            return small
        drawn = self._drawn(
            small[chosen], noise[chosen], torch.from_numpy(begins[chosen]), [captions[i] for i in chosen]
        )
        made = small.clone()
        made[chosen] = drawn
        return made

    @torch.no_grad()
    def _drawn(self, x0: Tensor, eps: Tensor, begin: Tensor, captions: list[str]) -> Tensor:
        """Pictures (b 3 h w), each noised by `eps` to a timestep of its own (b), and drawn from there."""
        ids, mask = token_ids(self.pipe.tokenizer, [caption.lower() for caption in captions] + [""] * len(captions))
        text = self.pipe.text_encoder(ids, attention_mask=mask)[0]
        for k in range(self.steps):
            t = (begin * (1 - k / self.steps)).long()
            bars = self.alpha_bars[t][:, None, None, None]
            alpha, sigma = bars.sqrt(), (1 - bars).sqrt()
            x = alpha * x0 + sigma * eps
            said = self.pipe.unet(x.repeat(2, 1, 1, 1), t.repeat(2), encoder_hidden_states=text, return_dict=False)[0]
            told, untold = said[:, :3].chunk(2)
            guided = self._refined(x, t, begin, untold + self.guidance * (told - untold))
            x0 = self.clean(x, guided, alpha, sigma).clamp(-1, 1)
            eps = (x - alpha * x0) / sigma
        return x0

    def _refined(self, x: Tensor, t: Tensor, begin: Tensor, said: Tensor) -> Tensor:
        """The answers (b 3 h w), those of the refiner where it is to answer."""
        if self.refiner is None:
            return said
        network, below = self.refiner
        late = t < ((begin.long() + 1) / len(self.alpha_bars) * below).round()
        if not late.any():
            return said
        return torch.where(late[:, None, None, None], network(x, t, return_dict=False)[0][:, :3], said)
