"""What a model says of itself in a file beside its weights: how it is run, and what it was taught. No torch here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.model.vocabulary import Vocabulary

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults

NOT_DEFAULTS = {"classes", *Vocabulary.KEYS}  # read by the family, and by `vocabulary_of`


def defaults_of(location: Path, general: Defaults | None = None) -> Defaults:
    """What the model's own file of defaults says, or the general ones. Raises ModelError for a file that is wrong."""
    from diffusion_tricks.families.defaults import Defaults

    file, general = location / DEFAULTS_FILE, general or Defaults()
    if not file.is_file():
        return general
    said = read_object(file, ModelError)
    try:
        return replace(general, **{key: value for key, value in said.items() if key not in NOT_DEFAULTS})
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file}: expected steps, guidance and scheduler: {error}") from None


def vocabulary_of(location: Path) -> Vocabulary | None:
    """What the model's own file of defaults says it was taught. Raises ModelError for a file that is wrong."""
    file = location / DEFAULTS_FILE
    said = read_object(file, ModelError) if file.is_file() else {}
    try:
        return Vocabulary.said(said)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file}: expected what the model was taught: {error}") from None
