"""Step caches: what changes little from step to step is not computed again. Faster, and no longer the same picture.

first-block   if the first block's change is as in the step before, all others are taken to change as they did then
              (ParaAttention's form of TeaCache, arXiv:2411.19108)
faster        attention every few steps, continued from its last two values between them (arXiv:2410.19355)
pyramid       attention every few steps, as it was between them (arXiv:2408.12588)

What that costs is measured: in a few steps the true answers are computed as well, and the difference is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from diffusion_tricks.plugin import Asking, Share, Trick, TrickOptions, UsageError, hookimpl, option

if TYPE_CHECKING:
    import torch

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step
    from diffusion_tricks_plugins.cache_state import Caches, Method


class CacheOptions(TrickOptions):
    """Neutral is threshold 0 for first-block and every 1 for the others: nothing is cached, and nothing hung on."""

    method: Literal["auto", "first-block", "faster", "pyramid"] = option(
        "auto", "what is taken from the cache; auto is first-block where the model takes it, else pyramid"
    )
    threshold: float = option(
        0.08, "first-block: relative change of the first block's effect up to which the rest is not computed; 0: none",
        ge=0, le=10,
    )  # fmt: skip
    every: int = option(2, "faster, pyramid: attention is computed every so many steps; 1 is always", ge=1, le=100)
    start: Share | None = option(None, "share of the steps after which it begins; default 0, faster .32, pyramid .2")
    stop: Share | None = option(None, "share of the steps after which it ends; default 1, pyramid .9")
    probes: int = option(2, "steps in which the true answers are computed too, to tell the error; 0 is none", ge=0)

    @model_validator(mode="after")
    def _interval(self) -> CacheOptions:
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise ValueError(f"the cache must start before it stops, got start {self.start} and stop {self.stop}")
        return self


class Cache(Trick[CacheOptions]):
    """What changes little from step to step is not computed again, and a note tells how far off that was.

    first-block and faster are for transformers such as those of FLUX and Qwen-Image, pyramid is for any model with
    attention. first-block computes rows one by one, so that a picture does not depend on what is made beside it.
    """

    name = "cache"
    place = "cache"
    changes_model = True

    @property
    def neutral(self) -> bool:
        """Whether nothing is to be cached."""
        none, method = (self.options.threshold == 0, self.options.every == 1), self.options.method
        return any(none) if method == "auto" else none[method != "first-block"]

    def method(self, run: Run) -> Method:
        """The method that is asked for, or that fits the model of a run; beside a stand-in, the first that may."""
        from diffusion_tricks_plugins.cache_state import can_cache  # here: it needs torch

        if self.options.method != "auto":
            return self.options.method
        network = network_of(run) if run.model.compiled is None else None
        return "pyramid" if network is not None and can_cache(network, "first-block") else "first-block"

    @hookimpl(trylast=True)  # others may say how many rows go in one call
    def prepare(self, run: Run) -> None:
        """Refuses a model that cannot be cached. Later stages go without: they have few steps."""
        if self.neutral or run.stage > 1:
            return
        if not run.model.family.shape.cacheable:
            raise UsageError(f"{run.model.name!r} has no attention, so no cache has anything to save; leave it out")
        from diffusion_tricks_plugins.cache_state import KINDS, Caches, can_cache  # here: they need torch

        method, options = self.method(run), self.options
        kind = KINDS[method]
        if kind.per_picture:  # so the same seed gives the same picture, whatever is made beside it
            run.terms = replace(run.terms, max_rows=1)
        network = network_of(run)
        if network is None:
            return
        why = "it is compiled" if run.model.compiled is not None else can_cache(network, method)
        if why:
            raise UsageError(f"the cache {method!r} cannot be used with {run.model.name!r}: {why}")
        run.settle(self, method=method)
        self._note_idle(run, method)
        start = kind.start if options.start is None else options.start
        stop = kind.stop if options.stop is None else options.stop
        targets = [start + (stop - start) * i / (options.probes + 1) for i in range(1, options.probes + 1)]
        caches = Caches(network, method, options.threshold, options.every, (start, stop), targets)
        caches.claim()
        run.state(self)["caches"] = caches

    def _note_idle(self, run: Run, method: Method) -> None:
        """Says of an option that the method has no use for; that may be another than the one that was asked for."""
        idle = "every" if method == "first-block" else "threshold"
        if idle in self.options.model_fields_set:
            for facts in run.facts:
                facts["notes"] = [*facts.get("notes", []), f"cache: `{idle}` is of no use to method {method}"]

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer, from the cache where it may be."""
        caches: Caches | None = step.run.state(self).get("caches")
        if caches is None:
            plain: list[Estimate] = yield [ask]
            return plain[0]
        with caches(step):
            answers: list[Estimate] = yield [ask]
        return answers[0]

    @hookimpl
    def close(self, run: Run) -> None:
        """Takes the cache off the model, and tells what it saved and what that cost."""
        caches: Caches | None = run.state(self).pop("caches", None)
        if caches is None:
            return
        caches.take_off()
        if caches.finished:
            caches.settle()
            errors = [round(float(error), 5) for error in caches.errors]
            told = {"method": caches.method, "evaluations": caches.evaluations, "saved": caches.saved}
            for facts in run.facts:
                facts["cache"] = told | {"errors": errors}
                facts["notes"] = [*facts.get("notes", []), note(told, errors)]


def note(told: dict[str, Any], errors: list[float]) -> str:
    """What a cache saved, and how far off it was, in a sentence."""
    from diffusion_tricks_plugins.cache_state import KINDS

    saved, total = told["saved"], told["evaluations"]
    if not saved:
        return f"the cache {told['method']!r} saved nothing"
    what = KINDS[told["method"]].saves
    share = f"the cache {told['method']!r} saved {saved} of {total} {what} ({saved / total:.0%})"
    if not errors:
        return f"{share}; what that cost was not measured"
    off = " and ".join(f"{error:.2%}" for error in errors)
    return f"{share}; in the steps measured its answers were off by {off} (relative RMS)"


def network_of(run: Run) -> torch.nn.Module | None:
    """The model's denoiser, or None for a stand-in that has none, as in a plan."""
    try:
        return run.model.family.denoiser
    except AttributeError:
        return None
