"""The list of jobs as a run's ledger keeps it, so that what was made can be told without the list itself. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import UsageError, atomic_write
from diffusion_tricks_batch.outcome import failure_of
from diffusion_tricks_batch.records import JOBS, Records

if TYPE_CHECKING:
    from diffusion_tricks_batch.plan import Ready


@dataclass(frozen=True)
class Listed:
    """A job. fields: as its list says them. pictures: that it makes. problem: kind and message of what is wrong."""

    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    pictures: int = 1
    problem: Mapping[str, str] | None = None


def keep_list(records: Records, ready: Ready, old: Sequence[Listed] = ()) -> None:
    """Writes the list of a run into its ledger, in the place of an earlier one. Raises as `atomic_write`.

    old: the list that these jobs are a part of, whose others stay in their places.
    """
    every = {one.id: one for one in old} | {one.id: one for one in listed(ready)}
    data = {"jobs": [asdict(one) for one in every.values()]}
    text = json.dumps(data, ensure_ascii=False, default=str)
    atomic_write(records.folder / JOBS, text.encode(), force=True)


def listed(ready: Ready) -> list[Listed]:
    """The jobs of a run, in their order."""
    return [
        Listed(
            job.id, job.fields, len(ready.items[job.id].paths) if job.id in ready.items else 0,
            failure_of(ready.problems[job.id]).data() if job.id in ready.problems else None,
        )
        for job in ready.jobs
    ]  # fmt: skip


def kept_list(records: Records) -> list[Listed] | None:
    """The list that a run's ledger keeps, None where jobs come one by one. Raises UsageError for a damaged one."""
    path = records.folder / JOBS
    try:
        return [Listed(**one) for one in json.loads(path.read_bytes())["jobs"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is damaged, `resume` the batch, which writes it again: {error}") from None
