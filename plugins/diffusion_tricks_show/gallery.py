"""The gallery of a folder, or of all below it: pictures that have a record, to be filtered, and the page of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from diffusion_tricks import Scorer
from diffusion_tricks.plugin import (
    DiffusionTricksError,
    OutputError,
    PictureError,
    UsageError,
    atomic_write_all,
    check_place,
    read_record,
)
from diffusion_tricks_show.address import png_url
from diffusion_tricks_show.page import page_of, rendered
from diffusion_tricks_show.subject import Subject, subject_of

KINDS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
THUMB = 320  # pixels: of the longer side of a picture in the index
NAMED = 3  # of the pictures that are left out, so many are named


@dataclass(frozen=True)
class Card:
    """What the index says of one picture."""

    name: str
    page: str
    thumb: str
    says: list[tuple[str, str]]
    tricks: list[str]
    made: dict[str, Any]
    score: dict[str, float]
    recipe: str

    @property
    def words(self) -> str:
        """All that a search finds it by."""
        parts = [self.name, *(part for view in self.says for part in view), *self.tricks, *map(str, self.made.values())]
        return " ".join(parts).lower()


def make_gallery(
    folder: Path, output: Path, *, recursive: bool = False, scores: bool = True, force: bool = False
) -> list[str]:  # fmt: skip
    """Writes the index and a page for each picture, in a folder beside it; gives what is to be said of the others.

    recursive: of the folders below as well. scores: of pictures whose record has none, by the CLIP inside.
    Raises UsageError for a folder that is none or has no such picture, and as `check_place` and `atomic_write_all`.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; expected one with pictures that diffusion-tricks made")
    check_place(output, force=force)
    home = output.with_name(f"{output.stem}-pages")
    cards, pages, read, notes = list[Card](), dict[Path, bytes](), list[Path](), list[str]()
    judge: Scorer | None = None
    for one in _subjects(folder, _pictures(folder, recursive), notes):
        if scores and judge is None and (one.record or {}).get("score") is None:
            judge = Scorer()
        name = one.path.relative_to(folder).as_posix()
        cards.append(card_of(one, name, f"{quote(home.name)}/{quote(name)}.html", judge))
        pages[home / f"{name}.html"] = page_of(one).encode()
        read.append(one.path)
    if not cards:
        raise UsageError(f"{folder} holds no picture with a record; expected pictures that diffusion-tricks saved"
                         + (f" ({notes[0]})" if notes else ""))  # fmt: skip
    tricks = sorted({trick for card in cards for trick in card.tricks})
    index = rendered("gallery.html.jinja", cards=cards, folder=folder.resolve().name, tricks=tricks)
    for place in dict.fromkeys(page.parent for page in pages):
        _make(place)
    atomic_write_all(pages | {output: index.encode()}, force=force, inputs=read)
    return notes


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    """Files that may be pictures, in the order of their names."""
    every = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in every if path.suffix.lower() in KINDS and path.is_file())


def _subjects(folder: Path, paths: Iterable[Path], notes: list[str]) -> Iterator[Subject]:
    """The pictures that have a record, one at a time, in their order.

    notes: are told what there is to say of the rest.
    """
    bare = list[str]()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            record = read_record(path)
        except PictureError:
            bare.append(name)
            continue
        except DiffusionTricksError as error:
            notes.append(str(error))
            continue
        try:
            subject = subject_of(path, record=record)
        except DiffusionTricksError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        yield subject
    if bare:
        named = ", ".join(bare[:NAMED]) + (", ..." if len(bare) > NAMED else "")
        notes.append(f"{len(bare)} without a record are left out: {named}")


def card_of(subject: Subject, name: str, page: str, scorer: Scorer | None = None) -> Card:
    """The card of a picture, by the name that it has in the folder; scorer: judges one whose record has no score."""
    record, recipe = subject.record or {}, subject.recipe
    return Card(
        name, page, _thumb(subject), [(view.name, view.prompt) for view in subject.views],
        list(dict.fromkeys(entry.trick for entry in recipe.tricks)) if recipe else [],
        {key: record[key] for key in ("model", "seed") if record.get(key) is not None},
        dict(_scores(subject, scorer)), recipe.to_toml() if recipe else "",
    )  # fmt: skip


def _scores(subject: Subject, scorer: Scorer | None) -> Iterator[tuple[str, float]]:
    said = (subject.record or {}).get("score")
    if said is None and scorer is not None and any(view.said for view in subject.views):
        said = scorer.score(subject.views).data()
    for name in ("alignment", "concealment"):
        if isinstance(said, dict) and isinstance(said.get(name), int | float):
            yield name, float(said[name])


def _thumb(subject: Subject) -> str:
    """The address of the picture made small; its own, where it is."""
    if max(subject.image.size) <= THUMB:
        return subject.address
    small = subject.image.copy()
    small.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    return png_url(small)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}; choose another") from None
