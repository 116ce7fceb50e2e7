"""Makes the pictures and films of the table in docs/illusions.md again, each by the command in its row, and views.png.

python docs/pictures/illusions/make.py [ROW...]

A row's NAME.png shows the picture as it is and through its views, small and in 128 colours; NAME.webp is its film, with
loss. Each row's page is made and thrown away, as pages are too large to keep.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageSequence

from diffusion_tricks.plugin import fit, flatten, labelled_grid, read_picture, seen_through, view_named
from diffusion_tricks_cli.main import main as command_line
from diffusion_tricks_show.subject import subject_of

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ROW = re.compile(r"^\| .* \| `diffusion-tricks ([^`]+)` \| (.*) \| (.*) \|$", re.MULTILINE)
FILM = ("--size", "96", "--fps", "8", "--hold", "0.75", "--no-captions")
VIEWS = (
    "identity", "flip", "mirror", "rotate_cw", "rotate_ccw", "rotate_180", "rotate:30", "negate", "skew", "patches:4",
    "inner_circle:90", "mirror_half", "jigsaw:4,seed=3", "hinge", "permute:order.txt", "orthogonal:3", "scale:0.5",
    "lens:2", "cylinder:150", "cone:270", "polar",
)  # fmt: skip


def rows() -> dict[str, tuple[list[str], bool]]:
    """By the picture's name, a row's command, and whether it has a film."""
    page = (ROOT / "docs" / "illusions.md").read_text(encoding="utf-8")
    found = [(shlex.split(command.replace("\\|", "|")), film.startswith("!")) for command, _, film in ROW.findall(page)]
    return {words[words.index("-o") + 1].removesuffix(".png"): (words, film) for words, film in found}


def ask(*words: str) -> None:
    """Runs a command. Raises SystemExit where it fails."""
    try:
        command_line(list(words))
    except SystemExit as ended:
        if ended.code:
            raise


def make(name: str, words: Sequence[str], film: bool, folder: Path) -> None:
    """One row: the picture into `folder`, then what is kept of it, its film and its page."""
    picture = folder / f"{name}.png"
    ask(*(str(picture) if word == picture.name else word for word in words), "--quiet", "--force")
    readings(picture).quantize(128).save(HERE / "table" / picture.name, optimize=True)
    ask("page", str(picture), "-o", str(folder / f"{name}.html"))
    if film:
        whole = folder / f"{name}.webp"
        ask("film", str(picture), "-o", str(whole), *FILM)
        lighten(whole, HERE / "table" / whole.name)


def readings(picture: Path, gap: int = 4) -> Image.Image:
    """The picture as it is, and to its right each view that shows it otherwise."""
    subject = subject_of(picture)
    seen = [subject.image, *(view.picture for view in subject.views if not subject.is_home(view))]
    height = 64 if subject.image.width > 2 * subject.image.height else 128
    tiles = [tile.resize((round(tile.width * height / tile.height), height), Image.Resampling.LANCZOS) for tile in seen]
    sheet = Image.new("RGB", (sum(tile.width + gap for tile in tiles) - gap, height), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (sum(before.width + gap for before in tiles[:i]), 0))
    return sheet


def lighten(film: Path, out: Path) -> None:
    """Writes a film again, with loss."""
    with Image.open(film) as whole:
        frames, times = [], []
        for frame in ImageSequence.Iterator(whole):
            frames.append(frame.convert("RGB"))
            times.append(frame.info["duration"])
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=45, method=6)


def make_views(out: Path = HERE / "views.png") -> None:
    """A photo through every view, with its name and what a person does; writes order.txt where it is run."""
    photo = flatten(read_picture(ROOT / "examples" / "photos" / "cat.png").image)
    Path("order.txt").write_text("3 0 5 8\n4 2 1 6\n11 7 10 9\n")
    tiles = [seen_through(name, fit(photo, (128, 128))) for name in VIEWS]
    captions = [f"{name}: {view_named(name).instruction()}" for name in VIEWS]
    labelled_grid(tiles, captions=captions, across=7, tile=128).quantize(128).save(out, optimize=True)


def main(wanted: Sequence[str]) -> None:
    """The rows that are named, or all of them and the views."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        for name, (words, film) in rows().items():
            if not wanted or name in wanted:
                make(name, words, film, Path(folder))
        if not wanted or "views" in wanted:
            os.chdir(folder)
            make_views()
            os.chdir(ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
