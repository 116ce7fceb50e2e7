"""A U-Net learns digits.

denoiser    min_D  E |D(x + sigma eps) - x|^2
time        min    E |eps(x_t, t) - eps|^2                      DDPM, arXiv:2006.11239
class       eps_u + gamma (eps_c - eps_u), c dropped at times   arXiv:2207.12598
flow        min    E |v(x_t, t) - (eps - x)|^2                  arXiv:2210.02747
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from torch import Tensor

from diffusion_tricks import Model, load_model
from diffusion_tricks.plugin import UnknownName
from diffusion_tricks.training import open_source
from diffusion_tricks_learn.architecture import anatomy, architecture
from diffusion_tricks_learn.digit_pages import centroid_page, epochs_page, levels_page
from diffusion_tricks_learn.figures import stacked
from diffusion_tricks_learn.findings import Findings
from diffusion_tricks_learn.judges import DIGITS, Digits, Judge
from diffusion_tricks_learn.session import Session
from diffusion_tricks_learn.trainings import Learned, alone, drawn, learned, losses

SIGMA, SIGMAS = 0.5, (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
PURE = 500.0  # a sigma beside which the picture is nothing: alpha_bar is 1e-6
T, GUIDANCE, FLOW_STEPS = 400, 5.0, 50


@dataclass(frozen=True)
class Kind:
    """One of the trainings: steps of a quick run, epochs that are shown, and models that ship with them behind."""

    steps: int
    epochs: tuple[int, ...]
    ready: dict[str, str] = field(default_factory=dict)


KINDS = {
    "denoiser": Kind(80, (1, 5), {"epoch 5": "digits-denoiser"}),
    "time": Kind(60, (1, 5, 20), {"epoch 20": "digits-time"}),
    "class": Kind(60, (1, 5, 20), {"epoch 1": "digits-epoch-1", "epoch 5": "digits-epoch-5", "epoch 20": "digits"}),
    "flow": Kind(60, (1, 5, 20), {"epoch 20": "digits-flow"}),
}


def train_digits(
    session: Session, kind: str = "denoiser", data: str = "digits", steps: int | None = None
) -> Iterator[Findings]:
    """One of the course's trainings: its network, its losses, and what it makes.

    kind: of KINDS. data: as for `open_source`, shown at 28 x 28 in gray. steps: of the training; None is a short run,
    beside the models that ship trained, or in full the course's epochs.
    Raises UnknownName for a kind that there is not, and what `train` does.
    """
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    alone(session)
    run = learned(session, _asked(session, kind, data, steps), session.either(f"{kind}-quick", kind))
    source, held = (open_source(data, size=28, channels=1, held_out=part, seed=session.seed) for part in (False, True))
    title = f"{kind}, {run.steps} steps on {data}, seed {session.seed}"
    body, curves = architecture(run.model.pipe.unet), losses(run, title)
    about = Findings(
        lambda: stacked(body, curves), [],
        {"architecture": asdict(anatomy(run.model.pipe.unet)), "training": run.rows, "training_seconds": run.seconds},
        [*_curve_said(run), *_shown_said(session, kind, data, run)], done=0.6,
    )  # fmt: skip
    yield about
    models = _models(session, kind, data, run)
    random = np.random.default_rng(session.seed)
    real = held.draw(random.permutation(len(held))[:64].tolist(), random)
    if kind == "denoiser":
        page = levels_page(models, real.pictures, SIGMAS, SIGMA, session.seed, session.either(2, 4))
        yield (about := _with(about, page, 0.8))
        pure = learned(session, _asked(session, kind, data, steps) | {"sigma": PURE}, "denoiser-quick")
        many = source.draw(random.permutation(len(source))[:1000].tolist(), random)
        page = centroid_page(pure.model, many, source.classes, pure.steps, session.seed, PURE)
    else:
        classes, judge = () if kind == "time" else source.classes, Digits() if source.classes == DIGITS else None
        page = _samples(session, kind, models, classes, real.pictures, judge)
    yield _with(about, page, 1.0)


def _asked(session: Session, kind: str, data: str, steps: int | None) -> dict[str, object]:
    """What is asked beside the preset: a short run whose every step is measured, or the course's epochs."""
    one = KINDS[kind]
    asked: dict[str, object] = {"data": data, "size": 28, "channels": 1, "held_out": session.either(64, 256)}
    if not session.full or steps is not None:
        return asked | {
            "steps": steps or one.steps, "report": 1, "sheet_count": 0, "sheets": [], "warm_up": 10, "ema": 0.95,
        }  # fmt: skip
    kept = {"sheets": list(one.epochs), "sheet_count": 1, "keep_models": True, "report": 20}
    return asked | kept | ({} if kind in {"denoiser", "flow"} else {"timesteps": T})


def _models(session: Session, kind: str, data: str, run: Learned) -> dict[str, Model]:
    """What is shown: the model trained here, after its epochs where these were kept, else beside those that ship."""
    if run.epochs:
        return run.epochs
    ready = KINDS[kind].ready if data == "digits" and not session.full else {}
    shown = {name: load_model(model, device=session.device) for name, model in ready.items()}
    return {f"{run.steps} steps here": run.model} | shown


def _samples(
    session: Session, kind: str, models: dict[str, Model], classes: tuple[str, ...], real: Tensor, judge: Judge | None
) -> Findings:
    """The page over the epochs: a picture of every class, or as many of none, all epochs from the same noise."""
    columns = classes or tuple(f"noise {session.seed + i}" for i in range(10))
    prompts = (classes or ("",) * len(columns)) * session.either(1, 4)
    flow, guidance = kind == "flow", GUIDANCE if classes else None
    steps = session.either(30, FLOW_STEPS if flow else T)
    scheduler = None if flow else "ddpm"  # DDIM does not bear a guidance of 5
    session.clock.expect(steps * len(models))
    made = {
        name: drawn(session, model, prompts, steps=steps, guidance=guidance, scheduler=scheduler)
        for name, model in models.items()
    }
    solver = "Euler" if flow else "DDPM"
    told = f", guidance {GUIDANCE:g}" if classes else ""
    title = f"{kind}: {solver}, {steps} steps{told}, seed {session.seed}; the same noise in every row"
    return epochs_page(made, columns, real, title, judge, prompts if classes else ())


def _with(about: Findings, page: Findings, done: float) -> Findings:
    """What was found, and a page below it."""
    above, below = about.draw, page.draw
    return replace(
        about, draw=lambda: stacked(above(), below()), table=page.table or about.table,
        numbers=about.numbers | page.numbers, says=[*about.says, *page.says], done=done,
    )  # fmt: skip


def _curve_said(run: Learned) -> list[str]:
    first, last = run.rows[0]["loss"], run.rows[-1]["loss"]
    return [f"In {run.steps} steps the loss went from {first:.3f} to {last:.3f}, on held-out digits to "
            f"{run.held_out:.3f}."]  # fmt: skip


def _shown_said(session: Session, kind: str, data: str, run: Learned) -> list[str]:
    if session.full or data != "digits" or not KINDS[kind].ready:
        return []
    names = ", ".join(KINDS[kind].ready.values())
    return [f"The curves are of a short run made here; {names} ship with the toolkit and learned by the same preset "
            "for all its epochs."]  # fmt: skip
