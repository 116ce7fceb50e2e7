"""What a U-Net's parts are good for: each variant is the normal network without one thing, at the same budget.

skips        h_up = [h, h_down]  becomes  [h, 0]
time         emb(t)  becomes  0
at once      x0 = D(eps), one step from pure noise, against  eps(x_t, t)  in many      DDPM, arXiv:2006.11239
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.models.embeddings import TimestepEmbedding
from PIL.Image import Image
from torch import Tensor, nn

from diffusion_tricks.plugin import diversity, sharpness, to_tensor
from diffusion_tricks.training import open_source
from diffusion_tricks_learn.architecture import weights_of
from diffusion_tricks_learn.digit_pages import SMALL, images
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session
from diffusion_tricks_learn.trainings import Learned, alone, drawn, learned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T, SAMPLES = 400, 10
AT_ONCE = "noise all at once"
ONE_STEP = {"objective": "sample", "timesteps": 1, "beta_start": 0.9999, "beta_end": 0.99999}  # x_t is noise, all of it


def without_skips(network: nn.Module) -> None:
    """Every block on the way up is given zeros in the place of what skips to it; its weights stay as many."""

    def cut(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, skipped, *others = args
        return (x, tuple(torch.zeros_like(one) for one in skipped), *others)

    for module in network.modules():
        if isinstance(getattr(module, "upsamplers", 0), nn.ModuleList | None):
            module.register_forward_pre_hook(cut)


def without_time(network: nn.Module) -> None:
    """The time is embedded as zeros."""

    def silenced(module: nn.Module, args: Any, embedded: Tensor) -> Tensor:
        return torch.zeros_like(embedded)

    for module in network.modules():
        if isinstance(module, TimestepEmbedding):
            module.register_forward_hook(silenced)


@dataclass(frozen=True)
class Variant:
    """A network that is trained: what is changed in it, and in its options."""

    change: Callable[[nn.Module], object] | None = None
    options: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "normal": Variant(),
    "without skips": Variant(without_skips),
    "without time": Variant(without_time),
    AT_ONCE: Variant(options=ONE_STEP),
}


def ablate(
    session: Session, data: str = "shapes", size: int | None = None, steps: int | None = None
) -> Iterator[Findings]:
    """Four trainings at one budget: the normal network, without skip connections, without time, and in one step.

    data: as for `open_source`, in gray. size: side in pixels; None is 16, in full 28. steps: of each training; None is
    as many as a quick look or the course allows. Raises what `train` does.
    """
    alone(session)
    size = size or session.either(16, 28)
    held = open_source(data, size=size, channels=1, held_out=True, seed=session.seed)
    random = np.random.default_rng(session.seed)
    real = held.draw(random.permutation(len(held))[:256].tolist(), random).pictures
    asked = {
        "data": data, "size": size, "channels": 1, "timesteps": T, "steps": steps or session.either(80, 2000),
        "held_out": session.either(128, 256), "report": session.either(2, 20), "sheet_count": 0, "sheets": [],
        "lr": 4e-3, "warm_up": 10, "ema": session.either(0.9, 0.999),
    }  # fmt: skip
    runs, made = dict[str, Learned](), dict[str, list[Image]]()
    for name, variant in VARIANTS.items():
        session.say(name)
        runs[name] = learned(session, asked | variant.options, "time-quick", variant.change)
        how = {"steps": 1} if name == AT_ONCE else {"steps": session.either(25, T), "scheduler": "ddpm"}
        made[name] = drawn(session, runs[name].model, [""] * SAMPLES, **how)
        title = f"{data}, {size} x {size}, {asked['steps']} steps each, from seed {session.seed} on"
        yield _found(dict(runs), dict(made), real, title)


def _found(runs: dict[str, Learned], made: dict[str, list[Image]], real: Tensor, title: str) -> Findings:
    known = {"training data": images(real[:SAMPLES])} | made
    table: list[Row] = [
        {
            "network": name, "weights": weights_of(run.model.pipe.unet), "predicts": "x0" if name == AT_ONCE else "eps",
            "held_out_mse": run.held_out, **_measured(made[name]), "training_seconds": run.seconds,
        }
        for name, run in runs.items()
    ]  # fmt: skip
    spread = float((real - real.mean(0)).square().mean())
    numbers = {
        "variance_of_data": spread, "data": _measured(known["training data"]),
        "held_out_curves": {name: dict(zip(*run.curve(), strict=True)) for name, run in runs.items()},
    }  # fmt: skip

    def draw() -> Image:
        many = {name: run for name, run in runs.items() if name != AT_ONCE}
        one = {name: run for name, run in runs.items() if name == AT_ONCE}
        curves = chart(
            partial(_curves, many, "held-out error of the noise", None),
            *([partial(_curves, one, "held-out error of the picture, in one step", spread)] if one else []),
            width=1100, height=400,
        )  # fmt: skip
        sheet = grid(list(known.values()), rows=list(known), tile=SMALL, title=title)
        return stacked(curves, sheet)

    return Findings(draw, table, numbers, _said(table, spread), done=len(runs) / len(VARIANTS))


def _measured(pictures: list[Image]) -> dict[str, float]:
    x = torch.cat([to_tensor(one) for one in pictures])
    return {"sharpness": sharpness(x), "diversity": diversity((x.flatten(1) + 1) / 2)}


def _curves(runs: dict[str, Learned], title: str, level: float | None, ax: Axes) -> None:
    for name, run in runs.items():
        steps, values = run.curve()
        ax.plot(steps, values, marker="o", markersize=3, label=f"{name}, last {values[-1]:.4f}")
    if level is not None:
        ax.axhline(level, color="#777777", linestyle="--", label=f"variance of the data, {level:.4f}")
    ax.set(yscale="log" if level is None else "linear", xlabel="step", ylabel="mean squared error", title=title)
    ax.grid(alpha=0.25, which="both")
    ax.legend(frameon=False)


def _said(table: list[Row], spread: float) -> list[str]:
    rows = {row["network"]: row for row in table}
    normal, said = rows["normal"]["held_out_mse"], []
    for name in ("without skips", "without time"):
        if name in rows:
            ratio = rows[name]["held_out_mse"] / normal
            than = f"{ratio:.2f} times that of the normal network"
            said.append(f"{name.capitalize()} the held-out error is {than}{'' if ratio > 1 else ': it does no harm'}.")
    if AT_ONCE in rows:
        error = rows[AT_ONCE]["held_out_mse"]
        said.append(
            f"In one step from pure noise the error is {error:.3f}, that of the mean of the data about {spread:.3f}:"
            f" the pictures differ by {rows[AT_ONCE]['diversity']:.3f} (mean of 1 - cosine), those of the normal "
            f"network by {rows['normal']['diversity']:.3f}."
        )
    return said
