"""One picture made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import build_record, of_file, parameters_text, save
from diffusion_tricks.registry.host import plugin_versions

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.generate.score import Score


@dataclass
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run.

    seed: None for a picture that was only finished, where none was given.

    score: where scores were asked for.  unfinished: the picture before tricks wrote on it, None where it is unknown.
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

    def save(
        self, path: str | Path, *, force: bool = False, inputs: Iterable[str | Path] = (), metadata: bool = True,
        provenance: bool = True, hashes: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Writes the picture with its record, whole or not at all, and gives its facts with `path` and `index`.

        force: replace a file that is there, but none of the inputs. metadata: the record, and the settings as text.
        provenance: the mark that a model made it. hashes: SHA-256 of the files it was made from, for the record.
        Raises OutputError and OutputFailed where it cannot be written.
        """
        recipe = self.recipe.data()
        seed = {} if self.seed is None else {"seed": self.seed}
        facts = {"path": str(path), **seed, "index": self.index, **self.facts}
        beside = {"plugins": plugin_versions()} | ({"inputs": dict(hashes)} if hashes else {})
        record = build_record(recipe, of_file(path, facts) | beside)
        save(
            self.image, path, record if metadata else None,
            parameters=parameters_text(recipe, facts), provenance=self.provenance if provenance else None,
            icc=self.icc, force=force, inputs=inputs,
        )  # fmt: skip
        return facts
