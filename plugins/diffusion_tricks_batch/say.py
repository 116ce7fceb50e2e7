"""What the command `batch` says: results alone on stdout, on stderr what became of all. No torch here."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import click

from diffusion_tricks_batch.cost import Cost
from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.plan import Ready
from diffusion_tricks_batch.records import FAILED, FOLDER
from diffusion_tricks_batch.run import Tally

LISTED = 20  # failures that are told again at the end
GO_ON = "The same again with `resume` goes on from here"
AGAIN = "The same again with `resume` tries what has failed; what is wrong in a job must be mended in the list first"
NAMED = re.compile(r"`([a-z_]\w*)(?:=([^`]*))?`")
NUMBER = re.compile(r"[\d.,]+")


class Teller:
    """Tells of a batch as it goes. home: the folder of all. out: where results go."""

    def __init__(self, home: Path, out: IO[str], *, as_json: bool = False, quiet: bool = False):
        self.home, self.out, self.as_json, self.quiet = home, out, as_json, quiet
        self.made, self._said = 0, set[str]()

    def begin(self, todo: Ready) -> Callable[[Outcome], None]:
        """Tells of what is kept; gives what tells of each outcome."""
        for key, verdict in todo.verdicts.items():
            for facts in verdict.line.get("facts", ()) if verdict.kept and self.as_json else ():
                self.print({"id": key, **self.from_here(facts), "kept": True})
        return self.tell

    def tell(self, outcome: Outcome) -> None:
        """A line for each picture, or why there is none."""
        if outcome.failure:
            self.failed(outcome.key, outcome.failure)
            return
        self.made += 1
        for facts in outcome.facts:
            one = self.from_here(facts)
            self.print({"id": outcome.key, **one} if self.as_json else one["path"])
            for note in one.get("notes", ()):
                self._note(note)

    def failed(self, key: str, failure: Failure) -> None:
        """Says why a job failed."""
        message = in_flags(failure.message)
        click.echo(f"Error: {message if key in message else f'{key}: {message}'}", err=True)
        if self.as_json:
            self.print({"id": key, "error": message, "kind": failure.kind})

    def print(self, said: Mapping[str, Any] | str) -> None:
        """A line on stdout, at once."""
        click.echo(said if isinstance(said, str) else json.dumps(said), file=self.out)
        self.out.flush()

    def from_here(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Facts of a picture as the ledger notes them, with the path as from the current folder."""
        return {**facts, "path": os.path.normpath(self.home / FOLDER / facts["path"])}

    def remark(self, text: str) -> None:
        """Says something on stderr, unless nothing but errors is to be said."""
        if not self.quiet:
            click.echo(text, err=True)

    def _note(self, note: str) -> None:
        """Says a note of a picture, unless one like it was said."""
        gist = NUMBER.sub("", note)
        if gist not in self._said:
            self.remark(f"Note: {in_flags(note)}")
        self._said.add(gist)

    def sum_up(self, tally: Tally) -> None:
        """How many jobs there are of each sort, and what could not be made."""
        if self.as_json:
            self.print({"batch": tally.data()})
        self.remark(f"{len(tally.ready.jobs)} in all: {', '.join(_sorts(tally))}")
        if tally.failures:
            where = f", as listed in {self.home / FAILED}" if tally.listed else ""
            click.echo(f"{len(tally.failures)} of {len(tally.ready.jobs)} failed{where}:", err=True)
        for key, failure in [*tally.failures.items()][:LISTED]:
            click.echo(f"  {key}  {failure.kind}: {in_flags(failure.message)}", err=True)
        if len(tally.failures) > LISTED:
            click.echo(f"  and {len(tally.failures) - LISTED} more", err=True)
        if not tally.listed:
            self.not_listed()
        if tally.failures or tally.left:
            self.remark(in_flags(GO_ON if tally.left else AGAIN))

    def not_listed(self) -> None:
        """Says that a file of another's stands where failures are listed."""
        self.remark(f"{self.home / FAILED} is not of this batch, and was left as it is; move it away, and the next run "
                    "lists there what failed")  # fmt: skip

    def interrupted(self) -> None:
        """What stands where all was interrupted."""
        self.remark(f"{self.made} made, which are kept in {self.home}. {in_flags(GO_ON)}")

    def plan(self, todo: Ready, cost: Cost) -> None:
        """What would be made: a line for each job, and the cost of all."""
        for job in todo.jobs:
            said = self._planned(todo, cost, job.id)
            state = f"error: {said['error']}" if "error" in said else said["state"]
            self.print(said if self.as_json else "  ".join([job.id, *said["paths"], state]))
        if self.as_json:
            self.print({"batch": cost.data()})
            return
        for name, value in cost.rows_of_table():
            self.print(f"{name + ':':<15}{value}")

    def _planned(self, todo: Ready, cost: Cost, key: str) -> dict[str, Any]:
        problem, item = cost.problems.get(key), todo.items.get(key)
        paths = list(item.paths) if item else []
        if problem:
            said = {"error": in_flags(str(problem)), "kind": type(problem).__name__}
            return {"id": key, "paths": paths, "state": "cannot be made", **said}
        verdict = todo.verdicts[key]
        return {"id": key, "paths": paths, "state": "kept" if verdict.kept else verdict.why}


def _sorts(tally: Tally) -> list[str]:
    """`7 made`, `2 kept as they were`, and so on."""
    whys = Counter(why for key in tally.made if (why := tally.ready.verdicts[key].why) != "new")
    reasons = ", ".join(f"{number} {why}" for why, number in whys.items())
    parts = [f"{len(tally.made)} made" + (f" (of those there before: {reasons})" if reasons else "")]
    parts += [f"{tally.ready.kept} kept as they were"] if tally.ready.kept else []
    parts += [f"{len(tally.failures)} failed ({_counted(tally.kinds)})"] if tally.failures else []
    parts += [f"{tally.left} not begun"] if tally.left else []
    return parts


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())


def in_flags(text: str, command: click.Command | None = None) -> str:
    """A message with the options of a command, which stand in backticks as in Python, spelt as flags.

    command: the one that is running, unless given.
    """
    ctx = click.get_current_context(silent=True)
    of = command or (ctx.command if ctx else None)
    options = {one.name: one for one in (of.params if of else ()) if isinstance(one, click.Option)}

    def flagged(found: re.Match[str]) -> str:
        option, value = options.get(found[1]), found[2]
        if option is None:
            return found[0]
        return option.opts[-1] if value is None or option.is_flag else f"{option.opts[-1]} {value}"

    return NAMED.sub(flagged, text)
