"""Models side by side: their weights against their files, and what their cards say and leave out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from scipy.ndimage import gaussian_filter

from diffusion_tricks import load_model
from diffusion_tricks.plugin import UnknownName, model_card
from diffusion_tricks_learn.cards import told
from diffusion_tricks_learn.experiments import compare as lesson
from diffusion_tricks_learn.experiments.compare import basic, compare, weights
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session

CARD = """---
license: mit
---
# A model

It draws.

## Limitations

- It draws **faces** badly, see [here](there.md).
- Second.

## Training data

| a | table |
|---|---|
| 1 | 2 |

    some --code

Photographs of 1,000 people.

It took a week. Energy: 5 kWh. No more.
"""


def test_cards_are_read_by_topic_and_what_they_leave_out_is_none() -> None:
    found = told(CARD)
    assert found["limits"] == "It draws faces badly, see here."
    assert found["provenance"] == "Photographs of 1,000 people."
    assert found["energy"] == "Energy: 5 kWh."
    assert found["bias"] is None
    assert set(told(None).values()) == {None}


def test_the_card_of_a_model(tmp_path: Path, tiny: Path) -> None:
    card = model_card("emoji")
    assert card is not None
    assert card.startswith("# The model inside")
    assert all(told(card).values())
    assert model_card(str(tiny)) is None
    assert model_card("sdxl") is None  # not on this machine, and no hub is asked
    with pytest.raises(UnknownName):
        model_card("emojo")


@pytest.mark.parametrize("kind", ["tiny", "tiny_sd"])
def test_weights_are_those_of_the_files(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    count = 0
    for file in folder.rglob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    assert weights(load_model(folder))["parameters"] == pytest.approx(count, rel=0.01)  # buffers are in files too


def test_the_basic_model_is_five_filters_and_knows_nothing() -> None:
    row = basic(Session(seed=1), 12).row
    assert (row["denoiser_calls"], row["parameters"]) == (5, 0)
    noise = np.random.default_rng(0).standard_normal((256, 256))
    for _ in range(5):
        noise = gaussian_filter(noise, 1.0, mode="mirror")
    spread = np.std([np.asarray(p, float) / 127.5 - 1 for p in basic(Session(seed=1), 12).pictures])
    assert spread == pytest.approx(noise.std(), rel=0.15)  # 1 / sqrt(4 pi 5) of a filter of variance 5


def test_several_models_in_one_table(tiny: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "INSIDE", ())
    monkeypatch.setattr(lesson, "QUICK_STEPS", 2)
    parts = list(compare(Session(str(tiny)), others=[str(tiny_sd), str(tiny)]))
    assert [part.done for part in parts] == pytest.approx([1 / 3, 2 / 3, 1])
    found = parts[-1]
    assert [row["model"] for row in found.table] == [lesson.BASIC, str(tiny), str(tiny_sd)]
    keys = {"share_right", "diversity", "denoiser_calls", "seconds", "peak_memory_mb", "parameters", "weights_mb"}
    assert all(keys <= row.keys() for row in found.table)
    assert any("says nothing of limits, bias, provenance, energy" in text for text in found.says)
    assert found.figure.width >= 900


def test_the_models_inside_are_compared_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def noted(session: Session, name: str, each: int) -> Any:
        asked.append(name)
        return basic(session, 4)

    monkeypatch.setattr(lesson, "drawn", noted)
    last(compare(Session()))
    assert asked == ["digits", "emoji"]
