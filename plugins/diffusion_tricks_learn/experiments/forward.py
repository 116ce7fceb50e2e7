"""x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps    DDPM, arXiv:2006.11239, equation 4"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from diffusion_tricks.plugin import psnr, to_images
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.pictures import pixels_of
from diffusion_tricks_learn.session import Session, stem


def forward(session: Session, picture: str, t: Sequence[int] = (250, 500, 750)) -> Iterator[Findings]:
    """A picture at timesteps t: alpha_bar, SNR and PSNR of each.

    In a latent model it is the latents that become noisy; what is shown and measured is what they decode to.
    """
    model = session.load()
    x0 = pixels_of(picture, model)  # (1 3 h w)
    clean = model.encode(x0.to(model.device, model.dtype))
    eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(session.seed)).to(clean)
    tiles, captions, table = [to_images(x0)[0]], [f"{stem(picture)}\nclean"], list[Row]()
    for step in t:
        level = model.level(step)
        noisy = model.decode(level.noised(clean, eps)).cpu()
        row = {
            "t": step, "alpha_bar": level.alpha**2, "snr": level.snr, "psnr_db": psnr(noisy.clamp(-1, 1), x0),
        }  # fmt: skip
        table.append(row)
        tiles += to_images(noisy)
        captions.append(f"t = {step}\nabar = {row['alpha_bar']:.3f}\nSNR {level.snr:.3g}, {row['psnr_db']:.1f} dB")
    title = f"Forward process of {session.name()}, seed {session.seed}"
    yield Findings(lambda: grid([tiles], captions=[captions], title=title), table)
