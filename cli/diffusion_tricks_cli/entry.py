"""The way in: Ctrl-C is listened to before anything slow is imported."""

from __future__ import annotations

from typing import NoReturn

from diffusion_tricks_cli.interrupts import listen


def main() -> NoReturn:
    """Runs the command line, see `main.main`."""
    listen()
    from diffusion_tricks_cli.main import main  # here, as it takes a while

    main()
