"""Who answered the prompts of a run: the model itself, or its refiner, which reads none."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Heard:
    """Which prompts the model itself was asked, and the first step in which its refiner was asked each in its place."""

    itself: set[str | None] = field(default_factory=set)
    refiner: dict[str | None, int] = field(default_factory=dict)

    def by_refiner_alone(self) -> dict[str | None, int]:
        """Those that nobody read."""
        return {prompt: step for prompt, step in self.refiner.items() if prompt not in self.itself}
