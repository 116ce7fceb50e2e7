"""Classifier-free guidance.

eps = eps_uncond + scale * (eps_cond - eps_uncond)        arXiv:2207.12598, in the form of Imagen, arXiv:2205.11487
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from diffusion_tricks.plugin import Asking, Share, Trick, TrickOptions, UsageError, hookimpl, option
from diffusion_tricks_plugins.guidance_variants import Variant, guided, guider

if TYPE_CHECKING:
    import torch

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step


class GuidanceOptions(TrickOptions):
    """Neutral is scale 1: the conditional estimate as it is, for no second row."""

    scale: float = option(7.0, "how strongly to follow the prompt; 1 is not at all more, and costs no second row", ge=0)
    upscale_scale: float | None = option(None, "the scale in later stages; default each model's own", ge=0)
    negative: str | None = option(None, "what to move away from, instead of the unconditional")
    start: Share = option(0.0, "share of the steps after which guidance begins")
    stop: Share = option(1.0, "share of the steps after which guidance ends")
    rescale: Share = option(0.0, "how far to bring the estimate's spread back to the conditional's (arXiv:2305.08891)")
    normalise: Literal["auto", "on", "off"] = option(
        "auto", "bring the estimate's norm back to the conditional's by the model family's own rule, as Qwen-Image's"
        " pipeline does and Z-Image's can; auto is as that pipeline does by itself",
    )  # fmt: skip
    variant: Variant = option("cfg", "the rule that combines the two estimates")

    @model_validator(mode="after")
    def _interval(self) -> GuidanceOptions:
        if self.start >= self.stop:
            raise ValueError(f"guidance must start before it stops, got start {self.start} and stop {self.stop}")
        return self


class Guidance(Trick[GuidanceOptions]):
    """eps = eps_uncond + scale * (eps_cond - eps_uncond)"""

    name = "guidance"
    place = "guidance"

    def active(self, step: Step) -> bool:
        """Whether the step lies in the interval, start <= fraction < stop."""
        return self.options.start <= step.fraction < self.options.stop

    def scale(self, run: Run) -> float:
        """The scale of a run, which may be a later stage."""
        if run.stage == 1:
            return self.options.scale
        return run.model.defaults.guidance if self.options.upscale_scale is None else self.options.upscale_scale

    def parameters(self) -> dict[str, Any]:
        """Scale and negative prompt."""
        return {"CFG scale": self.options.scale, "Negative prompt": self.options.negative}

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Makes the variant's guider, if it can be had here, and refuses a rule that the model's family lacks."""
        if self.options.normalise == "on" and run.model.family.normalises is None:
            name = run.model.name
            raise UsageError(f"{name!r} is of a family without a norm rule for guidance; leave out normalise 'on'")
        if self.options.variant != "cfg" and self.scale(run) != 1:
            run.state(self)["guider"] = guider(self.options.variant, self.scale(run))

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What is moved away from."""
        return [] if self.scale(run) == 1 else [self.options.negative]

    @hookimpl(trylast=True)  # innermost: guidance works inside a view, not across views
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The conditional estimate, moved away from the unconditional."""
        if self.scale(step.run) == 1 or not self.active(step):
            answers: list[Estimate] = yield [ask]
            return answers[0]
        uncond, cond = yield [ask.but(prompt=self.options.negative), ask]
        return self._rescaled(self._normalised(self._combined(uncond, cond, step), cond, step), cond)

    @hookimpl
    def report(self, run: Run, index: int) -> None:
        """Notes what was asked in vain, and guidance that the model is not made for."""
        stages = stages_up_to(run)
        scales = [self.scale(stage) for stage in stages]
        notes = [unsuited(stage, scale) for stage, scale in zip(stages, scales, strict=True)]
        if self.options.negative is not None and all(scale == 1 for scale in scales):
            notes.append("the negative prompt is not asked at guidance 1; raise `guidance`")
        if told := [note for note in notes if note]:
            run.facts[index]["notes"] = [*run.facts[index].get("notes", []), *told]

    def _combined(self, uncond: Estimate, cond: Estimate, step: Step) -> Estimate:
        if self.options.variant == "cfg":
            return uncond + self.scale(step.run) * (cond - uncond)
        return guided(self.options.variant, step.run.state(self)["guider"], uncond, cond, step)

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
