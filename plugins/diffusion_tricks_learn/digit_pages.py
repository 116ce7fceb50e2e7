"""The pages of `train-digits`: one-step denoising at many noise levels, pure noise, and samples over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Model
from diffusion_tricks.plugin import diversity, psnr, sharpness, to_images
from diffusion_tricks.training import Batch, denoised
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.judges import Judge, pixels

WIDE = 2.0  # from black to white in pictures of -1..1, of which a sigma is a share
SMALL, LARGE = 84, 112  # pixels: about how wide a digit is shown
ACROSS = 10  # pictures in a row


def noisy_levels(clean: Tensor, sigmas: Sequence[float], seed: int) -> Tensor:
    """x + sigma eps of clean pictures (n c h w), the same noise at each level: (levels n c h w)."""
    eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return torch.stack([clean + WIDE * sigma * eps for sigma in sigmas])


def levels_page(
    models: Mapping[str, Model], clean: Tensor, sigmas: Sequence[float], trained: float, seed: int, shown: int
) -> Findings:
    """What denoisers make of held-out pictures (n 1 h w) at each sigma; errors are over all n, so many are shown."""
    noisy = noisy_levels(clean, sigmas, seed)
    outputs = {"noisy input": noisy} | {name: denoised(model.pipe, noisy) for name, model in models.items()}
    quality = {name: [psnr(x.clamp(-1, 1), clean) for x in levels] for name, levels in outputs.items()}
    table = [
        {"sigma": sigma} | {f"{name}_psnr_db": quality[name][i] for name in outputs} for i, sigma in enumerate(sigmas)
    ]
    rows = [(name, [images(x[k : k + 1])[0] for x in outputs[name]]) for k in range(shown) for name in outputs]
    home = [i for i, sigma in enumerate(sigmas) if sigma == trained]
    draw = partial(
        grid, [tiles for _, tiles in rows], rows=[name for name, _ in rows], tile=LARGE, marked=home,
        columns=[f"sigma {sigma:g}" + ("\ntrained" if i in home else "") for i, sigma in enumerate(sigmas)],
        footer={f"PSNR, {name}": [_decibels(value) for value in values] for name, values in quality.items()},
        title=f"One-step denoising of held-out digits, trained at sigma {trained:g} alone; seed {seed}",
    )  # fmt: skip
    return Findings(draw, table, {"noise_levels": table}, _levels_said(list(sigmas), quality, trained))


def _decibels(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else "it is clean"


def _levels_said(sigmas: list[float], quality: Mapping[str, list[float]], trained: float) -> list[str]:
    name = list(quality)[-1]
    gains = [out - noisy for noisy, out in zip(quality["noisy input"], quality[name], strict=True)]
    said = [f"Where it was trained, at sigma {trained:g}, {name} gains {gains[sigmas.index(trained)]:.1f} dB of PSNR."]
    worse = [f"{sigma:g}" for sigma, gain in zip(sigmas, gains, strict=True) if gain < 0]
    if worse:
        said.append(f"At sigma {', '.join(worse)} it makes pictures worse: it takes away what is not there.")
    lost = quality[name][sigmas.index(trained)] - quality[name][-1]
    said.append(
        f"At sigma {sigmas[-1]:g}, which it never saw, its pictures are {lost:.1f} dB "
        f"{'further from' if lost > 0 else 'nearer to'} the truth than at {trained:g}."
    )
    return said


def centroid_page(model: Model, drawn: Batch, classes: Sequence[str], steps: int, seed: int, sigma: float) -> Findings:
    """What a network makes of pure noise when it learned from pure noise: E[x | nothing], beside the data's mean."""
    mean = drawn.pictures.mean(0, keepdim=True)  # (1 c h w)
    noise = noisy_levels(torch.zeros_like(drawn.pictures[: ACROSS - 1]), [sigma], seed)
    output = denoised(model.pipe, noise)[0]  # (9 c h w)
    off, spread = _rms(output - mean), _rms(drawn.pictures - mean)
    of_class = [drawn.pictures[drawn.classes == i].mean(0) for i in range(len(classes))]
    rows = [
        [("mean of all", mean[0]), *((f"of noise {i}", x) for i, x in enumerate(output))],
        [(f"mean of {name}", x) for name, x in zip(classes, of_class, strict=True)][:ACROSS],
    ]
    padded = [[*row, *[("", None)] * (ACROSS - len(row))] for row in rows if row]
    draw = partial(
        grid, [[None if x is None else images(x[None])[0] for _, x in row] for row in padded], tile=SMALL,
        captions=[[name for name, _ in row] for row in padded],
        title=f"Trained on pure noise for {steps} steps: what it makes of noise, and the means (centroids) of the data",
    )  # fmt: skip
    numbers = {"pure_noise": {"rms_to_mean": off, "rms_of_data_to_mean": spread, "diversity": diversity(_flat(output))}}
    near = "the mean of all digits" if off < spread / 2 else "not yet the mean of all digits, as it learned too shortly"
    said = [
        f"Pure noise says nothing of the digit, so what has the least squared error is one picture for all noises: "
        f"the outputs are {near} (they differ from it by {off:.2f}, digits by {spread:.2f}, root mean square)."
    ]
    return Findings(draw, [], numbers, said)


def epochs_page(
    made: Mapping[str, Sequence[Image]], columns: Sequence[str], real: Tensor, title: str, judge: Judge | None,
    asked: Sequence[str],
) -> Findings:  # fmt: skip
    """Samples over the epochs, from the same noise: how sharp and various they are, and what a judge reads in them.

    asked: the class of each picture of an epoch; where none were asked for, what is read stands below the pictures.
    """
    drawn = {name: pixels(pictures) for name, pictures in made.items()}
    read = {name: _read(judge, x) for name, x in drawn.items()} if judge else {}
    rows = [
        (name, list(pictures[i : i + len(columns)]), [f"read as {digit}" for digit in read[name][i : i + len(columns)]]
         if read and not asked else [""] * len(columns))
        for name, pictures in made.items() for i in range(0, len(pictures), len(columns))
    ]  # fmt: skip
    draw = partial(
        grid, [tiles for _, tiles, _ in rows], rows=[name for name, *_ in rows], columns=columns, tile=SMALL,
        captions=[texts for *_, texts in rows] if read and not asked else (), title=title,
    )  # fmt: skip
    table: list[Row] = [
        {"digits": name, "sharpness": sharpness(x), "diversity": diversity(_flat(x)), **_right(read.get(name), asked)}
        for name, x in (drawn | {"held-out digits": real.expand(-1, 3, -1, -1)}).items()
    ]
    return Findings(draw, table, {"samples": table}, _epochs_said(table))


def _read(judge: Judge, pictures: Tensor) -> list[str]:
    return [judge.names[i] for i in judge.scores(pictures).argmax(1).tolist()]


def _right(read: list[str] | None, asked: Sequence[str]) -> Row:
    """The share that is read as what was asked for, where anything was."""
    if read is None or not asked:
        return {}
    return {"read_right": sum(a == b for a, b in zip(read, asked, strict=True)) / len(read)}


def _epochs_said(table: list[Row]) -> list[str]:
    *samples, real = table
    nearest = min(samples, key=lambda row: abs(row["sharpness"] - real["sharpness"]))
    said = [
        f"The sharpness of held-out digits, {real['sharpness']:.2f}, is best met by {nearest['digits']}, "
        f"{nearest['sharpness']:.2f}."
    ]
    if "read_right" in samples[0]:
        shares = ", ".join(f"{row['read_right']:.0%} of {row['digits']}" for row in samples)
        said.append(f"The digit classifier reads what was asked for in {shares}.")
    return said


def images(x: Tensor) -> list[Image]:
    """Gray or coloured pictures (n c h w) in -1..1, clamped."""
    return to_images(x.clamp(-1, 1).expand(-1, 3, -1, -1))


def _flat(x: Tensor) -> Tensor:
    return (x.flatten(1) + 1) / WIDE  # black is 0


def _rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())
