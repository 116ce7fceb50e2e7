"""The command line, called in this process, for the tests."""

from __future__ import annotations

from diffusion_tricks.testing.command import Outcome as Outcome
from diffusion_tricks.testing.command import run_command as run

__all__ = ["Outcome", "run"]
