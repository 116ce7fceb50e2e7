"""Two candidates each step, with the prompt and without, blended by how well CLIP finds the prompt in each.

    s_i = cos( CLIP(D(x0_i)), CLIP(prompt) )        i = cond, uncond: the clean estimates of both, as pictures
    w   = exp(s_cond / tau) / (exp(s_cond / tau) + exp(s_uncond / tau))
    eps = w eps_cond + (1 - w) eps_uncond

No paper: the midterm of a course on generative models proposes it. CLIP is arXiv:2103.00020. As w <= 1, the blend
never goes beyond the conditional estimate, as classifier-free guidance does; with a scale s it can, eps = eps_uncond +
s w (eps_cond - eps_uncond): a guidance scale that CLIP turns down where both candidates show the prompt alike.

With `gradient` g it is classifier guidance as well, with CLIP of the clean estimate for a classifier:

    eps = eps - g sigma grad_x s_cond / tau        arXiv:2105.05233, Algorithm 2; arXiv:2302.07121, equation 6
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import Asking, Trick, TrickOptions, hookimpl, option, to_images
from diffusion_tricks_plugins.guidance import stages_up_to
from diffusion_tricks_plugins.pixel_space import decoded

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Scorer, Step

DIGITS = 5  # of the scores and weights that are reported


class ClipGuidanceOptions(TrickOptions):
    """At scale 1 the blend itself. A small temperature takes the better candidate, a large one the mean of both."""

    temperature: float | None = option(
        None, "how far apart two scores (cosines, -1..1) are a clear choice; default CLIP's own, about 0.01", gt=0
    )
    scale: float = option(1.0, "what the weight is multiplied with; 1 is the blend, above it guidance", ge=0)
    gradient: float = option(
        0.0,
        "how far CLIP's own gradient leads towards the prompt, such as 1; 0 is not at all, and costs no memory",
        ge=0,
    )
    clip: str | None = option(
        None, "another CLIP than the small one inside: a directory or a hub name", path="model"
    )  # fmt: skip


@dataclass
class Notes:
    """Of one run: CLIP, None in a rehearsal, and for each picture what was found in each step."""

    scorer: Scorer | None = None
    found: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


class ClipGuidance(Trick[ClipGuidanceOptions]):
    """eps = w eps_cond + (1 - w) eps_uncond,  w = softmax(CLIP scores / tau)_cond

    Every picture of a batch has its own w. Within an anagram or a hybrid each question is weighed by its own prompt.
    """

    name = "clip-guidance"
    place = "guidance"

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Loads CLIP, but for a rehearsal, which weighs both candidates alike."""
        if run.rehearsal:
            return
        from diffusion_tricks.plugin import scorer_named

        run.state(self, Notes).scorer = scorer_named(self.options.clip, str(run.model.device))

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """The unconditional."""
        return [None]

    @hookimpl(trylast=True)  # innermost, as guidance
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The blend of both candidates; where no prompt is asked there is but one."""
        if not any(ask.rows):
            answers: list[Estimate] = yield [ask]
            return answers[0]
        if self.options.gradient:
            from diffusion_tricks.plugin import followed  # here: it needs torch

            asked = followed(ask)
        else:
            asked = ask
        uncond, cond = yield [ask.but(prompt=None), asked]
        blend = uncond + (cond - uncond) * (self.options.scale * self._weight(ask, step, cond, uncond))
        if asked is ask:
            return blend
        towards = self._slope(asked, step, cond)
        blend = blend.detached()
        return blend.with_noise(blend.noise - self.options.gradient * step.sigma * towards)

    def _slope(self, asked: Ask, step: Step, cond: Estimate) -> Tensor:
        """The gradient of the score over the temperature, with respect to the latents (b c h w)."""
        from diffusion_tricks.plugin import slope

        run, scorer = step.run, step.run.state(self, Notes).scorer
        pixels = run.model.decode(cond.clean, run.max_rows).float()
        if scorer is None:
            return slope(run, pixels.mean((1, 2, 3)), asked) * 0
        texts = scorer.texts([prompt or "" for prompt in asked.rows])
        scores = (scorer.pixels(pixels) * texts).sum(1)  # (b)
        return slope(run, scores / (self.options.temperature or scorer.temperature), asked)

    @hookimpl
    def report(self, run: Run, index: int) -> None:
        """Notes the scores and the weight of every step."""
        stages = stages_up_to(run)
        run.facts[index]["clip_guidance"] = [row for stage in stages for row in self._found(stage, index)]

    def _found(self, stage: Run, index: int) -> Iterator[dict[str, Any]]:
        return ({"stage": stage.stage, **row} for row in stage.state(self, Notes).found.get(index, ()))

    def _weight(self, ask: Ask, step: Step, cond: Estimate, uncond: Estimate) -> Tensor | float:
        """w of every picture (b 1 1 1), 0..1."""
        notes = step.run.state(self, Notes)
        if notes.scorer is None:
            return 0.5
        texts = [prompt or "" for prompt in ask.rows]
        candidates = [cond.clean.detach(), uncond.clean.detach()]
        scores = scores_of(notes.scorer, decoded(step.run, candidates), texts)  # (2 b)
        weight = (scores / (self.options.temperature or notes.scorer.temperature)).softmax(0)[0]  # (b)
        for i, (text, w, (s_cond, s_uncond)) in enumerate(zip(texts, weight.tolist(), scores.T.tolist(), strict=True)):
            row = {"weight": w, "score_cond": s_cond, "score_uncond": s_uncond}
            told = {name: round(value, DIGITS) for name, value in row.items()}
            notes.found.setdefault(i, []).append({"step": step.index, "prompt": text, **told})
        return weight.to(cond.value)[:, None, None, None]


def scores_of(scorer: Scorer, candidates: list[Tensor], texts: list[str]) -> Tensor:
    """Cosines (k b) of k candidates (b 3 H W), in -1..1, with the texts (b) of their pictures.

    A value that is no number counts as 0 here: it stays in the estimate, where whoever made it is named.
    """
    images = [image for pixels in candidates for image in to_images(pixels.nan_to_num(0.0, 1.0, -1.0))]
    return scorer.similarity(images, texts).reshape(len(candidates), -1, len(texts)).diagonal(dim1=1, dim2=2)
