"""What a model's authors say of it: the text of its model card, arXiv:1810.03993."""

from __future__ import annotations

from diffusion_tricks.loading.download import folder_here
from diffusion_tricks.loading.known import WEIGHTS
from diffusion_tricks.loading.location import location_of

CARD = "README.md"


def model_card(name: str) -> str | None:
    """The card of the model called `name`, in Markdown; None where it has none on this machine. No hub is asked.

    Models inside that were trained together have one card, above their directories.
    Raises UnknownName and UsageError for what is no model's name, ModelError for one that may not be loaded.
    """
    folder = folder_here(location_of(name))
    if folder is None:
        return None
    places = [folder, *(parent for parent in folder.parents if WEIGHTS in parent.parents)]
    return next((text.read_text("utf-8", "replace") for place in places if (text := place / CARD).is_file()), None)
