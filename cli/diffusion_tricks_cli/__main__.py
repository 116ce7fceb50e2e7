"""`python -m diffusion_tricks_cli` is the command `diffusion-tricks`."""

from __future__ import annotations

from diffusion_tricks_cli.entry import main

if __name__ == "__main__":
    main()
