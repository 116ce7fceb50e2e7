"""Stages that may stand behind a model, as far as they are known before they are loaded. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.enlarging import checked_level
from diffusion_tricks.families.lookup import upscaler_described
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.families.table import FamilyRow, guessed_row
from diffusion_tricks.loading.configs import described_in
from diffusion_tricks.loading.defaults_file import defaults_of
from diffusion_tricks.loading.download import folder_here
from diffusion_tricks.loading.location import label_of, place_of, upscaler_of
from diffusion_tricks.types import Parts, Size


def upscaler_kind(name: str, folder: Path | None) -> FamilyRow:
    """The row of an upscaler. Raises ModelError for a model that is none, or that cannot be run."""
    return upscaler_described(name, *described_in(folder)) if folder else guessed_row(name)


class OutlinedStage:
    """A later stage that has a shape and no weights. Where that is not known, it enlarges four times.

    others: that stand behind it, instead of its own.
    """

    def __init__(self, source: str, others: Sequence[str] = ()):
        self.source, self.name, self.others = source, label_of(source, Path(source)), others

    @cached_property
    def folder(self) -> Path | None:
        """Where it lies, if it is on this machine."""
        return folder_here(place_of(self.source))

    @cached_property
    def row(self) -> FamilyRow:
        """Its kind, by its configuration or, where that is not on this machine, by its name."""
        return upscaler_kind(self.name, self.folder)

    @cached_property
    def defaults(self) -> Defaults:
        """As its own file says."""
        return defaults_of(self.folder, self.row.defaults) if self.folder else self.row.defaults

    @cached_property
    def second(self) -> OutlinedStage | None:
        """The stage that may stand behind it."""
        if self.others:
            return OutlinedStage(self.others[0], self.others[1:])
        further = upscaler_of(self.source, self.folder or Path(self.source), self.defaults)
        return OutlinedStage(further) if further else None

    def behind(self, base: Size, noise_level: int | None = None) -> tuple[Parts, Shape, int]:
        """Its parts, its shape and how many times it enlarges, behind a model of size `base`.

        Raises UsageError for a noise level that the upscaler does not have.
        """
        kind = self.row.enlarges
        assert kind is not None  # as of all upscalers
        parts = described_in(self.folder)[1] if self.folder else kind.guess(base)
        checked_level(self.defaults.noise_level if noise_level is None else noise_level, kind.most_noise(parts))
        shape = kind.shape(parts)
        return parts, shape, kind.factor(shape, base)
