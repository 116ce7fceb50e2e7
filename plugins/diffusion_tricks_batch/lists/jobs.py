"""Jobs: recipes as data with an `id`, from a list, a table, a grid or standard input. No torch here.

    {"id": "j1", "prompt": "a {animal}", "animal": "rabbit", "seed": 1, "steps": 3}

A field is a key of a recipe; or an option of one of its tricks, as `anagram.views`, or by its own name where one trick
alone has it; or a variable, for which `{animal}` stands in any text of the recipe. What a job does not say it has from
the base of its list. Paths start at the folder of the list.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import IO, Any

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import (
    DiffusionTricksError,
    RecipeError,
    UsageError,
    anchored,
    host,
    object_in,
    recipe_from,
)
from diffusion_tricks_batch.lists.cells import RECIPE_KEYS, TEXTS, cell, of_option
from diffusion_tricks_batch.lists.grid import Axis, combined
from diffusion_tricks_batch.lists.places import filled, places
from diffusion_tricks_batch.lists.rows import BASE, Base, Row, read_rows
from diffusion_tricks_batch.traits import Traits, traits_of

ONE_OF_TWO = {"steps": "stride", "stride": "steps"}
FAILED = "failed"  # why a job of a list of failures failed, which is none of its fields
OWN = ("id", "number")  # what is said of a job beside its recipe
LONGEST = 200  # characters of an id
NEAR = 0.85  # how like a key of a recipe a field is that was meant as one


@dataclass(frozen=True)
class Job:
    """One recipe of a list.

    number: its place in the list, from 0. recipe: None where it has a problem. fields: as the list says them, for
    names and reports. said: those, and what all jobs of the list begin with.
    """

    id: str
    number: int
    recipe: Recipe | None
    fields: Mapping[str, Any]
    problem: DiffusionTricksError | None = None
    said: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def traits(self) -> Traits:
        """What follows from its recipe, which it has."""
        assert self.recipe is not None
        return traits_of(self.recipe)


def read_jobs(
    source: str | None, axes: Sequence[Axis] = (), stream: IO[str] | None = None, *, used: Collection[str] = ()
) -> list[Job]:  # fmt: skip
    """The jobs of a list, each with every combination of the axes; of a recipe, one, or those of the grid.

    stream: instead of standard input, for "-". used: names of variables that are of use elsewhere, as in the names of
    files. What is wrong with one job is its `problem`. Raises UsageError for a source that cannot be read or holds no
    jobs, and for a grid of more than a million.
    """
    base, rows = read_rows(source, stream)
    if rows is None and source is None and not axes:
        raise UsageError("nothing says what to make; name a list of jobs, a recipe, or the values of a grid")
    rows = [Row({}, source or "the grid")] if rows is None else rows
    taken, used = dict[str, str](), frozenset(used)
    return [
        job_from(data, number, base, taken, where=where, used=used)
        for number, (data, where) in enumerate(_each(rows, axes))
    ]


def _each(rows: Sequence[Row], axes: Sequence[Axis]) -> Iterator[tuple[Any, str]]:
    """What each job says, and where; the rows slowest."""
    combinations = list(combined(axes)) if axes else []
    for number, row in enumerate(rows):
        said = _read(row.data, row.where)
        if isinstance(said, DiffusionTricksError) or not axes:
            yield said, row.where
            continue
        own = [str(said["id"])] if "id" in said else [str(number)] if len(rows) > 1 else []
        for values, label in combinations:
            name = "-".join([*own, label])
            named = {"id": name} if len(name) <= LONGEST else {}
            yield _over(said, values) | named, f"{row.where}, {label}"


def job_from(
    data: Any, number: int, base: Base | None = None, taken: dict[str, str] | None = None, *, where: str = "",
    used: Collection[str] = (),
) -> Job:  # fmt: skip
    """One job, from an object or a line of JSON; what is wrong with it is its `problem`, and never raised.

    base: what it begins with. taken: where each id stands so far; its own is added. where: where it stands itself, for
    messages. Its id is its number where it says none.
    """
    where, base, taken = where or f"job {number + 1}", base or Base(), {} if taken is None else taken
    name, fields, said = str(number), dict[str, Any](), dict[str, Any]()
    recipe, problem = None, None
    try:
        data = _read(data, where)
        if isinstance(data, DiffusionTricksError):
            raise data
        data = {key: value for key, value in data.items() if key != FAILED}
        variables = {key: value for key, value in base.data.items() if key not in RECIPE_KEYS}
        said, fields = _over(base.data, data), {"id": name, **variables, **data}
        if BASE in data:
            raise UsageError(f"a `{BASE}` is of all jobs, and stands alone in the first line of a list; leave it out")
        name = fields["id"] = _id(fields["id"])
        _check_free(name, taken)
        recipe = _recipe({"number": number, **said, "id": name}, base, where, used)
    except DiffusionTricksError as error:
        problem = _placed(error, where)
    if name in taken:
        name = next(free for free in _others(name) if free not in taken)
    taken[name] = where
    return Job(name, number, recipe, fields, problem, {**said, "id": name})


def _read(data: Any, where: str) -> Any:
    """The object of a line; an error that says why it is none."""
    try:
        said = object_in(data, where, UsageError) if isinstance(data, str) else data
    except UsageError as error:
        return error
    if isinstance(said, Mapping | DiffusionTricksError):
        return said
    return UsageError(f"expected a job as an object, got {said!r}")


def _over(under: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields, with others in their place; what is said of the steps stands for all that was said of them."""
    left = {key: value for key, value in under.items() if ONE_OF_TWO.get(key) not in said or key in said}
    return {**left, **said}


def _placed(error: DiffusionTricksError, where: str) -> DiffusionTricksError:
    """The same problem, which says where."""
    kind = RecipeError if isinstance(error, UsageError) else type(error)
    return error if str(error).startswith(where) else kind(f"{where}: {error}")


def _id(said: Any) -> str:
    """An id as text. Raises UsageError for one that cannot be the name of anything."""
    name = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""
    odd = next((one for one in name if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}), None)
    if not 1 <= len(name) <= LONGEST or odd or name != name.strip():
        raise UsageError(f"expected an `id` of 1 to {LONGEST} characters, without control characters or spaces around"
                         f" it, got {str(said)[: LONGEST + 1]!r}")  # fmt: skip
    return name


def _check_free(name: str, taken: Mapping[str, str]) -> None:
    if name in taken:
        raise UsageError(f"the id {name!r} is that of {taken[name]} already; give each job one of its own")


def _others(name: str) -> Iterator[str]:
    """Names for a second job of one id, so that what becomes of it can be kept."""
    number = 2
    while True:
        yield f"{name[: LONGEST - 10]}~{number}"
        number += 1


def _recipe(said: Mapping[str, Any], base: Base, where: str, used: Collection[str]) -> Recipe:
    """The recipe of a job, checked with its tricks, its paths from here. Raises UsageError, PluginError."""
    data = {key: value for key, value in said.items() if key in RECIPE_KEYS}
    more = {key: value for key, value in said.items() if key not in RECIPE_KEYS and value is not None}
    asked = set(places_in([*data.values(), *more.values()]))
    tricks = entries_of(data.get("tricks"))
    options = {key: at for key in more if key not in asked and (at := options_of(key, more[key], tricks))}
    for key, ats in options.items():
        _put(tricks, ats, more[key], key)
    variables = {key: value for key, value in more.items() if key not in options}
    _check_spelling(variables.keys() - asked - {*used, *OWN}, tricks)
    if tricks:
        data["tricks"] = tricks
    read = {key: _read_cells(key, _filled(value, variables)) for key, value in data.items()}
    recipe = anchored(recipe_from(read, where), base.folder, where)
    recipe.build()
    return recipe


def entries_of(tricks: Any) -> list[Any]:
    """Copies of the entries of tricks, to put options into; what is none is left for the recipe to refuse."""
    listed = tricks if isinstance(tricks, list | tuple) else []
    return [
        {"trick": one} if isinstance(one, str) else dict(one) if isinstance(one, Mapping) else one for one in listed
    ]


def _known(entry: Any) -> dict[str, Any]:
    """The options that a trick has, by name."""
    if not isinstance(entry, Mapping) or entry.get("trick") not in host().entries("trick"):
        return {}
    return dict(host().trick(entry["trick"]).Options.model_fields)


def options_of(key: str, value: Any, tricks: Sequence[Any]) -> list[tuple[int, str]]:
    """The option that a field is: the place of its trick, and its name there; several where that is open."""
    trick, dot, option = key.rpartition(".")
    if isinstance(value, Mapping) and key in host().entries("trick"):
        return [(i, "") for i, one in enumerate(tricks) if isinstance(one, Mapping) and one.get("trick") == key] or [
            (-1, key)
        ]
    found = [
        (i, option)
        for i, one in enumerate(tricks)
        if option in _known(one) and (not dot or one["trick"] in {trick, trick.replace("_", "-")})
    ]
    return found or ([(-1, trick)] if dot and trick in host().entries("trick") else [])


def _put(tricks: list[Any], ats: Sequence[tuple[int, str]], value: Any, key: str) -> None:
    """Puts the value of an option, or several by name, into its trick. Raises UsageError unless there is just one."""
    place, option = ats[0]
    if place < 0:
        there = [str(one["trick"]) for one in tricks if isinstance(one, Mapping) and "trick" in one]
        lacks = "has the option" if option in there else "is that trick"
        raise UsageError(f"`{key}` is of the trick {option!r}, and none of the tricks of the recipe {lacks}: it has"
                         f" {', '.join(there) or 'none'}")  # fmt: skip
    if len(ats) > 1:
        names = [str(tricks[i]["trick"]) for i, _ in ats]
        alike = len(set(names)) < len(names)
        advice = "say it in `tricks`" if alike else f"say `{names[0]}.{option}` or `{names[1]}.{option}`"
        raise UsageError(f"`{key}` is an option of {' and of '.join(names)}; {advice}")
    tricks[place] |= {option: value} if option else value


def _check_spelling(unused: Collection[str], tricks: Sequence[Any]) -> None:
    """Raises UsageError for a field that nothing uses, and that is nearly the name of something."""
    for name in sorted(unused):
        if near := meant(name, tricks):
            raise UsageError(f"unknown field {name!r}; did you mean {near!r}? if it is a variable, write {{{name}}}"
                             " where it belongs, or leave it out")  # fmt: skip


def meant(name: str, tricks: Sequence[Any]) -> str | None:
    """The key of a recipe, or the option of one of its tricks, that a field is nearly called as.

    That is one whose letters are nearly all there, in order, or of which two stand in each other's place.
    """
    return _nearest(name, (*RECIPE_KEYS, *dict.fromkeys(option for one in tricks for option in _known(one))))


@lru_cache(maxsize=1024)
def _nearest(name: str, known: Sequence[str]) -> str | None:
    swapped = {name[:i] + name[i + 1 : i + 2] + name[i] + name[i + 2 :] for i in range(len(name))}
    if slip := next((one for one in known if one in swapped), None):
        return slip
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=NEAR)), None)


def places_in(value: Any) -> Iterator[str]:
    """The names that stand in braces in any text of some data."""
    if isinstance(value, str):
        yield from places(value) if "{" in value else ()
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from places_in(one)


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Data with the values of variables in its texts; one that is a list or an object may stand for a whole text."""
    if isinstance(value, str):
        named = value[1:-1]
        if value == f"{{{named}}}" and isinstance(variables.get(named), list | tuple | dict):
            return variables[named]
        return filled(value, lambda name: _value(name, variables)) if "{" in value or "}" in value else value
    if isinstance(value, Mapping):
        return {key: _filled(one, variables) for key, one in value.items()}
    return [_filled(one, variables) for one in value] if isinstance(value, list | tuple) else value


def _value(name: str, variables: Mapping[str, Any]) -> Any:
    if name not in variables:
        raise UsageError(f"{{{name}}} stands in the recipe, and the job says no {name!r}: it says"
                         f" {', '.join(variables)}; add that field, or write {{{{ and }}}} for braces")  # fmt: skip
    return variables[name]


def _read_cells(key: str, value: Any) -> Any:
    """A value of a recipe, of whose texts those that stand for numbers or lists are read."""
    if key == "tricks" and isinstance(value, list):
        return [_read_options(one) for one in value]
    return value if key in TEXTS else cell(key, value)


def _read_options(entry: Any) -> Any:
    known = _known(entry)
    if not known:
        return entry
    return {key: of_option(known[key].annotation, one) if key in known else one for key, one in entry.items()}
