"""Who answered the prompts of a run: the model itself, or its refiner, which reads none."""

from __future__ import annotations

from dataclasses import dataclass, field

Said = tuple[int, str | None]  # the number of a picture of the batch, and what is asked for it


@dataclass
class Heard:
    """What the model itself was asked, and the first step in which its refiner was asked each in its place."""

    itself: set[Said] = field(default_factory=set)
    refiner: dict[Said, int] = field(default_factory=dict)

    def by_refiner_alone(self) -> dict[Said, int]:
        """Those that nobody read."""
        return {said: step for said, step in self.refiner.items() if said not in self.itself}
