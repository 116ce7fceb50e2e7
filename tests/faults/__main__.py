"""`python -m tests.faults [--all] [NAME ...]`: a table of promise, cases and failures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.harnesses import HARNESSES, Harness


def main() -> int:
    """Prints the table; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Tries what docs/reliability.md says.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in HARNESSES))
    parser.add_argument("--all", action="store_true", help="at full size; else as in CI")
    asked = parser.parse_args()
    chosen = [each for each in HARNESSES if not asked.names or each.name in asked.names]
    print("| promise | cases | failures | seconds |\n|---|---|---|---|")
    return int(any([row(each, each.full if asked.all else each.small) for each in chosen]))


def row(harness: Harness, count: int) -> int:
    """Prints one row; how many cases failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        tried = list(harness.failures(count, Path(place).resolve()))
    wrong = [(name, why) for name, why in tried if why]
    print(f"| {harness.promise} | {len(tried)} | {len(wrong)} | {time.monotonic() - begun:.0f} |", flush=True)
    for name, why in wrong:
        print(f"    {harness.name}: {name}: {ascii(why)[:400]}", file=sys.stderr, flush=True)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
