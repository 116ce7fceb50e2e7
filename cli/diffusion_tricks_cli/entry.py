"""The way in: what has to be settled before anything slow is imported, Ctrl-C and the collector of garbage."""

from __future__ import annotations

import gc
from typing import NoReturn

from diffusion_tricks.lazy import importing
from diffusion_tricks_cli.interrupts import listen


def main() -> NoReturn:
    """Runs the command line, see `main.main`."""
    listen()
    gc.freeze()  # this process is ours: what is imported need never be looked through, see `importing`
    with importing():
        from diffusion_tricks_cli.main import main  # here, as it takes a while

    main()
