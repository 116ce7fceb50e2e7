"""The promise of docs/editing.md at the size of CI; at full size by `python -m tests.faithful --cases 10000`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from diffusion_tricks.io import decode, raster
from diffusion_tricks.io.metadata import Metadata
from diffusion_tricks.io.raster import Raster
from diffusion_tricks_plugins import repainting
from faithful.cases import Case, broken, cases

CI = settings(max_examples=2000, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faithful")


def test_what_is_not_changed_is_what_it_was(place: Path) -> None:
    @CI
    @given(cases())
    def faithful(case: Case) -> None:
        why = broken(case, place)
        assert why is None, why

    faithful()


blended, with_part, exif = repainting.blended, Raster.with_part, Metadata.exif


def all_pasted(old: Any, new: Any, weights: Any, *how: Any) -> Any:
    """A paste that treats the rim of the mask as if it belonged to it."""
    return blended(old, new, np.maximum(weights, np.roll(weights, 1)), *how)


def eight_bit(self: Raster, *arguments: Any) -> Raster:
    """What was the worst fault: all goes through 8 bit."""
    part = with_part(self, *arguments)
    return replace(part, samples=part.promoted(raster.eight_bit(part.samples, part.top)))


@pytest.mark.parametrize(
    ("place_of", "name", "fault"),
    [
        (repainting, "blended", all_pasted),
        (Raster, "with_part", eight_bit),
        (decode, "_icc", lambda image, mode: None),
        (Metadata, "exif", lambda self, size, **_: exif(replace(self, tags={}), size, keep_gps=True)),
    ],
    ids=["paste", "depth", "profile", "rights"],
)
def test_a_break_is_found(
    place_of: Any, name: str, fault: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(place_of, name, fault)
    quick = settings(CI, max_examples=400)
    assert find(cases(), lambda case: broken(case, place) is not None, settings=quick)
