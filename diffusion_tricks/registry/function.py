"""What may stand for a trick in a script: its object, its name, or a function of a question and a step. No torch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import hookimpl
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.trick import Trick

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.ask import Ask, Asking
    from diffusion_tricks.diffusion.estimate import Estimate

    TrickLike = Trick[Any] | TrickEntry | str | Callable[[Any, Any], Any]


class FunctionTrick(Trick[Any]):
    """A trick without options whose `estimate_noise` is a function `function(ask, step)`.

        lambda ask, step: ask.but(prompt="a rose" if step.fraction < 0.5 else "a skull")

    It gives another question, whose answer then stands; or None, for the question as it is; or it is a generator, as
    the hook itself. Raises PluginError for what else it gives.
    """

    name = "function"

    def __init__(self, function: Callable[[Any, Any], Any]):
        super().__init__()
        self.function = function

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Any) -> Asking:
        """What the function asks, or its own generator."""
        said = self.function(ask, step)
        if isinstance(said, Generator):
            estimate: Estimate = yield from said
            return estimate
        asked = ask if said is None else said
        if not isinstance(asked, type(ask)):
            raise PluginError(
                f"the function {_name(self.function)!r} gave a {type(said).__name__}; expected a question, as "
                "ask.but(prompt=...), or None, or a generator that yields lists of them"
            )
        answers = yield [asked]
        return answers[0]


def trick_from(said: Any) -> Trick[Any] | None:
    """The trick that an object, an entry, a name or a function stands for; None for what stands for none.

    Raises UnknownName for a name that there is not, and what making the trick raises.
    """
    if isinstance(said, Trick):
        return said
    if isinstance(said, TrickEntry):
        return said.build()
    if isinstance(said, str):
        return TrickEntry(trick=said).build()
    return FunctionTrick(said) if callable(said) and not isinstance(said, type) else None


def entry_from(said: Any) -> Any:
    """What stands for a trick in a script as an entry of a recipe; anything else as it is, for the recipe to refuse.

    The entry holds the object itself where no plugin has registered its class, or data would lose an option.
    """
    if isinstance(said, str):
        return TrickEntry(trick=said)
    if isinstance(said, TrickEntry | dict):
        return said
    trick = trick_from(said)
    if trick is None:
        return said
    name = registered_name(trick)
    options = trick.options.model_dump(mode="json", exclude_unset=True, fallback=repr)
    entry = TrickEntry(trick=name or trick.label(), **options)
    return entry if name and _same(entry, trick) else entry.holding(trick)


def registered_name(trick: Trick[Any]) -> str | None:
    """The name that the class of a trick is registered under; None where no plugin has registered it."""
    kind = type(trick)
    entries = host().entries("trick")
    near = [trick.label(), *(name for name, entry in entries.items() if entry.target.endswith(f":{kind.__name__}"))]
    return next((name for name in near if name in entries and _loads(entries[name], kind)), None)


def _loads(entry: Any, kind: type) -> bool:
    try:
        return entry.load() is kind
    except PluginError:
        return False


def _same(entry: TrickEntry, trick: Trick[Any]) -> bool:
    return bool(entry.build().options == trick.options)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
