"""A list of jobs made ready: seeds, files, what an earlier run has done of it, and batches. Nothing is written here.

No torch here until a recipe is tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import (
    DiffusionTricksError,
    Ledger,
    OutputError,
    PictureError,
    Task,
    UsageError,
    Verdict,
    check_quality,
    check_save,
    device_of,
    hashes_of,
    host,
    pictures_that_fit,
    read_picture,
    scorer_named,
)
from diffusion_tricks_batch.asked import AUTO, Asked
from diffusion_tricks_batch.chosen import RAY, sharing
from diffusion_tricks_batch.groups import Group, Item, grouped, kinds
from diffusion_tricks_batch.how import asked_of
from diffusion_tricks_batch.lists.grid import axis_from
from diffusion_tricks_batch.lists.jobs import Job, read_jobs
from diffusion_tricks_batch.lists.names import check_names
from diffusion_tricks_batch.lists.places import places
from diffusion_tricks_batch.models import Models
from diffusion_tricks_batch.records import FAILED, FOLDER, Records, Run, task_of
from diffusion_tricks_batch.traits import Traits
from diffusion_tricks_batch.trial import KINDS, but_seed, check_first, rehearsed

PICTURES = 8  # in a batch on a CPU: 16 of the model inside cost 4.2 s one by one, and 2.6 s by 4, by 8 or by 16
MOST = 32  # of which a batch gains nothing more
NAMED = 3  # files that are named of those in the way


@dataclass(frozen=True)
class Ready:
    """A list of jobs, ready to be worked on.

    jobs: with their seeds. items: of the jobs that can be made, by id. verdicts: on them. groups: with something to
    make. problems: by id, of jobs that cannot be made. run: what holds for all.
    """

    jobs: Sequence[Job]
    items: dict[str, Item]
    verdicts: dict[str, Verdict]
    groups: Sequence[Group]
    problems: dict[str, DiffusionTricksError]
    run: Run

    @property
    def kept(self) -> int:
        """Jobs of which nothing is to be made."""
        return sum(verdict.kept for verdict in self.verdicts.values())

    @property
    def again(self) -> Counter[str]:
        """Why jobs that an earlier run has begun are made anew."""
        return Counter(one.why for one in self.verdicts.values() if not one.kept and one.why != "new")

    @property
    def todo(self) -> list[tuple[Job, Item]]:
        """Jobs that are to be made, in their order."""
        return [(job, item) for job in self.jobs if (item := self.items.get(job.id)) and item.make]


def planned(asked: Asked, records: Records) -> Ready:
    """What is to be done of what is asked, after what the records say; all that can be checked before is checked.

    Raises UsageError and OutputError for what cannot be done as asked, and what all jobs of a new
    run fail with where it is the same.
    """
    check_settings(asked)
    begun = run_begun(asked, records)
    seed = seed_of(asked) if begun is None else begun.seed
    jobs = jobs_of(asked, seed)
    names = check_names(jobs, asked.output, _read(asked), records.others)
    recipes = [job.traits for job in jobs if job.recipe]
    firsts = [one.recipe for one in kinds(recipes)[:KINDS]]
    run = begun or Run(seed, _pictures(firsts, asked), sharing(asked))
    ledger = records.every() if begun else Ledger(records.folder / FOLDER)
    todo = ready(jobs, names, rehearsed(firsts), run, asked, ledger)
    if begun is None and len(recipes) == len(jobs):
        check_first(recipes)
    check_free(todo, asked, records)
    return todo


def check_settings(asked: Asked) -> None:
    """Raises what every job would fail with, whatever it is: UsageError, UnknownName, ModelError."""
    for device in (_device(asked), *asked.devices):
        device_of(device)
    host().find("engine", asked.engine)
    if asked.how.scores and asked.how.scorer:
        scorer_named(asked.how.scorer)


def _device(asked: Asked) -> str:
    """The device that is judged by: the one asked for, or this machine's, which stands for those of a cluster."""
    return "auto" if asked.engine == RAY else asked.how.device


def run_begun(asked: Asked, records: Records) -> Run | None:
    """What holds for all jobs of the run that is gone on with, None for a new one.

    Raises OutputError where an earlier run is not to be gone on with, and UsageError for what would change it.
    """
    if not records.begun or (asked.force and not asked.resume):
        return None
    run = records.run()
    if not asked.resume and not (asked.shard and run.sharing == sharing(asked)):
        raise OutputError(_why_not(asked, run, records.home))
    for name, now, was in (("seed", asked.seed, run.seed), ("pictures", asked.pictures or None, run.pictures)):
        if now is not None and now != was:
            raise UsageError(f"the batch in {records.home} began with `{name}={was}`, which decides what its pictures "
                             f"are, got {now}; leave it out, or begin anew by `force` without `resume`")  # fmt: skip
    return run


def _why_not(asked: Asked, run: Run, home: Path) -> str:
    """Why a run is not gone on with unasked."""
    if asked.shard and run.sharing:
        return (f"{home} holds a batch whose shards were begun with another list, other options or another number of "
                "them; give all the same, go on with it by `resume`, or choose another folder")  # fmt: skip
    return (f"{home} holds an earlier batch; go on with it by `resume`, begin anew by `force`, or choose another "
            "folder")  # fmt: skip


def seed_of(asked: Asked) -> int:
    """The seed of a run: the one that is asked for, or one that is drawn."""
    return int.from_bytes(os.urandom(4), "big") if asked.seed is None else asked.seed


def _read(asked: Asked) -> list[Path]:
    """The list itself, which may be the one of what failed before."""
    source = Path(asked.source) if asked.source and asked.source != "-" else None
    return [source] if source and source.name != FAILED else []


def jobs_of(asked: Asked, seed: int) -> list[Job]:
    """The jobs, with seeds."""
    axes = [axis_from(said) for said in asked.grid]
    return [with_seed(job, seed) for job in read_jobs(asked.source, axes, used=set(places(asked.output)))]


def with_seed(job: Job, seed: int) -> Job:
    """The job with a seed: its own, or one that follows from the run's and its id, wherever in the list it stands."""
    recipe = job.recipe
    if recipe is None or recipe.seed is not None or recipe.picture is not None:
        return job
    digest = hashlib.sha256(f"{seed} {job.id}".encode()).digest()
    return replace(job, recipe=recipe.model_copy(update={"seed": int.from_bytes(digest[:4], "big")}))


def _pictures(firsts: Sequence[Recipe], asked: Asked) -> int:
    """How many pictures share a batch: as many as are asked for, or as memory holds of the kind that needs most of it.

    firsts: a recipe of each kind.
    """
    if asked.pictures != AUTO:
        return asked.pictures
    fitting = [fit for recipe in firsts if (fit := _that_fit(recipe, asked)) is not None]
    most = PICTURES if device_of(_device(asked)).type == "cpu" else MOST
    return max(1, min([most, *fitting]))


def _that_fit(recipe: Recipe, asked: Asked) -> int | None:
    try:
        return pictures_that_fit(recipe, _device(asked), asked.how.dtype)
    except DiffusionTricksError:  # said where it is made
        return None


def ready(
    jobs: Sequence[Job], names: Mapping[str, Sequence[Path]], failing: Mapping[str, DiffusionTricksError], run: Run,
    asked: Asked, ledger: Ledger,
) -> Ready:  # fmt: skip
    """What is to be done; a job that cannot be is among the problems, and the others are not held up by it.

    names: of the pictures of each job. failing: what recipes fail with, see `rehearsed`.
    """
    problems = {job.id: job.problem for job in jobs if job.problem is not None}
    models, hashes, verdicts = Models(), dict[str, str](), dict[str, Verdict]()
    listed, unmakeable = list[tuple[Traits, Item]](), set[str]()
    for job in jobs:
        if job.recipe is None:
            continue
        item = Item(job.id, job.recipe.data(), "", {}, tuple(map(str, names[job.id])), make=False)
        try:
            item = item_of(job, names[job.id], asked, models, hashes)
            check_traits(job.traits)
            if failing and (error := failing.get(but_seed(job.recipe))):
                raise error
            verdict = verdicts[job.id] = _verdict(task_of(item), ledger, asked.force)
            item = replace(item, make=not verdict.kept, ours=verdict.ours or asked.force)
        except DiffusionTricksError as error:
            problems[job.id] = error
            if not isinstance(error, OutputError):  # of a picture of its that somebody has changed
                unmakeable.add(job.id)
        listed.append((job.traits, item))
    groups = [_without(group, unmakeable) for group in grouped(listed, run.pictures)]
    items = {item.key: item for _, item in listed if item.key not in unmakeable}
    return Ready(jobs, items, verdicts, [one for one in groups if any(i.make for i in one.items)], problems, run)


def item_of(
    job: Job, names: Sequence[Path], asked: Asked, models: Models, hashes: MutableMapping[str, str] | None = None
) -> Item:
    """A job with its files, of which nothing is to be made so far. Raises PictureError for files that cannot be read.

    hashes: of files that were read already, by path.
    """
    recipe = job.traits.recipe
    with _readable():
        what = asked_of(recipe, asked.how, models.of(recipe))
        inputs = hashes_of(recipe, hashes) if job.traits.files else {}
    return Item(job.id, recipe.data(), what, inputs, tuple(map(str, names)), make=False)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Raises PictureError where a file cannot be read, whatever the system says of it."""
    try:
        yield
    except OSError as error:
        raise PictureError(f"{error.filename} cannot be read: {error.strerror}; name a file that can be") from error


def check_traits(traits: Traits) -> None:
    """Raises what a job fails with, as far as it can be told at once: missing pictures, tricks that clash."""
    if traits.problem:
        raise traits.problem
    for path in traits.pictures:
        with _readable():
            if not path.is_file() or not path.stat().st_size:
                read_picture(path)


def _without(group: Group, keys: set[str]) -> Group:
    return replace(group, items=tuple(item for item in group.items if item.key not in keys))


def _verdict(task: Task, ledger: Ledger, force: bool) -> Verdict:
    """What is to be done; what another worker has changed meanwhile is in its journal."""
    try:
        return ledger.verdict(task, force=force)
    except OutputError:
        if not ledger.look():
            raise
        return ledger.verdict(task, force=force)


def check_free(todo: Ready, asked: Asked, records: Records) -> None:
    """Raises OutputError for a folder that nothing can be written to, and for files in the way, UsageError for a
    quality that a format does not have."""
    check_folder(records.home)
    standing = [(item, error) for _, item in todo.todo for error in _in_the_way(item, asked)]
    by_now = records.every() if standing else None  # other workers go on meanwhile
    found = [error for item, error in standing if by_now and not by_now.last(item.key)]
    if found:
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise OutputError("; ".join(map(str, found[:NAMED])) + more)


def _in_the_way(item: Item, asked: Asked) -> Iterator[OutputError]:
    for path in item.paths:
        check_quality(path, asked.how.quality)
        if os.path.isdir(os.path.dirname(path) or "."):
            try:
                check_save(path, force=item.ours, inputs=list(item.inputs), metadata=asked.how.metadata)
            except OutputError as error:
                yield error


def check_folder(home: Path) -> None:
    """Raises OutputError for a folder that nothing can be written to, and that cannot be made."""
    above = next(folder for folder in (home, *home.absolute().parents) if os.path.lexists(folder))
    if not above.is_dir():
        raise OutputError(f"{above} is not a folder, so nothing can be written in it; choose another")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {above} is not writable; choose another")
