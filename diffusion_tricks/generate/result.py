"""One picture made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.hosting.host import plugin_versions
from diffusion_tricks.io.metadata import Metadata
from diffusion_tricks.io.pixels import png_of
from diffusion_tricks.recipes.needs import needs_of
from diffusion_tricks.recipes.parameters import parameters_text
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import build_record, encoded_with_record, of_file, save

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from diffusion_tricks.generate.score import Score
    from diffusion_tricks.io.atomic import Before
    from diffusion_tricks.io.encode import Encoded
    from diffusion_tricks.io.pictures import Picture
    from diffusion_tricks.io.raster import Raster


@dataclass(repr=False)
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run.

    seed: None for a picture that was only finished, where none was given.
    image is 8 bit, in the space that `icc` describes.  raster: the picture in the mode and at the depth of the one that
    it was made from, `source`, whose metadata it takes over; None where it was made from none.  kept: where (h w) the
    source was to stay as it was, None where nothing was promised.
    score: where scores were asked for.  unfinished: the picture in sRGB before tricks wrote on it, None where it is
    unknown.
    """

    image: Image
    seed: int | None
    index: int
    recipe: Recipe
    provenance: Literal["generated", "edited"] | None
    facts: dict[str, Any] = field(default_factory=dict)
    icc: bytes | None = None
    score: Score | None = None
    unfinished: Image | None = None
    raster: Raster | None = None
    source: Picture | None = None
    kept: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        width, height = self.image.size
        tricks = "".join(f", {entry.trick}" for entry in self.recipe.tricks)
        return f"<Result {self.recipe.prompt!r}{tricks}: {width}x{height}{seed}, {self.facts.get('model')}>"

    def _repr_png_(self) -> bytes:
        """The picture, for a notebook."""
        return png_of([self.image])

    def save(
        self, path: str | Path, *, force: bool = False, inputs: Iterable[str | Path] = (), metadata: bool = True,
        provenance: bool = True, hashes: Mapping[str, str] | None = None, keep_gps: bool = False,
        quality: int | None = None, before: Before | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Writes the picture with its record, whole or not at all, and gives its facts with `path` and `index`.

        force: replace a file that is there, but none of the inputs. metadata: the record, and the settings as text.
        provenance: the mark that a model made it. hashes: SHA-256 of the files it was made from, for the record.
        keep_gps: the position that its source names. quality: 1..100, of lossy formats. before: is given all files, the
        record's as well, before they take their places. What of the source could not be kept is in the notes.
        Raises OutputError and OutputFailed where it cannot be written.
        """
        facts, told = self._told(path, metadata, provenance, hashes, keep_gps, quality)
        return facts | self.lost_in(save(self.whole, path, force=force, inputs=inputs, before=before, **told), facts)

    def encoded(
        self, path: str | Path, *, metadata: bool = True, provenance: bool = True,
        hashes: Mapping[str, str] | None = None, keep_gps: bool = False, quality: int | None = None,
    ) -> tuple[Encoded, dict[str, Any]]:  # fmt: skip
        """The file that `save` writes in the format that `path` ends in, and the facts."""
        facts, told = self._told(path, metadata, provenance, hashes, keep_gps, quality)
        encoded = encoded_with_record(self.whole, path, **told)
        return encoded, facts | self.lost_in(encoded, facts)

    @property
    def whole(self) -> Image | Raster:
        """The picture at the depth that it has."""
        return self.image if self.raster is None else self.raster

    def lost_in(self, encoded: Encoded, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The notes, with what a file could not keep of the source."""
        if not encoded.lost or self.source is None:
            return {}
        return {"notes": [*facts.get("notes", ()), f"not kept of {self.source.path}: {'; '.join(encoded.lost)}"]}

    def _told(
        self, path: str | Path, metadata: bool, provenance: bool, hashes: Mapping[str, str] | None, keep_gps: bool,
        quality: int | None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
        """The facts, and what `save` is told."""
        recipe = self.recipe.data()
        seed = {} if self.seed is None else {"seed": self.seed}
        facts = {"path": str(path), **seed, "index": self.index, **self.facts}
        beside: dict[str, Any] = {"plugins": plugin_versions(), "needs": needs_of(self.recipe)}
        beside |= {"inputs": dict(hashes)} if hashes else {}
        record = build_record(self.recipe, of_file(path, facts, quality) | beside)
        return facts, {
            "record": record if metadata else None, "parameters": parameters_text(recipe, facts),
            "provenance": self.provenance if provenance else None, "icc": self.icc, "keep_gps": keep_gps,
            "quality": quality, "metadata": self._metadata(),
        }  # fmt: skip

    def _metadata(self) -> Metadata:
        """What the source's file says, at the resolution that a trick made it for, if one did."""
        metadata = self.source.metadata if self.source else Metadata()
        return replace(metadata, dpi=self.image.info.get("dpi") or metadata.dpi)
