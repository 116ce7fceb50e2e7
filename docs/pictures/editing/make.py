"""Makes the gallery of docs/editing.md again: what each of its commands makes, and its mask by `mask`, as JPEGs.

python docs/pictures/editing/make.py [NAME...]
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from diffusion_tricks.plugin import flatten, read_picture
from diffusion_tricks_cli.main import main as command_line

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
GALLERY = re.compile(r"^## Gallery\n(.*?)^## ", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ {4}diffusion-tricks ((?:.*\\\n)*.*)$", re.MULTILINE)
QUALITY = 85


def commands() -> dict[str, list[str]]:
    """By the name of its picture, each command of the gallery as its words."""
    page = (ROOT / "docs" / "editing.md").read_text(encoding="utf-8")
    found = GALLERY.search(page)
    assert found is not None
    lines = [shlex.split(line.replace("\\\n", " ")) for line in COMMAND.findall(found[1])]
    return {Path(words[words.index("-o") + 1]).stem: words for words in lines}


def ask(*words: str) -> None:
    """Runs a command. Raises SystemExit where it fails."""
    try:
        command_line(list(words))
    except SystemExit as ended:
        if ended.code:
            raise


def made(words: Sequence[str], output: Path) -> Image.Image:
    """What a command writes."""
    place = list(words).index("-o") + 1
    ask(*words[:place], str(output), *words[place + 1 :])
    return flatten(read_picture(output).image)


def make(name: str, words: list[str], folder: Path) -> None:
    """The picture of a command, and that of its mask, if it has one."""
    made([*words, "--quiet"], folder / f"{name}.png").save(HERE / f"{name}.jpg", quality=QUALITY)
    if "--mask" in words:
        mask = ["mask", words[1], "--mask", words[words.index("--mask") + 1], "-o", "mask.png"]
        made(mask, folder / f"mask-{name}.png").save(HERE / f"mask-{name}.jpg", quality=QUALITY)


def main(wanted: Sequence[str]) -> None:
    """The commands whose pictures are named, or all of them."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        for name, words in commands().items():
            if not wanted or name in wanted:
                make(name, words, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
