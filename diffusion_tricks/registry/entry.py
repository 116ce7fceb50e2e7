"""One trick as data: its name, and its options beside it. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, PrivateAttr

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
    _held: Any = PrivateAttr(None)

    def holding(self, trick: Trick[Any]) -> TrickEntry:
        """The same entry with the trick itself, for one that no name or no data stands for."""
        entry = self.model_copy()
        entry._held = trick
        return entry

    def but(self, options: dict[str, Any]) -> TrickEntry:
        """The same entry with other options."""
        changed = TrickEntry(trick=self.trick, **options)
        changed._held = self._held
        return changed

    @property
    def held(self) -> bool:
        """Whether it stands for an object that its name and its data do not make again."""
        return self._held is not None

    @property
    def kind(self) -> type[Trick[Any]]:
        """The class of the trick. Raises UnknownName for an unknown trick, PluginError for one that is none."""
        found: type[Trick[Any]] = type(self._held) if self.held else host().trick(self.trick)
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, not yet checked."""
        return dict(self.model_extra or {})

    def build(self) -> Trick[Any]:
        """The trick itself.

        Raises UnknownName for an unknown trick, UsageError for options it does not take, PluginError where it fails.
        """
        if self._held is not None:
            held: Trick[Any] = self._held
            return held
        return guarded(self.trick, "being made", self.kind, **self.options)
