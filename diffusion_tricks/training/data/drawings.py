"""Renders emoji drawings from the SVG sprite of the npm package `@svgmoji/noto`, larger than the font's own bitmaps.

    npm pack @svgmoji/noto && tar xzf svgmoji-noto-*.tgz
    python -m diffusion_tricks.training.data.drawings package/sprites/all.svg drawings

Drawings: Noto Emoji (Apache License 2.0).  Needs `rsvg-convert` (Debian: librsvg2-bin).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from diffusion_tricks.training.data.emoji import all_emoji, code_points, concepts

SIDE = 256
NESTED = re.compile(r'<svg [^>]*viewBox="0 0 128 128"[^>]* id="([0-9A-F-]+)"[^>]*(>.*?)</svg>', re.DOTALL)
OPENING = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 128 128"'


def main() -> None:
    """Writes `<code points>.png` for every concept of the embedded model that the sprite has."""
    sprite, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {name.replace("-FE0F", ""): body for name, body in NESTED.findall(sprite.read_text(encoding="utf-8"))}
    wanted = concepts()
    for emoji, _ in all_emoji():
        name = code_points(emoji.characters)
        if emoji.name in wanted and name in drawings:
            svg = f"{OPENING}{drawings[name]}</svg>"
            command = ["rsvg-convert", "-w", str(SIDE), "-h", str(SIDE), "-o", str(folder / f"{name}.png")]
            subprocess.run(command, input=svg.encode(), check=True)


if __name__ == "__main__":
    main()
