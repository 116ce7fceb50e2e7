"""`python -m tests.faithful [--cases N]`: cases by chance, and those that break the promise."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hypothesis import HealthCheck, Phase, given, settings

from faithful.cases import Case, broken, cases


def main() -> int:
    """Prints how many cases were tried; fails with the simplest that breaks the promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faithful", description="Tries what docs/editing.md says.")
    parser.add_argument("--cases", type=int, default=10_000, metavar="N")
    asked, begun, tried = parser.parse_args(), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as place:

        @settings(max_examples=asked.cases, deadline=None, database=None, suppress_health_check=list(HealthCheck),
                  phases=[Phase.generate, Phase.shrink])  # fmt: skip
        @given(cases())
        def faithful(case: Case) -> None:
            nonlocal tried
            tried += 1
            why = broken(case, Path(place))
            assert why is None, why

        faithful()
    print(f"{tried} cases, 0 pixels changed that were to be kept, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
