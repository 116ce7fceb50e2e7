"""Diffusion on squares and circles, as a practical writes it down, and as it should be.

written: x + 0.3 eps for values of 0..255, and back by a Gaussian filter whose sigma is the timestep, in pixels;
mended: x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps for -1..1 (arXiv:2006.11239, equation 4), and back by the
exact denoiser of the pictures (arXiv:2206.00364, appendix B.3) in the toolkit's own loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import sample
from diffusion_tricks.plugin import gaussian_blur, psnr, to_images
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.figures import grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

COUNT, SIDE, WHITE = 200, 32, 255
NOISE = 0.3
KINDS = {"of 255, as written": WHITE, "of 1, as it should be": 1}
SIGMA = 1.0  # pixels: a filter that takes noise away and leaves the shape
TAPS = 9
SAME = 40  # dB, above which pictures look the same
WIDEST = 2 * SIDE - 1  # taps: further no reflection reaches
SHOWN = (0, 250, 500, 750, 999)  # timesteps
STEPS = [999, *range(950, -1, -50)]


def basic(session: Session) -> Iterator[Findings]:
    """Ten of 200 pictures; noise and filter; five steps forward and five back, as written and as it should be."""
    session.makes_its_own("a model of squares and circles")
    generator = torch.Generator().manual_seed(session.seed)
    known = shapes(generator)  # (n 1 h w) in 0..1
    session.clock.expect(len(STEPS))
    sheet = grid([drawn(known[:5]), drawn(known[-5:])], rows=["squares", "circles"],
                 title=f"10 of {COUNT} pictures of {SIDE} x {SIDE}, seed {session.seed}")  # fmt: skip
    yield Findings(lambda: sheet, done=0.2)
    panels, table = filtered(known[-1:], generator)
    yield Findings(lambda: stacked(sheet, panels), table, done=0.4)
    eps = torch.randn(1, 1, SIDE, SIDE, generator=generator)
    wrong, spread = as_written(known[-1:], eps)
    steps, numbers = as_it_should_be(session, known * 2 - 1, eps)
    numbers["written_contrast_left_of_255"] = spread
    yield Findings(lambda: stacked(sheet, panels, wrong, steps), table, numbers, said(table, numbers))


def shapes(generator: torch.Generator) -> Tensor:
    """White squares, and as many circles behind them, on black: (n 1 h w), 0..1."""
    at = torch.arange(SIDE, dtype=torch.float32)
    x, y = at[None, None, :], at[None, :, None]
    radius = torch.randint(4, 9, (COUNT, 1, 1), generator=generator)
    left, top = ((SIDE - 2 * radius) * torch.rand(radius.shape, generator=generator) + radius for _ in "xy")
    squares = torch.maximum((x - left).abs(), (y - top).abs()) <= radius
    circles = torch.hypot(x - left, y - top) <= radius
    half = COUNT // 2
    return torch.cat([squares[:half], circles[half:]]).float()[:, None]


def filtered(x: Tensor, generator: torch.Generator) -> tuple[Image, list[Row]]:
    """A picture (1 1 h w), noise of 0.3 on it and a filter as the way back, for both ideas of what white is."""
    eps = torch.randn(x.shape, generator=generator)
    tiles, captions, table = [], [], list[Row]()
    for kind, white in KINDS.items():
        noisy = x + NOISE / white * eps
        found = gaussian_blur(noisy, TAPS, SIGMA)
        tiles.append(drawn(torch.cat([x, noisy, found])))
        before, after = psnr(noisy, x, range=1), psnr(found, x, range=1)
        captions.append(["", f"{before:.1f} dB", f"{after:.1f} dB"])
        table.append({"noise": f"{NOISE} {kind}", "noisy_psnr_db": before, "filtered_psnr_db": after})
    page = grid(tiles, captions=captions, columns=["clean", f"noise {NOISE}", f"Gaussian filter, sigma {SIGMA:g} px"],
                rows=[f"{NOISE} {kind}" for kind in KINDS], title='Noise, and a filter as "reverse"')  # fmt: skip
    return page, table


def as_written(x: Tensor, eps: Tensor) -> tuple[Image, float]:
    """Five steps forward and five back on a picture (1 1 h w), and how far apart light and dark are behind 250 px."""
    forward = [x + NOISE * t / SHOWN[-1] / WHITE * eps for t in SHOWN]
    back = [forward[-1]]
    for sigma in SHOWN[-2:0:-1]:
        back.insert(0, gaussian_blur(back[0], WIDEST, sigma))
    filters = ["nothing", *(f"sigma {t} px" for t in SHOWN[1:-1]), "noisy"]
    gray = gaussian_blur(forward[-1], WIDEST, SHOWN[1])
    page = two_rows("As written: 0.3 of 255, and a filter of t pixels", forward, [back[0], *back], filters)
    return page, WHITE * float(gray.max() - gray.min())


def as_it_should_be(session: Session, known: Tensor, eps: Tensor) -> tuple[Image, Row]:
    """The forward process of a picture, and the loop back, by a model that knows pictures (n 1 h w) in -1..1."""
    model = exact_model(known)
    forward = [model.level(t).noised(known[-1:], eps) for t in SHOWN]
    seen, x = dict[int, Tensor](), forward[-1]
    for step in sample(model, latents=eps, timesteps=STEPS, seed=session.seed):
        session.clock.tick()
        seen[int(step.t)], x = x, step.x
    back = [x, *(seen[t] for t in SHOWN[1:])]
    nearest = max(range(len(known)), key=lambda i: psnr(x, known[i : i + 1]))
    page = two_rows("As it should be: the forward process, and a model that knows the pictures",
                    [one / 2 + 0.5 for one in forward], [one / 2 + 0.5 for one in back],
                    [f"abar {model.level(t).alpha ** 2:.2f}" for t in SHOWN])  # fmt: skip
    return page, {"made_nearest_picture": nearest, "made_psnr_to_nearest_db": psnr(x, known[nearest : nearest + 1])}


def two_rows(title: str, forward: Sequence[Tensor], back: Sequence[Tensor], below: Sequence[str]) -> Image:
    """Pictures (1 1 h w) at the timesteps that are shown: forward from the left, and back from the right."""
    return grid([drawn(torch.cat([*forward])), drawn(torch.cat([*back]))], captions=[[""] * len(SHOWN), below],
                columns=[f"t = {t}" for t in SHOWN], rows=["forward, from the left", "reverse, from the right"],
                title=title)  # fmt: skip


def drawn(x: Tensor) -> list[Image]:
    """Pictures (n 1 h w) in 0..1 as images."""
    return to_images(x.expand(-1, 3, -1, -1) * 2 - 1)


def said(table: Sequence[Row], numbers: Row) -> list[str]:
    """What goes wrong as it is written, and what does not as it should be."""
    written, mended = table
    near = numbers["made_psnr_to_nearest_db"]
    which = f"picture {numbers['made_nearest_picture']} of its {COUNT}"
    where = f"in {which}: it remembers" if near > SAME else f"{near:.0f} dB from {which}"
    return [
        f"Noise of 0.3 on values up to 255 is at {written['noisy_psnr_db']:.0f} dB and cannot be seen;"
        f" on values up to 1 it is at {mended['noisy_psnr_db']:.0f} dB.",
        f"A filter of 250 px on {SIDE} pixels leaves {numbers['written_contrast_left_of_255']:.2f} of 255 between"
        " light and dark: every picture becomes the same gray, and no further filter brings it back.",
        f"A filter only takes detail away. The model begins with nothing but noise, and ends {where}.",
    ]
