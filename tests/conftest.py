"""One thread for the tests' tiny models: more threads only wait for each other, badly so on a busy machine."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the commands the tests start
