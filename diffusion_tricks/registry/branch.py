"""Tricks in the place of a prompt: an anagram of hybrids, a hybrid whose far is an anagram. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from diffusion_tricks.errors import UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import PROJECT
from diffusion_tricks.registry.checked import Checked
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.options import TrickOptions
from diffusion_tricks.registry.trick import Shown, Trick

if TYPE_CHECKING:
    from PIL.Image import Image

ALLOWED = ("prepare", "prompts", "estimate_noise", "close", "report")  # hooks of a trick that shapes one answer


class Branch(Checked):
    """What one answer is shaped by, where else a prompt alone would stand.

        Anagram(views=[("identity", {"trick": "hybrid", "far": "a skull", "near": "a mushroom"}), ("flip", "a duck")])

    prompt: what is asked, unless a trick brings prompts of its own. tricks: outermost first; they stand outside those
    of the run, and one that fills an exclusive place, such as guidance, takes it from the run's. A single trick may
    stand for the whole, and a list for `tricks`.
    Raises UsageError for tricks that do more than shape an answer, and where nothing says what is asked.
    """

    _called = "branch"
    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = None
    tricks: list[TrickEntry] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, data: Any) -> Any:
        if isinstance(data, list | tuple):
            return {"tricks": data}
        return {"tricks": [data]} if isinstance(data, dict) and "trick" in data else data

    @cached_property
    def built(self) -> tuple[Trick[Any], ...]:
        """The tricks themselves, made once. Raises UsageError, UnknownName, PluginError."""
        made = tuple(entry.build() for entry in self.tricks)
        for trick in made:
            if more := sorted(hooks_of(trick) - set(ALLOWED)):
                raise UsageError(f"trick {trick.label()!r} does more than shape one answer ({more[0]}), so it cannot"
                                 " stand in the place of a prompt; give it to the whole run")  # fmt: skip
        refuse_two_claims(made)
        bring = [trick.label() for trick in made if trick.brings_prompts]
        if self.prompt is None and not bring:
            names = " ".join(trick.label() for trick in made)
            raise UsageError(f"[{names}] stands in the place of a prompt and says none; put one before it, as in"
                             f' [{names} "a rabbit"]')  # fmt: skip
        if self.prompt is not None and bring:
            raise UsageError(f"the prompt {self.prompt!r} is not asked beside {bring[0]!r}, which brings its own; leave"
                             " it out")  # fmt: skip
        return made


def in_full(said: Any) -> Any:
    """What stands in the place of a prompt, where it is short for a trick: `picture:photo.png` as the trick `picture`.

    A trick says so where it is registered, `short="image"`: the option that the text behind its name and a colon is.
    A space behind the colon makes it a prompt like any other.
    """
    name, colon, value = said.partition(":") if isinstance(said, str) else ("", "", "")
    entry = host().entries("trick").get(name) if colon else None
    if entry is None or "short" not in entry.notes:
        return said
    if not value:
        raise UsageError(f"expected {name}:FILE, got {said!r}, which names none; give the file, or leave the colon out")
    if value[0].isspace():
        return said
    return {"trick": name, entry.notes["short"]: value}


Frame = Callable[[float], "Image"]  # see `Shown`
Prompted = Annotated[str | Branch, BeforeValidator(in_full)]  # an option that takes a prompt, or tricks in its place


def options_in_full(entry: TrickEntry) -> dict[str, Any]:
    """The options of a trick as given, with `in_full` for all that stands in the place of prompts."""
    asks = _asking(entry.kind.Options)
    return {name: _each_in_full(value) if name in asks else value for name, value in entry.options.items()}


@cache
def _asking(options: type[TrickOptions]) -> frozenset[str]:
    """The options of a trick that stand for prompts."""
    options.model_rebuild(raise_errors=False)  # of what its module says behind it
    return frozenset(name for name, field in options.model_fields.items() if _takes_branch(field.annotation))


def _takes_branch(annotation: Any) -> bool:
    return annotation is Branch or any(_takes_branch(part) for part in get_args(annotation))


def _each_in_full(value: Any) -> Any:
    return type(value)(map(_each_in_full, value)) if isinstance(value, list | tuple) else in_full(value)


def refuse_two_claims(tricks: Sequence[Trick[Any]]) -> None:
    """Raises UsageError for two tricks that each say what is asked: one of them would never be heard.

    So would one that asks prompts of its own for parts of the picture, before one that says all that is asked.
    """
    bring = [trick for trick in tricks if trick.brings_prompts]
    of_one = len(set(map(type, bring))) == 1 and bring[0].joins
    first, *others = [""] if of_one or not bring else [trick.label() for trick in bring]
    if others:
        ways = dict.fromkeys([f"{first} with [{others[0]} ...]", f"{others[0]} with [{first} ...]"])
        raise UsageError(
            f"{first!r} and {others[0]!r} both say what is asked, and nothing says how they nest; write one in the"
            f" place of a prompt of the other, {' or '.join(ways)}"
        )
    for i, trick in enumerate(tricks):
        inside = next((one.label() for one in tricks[i + 1 :] if one.brings_prompts), None)
        if inside and trick.asks() and not trick.brings_prompts:
            name = trick.label()
            raise UsageError(
                f"{inside!r} inside {name!r} says what is asked, so that {name!r} is never heard; name {name!r} after"
                f" it, or write {inside!r} in the place of a prompt, {name} with [{inside} ...]"
            )


def within(value: Any, change: Callable[[TrickEntry], TrickEntry]) -> Any:
    """The value of an option as plain data, with `change` applied to the entries of tricks that stand in it."""
    if isinstance(value, Branch):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, dict) and "trick" in value:
        return change(TrickEntry.model_validate(value)).model_dump()
    if isinstance(value, dict):
        return {key: within(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(within(one, change) for one in value)
    return value


def plain_prompts(said: Iterable[Prompted]) -> list[str | None]:
    """The prompts that a trick asks itself, for its hook `prompts`; tricks in their place name their own."""
    return [one if isinstance(one, str) else one.prompt for one in said if isinstance(one, str) or one.prompt]


def prompts_of(said: Iterable[Prompted]) -> list[str]:
    """Every prompt that is asked, also by tricks in the place of one: what `parameters` calls "Prompt"."""
    return [prompt for one in said for prompt in _asked(one)]


def _asked(said: Prompted) -> list[str]:
    if isinstance(said, str):
        return [said]
    within = [prompt for trick in said.built for prompt in _listed(trick.parameters().get("Prompt"))]
    return within if said.prompt is None else [said.prompt]


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def shown_by(
    name: str, picture: Image, said: Prompted, *, blur: float | None = None, frame: Frame | None = None
) -> list[Shown]:
    """What a picture should show, seen through the view `name`: the prompt, or what the tricks in its place show.

    What those show without a name of its own goes by `name` alone.

    blur: of the picture, as in `Shown`; one blur after the other is as one, of sigma^2 = sigma_1^2 + sigma_2^2.
    frame: the way to that view, as in `Shown`.
    """
    if isinstance(said, str):
        return [Shown(name, picture, said, blur, frame)]
    within = [view for trick in said.built for view in trick.views_of(picture) if view.own]
    if said.prompt is not None and not within:
        return [Shown(name, picture, said.prompt, blur, frame)]
    both = (math.hypot(blur or 0, view.blur or 0) or None for view in within)
    return [
        view._replace(
            name=f"{name} > {view.name}" if view.name else name, blur=total, frame=_one_by_one(frame, view.frame)
        )
        for view, total in zip(within, both, strict=True)
    ]


def said_in_words(views: Sequence[Shown]) -> list[Shown]:
    """The views that words say something of. Raises UsageError where all of them are given pictures."""
    said = [view for view in views if view.said]
    if views and not said:
        raise UsageError("nothing says in words what the picture should show; given pictures are not scored")
    return said


def _one_by_one(first: Frame | None, then: Frame | None) -> Frame | None:
    """The way through one view and then through another; one of them alone, where the other does not move."""
    if first is None or then is None:
        return None
    if not (_moves(first) and _moves(then)):
        return first if _moves(first) else then
    return lambda share: first(2 * share) if share < 1 / 2 else then(2 * share - 1)


def _moves(frame: Frame) -> bool:
    return frame(0.0).tobytes() != frame(1.0).tobytes()


def outline(trick: Trick[Any]) -> list[str]:
    """A trick and what it asks as lines, each level indented by two more."""
    lines = [trick.label()]
    for name, said in trick.asks():
        prompt = said if isinstance(said, str) else said.prompt
        inside = [] if isinstance(said, str) else [line for one in said.built for line in outline(one)]
        lines += [f"  {name}: {prompt}"] if prompt is not None else [f"  {name}:"]
        lines += [f"    {line}" for line in inside]
    return lines


def hooks_of(trick: Trick[Any]) -> set[str]:
    """The names of the run hooks that a trick fills."""
    members = (name for kind in type(trick).__mro__ for name in vars(kind))
    return {name for name in members if getattr(getattr(type(trick), name), f"{PROJECT}_impl", None) is not None}
