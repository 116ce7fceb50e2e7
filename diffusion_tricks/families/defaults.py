"""How a model is run unless told otherwise. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from diffusion_tricks.hosting.host import host

DEFAULTS_FILE = "diffusion_tricks.json"  # what a model says of itself, beside its model_index.json


@dataclass(frozen=True)
class Defaults:
    """What a model is run with when nothing else is asked: steps, guidance scale, scheduler by name, or its own.

    distilled_guidance: the scale that a model takes as an input where it was trained so; None is its pipeline's own.
    upscaler: the model that makes larger pictures of its own, a path beside it or a hub name. noise_level: of an
    upscaler, a timestep: how much noise is put on the picture it enlarges. refiner: the model that answers in its place
    where little noise is left, the name of a folder in its directory. below: of a refiner, the timestep of its
    training below which it has learnt to answer.
    """

    steps: int = 50
    guidance: float = 7.0
    scheduler: str | None = None
    upscaler: str | None = None
    noise_level: int = 50
    distilled_guidance: float | None = None
    refiner: str | None = None
    below: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for values that no run could use."""
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number, 1 or more, got {self.steps!r}")
        if not isinstance(self.guidance, int | float) or self.guidance < 0:
            raise ValueError(f"guidance must be a number, 0 or more, got {self.guidance!r}")
        if self.scheduler is not None and self.scheduler not in host().entries("scheduler"):
            known = ", ".join(host().entries("scheduler"))
            raise ValueError(f"scheduler must be one of {known}, got {self.scheduler!r}")
        if self.upscaler is not None and not isinstance(self.upscaler, str):
            raise ValueError(f"upscaler must be a path or a hub name, got {self.upscaler!r}")
        if not isinstance(self.noise_level, int) or self.noise_level < 0:
            raise ValueError(f"noise_level must be a whole number, 0 or more, got {self.noise_level!r}")
        if self.refiner is not None and (not isinstance(self.refiner, str) or not _is_name(self.refiner)):
            raise ValueError(f"refiner must be the name of a folder beside this file, got {self.refiner!r}")
        if self.below is not None and (not isinstance(self.below, int) or self.below < 1):
            raise ValueError(f"below must be a whole number, 1 or more, got {self.below!r}")


def _is_name(text: str) -> bool:
    """Whether a text is one part of a path, and leads nowhere else."""
    return bool(text.strip(". ")) and not {"/", "\\", ":"} & set(text)
