"""Makes the pictures of the README's table again, each by the command that stands beside it.

python examples/pictures/make.py
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main(out: Path = Path(__file__).parent) -> list[Path]:
    """Runs every command of the table with its picture going to `out`."""
    made = []
    for command in re.findall(r"`diffusion-tricks ([^`]* -o [^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8")):
        words = shlex.split(command)
        place = words.index("-o") + 1
        made.append(out / words[place])
        words[place] = str(made[-1])
        subprocess.run([sys.executable, "-m", "diffusion_tricks_cli", *words, "--force"], cwd=ROOT, check=True)
    return made


if __name__ == "__main__":
    print(*main(), sep="\n")
