"""The model's answers to asks: rows that fit together in one call of the denoiser, in chunks that memory holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.devices.memory import Job, Work, in_parts, persisting
from diffusion_tricks.devices.oom import explained
from diffusion_tricks.devices.rungs import PICTURES, ROWS
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.ask import Ask, Inside
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import ModelError, PluginError, UsageError

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Network
    from diffusion_tricks.families.rows import Rows
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.types import Size


@dataclass(frozen=True)
class Terms:
    """How a run asks its model.

    size: of its pictures, in pixels. scale_input: the scheduler's, a function of (latents, t). max_rows: rows in one
    call at the most, None is all. distilled: the guidance scale a distilled model is given, None is its own.
    """

    size: Size
    scale_input: Any
    max_rows: int | None = None
    distilled: float | None = None


@dataclass(frozen=True)
class Batch:
    """Rows of one shape for the denoiser: its input (n c h w), recorded arguments, and pictures for other networks.

    inside: what is done inside the network. places: which rows of what was asked they are.
    """

    x: Tensor
    rows: Rows
    pictures: list[tuple[Network, Tensor]]
    inside: Inside | None
    places: tuple[int, ...]

    def at(self, places: Sequence[int]) -> Batch:
        """Some of the rows; all of them, in order, are the batch itself."""
        rows = self.rows.at(places)
        if rows is self.rows:
            return self
        pictures = [(network, _taken(picture, places)) for network, picture in self.pictures]
        return Batch(_taken(self.x, places), rows, pictures, self.inside, tuple(self.places[i] for i in places))


def _taken(x: Tensor, places: Sequence[int]) -> Tensor:
    """Rows of x, by slices: a list of places would have to go to the device first."""
    if list(places) == list(range(places[0], places[-1] + 1)):
        return x[places[0] : places[-1] + 1]
    return torch.cat([x[i : i + 1] for i in places])


@dataclass(frozen=True)
class Asked:
    """What is asked at one time about latents of one noise level, and on what terms.

    span: the share of the training's timesteps that the run goes through, 0..1.
    """

    asks: Sequence[Ask]
    level: Level
    terms: Terms
    span: float = 1.0


def answer(
    model: Model, asks: Sequence[Ask], t: Tensor, level: Level, terms: Terms, span: float = 1.0
) -> tuple[list[Estimate], int]:
    """Estimates for `asks`, rows that fit together in one call of the denoiser, and how many rows that were."""
    (answers,) = answer_together(model, [Asked(asks, level, terms, span)], t)
    return answers, rows_of(answers)


def rows_of(answers: Sequence[Estimate]) -> int:
    """How many rows the model computed for its answers, of which several may be one."""
    return sum(len(answer.value) for answer in {id(answer): answer for answer in answers}.values())


def answer_together(model: Model, asked: Sequence[Asked], t: Tensor) -> list[list[Estimate]]:
    """Estimates for what several runs ask at one timestep: rows that fit together in one call of the denoiser.

    The model's refiner, if it has one, answers those of little noise.
    """
    refiner = model.refiner
    refined = [refiner is not None and refiner.answers(one.asks, one.level, one.span) for one in asked]
    if refiner is None or not any(refined):
        return _answered(model, asked, t)
    own = iter(_answered(model, [one for one, late in zip(asked, refined, strict=True) if not late], t))
    fine = iter(_wordless(refiner.model, [one for one, late in zip(asked, refined, strict=True) if late], t))
    return [next(fine if late else own) for late in refined]


def _wordless(model: Model, asked: Sequence[Asked], t: Tensor) -> list[list[Estimate]]:
    """The answers of a model that reads no prompt: one to all that is asked about the same latents."""
    keys = [[(id(ask.x), ask.gradient) for ask in one.asks] for one in asked]
    once = [dict(zip(each, (ask.but(prompt=None) for ask in one.asks), strict=True))
            for each, one in zip(keys, asked, strict=True)]  # fmt: skip
    with alone_with(model.pipe):
        answers = _answered(model, [replace(one, asks=[*asks.values()])
                                    for one, asks in zip(asked, once, strict=True)], t)  # fmt: skip
    known = [dict(zip(asks, each, strict=True)) for asks, each in zip(once, answers, strict=True)]
    return [[found[key] for key in each] for found, each in zip(known, keys, strict=True)]


def _answered(model: Model, asked: Sequence[Asked], t: Tensor) -> list[list[Estimate]]:
    parts = [(ask, one) for one in asked for ask in one.asks]
    groups: dict[Any, list[int]] = {}
    for i, (ask, one) in enumerate(parts):
        groups.setdefault(_call_of(ask, one), []).append(i)
    answers: dict[int, Estimate] = {}
    for members in groups.values():
        together = [parts[i] for i in members]
        terms = _at_size(together[0][1].terms, together[0][0].x, model.family.scale)
        batch = persisting(model, PICTURES, partial(_batch, model, together, t, terms))
        outputs = torch.split(_computed(model, batch, t, terms), [len(ask.x) for ask, _ in together])
        for i, output, (ask, one) in zip(members, outputs, together, strict=True):
            answers[i] = estimate_from(output, ask.x, one.level)
    each = (answers[i] for i in range(len(parts)))
    return [list(islice(each, len(one.asks))) for one in asked]


def _call_of(ask: Ask, one: Asked) -> Any:
    """Equal for asks that may go in one call.

    Those that a gradient is asked of, or something done inside the network for, go with none of another run.
    """
    networks = tuple(id(control.network) for control in ask.controls)
    apart = (id(one), id(ask.inside), ask.gradient) if ask.inside is not None or ask.gradient else None
    return ask.x.shape[1:], ask.condition is None, networks, apart, one.terms.max_rows, one.terms.distilled


def _at_size(terms: Terms, x: Tensor, scale: int) -> Terms:
    """The terms for questions about latents x (b c h w), maybe windows of a picture; scale: pixels per latent."""
    size = x.shape[-1] * scale, x.shape[-2] * scale
    return terms if size == terms.size else replace(terms, size=size)


def _batch(model: Model, parts: Sequence[tuple[Ask, Asked]], t: Tensor, terms: Terms, work: Work) -> Batch:
    """Asks of one shape: scaled latents with what stands beside them, and the recorded arguments of their prompts."""
    work.doing = "while it prepared the model's input"
    asks = [ask for ask, _ in parts]
    x: Tensor = torch.cat([one.terms.scale_input(_followed(ask), t) for ask, one in parts])
    beside = [model.family.beside(ask.condition, terms.size).expand(len(ask.x), -1, -1, -1)
              for ask in asks if ask.condition is not None]  # fmt: skip
    if beside:
        x = torch.cat([x, torch.cat(beside).to(x)], dim=1)
    prompts = [prompt for ask in asks for prompt in ask.rows]
    rows = model.rows(prompts, terms.size, terms.distilled)
    return Batch(x, rows, _pictures(asks), asks[0].inside, tuple(range(len(rows))))


def _followed(ask: Ask) -> Tensor:
    """The latents of a question; where its answer is to be differentiable, so they are. Raises PluginError."""
    if not ask.gradient:
        return ask.x.detach()
    if not ask.x.requires_grad:
        raise PluginError("an ask for a gradient holds an x that asks for none; give x.detach().requires_grad_()")
    return ask.x


def _pictures(asks: list[Ask]) -> list[tuple[Network, Tensor]]:
    """What each further network sees, a picture (n 3 H W) per row; all asks have the same networks."""
    networks = [control.network for control in asks[0].controls]
    pictures = [[ask.controls[k].condition.picture.expand(len(ask.x), -1, -1, -1) for ask in asks]
                for k in range(len(networks))]  # fmt: skip
    return [(network, torch.cat(each)) for network, each in zip(networks, pictures, strict=True)]


def _computed(model: Model, batch: Batch, t: Tensor, terms: Terms) -> Tensor:
    """The raw output (n c' h w); rows whose arguments differ in shape, such as texts of other lengths, go apart."""
    kinds = batch.rows.kinds
    parts = [_in_chunks(model, batch.at(members), t, terms) for members in kinds]
    if len(parts) == 1:
        return parts[0]
    places = {i: (kind, k) for kind, members in enumerate(kinds) for k, i in enumerate(members)}
    return torch.cat([parts[kind][k : k + 1] for kind, k in (places[i] for i in range(len(places)))])


def _in_chunks(model: Model, batch: Batch, t: Tensor, terms: Terms) -> Tensor:
    """The raw output of rows that fit together, as many at a time as may go in one call."""
    total, size = len(batch.rows), terms.size

    def limit() -> int | None:
        rows = model.rows_at_once(size, terms.max_rows)
        if rows is not None and rows < min(terms.max_rows or total, total):
            model.memory.cut_to(rows)
        return rows

    def compute(part: slice) -> Tensor:
        chunk = batch.at(range(*part.indices(total)))
        return _predicted(model, chunk, t, limit())

    def doing(rows: int) -> str:
        return f"on {rows} row{'' if rows == 1 else 's'} of {size[0]}x{size[1]}"

    return in_parts(model, ROWS, Job(size, total, limit, compute, doing))


def _predicted(model: Model, batch: Batch, t: Tensor, most: int | None) -> Tensor:
    """The raw output of one call; a compiled denoiser is given rows twice rather than a number it does not know."""
    count = len(batch.x)
    more = 0 if model.compiled is None else model.compiled.filled(batch.x, most) - count
    if more:
        batch = batch.at([*range(count), *([count - 1] * more)])
    more_of_it = _more(batch, t)
    with explained(partial(_blamed, model)), _inside(model, batch):
        output = model.family.predict(batch.x, t, batch.rows, **more_of_it)
    return output[:count] if more else output


@contextlib.contextmanager
def _inside(model: Model, batch: Batch) -> Iterator[None]:
    """What is to be done inside the network is done for one call. Raises UsageError for one that is compiled."""
    network = getattr(model.pipe, model.family.part, None)
    if batch.inside is None or network is None:  # a stand-in has no inside
        yield
        return
    if model.compiled is not None:
        raise UsageError(f"nothing can be changed inside {model.name!r} as it is compiled; leave `compile` out")
    with batch.inside.on(network, batch.places, (batch.x.shape[-2], batch.x.shape[-1])):
        yield


def _blamed(model: Model, error: Exception) -> ModelError:
    """What a network raises, of whatever kind, is due to the settings or the parts of the model that it is of."""
    if model.revision is not None:
        advice = "fetch it anew"
    elif model.memory.lent:
        advice = "check that the parts of its pipeline fit each other"
    else:
        advice = "check that its settings (config.json) are those its weights were saved with"
    why = f"{type(error).__name__}: {error}"
    return ModelError(f"model {model.name!r} cannot be run: its network failed ({why}); {advice}")


def _more(batch: Batch, t: Tensor) -> dict[str, Any]:
    """What further networks add to the denoiser's arguments; what several of them add to one argument is summed."""
    total: dict[str, Any] = {}
    for network, pictures in batch.pictures:
        for name, value in network.arguments(batch.x, t, batch.rows, pictures).items():
            total[name] = _summed(total[name], value) if name in total else value
    return total


def _summed(a: Any, b: Any) -> Any:
    return a + b if isinstance(a, Tensor) else [x + y for x, y in zip(a, b, strict=True)]


def estimate_from(output: Tensor, x: Tensor, level: Level) -> Estimate:
    """The raw output as an estimate: twice as many channels as the latents are prediction and variance."""
    channels = x.shape[1]
    variance = output[:, channels:].float() if output.shape[1] == 2 * channels else None
    return Estimate(output[:, :channels].float(), x, level, variance)
