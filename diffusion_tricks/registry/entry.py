"""One trick as data: its name, and its options beside it. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from diffusion_tricks.errors import RecipeError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.checked import Checked

if TYPE_CHECKING:
    from diffusion_tricks.registry.trick import Trick


class TrickEntry(Checked):
    """One trick of a recipe: its name, and its options beside it. Raises RecipeError for one without a name."""

    _refusal: ClassVar[type[UsageError]] = RecipeError
    _called: ClassVar[str] = "trick entry"
    model_config = ConfigDict(extra="allow", frozen=True)

    trick: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, not yet checked."""
        return dict(self.model_extra or {})

    def build(self) -> Trick[Any]:
        """The trick itself.

        Raises UnknownName for an unknown trick, UsageError for options it does not take, PluginError where it fails.
        """
        return guarded(self.trick, "being made", host().trick(self.trick), **self.options)
