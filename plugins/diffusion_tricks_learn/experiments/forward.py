"""x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps    DDPM, arXiv:2006.11239, equation 4"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.plugin import Level, psnr, to_images
from diffusion_tricks.training import open_source
from diffusion_tricks_learn.figures import enlarged, grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.pictures import pixels_of
from diffusion_tricks_learn.session import Session, stem

DIGIT = 32  # pixels, in which digits are drawn: MNIST's with a margin


def forward(session: Session, picture: str, t: Sequence[int] = (250, 500, 750)) -> Iterator[Findings]:
    """A picture and a digit of the training data at timesteps t: alpha_bar, SNR and PSNR of each.

    In a latent model it is the picture's latents that become noisy; what is shown and measured is what they decode to.
    """
    model = session.load()
    levels = {step: model.level(step) for step in t}
    x0, digit = pixels_of(picture, model), drawn_digit(session.seed)
    latents = model.encode(x0.to(model.device, model.dtype))
    noisy = {
        stem(picture): (x0, [model.decode(x_t).cpu() for x_t in noised(latents, levels.values(), session.seed)]),
        f"a {session.seed % 10} of the training data": (digit, noised(digit, levels.values(), session.seed)),
    }
    table: list[Row] = [
        {"picture": name, "t": step, "alpha_bar": level.alpha**2, "snr": level.snr,
         "psnr_db": psnr(x_t.clamp(-1, 1), clean)}
        for name, (clean, found) in noisy.items()
        for (step, level), x_t in zip(levels.items(), found, strict=True)
    ]  # fmt: skip
    side = min(x0.shape[-2:])
    tiles = [enlarged(to_images(shown(torch.cat([clean, *found]))), side) for clean, found in noisy.values()]
    captions = [["", *(f"{row['psnr_db']:.1f} dB" for row in table if row["picture"] == name)] for name in noisy]
    said = [f"t = {step}\nabar = {level.alpha**2:.3f}\nSNR {level.snr:.3g}" for step, level in levels.items()]
    title = f"Forward process of {session.name()}, seed {session.seed}; PSNR below each"
    yield Findings(
        lambda: grid(tiles, captions=captions, rows=list(noisy), columns=["clean", *said], title=title), table
    )


def noised(x0: Tensor, levels: Iterable[Level], seed: int) -> list[Tensor]:
    """x_t at each level, all of one noise eps."""
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)).to(x0)
    return [level.noised(x0, eps) for level in levels]


def drawn_digit(seed: int) -> Tensor:
    """A digit as digit models learn from (1 1 h w) in -1..1; the seed says which, and how it is written."""
    return open_source("digits", size=DIGIT).draw([seed], np.random.default_rng(seed)).pictures


def shown(x: Tensor) -> Tensor:
    """Gray or colour (b c h w) as colour (b 3 h w)."""
    return x.expand(-1, 3, -1, -1)
