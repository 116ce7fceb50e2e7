"""What a trick is: options, and the hooks it fills. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    get_args,
    runtime_checkable,
)

from pydantic import ValidationError

from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.checked import explain
from diffusion_tricks.registry.hook_types import HookTypes
from diffusion_tricks.registry.options import TrickOptions
from diffusion_tricks.types import Size, Spans

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.families.shapes import Shape

SPANS: tuple[Spans, ...] = ("all", "longer")
O = TypeVar("O", bound=TrickOptions)  # noqa: E741


class Shown(NamedTuple):
    """One way to look at a finished picture: its name, what is then seen, and what that should show.

    blur: where distance blurs it, the sigma of that Gaussian as a share of the picture's shorter side.
    frame: how a film gets there. It is given the share of the way, 0 to 1, and gives a picture of the same size: at 0
    the finished picture, at 1 exactly `picture`. None leaves it to whoever shows it.
    said: whether `prompt` says what is to be seen; not where a picture was given, of which it is but the name.
    own: whether it says itself what it shows. Where no view does, the recipe's prompt stands for that of all.
    """

    name: str
    picture: Image
    prompt: str
    blur: float | None = None
    frame: Callable[[float], Image] | None = None
    said: bool = True
    own: bool = True


@runtime_checkable
class Nest(Protocol):
    """What options hold where tricks stand in the place of a prompt: a `Branch`."""

    @property
    def prompt(self) -> str | None:
        """What they shape; None where they bring prompts of their own."""

    @property
    def built(self) -> tuple[Trick[Any], ...]:
        """The tricks."""


class Trick(HookTypes, Generic[O]):
    """Base of every trick: `class Hybrid(Trick[HybridOptions])`, which says what its `Options` are.

    A trick fills run hooks (`diffusion_tricks.hookspecs.RunHooks`) with `@hookimpl` methods. It is made from
    keywords named as its options, `Hybrid(far="a skull", near="a mushroom")`, and is registered in one run's
    plugin manager; the same instance may serve many runs, so it keeps no state of a run in itself: that
    belongs in `run.state(self, Notes)`. What an option stood for, such as the commit of a name at the hub, it tells the
    record with `run.settle(self, option=value)`. Raises UsageError for options that do not fit.

    `sums` names the facts that add up where several pictures make one sheet.
    `nested` are the tricks that stand in the place of prompts in its options, see `Branch`, and those in theirs.
    `brings_prompts` says that it asks prompts of its own, so that a run needs none.
    `keeps_size` says that the finished picture has the size of one that it reads, so that a recipe cannot enlarge it.
    `edits` says that its option `image` is the picture that the run changes, and `exact` that pixels which it does not
    make anew stay as they are, so that a file of it is lossless where nothing else is asked.
    `joins` says that several of it in one run are parts of one: they find each other among `run.tricks`, and the first
    acts for all; so more than one may bring prompts.
    `changes_model` says that it changes the model itself while a run goes on, as a cache or other padding does, so that
    no other run may share its calls.
    `place` names an exclusive place in a run ("start", "guidance"): two tricks with the same place are an error.
    """

    Options: ClassVar[type[TrickOptions]] = TrickOptions
    name: ClassVar[str] = ""
    place: ClassVar[str | None] = None
    brings_prompts: ClassVar[bool] = False
    sums: ClassVar[tuple[str, ...]] = ()
    keeps_size: ClassVar[bool] = False
    edits: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    changes_model: ClassVar[bool] = False
    options: O

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "Options" not in vars(cls):
            cls.Options = next(_options_of(cls), cls.Options)

    def __init__(self, **options: Any):
        try:
            self.options = self.Options.model_validate(options)  # type: ignore[assignment]
        except ValidationError as error:
            raise UsageError(f"{self.label()}: {explain(error, self.Options.model_fields)}") from None
        self.nested: tuple[Trick[Any], ...] = tuple(_nested(self.options))

    def variants(self) -> list[dict[str, Any]] | None:
        """Changes of its own options, one dictionary for each picture of a strip, or None for a single picture.

        `make` then makes the run once with each, from the same seed, and lays the pictures side by side, labelled with
        what differs in the changes.
        """
        return None

    def stride(self, longest: int) -> int | None:
        """Every so many of the model's `longest` training steps the trick wants made where nothing else is said.

        None by default: the model's own steps. `make` heeds it where the scheduler can.
        """
        return None

    def spans(self) -> Spans:
        """Which sides of a picture it makes in windows, so that what the model makes by itself does not limit them.

        "none" by default; with "longer" a size is held to that by its shorter side, with "all" by neither.
        """
        return "none"

    def framed(self, shape: Shape) -> tuple[Size, dict[str, Any]] | None:
        """The size that a model of that shape is to make where nothing says one, and what then holds of its options.

        None by default: the model's own size. `make` asks it of recipes without `size` and `enlarge`, where no other
        trick brings prompts of its own or keeps the size of a picture; size and options go into the record.
        """
        return None

    def asks(self) -> Sequence[tuple[str, str | Nest]]:
        """The prompts of its own that it asks, or the tricks in their place, each with what it is called.

        As in ("flip", "a duck"); none by default. Plans draw it.
        """
        return []

    def views_of(self, image: Image) -> list[Shown]:
        """The trick's own ways to look at a finished picture, each with what it should show; none by default.

        `diffusion-tricks score` and `--best-of` judge a picture by them, from the recipe alone: no run, no model.
        """
        return []

    def parameters(self) -> dict[str, Any]:
        """Settings by the names that AUTOMATIC1111's web UI has for them, such as {"CFG scale": 7}; none by default.

        "Prompt" and "Negative prompt" stand for those of the recipe, where it has none; None is left out.
        """
        return {}

    def notes(self) -> list[str]:
        """What it does otherwise than was asked, a sentence each, such as what stands for a font that is not here.

        They go into the facts of every picture, and the command line prints them; none by default.
        """
        return []

    def but(self, **changes: Any) -> Self:
        """The same trick with other options."""
        return type(self)(**{**self.options.model_dump(exclude_unset=True), **changes})

    @classmethod
    def label(cls) -> str:
        """The trick's name for messages."""
        return cls.name or cls.__name__.lower()


def spanned(tricks: Iterable[Trick[Any]]) -> Spans:
    """Which sides any of the tricks makes in windows, also one that stands within another; the most that one says."""
    said = {one.spans() for trick in tricks for one in (trick, *trick.nested)}
    return next((spans for spans in SPANS if spans in said), "none")


def changing(tricks: Iterable[Trick[Any]]) -> bool:
    """Whether any of the tricks, or of those within them, changes the model while a run goes on."""
    return any(one.changes_model for trick in tricks for one in (trick, *trick.nested))


def _nested(options: TrickOptions) -> Iterator[Trick[Any]]:
    """The tricks in every branch, each before those in its own."""
    for branch in branches(dict(options)):
        for trick in branch.built:
            yield trick
            yield from trick.nested


def branches(value: Any) -> Iterator[Nest]:
    """Every branch in the values of options."""
    if isinstance(value, Nest):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from branches(one)


def _options_of(kind: type[Trick[Any]]) -> Iterator[type[TrickOptions]]:
    """What a class says in `Trick[...]`, of itself and not of those it is made from."""
    for base in vars(kind).get("__orig_bases__", ()):
        for said in get_args(base):
            if isinstance(said, type) and issubclass(said, TrickOptions):
                yield said
