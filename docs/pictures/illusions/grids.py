"""Makes the pictures of docs/illusions.md that show several commands in one, each by the commands of its section.

python docs/pictures/illusions/grids.py [NAME...]

Of components, given, balance, time-travel, search, print-anagram, print-hybrid and page, those that are named, or all.
The last needs Chromium, those before it `diffusion-tricks[print]` and pypdfium2.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from make import HERE, ROOT, ask
from PIL import Image

from diffusion_tricks.plugin import fit, flatten, labelled_grid, read_picture
from diffusion_tricks_show.subject import subject_of

CAT = f"picture:{ROOT / 'examples' / 'photos' / 'cat.png'}"
PHOTO = ROOT / "examples" / "photos" / "cat.png"
SPLITS = ("wavelet:haar", "gaussian:4,across=0.7,angle=45", "line:9,angle=0", "lab", "scale:1/1")
INSIDE = ("mask", "--mask", "ellipse:25%,25%,75%,75%")
BOTH = ("--part", "a strawberry", "--part", "a castle")
CROWN = ("--view", "identity", "a castle", "--view", "flip", "a crown")
PAIRS = (
    ("a fox", "a fire"), ("a carrot", "a pencil"), ("a strawberry", "a red heart"), ("a turtle", "a pear"),
    ("a pineapple", "a light bulb"), ("a pear", "a light bulb"), ("a dolphin", "a bird"), ("a bird", "a fish"),
)  # fmt: skip
PHONE = {"width": 390, "height": 844}
GAP = 20


def made(folder: Path, name: str, *words: str) -> Path:
    """A picture in the folder, by a command without its `-o`, behind whose first word it is named."""
    out = folder / f"{name}.png"
    ask(words[0], "-o", str(out), "--quiet", *words[1:])
    return out


def first_seen(picture: Path) -> Image.Image:
    """A picture as its first part is looked for."""
    return next(view.picture for view in subject_of(picture).views if view.prompt == "a strawberry")


def components(folder: Path) -> Image.Image:
    """A thing and another by six splits, as they are and where the first is looked for."""
    splits = [*((split,) for split in SPLITS), INSIDE]
    pictures = [made(folder, f"c{i}", "make", "--seed", "1", "components", "--split", *split, *BOTH)
                for i, split in enumerate(splits)]  # fmt: skip
    tiles = [Image.open(one) for one in pictures] + [first_seen(one) for one in pictures]
    names = [" ".join(split[0].split(",")) for split in splits]
    rows = ["as it is", "where the first part is looked for"]
    return labelled_grid(tiles, columns=names, rows=rows, title="a strawberry, then a castle", tile=128)


def given(folder: Path) -> Image.Image:
    """A photo, and what was made of parts of it."""
    asked = {
        "its lightness, in the colours of a rainbow": (
            "make", "--seed", "1", "components", "--split", "lab", "--part", CAT, "--part", "a rainbow",
        ),
        "its details, from afar a sunflower": ("hybrid", "--near", CAT, "--far", "a sunflower", "--seed", "2"),
        "its blur, from near a mushroom": ("hybrid", "--far", CAT, "--near", "a mushroom", "--seed", "1"),
        "its phases in a castle": ("make", "-p", "a castle", "--seed", "1", "phase", str(PHOTO)),
        "its phases in a strawberry": (
            "make", "-p", "a strawberry", "--seed", "2", "phase", str(PHOTO), "--strength", "0.7",
        ),
    }  # fmt: skip
    photo = fit(flatten(read_picture(PHOTO).image), (64, 64))
    tiles = [photo, *(Image.open(made(folder, f"g{i}", *words)) for i, words in enumerate(asked.values()))]
    return labelled_grid(
        tiles, captions=["the photo", *asked], across=3, tile=128, title="A given picture, kept in part"
    )


def readings(picture: Path) -> list[Image.Image]:
    """A picture through each of its views."""
    return [view.picture for view in subject_of(picture).views]


def balance(folder: Path, seed: str = "1") -> Image.Image:
    """An anagram with each balance, as it is and upside down."""
    ways = ("off", "score", "variance")
    pictures = [made(folder, f"b{way}", "anagram", *CROWN, "--balance", way, "--seed", seed) for way in ways]
    tiles = [tile for one in pictures for tile in readings(one)]
    columns, rows = ["as it is: a castle", "upside down: a crown"], [f"balance {way}" for way in ways]
    return labelled_grid(tiles, columns=columns, rows=rows, tile=128, title=f"an anagram, seed {seed}")


def time_travel(folder: Path) -> Image.Image:
    """An anagram with every step made once and three times."""
    asked = ("make", "--seed", "1", "--steps", "20", "anagram", "a castle", "a crown")
    pictures = [made(folder, "once", *asked), made(folder, "thrice", *asked, "time-travel", "--repeat", "3")]
    tiles = [tile for pair in zip(*map(readings, pictures), strict=True) for tile in pair]
    title = "anagram, seed 1, 20 steps, with time-travel"
    columns, rows = ["each step once", "--repeat 3"], ["a castle", "flip: a crown"]
    return labelled_grid(tiles, columns=columns, rows=rows, tile=192, title=title)


def search(folder: Path) -> Image.Image:
    """The sheet of a search."""
    views = [word for view in ("rotate_cw", "rotate_180", "rotate_ccw") for word in ("--view", view)]
    pairs = [word for pair in PAIRS for word in ("--pair", *pair)]
    budget = ("--budget", "100", "--seeds", "0-15", "--keep", "6")
    ask("search", *pairs, *views, *budget, "-o", str(folder / "found"), "--quiet")
    return Image.open(folder / "found" / "sheet.png").convert("RGB")


def pages(pdf: Path, height: int = 640) -> Image.Image:
    """The pages of a PDF beside each other."""
    import pypdfium2

    with pypdfium2.PdfDocument(pdf) as document:
        shown = [page.render(scale=height / page.get_height()).to_pil() for page in document]
    return beside([page.convert("RGB") for page in shown], 8)


def beside(tiles: Sequence[Image.Image], gap: int) -> Image.Image:
    """Pictures in a row on gray."""
    width = sum(tile.width + gap for tile in tiles) - gap
    sheet = Image.new("RGB", (width, max(tile.height for tile in tiles)), (200, 200, 200))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (sum(before.width + gap for before in tiles[:i]), 0))
    return sheet


def print_anagram(folder: Path) -> Image.Image:
    """The pages of an anagram on paper."""
    shutil.copy(ROOT / "examples" / "pictures" / "illusion.png", folder)
    views = ("--view", "identity", "a pear", "--view", "rotate_180", "a light bulb", "--view", "patches:4", "a puzzle")
    ask("print", str(folder / "illusion.png"), *views, "-o", str(folder / "puzzle.pdf"))
    return pages(folder / "puzzle.pdf")


def print_hybrid(folder: Path) -> Image.Image:
    """The pages of a hybrid on paper."""
    picture = made(folder, "paper", "hybrid", "--far", "a skull", "--near", "a mushroom", "--seed", "1")
    ask("print", str(picture), "-o", str(folder / "hybrid.pdf"))
    return pages(folder / "hybrid.pdf")


def page(folder: Path) -> Image.Image:
    """Two pages on a phone: a turned fox, and the pieces of a cactus."""
    from playwright.sync_api import sync_playwright

    turned = made(folder, "turned", "anagram", "--view", "identity", "a fox", "--view", "rotate_180", "a fire",
                  "--seed", "1", "--size", "256")  # fmt: skip
    pieces = made(folder, "pieces", "anagram", "--view", "identity", "a strawberry", "--view", "patches:4", "a cactus",
                  "--seed", "1")  # fmt: skip
    shots = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        phone = browser.new_page(viewport=PHONE)
        for picture in (turned, pieces):
            ask("page", str(picture), "-o", str(picture.with_suffix(".html")))
            phone.goto(picture.with_suffix(".html").as_uri())
            phone.keyboard.press("r")
            phone.locator("#views button").nth(1).click()
            if (shuffle := phone.locator("[data-do=shuffle]")).is_visible():
                shuffle.click()
            phone.wait_for_timeout(1000)
            phone.screenshot(path=str(picture.with_suffix(".shot.png")), full_page=True)
            shots.append(Image.open(picture.with_suffix(".shot.png")).convert("RGB"))
        browser.close()
    return beside(shots, GAP)


GRIDS: dict[str, Callable[[Path], Image.Image]] = {
    "components": components, "given": given, "balance": balance, "time-travel": time_travel, "search": search,
    "print-anagram": print_anagram, "print-hybrid": print_hybrid, "page": page,
}  # fmt: skip


def main(wanted: Sequence[str]) -> None:
    """The grids that are named, or all of them."""
    for name, grid in GRIDS.items():
        if not wanted or name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                grid(Path(folder)).quantize(256).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
