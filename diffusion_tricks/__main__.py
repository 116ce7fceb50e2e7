"""`python -m diffusion_tricks` is the command `diffusion-tricks`."""

from __future__ import annotations

import importlib

PROGRAM = "diffusion_tricks_cli.entry"

if __name__ == "__main__":
    importlib.import_module(PROGRAM).main()
