"""What is made of a batch's pictures once they are there: their scores as a table, contact sheets, a gallery."""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffusion_tricks.plugin import DiffusionTricksError, Journal, OutputError
from diffusion_tricks_batch.records import GALLERY, RUN, SCORES
from diffusion_tricks_batch.results.made import Made, pictures
from diffusion_tricks_batch.results.ours import Ours
from diffusion_tricks_batch.results.scores import table
from diffusion_tricks_batch.results.sheets import sheets
from diffusion_tricks_batch.telling.standing import Standing

INDEX, PAGES = "index.html", "index-pages"
MOST_PIXELS = 2**26  # of all pictures together, of which a gallery is made by itself: 1,000 of 256 x 256
Gallery = Callable[[Path, Path, bool], None]  # of the pictures in a folder, written to a page; of those below as well


@dataclass
class After:
    """paths: of the files. notes: what there is to say of those that were not made."""

    paths: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def after(standing: Standing, gallery: Gallery | None = None, *, others: bool = True) -> After:
    """Writes `scores.csv`, the sheets and the gallery of what was made, unless they are there, and of the same.

    Files of others are never replaced. gallery: makes one. others: may still be at work; while any is, nothing is made,
    nor while another process makes the same.
    """
    made = list(pictures(standing))
    if not made or (others and standing.at_work(time.time())):
        return After()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(Journal(standing.records.folder / RUN).alone())
        except OutputError:
            return After()
        ours, of = Ours(standing.records), f"{digest(made)} {bool(gallery)}"
        if ours.stand(of):
            return After([ours.home / name for name in ours.digests if is_shown(name)])
        return Making(made, ours, gallery).done(of)


def digest(made: Sequence[Made]) -> str:
    """SHA-256 of all that the files are made of."""
    data = [[one.path, one.digest, one.seed, one.job.id, dict(one.job.fields), one.score] for one in made]
    return hashlib.sha256(json.dumps(data, default=str).encode()).hexdigest()


def is_shown(name: str) -> bool:
    """Whether a file is one to begin with, no page of a gallery."""
    return not name.startswith(f"{PAGES}/")


class Making:
    """Makes the files of pictures."""

    def __init__(self, made: Sequence[Made], ours: Ours, gallery: Gallery | None):
        self.made, self.ours, self.gallery = made, ours, gallery
        self.after, self.names, self.missing = After(), set[str](), False

    def done(self, of: str) -> After:
        """All of them. of: see `Ours.note`."""
        self._put(SCORES, table(self.made))
        for name, data in sheets(self.ours.home, self.made):
            self._put(name, data)
        self._put_gallery()
        self.ours.remove_others(self.names)
        self.ours.note("" if self.missing else of)
        return self.after

    def _put(self, name: str, data: bytes) -> None:
        written = self.ours.write(name, data)
        self._tell([name], [] if written else [name])

    def _tell(self, names: Sequence[str], left: Sequence[str]) -> None:
        """Takes note of files, and of those in whose place there are others."""
        self.names |= set(names)
        self.after.paths += [self.ours.home / name for name in names if name not in left and is_shown(name)]
        if left:
            self._leave(left[0])

    def _leave(self, name: str) -> None:
        """Says that a file of another's stands in the way."""
        self.missing = True
        self.after.notes.append(f"{self.ours.home / name} is not of this batch, and was left as it is; move it away,"
                                " and the command `report` makes what belongs there")  # fmt: skip

    def _put_gallery(self) -> None:
        if self.gallery is None or (why := self._no_gallery()):
            self.after.notes.append(f"no gallery was made: {why if self.gallery else 'there is no command `gallery`'}")
        elif not self.ours.may_write(INDEX):
            self._leave(INDEX)
        else:
            self._put_pages(self.gallery)

    def _put_pages(self, gallery: Gallery) -> None:
        made = self.ours.path.parent / GALLERY
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        try:
            gallery(self.folder, made / INDEX, len(self.folders) > 1)
            pages = sorted(path for path in (made / PAGES).rglob("*") if path.is_file())
            files = {path.relative_to(made).as_posix(): path for path in pages}
            files |= {INDEX: made / INDEX}
            self._tell(list(files), self.ours.move(files))
        except DiffusionTricksError as error:
            self.after.notes.append(f"no gallery was made: {error}")
        finally:
            shutil.rmtree(made, ignore_errors=True)

    @property
    def folders(self) -> set[str]:
        """Those that hold pictures, as from the folder of the batch."""
        return {posixpath.dirname(one.path) for one in self.made}

    @property
    def folder(self) -> Path:
        """The one that holds all pictures, if in folders of its own."""
        return self.ours.home / (posixpath.commonpath(self.folders) if all(self.folders) else "")

    def _no_gallery(self) -> str:
        """Why there is none; empty where there is to be one."""
        if sum(one.size[0] * one.size[1] for one in self.made) > MOST_PIXELS:
            how = ", if it is to be `recursive`," if len(self.folders) > 1 else ""
            return f"it would take long; the command `gallery`{how} makes it of {self.folder}"
        return ""
