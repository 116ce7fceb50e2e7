"""Visual anagrams: one picture, a different thing in each view.

    eps = mean_i  v_i^-1( eps(v_i(x), prompt_i) )        Visual Anagrams, arXiv:2311.17919, equation 3

The mean is weighted, by weights that may hold for shares of the schedule (`shares`). Where one thing
dominates the others, `balance` weighs the views by what they lack, or gives the mean the variance that it lost: see
`balance`.

On latents, views must be orthogonal, so that the noise they show the model is still N(0, I). In pixel space they act on
the decoded clean pictures instead, and may be any: see `pixel_space`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from diffusion_tricks.plugin import (
    Asking,
    Prompted,
    Shown,
    Trick,
    TrickOptions,
    UsageError,
    View,
    argument,
    hookimpl,
    mean,
    option,
    orthogonality_error,
    plain_prompts,
    prompts_of,
    shown_by,
    view_named,
)
from diffusion_tricks_plugins.balance import Balance, Notes, rectified, weighed, weights_by_score
from diffusion_tricks_plugins.guidance import stages_up_to
from diffusion_tricks_plugins.least_squares import Weights
from diffusion_tricks_plugins.pixel_space import Space, Synchronised, decoded
from diffusion_tricks_plugins.shares import Weight, weight_at, weightless

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step

Reduction = Literal["mean", "alternate", "weighted", "balanced", "least_squares"]
NO_NOISES = "balance by variance is between noises, and in pixel space pictures are combined, whose variance none lost"
TOLERANCE = 1e-9  # of the orthogonality check in float64


class AnagramOptions(TrickOptions):
    """`prompts` alone are seen through `identity` and `flip`; `views` names a view for each prompt."""

    prompts: list[Prompted] = argument([], "two prompts, for the picture as it is and upside down")
    views: list[tuple[str, Prompted]] = option([], "a view and what it shows; give it once per view", flag="view")
    reduction: Reduction = option(
        "mean", "how the views become one picture: mean combines all in every step, weighted as `weights` say, balanced"
        " by what each lacks; alternate takes turns; least_squares finds what all see best, each as far as it sees",
    )  # fmt: skip
    weights: list[Weight] = option(
        [], "one per view, in order, of all steps or of shares of them, as in 1@0-0.4,0.5@0.4-1; default all 1",
        flag="weight",
    )  # fmt: skip
    space: Space = option(
        "auto", "where views act: on the latents as they are, or on the decoded picture, where any view will do;"
        " auto is latent wherever that leaves no artefacts",
    )  # fmt: skip
    balance: Balance = option(
        "off", "against one view that dominates: score weighs each by what CLIP finds it lacks, variance makes up for"
        " what the mean of noises that differ has lost",
    )  # fmt: skip
    clip: str | None = option(
        None, "another CLIP than the small one inside for balance by score: a directory or a hub name", path="model",
        needs=("balance", "reduction"),
    )  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> AnagramOptions:
        if bool(self.views) == bool(self.prompts):
            example = '`views=[("identity", "a rabbit"), ("flip", "a duck")]`'
            raise ValueError(f"say what each view shows, for example {example}, or give two prompts; not both")
        if self.prompts and len(self.prompts) != 2:
            came = f"got {len(self.prompts)}; name views with `views`"
            raise ValueError(f"expected two prompts, for identity and flip, {came}")
        if len(self.pairs()) < 2:
            raise ValueError("an anagram needs at least two views, got 1")
        return self

    @model_validator(mode="after")
    def _weighed(self) -> AnagramOptions:
        count, weights = len(self.pairs()), self.weights
        if self.reduction == "weighted" and not weights:
            raise ValueError(f"reduction 'weighted' needs `weights`, one for each of {count} views")
        if weights and len(weights) != count:
            raise ValueError(f"expected {count} weights, one for each view, got {weights}")
        if weights and (share := weightless(weights)):
            where = "not all 0" if share == (0, 1) else f"and one above 0 at {share[0]:g}-{share[1]:g} of the schedule"
            raise ValueError(f"expected {count} weights, >= 0 {where}, got {weights}")
        if weights and self.reduction == "alternate":
            raise ValueError("views that take turns have no weights; leave weights out, or use reduction mean")
        if self.space == "pixel" and self.reduction == "alternate":
            raise ValueError("views take turns on latents only; leave space out, or use reduction mean")
        return self

    @model_validator(mode="after")
    def _balanced(self) -> AnagramOptions:
        if self.balance != "off" and self.reduction == "alternate":
            raise ValueError("views that take turns are not balanced; leave balance out, or use reduction mean")
        if self.balance != "off" and self.reduction == "balanced":
            raise ValueError("reduction 'balanced' is the mean with `balance=\"score\"`; leave one of the two out")
        if self.balance == "variance" and self.space == "pixel":
            raise ValueError(f'{NO_NOISES}; leave out one of balance and space, or use `balance="score"`')
        if self.clip is not None and self.balancing != "score":
            raise ValueError('`clip` is asked for `balance="score"` alone; leave it out, or ask for that')
        return self

    @property
    def balancing(self) -> Balance:
        """How views are balanced, by whichever option says so."""
        return "score" if self.reduction == "balanced" else self.balance

    def pairs(self) -> list[tuple[str, Prompted]]:
        """Every view's name and prompt."""
        return self.views or list(zip(("identity", "flip"), self.prompts, strict=True))


class Anagram(Trick[AnagramOptions]):
    """eps = mean_i  v_i^-1( eps(v_i(x), prompt_i) )"""

    name = "anagram"
    brings_prompts = True

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.views: list[tuple[View, Prompted]] = [(view_named(name), prompt) for name, prompt in self.options.pairs()]

    def asks(self) -> list[tuple[str, Prompted]]:
        """What each view shows."""
        return self.options.pairs()

    def views_of(self, image: Image) -> list[Shown]:
        """The picture through every view."""
        from diffusion_tricks.plugin import seen_through  # here: it needs torch, the options do not

        views = [(name, partial(seen_through, name, image), prompt) for name, prompt in self.options.pairs()]
        return [one for name, way, prompt in views for one in shown_by(name, way(1.0), prompt, frame=way)]

    def parameters(self) -> dict[str, Any]:
        """What the views show."""
        return {"Prompt": prompts_of([prompt for _, prompt in self.options.pairs()])}

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Decides where the views act, and refuses those that cannot act there or do not fit the size of this run."""
        space = self.space(run)
        if space == "pixel" and self.options.balance == "variance":
            raise UsageError(f"{NO_NOISES}, as some of these views need it; use `balance=\"score\"`, or"
                             ' `space="latent"` with views that are orthogonal')  # fmt: skip
        if self.options.balancing == "score" and not all(prompts_of([prompt]) for _, prompt in self.views):
            raise UsageError("balance by score asks CLIP how far each view shows its words, and a given picture has"
                             " none; leave balance out, or say in words what that view shows")  # fmt: skip
        if self.options.balancing == "score" and not run.rehearsal:
            from diffusion_tricks.plugin import scorer_named

            run.state(self, Notes).scorer = scorer_named(self.options.clip, str(run.model.device))
        if space == "latent":
            self._check_orthogonal(run)
        else:
            solve = self.options.reduction == "least_squares"
            run.state(self, Notes).synchronised = Synchronised(run, self.views, self._weigh, solve)
        for facts in run.facts:
            facts.setdefault("space", space)

    def space(self, run: Run) -> Literal["latent", "pixel"]:
        """Where the views of a run act. Raises UsageError for a view that is to act on latents and cannot."""
        alternate, wanted = self.options.reduction == "alternate", self.options.space
        named = zip(self.views, self.options.pairs(), strict=True)
        unfit = [name for (view, _), (name, _) in named if not view.orthogonal]
        if unfit and (alternate or wanted == "latent"):
            instead = "use reduction mean" if alternate else 'use `space="pixel"`'
            raise UsageError(f"view {unfit[0]!r} is not orthogonal: noise seen through it is A eps ~ N(0, A A^T), where"
                             f" the model expects N(0, I); {instead}")  # fmt: skip
        if wanted != "auto":
            return wanted
        exact = alternate or run.model.family.scale == 1 or all(view.latent for view, _ in self.views)
        return "latent" if exact and not unfit else "pixel"

    def _check_orthogonal(self, run: Run) -> None:
        """Measured at the size of the run, whatever the view says of itself."""
        for (view, _), (name, _) in zip(self.views, self.options.pairs(), strict=True):
            error = orthogonality_error(view, run.latent_shape)
            if error > TOLERANCE:
                raise UsageError(f"view {name!r} is not orthogonal (error {error:.1e}), so it would blur; use another,"
                                 ' or `space="pixel"`')  # fmt: skip

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What the views show."""
        return plain_prompts([prompt for _, prompt in self.views])

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The mean over all views, or the view whose turn it is."""
        notes = step.run.state(self, Notes)
        if notes.synchronised is not None:
            return (yield from notes.synchronised.estimate(ask, step))
        chosen = self._chosen(step)
        answers: list[Estimate] = yield [view.through(ask.asking(prompt)) for view, prompt, _ in chosen]
        back = [view.back(a, ask.x) for (view, *_), a in zip(chosen, answers, strict=True)]
        weights = [weight for *_, weight in chosen]
        if self.options.balancing == "off":
            return mean(back, weights)
        if self.options.balancing == "variance":
            together, factor = rectified(back, weights)
            notes.note(step, factor=factor)
            return together
        said, clean = [prompt for _, prompt, _ in chosen], [answer.clean for answer in answers]
        return weighed(back, weights_by_score(notes, step, lambda: decoded(step.run, clean), said, weights))

    def weights(self, step: Step) -> list[float]:
        """What each view weighs in a step."""
        return [weight_at(weight, step.fraction) for weight in self.options.weights] or [1.0] * len(self.views)

    def _chosen(self, step: Step) -> list[tuple[View, Prompted, float]]:
        """The views that are asked in a step, with what they show and weigh: those above 0, where that changes."""
        weights = self.weights(step)
        seen = [(view, prompt, weight) for (view, prompt), weight in zip(self.views, weights, strict=True)]
        if self.options.reduction == "alternate":
            turn = step.index // step.run.substeps  # both halves of a Heun step belong to one view
            return [seen[turn % len(seen)]]
        scheduled = any(isinstance(weight, str) for weight in self.options.weights)
        return [one for one in seen if one[2] > 0] if scheduled else seen

    def _weigh(self, step: Step, pictures: list[Tensor]) -> Weights:
        """What each view weighs in pixel space, where it shows these pictures (b 3 H W)."""
        if self.options.balancing == "off":
            return self.weights(step)
        said, notes = [prompt for _, prompt in self.views], step.run.state(self, Notes)
        shares = weights_by_score(notes, step, lambda: pictures, said, self.weights(step))
        return [share[:, None, None, None] for share in shares]

    @hookimpl
    def report(self, run: Run, index: int) -> None:
        """Notes what each step's balance was."""
        rows = [row for stage in stages_up_to(run) for row in stage.state(self, Notes).rows(stage.stage, index)]
        if rows:
            run.facts[index]["balance"] = [*run.facts[index].get("balance", []), *rows]
