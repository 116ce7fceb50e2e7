"""Classifier-free guidance, and what is added to it.

eps = eps_uncond + scale * (eps_cond - eps_uncond)        arXiv:2207.12598, in the form of Imagen, arXiv:2205.11487
eps_cond = eps_uncond + sum_i w_i (eps_i - eps_uncond)    of `a AND b :0.8`: composable diffusion, arXiv:2206.01714

Other rules are in `guidance_variants`, guidance by a hindered network in `guidance_inside`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import Asking, Trick, UsageError, composed, hookimpl
from diffusion_tricks_plugins.guidance_options import GuidanceOptions
from diffusion_tricks_plugins.guidance_variants import (
    GUIDERS,
    check_renoising,
    guided,
    guider,
    perpendicular,
    renoised,
    thresholded,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step
    from diffusion_tricks_plugins.guidance_inside import Hindered


@dataclass
class Notes:
    """Of one run: the guider of diffusers that combines, if one does, and what hinders the network."""

    guider: Any = None
    hindered: list[Hindered] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """The questions that a prompt stands for, several where AND parts it, and the weight of each (b 1 1 1)."""

    asks: list[Ask]
    weights: list[Tensor] | None = None

    @classmethod
    def of(cls, ask: Ask) -> Parts:
        """Those of an ask; a picture with fewer than others is asked its first ones again, without weight."""
        rows = [composed(prompt) if prompt else [] for prompt in ask.rows]
        if max(map(len, rows)) < 2:
            return cls([ask])
        many = max(map(len, rows))
        texts = [[parts[i].text if i < len(parts) else prompt_of(parts, prompt) for i in range(many)]
                 for parts, prompt in zip(rows, ask.rows, strict=True)]  # fmt: skip
        weights = [[parts[i].weight if i < len(parts) else float(not parts and i == 0) for i in range(many)]
                   for parts in rows]  # fmt: skip
        asks = [ask.but(prompt=_one(column)) for column in zip(*texts, strict=True)]
        return cls(asks, [ask.x.new_tensor(column)[:, None, None, None] for column in zip(*weights, strict=True)])

    def together(self, uncond: Estimate, answers: list[Estimate]) -> Estimate:
        """eps_uncond + sum_i w_i (eps_i - eps_uncond), or the one answer itself."""
        if self.weights is None:
            return answers[0]
        moves = [weight * (answer - uncond) for weight, answer in zip(self.weights, answers, strict=True)]
        return sum(moves[1:], start=uncond + moves[0])


def prompt_of(parts: list[Any], prompt: str | None) -> str | None:
    """What stands for a part that a picture's prompt does not have: its first, or the prompt itself."""
    return parts[0].text if parts else prompt


def _one(prompts: tuple[str | None, ...]) -> Any:
    """One prompt where it is that of all pictures, else one each."""
    return prompts[0] if len(set(prompts)) == 1 else prompts


class Guidance(Trick[GuidanceOptions]):
    """eps = eps_uncond + scale * (eps_cond - eps_uncond)"""

    name = "guidance"
    place = "guidance"

    def active(self, step: Step) -> bool:
        """Whether the step lies in the interval, start <= fraction < stop."""
        return self.options.start <= step.fraction < self.options.stop

    def scale(self, run: Run) -> float:
        """The scale of a run, which may be a later stage."""
        if run.stage == 1 or (self.options.variant == "cfg++" and self.options.upscale_scale is None):
            return self.options.strength
        return run.model.defaults.guidance if self.options.upscale_scale is None else self.options.upscale_scale

    def neutral(self, run: Run) -> bool:
        """Whether the conditional estimate is left as it is, so that no unconditional is needed."""
        return self.scale(run) == 1 and self.options.variant != "cfg++"

    def parameters(self) -> dict[str, Any]:
        """Scale and negative prompt."""
        return {"CFG scale": self.options.strength, "Negative prompt": self.options.negative}

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Makes what the options need, if it can be had here, and refuses what the model's family lacks."""
        options, name = self.options, run.model.name
        if options.normalise == "on" and run.model.family.normalises is None:
            raise UsageError(f"{name!r} is of a family without a norm rule for guidance; leave out normalise 'on'")
        if options.threshold is not None and run.model.family.scale != 1:
            raise UsageError(f"{name!r} makes latents, and thresholding is for pixels; leave out `threshold`")
        if options.variant == "cfg++":
            check_renoising(run)
        notes = run.state(self, Notes)
        if options.variant in GUIDERS and not self.neutral(run):
            notes.guider = guider(options.variant, self.scale(run))
        if options.pag or options.seg or options.skip:
            from diffusion_tricks_plugins.guidance_inside import hindrances  # here: it needs torch

            notes.hindered = hindrances(options, run)
            if any(trick.place == "cache" for trick in run.tricks):
                raise UsageError("`pag`, `seg` and `skip` ask a changed network, which a cache does not know; leave"
                                 " one of them out")  # fmt: skip

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What is moved away from."""
        perpendicular = self.options.variant == "perp-neg"
        return [None] * perpendicular + ([] if self.neutral(run) else [self.options.negative])

    @hookimpl(trylast=True)  # innermost: guidance works inside a view, not across views
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The conditional estimate, moved away from the unconditional, and from what a hindered network says."""
        active = self.active(step)
        parts, hindered = Parts.of(ask), self._hindered(step)
        moved = active and not self.neutral(step.run)
        against = self._against(ask) if moved or parts.weights else []
        asked = [one.but(inside=away.inside) for away in hindered for one in parts.asks]
        answers: list[Estimate] = yield [*against, *parts.asks, *asked]
        if hindered:
            from diffusion_tricks_plugins.guidance_inside import check_met  # here: it needs torch

            check_met(hindered, step.run)
        negative, answers = answers[: len(against)], answers[len(against) :]
        size = len(parts.asks)
        each = [answers[i : i + size] for i in range(0, len(answers), size)]
        cond, *others = [parts.together(negative[0] if negative else one[0], one) for one in each]
        if moved:
            guided = self._rescaled(self._normalised(self._combined(negative, cond, step), cond, step), cond)
        else:
            guided = cond
        for away, other in zip(hindered, others, strict=True):
            guided = guided + away.scale * (cond - other)
        return guided if self.options.threshold is None else thresholded(guided, self.options.threshold)

    def _hindered(self, step: Step) -> list[Hindered]:
        """What hinders the network in a step."""
        hindered = step.run.state(self, Notes).hindered
        return [one for one in hindered if one.start <= step.fraction < one.stop]

    def _against(self, ask: Ask) -> list[Ask]:
        """What the estimate moves away from."""
        if self.options.variant == "perp-neg":
            return [ask.but(prompt=None), ask.but(prompt=self.options.negative)]
        return [ask.but(prompt=self.options.negative)]

    @hookimpl
    def report(self, run: Run, index: int) -> None:
        """Notes what was asked in vain, and guidance that the model is not made for."""
        stages = stages_up_to(run)
        scales = [self.scale(stage) for stage in stages]
        notes = [unsuited(stage, scale) for stage, scale in zip(stages, scales, strict=True)]
        if self.options.negative is not None and all(map(self.neutral, stages)):
            notes.append("the negative prompt is not asked at guidance 1; raise `guidance`")
        if told := [note for note in notes if note]:
            run.facts[index]["notes"] = [*run.facts[index].get("notes", []), *told]

    def _combined(self, against: list[Estimate], cond: Estimate, step: Step) -> Estimate:
        options, scale, uncond = self.options, self.scale(step.run), against[0]
        if options.variant == "cfg":
            return uncond + scale * (cond - uncond)
        if options.variant == "cfg++":
            return uncond + scale * renoised(step) * (cond - uncond)
        if options.variant == "perp-neg":
            return uncond + scale * perpendicular(cond - uncond, against[1] - uncond, options.negative_weight)
        return guided(options.variant, step.run.state(self, Notes).guider, uncond, cond, step)

    def _normalised(self, guided: Estimate, cond: Estimate, step: Step) -> Estimate:
        family = step.run.model.family
        own = self.options.variant == "cfg" and family.normalises
        if not (own if self.options.normalise == "auto" else self.options.normalise == "on"):
            return guided
        return guided.map(lambda value: family.normalised(value, cond.value))

    def _rescaled(self, guided: Estimate, cond: Estimate) -> Estimate:
        if self.options.rescale == 0:
            return guided
        return guided.map(lambda value: rescaled(value, cond.value, self.options.rescale))


def stages_up_to(run: Run) -> list[Run]:
    """A run and those that made what it enlarges, in their order."""
    return [run] if run.previous is None else [*stages_up_to(run.previous), run]


def unsuited(run: Run, scale: float) -> str | None:
    """What to say of guidance at a scale with a model that is run without; None where there is nothing to say."""
    if scale in (1, run.model.defaults.guidance):
        return None
    if run.model.family.shape.distilled:
        return f"guidance {scale:g} asks the model twice; the input it was distilled with is `distilled_guidance`"
    if run.model.defaults.guidance == 1:
        return f"guidance {scale:g} asks the model twice, which is run without: 1 is its scale"
    return None


def rescaled(value: torch.Tensor, cond: torch.Tensor, share: float) -> torch.Tensor:
    """`value` (b c h w) with its spread a `share` of the way back to that of `cond` (arXiv:2305.08891, section 3.4).

    It works on the prediction in the model's own parametrisation, as the paper does: at the zero-SNR step that the
    paper is about, the noise cannot be had from a velocity and back.
    """
    axes = tuple(range(1, value.ndim))
    matched = value * (cond.std(axes, keepdim=True) / value.std(axes, keepdim=True))
    return share * matched + (1 - share) * value
