"""The harnesses at the size of CI; at full size by `python -m tests.faults --all`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.harnesses import HARNESSES, Harness


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_the_promise_holds(harness: Harness, tmp_path: Path) -> None:
    tried = list(harness.failures(harness.small, tmp_path))
    assert [f"{name}: {wrong}" for name, wrong in tried if wrong] == []
    assert len(tried) > 1
