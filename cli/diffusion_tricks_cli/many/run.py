"""Many jobs, one after the other, with one model: each is kept, made or noted as failed, and none stops the rest."""

from __future__ import annotations

import contextlib
import json
import re
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from diffusion_tricks.errors import DiffusionTricksError, OutputError, PictureError
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.journal import Line
from diffusion_tricks.io.ledger import Verdict
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.failures import say_error
from diffusion_tricks_cli.many.failures import tell
from diffusion_tricks_cli.many.jobs import Job, check_apart, folders_of
from diffusion_tricks_cli.many.ledger import Manifest
from diffusion_tricks_cli.output import remark
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.work import Ready, check_asked, check_pictures, made, note_idle

TRIED = 3  # jobs that fail alike before their fault is taken for that of all
NUMBER = re.compile(r"[\d.,]+")
Judged = list[tuple[Job, Verdict]]


@dataclass
class Tally:
    """What came of the jobs, by their numbers: the facts of the pictures of each, and the failures."""

    facts: dict[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    failures: dict[int, Line] = field(default_factory=dict)
    kept: int = 0
    left: int = 0


def judged(jobs: Sequence[Job], ledger: Manifest) -> Judged:
    """What is to be done with each job; the folders for their files are made.

    Raises UsageError for what cannot be done as asked, before anything is.
    """
    check_asked(jobs[0].recipe, jobs[0].settings)
    check_apart(jobs)
    verdicts = [(job, ledger.verdict(ledger.task(job), force=job.settings.force)) for job in jobs]
    with made_folders(folders_of(jobs), keep=not jobs[0].settings.dry_run):
        for job, verdict in verdicts:
            job.output.replace_files(job.settings.force or verdict.ours)
            if not verdict.kept:
                job.output.check()
        _check_first([job for job, verdict in verdicts if not (verdict.kept or job.problem)])
    return verdicts


@contextlib.contextmanager
def made_folders(folders: Iterator[Path], keep: bool) -> Iterator[None]:
    """Makes the folders that are not there; takes them away again where something is refused, or unless they are kept.

    Raises OutputError where one cannot be made.
    """
    new: list[Path] = []
    done = False
    try:
        for folder in folders:
            lacking = [one for one in (folder, *folder.parents) if not one.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"the folder {folder} cannot be made: {error.strerror}; choose another output"
                ) from None
            new += reversed(lacking)
        yield
        done = keep
    finally:
        for one in reversed(new) if not done else ():
            with contextlib.suppress(OSError):
                one.rmdir()


def _check_first(jobs: Sequence[Job]) -> None:
    """Raises what the first jobs would, where it is the same for all, and so no fault of a picture's."""
    said = set()
    for number, job in enumerate(jobs[:TRIED], 1):
        if job.recipe.picture is not None:
            return
        from diffusion_tricks.generate.rehearsal import check_before

        try:
            check_pictures(job.recipe)
            check_before(job.recipe)
        except DiffusionTricksError as error:
            said.add(str(error))
            if len(said) == 1 and number == min(len(jobs), TRIED) and not isinstance(error, PictureError):
                raise
        else:
            return


def run(verdicts: Judged, ledger: Manifest, settings: Settings) -> Tally:
    """Does all that is to be done; says of each picture where it is, and at the end what could not be made.

    Raises ModelError where the model cannot be loaded.
    """
    tally, ready, said = Tally(), Ready(settings), defaultdict[str, set[str]](set)
    note_idle(verdicts[0][0].recipe, settings)
    for number, (job, verdict) in enumerate(verdicts):
        if verdict.kept:
            tally.kept += 1
            tally.facts[number] = facts = ledger.from_here(verdict.line["facts"])
            _say_kept(facts, settings)
            continue
        if tally.failures and settings.on_error == "stop":
            tally.left += 1
            continue
        ready.place = f"{number + 1}/{len(verdicts)} {job.name}  "
        ledger.begin(ledger.task(job))
        if job.problem is None:
            ready.model(job.recipe)  # where it cannot be loaded, no picture can be made
        try:
            job.output.before = ledger.foretell
            came = _done(job, ready, said)
        except Exception as error:
            tally.failures[number] = ledger.unmade(job, error)
            _say_failed(job, error, settings)
        else:
            tally.facts[number] = ledger.from_here(ledger.made(job, came))
    if more := sum(len(alike) - 1 for alike in said.values()):
        remark(f"Note: {more} like these, of other pictures, are told by --json", settings)
    _sum_up(tally, verdicts, ledger, settings)
    return tally


def _done(job: Job, ready: Ready, said: dict[str, set[str]]) -> Sequence[Mapping[str, Any]]:
    """The facts of the pictures of a job. Raises what it fails for."""
    if job.problem:
        raise job.problem
    check_pictures(job.recipe)
    job.output.said, job.output.gist = said, partial(_gist, names=[*job.output.files, *job.output.inputs])
    came = made(job.recipe, job.output.settings, job.output, ready)
    if came.errors:
        raise came.errors[0]
    return came.facts


def _gist(note: str, names: Sequence[Path]) -> str:
    """A note without the names and numbers of its own picture."""
    for name in names:
        note = note.replace(str(name), "")
    return NUMBER.sub("", note)


def _say_kept(facts: Sequence[Mapping[str, Any]], settings: Settings) -> None:
    for one in facts if settings.json else ():
        echo(json.dumps({**one, "kept": True}, ensure_ascii=False))


def _say_failed(job: Job, error: Exception, settings: Settings) -> None:
    """Says why a job failed, unless that was said when it happened."""
    if not isinstance(error, DiffusionTricksError):
        traceback.print_exception(error)
    if "path" not in getattr(error, "about", {}):
        said = DiffusionTricksError(_message(job, error))
        said.about = {"path": str(job.output.pictures[0]), **job.about}
        say_error(said, settings.json)


def _message(job: Job, error: Exception) -> str:
    """Why a job failed, with what it is called."""
    text = str(error) if isinstance(error, DiffusionTricksError) else f"{type(error).__name__}: {error}"
    return text if job.name in text else f"{job.name}: {text}"


def _sum_up(tally: Tally, verdicts: Judged, ledger: Manifest, settings: Settings) -> None:
    """The list of failures as a file and in words, and how many pictures there are of each sort."""
    lines = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in tally.failures.values())
    if lines:
        atomic_write(ledger.failures, lines, force=True)
    else:
        ledger.failures.unlink(missing_ok=True)
    again = Counter(verdict.why for _, verdict in verdicts if not verdict.kept and verdict.why != "new")
    reasons = ", ".join(f"{number} {why}" for why, number in again.items())
    made_now = len(tally.facts) - tally.kept
    parts = [f"{made_now} made" + (f" (of those there before: {reasons})" if reasons else "")]
    parts += [f"{tally.kept} kept as they were"] if tally.kept else []
    parts += [f"{len(tally.failures)} failed"] if tally.failures else []
    parts += [f"{tally.left} not begun"] if tally.left else []
    remark(f"{len(verdicts)} in all: {', '.join(parts)}", settings)
    tell(list(tally.failures.values()), len(verdicts), str(ledger.failures))
    if tally.failures or tally.left:
        remark("The same again with --resume goes on from here", settings)


def end(tally: Tally | None) -> None:
    """Ends with exit code 1 if anything failed."""
    if tally is not None and (tally.failures or tally.left):
        click.get_current_context().exit(1)
