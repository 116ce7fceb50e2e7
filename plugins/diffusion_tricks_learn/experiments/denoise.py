"""Noise taken away in three ways: by a Gaussian blur, by one step of the model, and by many.

one step:   x0 = (x_t - sqrt(1 - alpha_bar_t) eps(x_t, t)) / sqrt(alpha_bar_t)     DDPM, arXiv:2006.11239, equation 15
iterative:  t = 990 - 30 i for i = i_start ... 33                                  arXiv:2102.09672, section 4
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, TrickEntry
from diffusion_tricks.plugin import gaussian_blur, psnr, sharpness, to_images
from diffusion_tricks_learn.asked import STRIDE, STRIDED, ddpm_or_own, quoted
from diffusion_tricks_learn.figures import grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.pictures import pixels_of
from diffusion_tricks_learn.session import Session

EVERY = 5  # steps of which one is shown
KERNEL, SIGMA = 33, 2.0  # of the blur, pixels


@dataclass(frozen=True)
class Moment:
    """What is seen at timestep t: the noisy picture and the model's idea of the clean one (1 3 h w)."""

    t: int
    snr: float
    x_t: Tensor
    estimate: Tensor


def denoise(session: Session, picture: str, i_start: int = 10, prompt: str | None = None) -> Iterator[Findings]:
    """A picture at t = 990 - 30 i_start, and what a blur, one step, and all steps that are left make of it.

    PSNR and the cosine of CLIP compare with the clean picture; sharpness is each one's own.
    """
    model = session.load()
    start = TrickEntry(trick="sdedit", image=picture, start_index=i_start).build()
    ways, moments = {"clean": pixels_of(picture, model)}, list[Moment]()
    total = len(STRIDED) - i_start
    session.clock.expect(total)
    steps = session.steps(prompt=prompt, tricks=[start], stride=STRIDE, scheduler=ddpm_or_own(model))
    for i, step in enumerate(steps):
        x = step.x
        if i % EVERY == 0:
            x_t, estimate = (pixels(model, latents) for latents in (step.estimate.x, step.estimate.clean))
            moments.append(Moment(int(step.t), step.level.snr, x_t, estimate))
            if i == 0:
                ways |= {"noisy": x_t, "Gaussian blur": blurred(x_t), "one step": estimate}
            yield judged(session, dict(ways), list(moments), prompt, done=(i + 1) / (total + 1))
    yield judged(session, ways | {"iterative": pixels(model, x)}, moments, prompt)


def pixels(model: Model, latents: Tensor) -> Tensor:
    """Latents (1 c h w) as a picture (1 3 h w) in -1..1."""
    return model.decode(latents).float().cpu().clamp(-1, 1)


def blurred(x: Tensor) -> Tensor:
    """The course's Gaussian blur; in the smallest pictures with the largest kernel that fits."""
    return gaussian_blur(x, min(KERNEL, 2 * min(x.shape[-2:]) - 1), SIGMA)


def judged(
    session: Session, ways: dict[str, Tensor], moments: list[Moment], prompt: str | None, done: float = 1.0
) -> Findings:
    """What is known when these ways were gone."""
    clean = ways["clean"]
    seen = session.scorer.pictures(to_images(torch.cat([*ways.values()])))  # (n d)
    table: list[Row] = [
        {"way": way, "psnr_db": psnr(x, clean), "sharpness": sharpness(x), "clip_to_clean": float(cosine)}
        for (way, x), cosine in zip(ways.items(), seen @ seen[0], strict=True)
    ]
    path = [
        {"t": at.t, "snr": at.snr, "psnr_of_x_t_db": psnr(at.x_t, clean),
         "psnr_of_estimate_db": psnr(at.estimate, clean)}
        for at in moments
    ]  # fmt: skip
    title = f"Denoising from t = {moments[0].t}: {session.name()}, {quoted(prompt)}, seed {session.seed}"
    return Findings(lambda: figure(ways, moments, table, title), table, {"path": path}, said(table), done=done)


def figure(ways: dict[str, Tensor], moments: list[Moment], table: list[Row], title: str) -> Image.Image:
    """The ways side by side, and the iterative one on its way."""
    captions = [f"clean\nsharpness {table[0]['sharpness']:.2g}"]
    captions += [
        f"{row['way']}\n{row['psnr_db']:.1f} dB\nsharpness {row['sharpness']:.2g}\nCLIP {row['clip_to_clean']:.2f}"
        for row in table[1:]
    ]
    path = [to_images(torch.cat([getattr(at, name) for at in moments])) for name in ("x_t", "estimate")]
    return stacked(
        grid([to_images(torch.cat([*ways.values()]))], captions=[captions], title=title),
        grid(
            path,
            rows=["x_t", "clean estimate"],
            columns=[f"t = {at.t}\nSNR {at.snr:.3g}" for at in moments],
            title=f"The iterative way, every {EVERY}th step",
        ),
    )


def said(table: list[Row]) -> list[str]:
    """Which way wins by PSNR and which by sharpness, and why."""
    of = {row["way"]: row for row in table}
    if "iterative" not in of:
        return []
    one, many, clean = of["one step"], of["iterative"], of["clean"]
    nearer, sharper = one["psnr_db"] > many["psnr_db"], many["sharpness"] > one["sharpness"]
    says = [
        f"One step gives {one['psnr_db']:.1f} dB and a sharpness of {one['sharpness']:.2g}, many steps"
        f" {many['psnr_db']:.1f} dB and {many['sharpness']:.2g}; the clean picture has {clean['sharpness']:.2g}."
    ]
    if nearer:
        says.append(
            "One step wins by PSNR: the network was trained for the least squared error, so its estimate is the mean"
            " of all clean pictures that could hide behind this noise, and no other picture has less error on average."
        )
    if nearer and sharper:
        says.append(
            "It loses by eye: a mean of many pictures has no edge where theirs differ. Many steps settle on one of"
            " these pictures, sharp, but with details of its own, and each that differs from the original's costs PSNR."
        )
    if not nearer:
        says.append("Here many steps win by PSNR too: so little noise leaves hardly a choice between clean pictures.")
    if not sharper:
        says.append("Here many steps are no sharper than one: this noise hides little, or the model draws it softly.")
    blur = of["Gaussian blur"]
    says.append(
        f"The blur gives {blur['psnr_db']:.1f} dB at a sharpness of {blur['sharpness']:.2g}: it knows no pictures,"
        " takes fine detail away with the noise, and leaves the noise that is coarse; nor does it undo the factor"
        " sqrt(abar), so that colours stay pale."
    )
    return says
