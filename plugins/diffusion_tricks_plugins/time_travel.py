"""Time travel: go back to a noisier level and sample again, so that what a picture is made of comes to agree.

    x_s = k x_t + sqrt(sigma_s^2 - k^2 sigma_t^2) eps,  k = alpha_s / alpha_t,  s noisier than t

RePaint, arXiv:2201.09865, algorithm 1 and section 4.2 (jumps); FreeDoM, arXiv:2303.09833, algorithm 2 ("time-travel").
After `jump` steps from s to t the run goes back to s and makes them again, `repeat` times in all. The solver begins
anew there: what a multistep one remembers is of other noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from diffusion_tricks.plugin import Share, Trick, TrickOptions, UsageError, hookimpl, option

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Run, Step


class TimeTravelOptions(TrickOptions):
    """Neutral is repeat 1: every step is made once."""

    repeat: int = option(2, "how often each step is made; 1 is no time travel", ge=1, le=100)
    since: Share = option(0.2, "share of the steps after which it begins", flag="from")
    until: Share = option(0.8, "share of the steps after which it ends", flag="to")
    jump: int = option(1, "how many steps are made before the run goes back to the first of them", ge=1)

    @model_validator(mode="after")
    def _interval(self) -> TimeTravelOptions:
        if self.since >= self.until:
            raise ValueError(f"time travel must begin before it ends, got `since` {self.since:g} and `until`"
                             f" {self.until:g}")  # fmt: skip
        return self


class TimeTravel(Trick[TimeTravelOptions]):
    """x_s = k x_t + sqrt(sigma_s^2 - k^2 sigma_t^2) eps"""

    name = "time-travel"

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Finds from which steps it goes back, and to which. Raises UsageError where the scheduler cannot."""
        if self.options.repeat == 1:
            return
        begun = {last: run.beginning(i) for last, i in self.jumps(len(run.timesteps), run.substeps).items()}
        jumps = {last: first for last, first in begun.items() if first <= last}  # PNDM begins behind its second try
        if not jumps:
            raise UsageError(f"time-travel: none of {len(run.timesteps)} steps lies between `since` and `until`; give"
                             " more `steps`, or a wider interval")  # fmt: skip
        run.state(self)["jumps"] = jumps

    def jumps(self, count: int, substeps: int = 1) -> dict[int, int]:
        """The last step of each jump, and its first, of `count` evaluations of a scheduler, `substeps` a whole step."""
        whole = -(-count // substeps)
        within = [step for step in range(whole) if self.options.since <= step / whole < self.options.until]
        parts = [within[i : i + self.options.jump] for i in range(0, len(within), self.options.jump)]
        return {min((part[-1] + 1) * substeps, count) - 1: part[0] * substeps for part in parts}

    @hookimpl
    def after_step(self, step: Step) -> None:
        """Goes back from the end of a jump, until its steps were made as often as they are to be."""
        first = step.run.state(self).get("jumps", {}).get(step.index)
        if first is not None and step.repeated + 1 < self.options.repeat:
            step.go_back(max(first, step.run.first))
