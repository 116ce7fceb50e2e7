"""What a run says of the machine it ran on: where, in what precision, and what a lack of memory made of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run


class GivenUp(NamedTuple):
    """What a lack of memory made of runs: notes, in words, and the fewest rows that a call was cut down to."""

    notes: tuple[str, ...] = ()
    rows: int | None = None


NOTHING = GivenUp()


def given_up(runs: Iterable[Run]) -> GivenUp:
    """What the models of runs have given up in this thread since it last asked."""
    models = [stage.model for run in runs for stage in run.stages]
    models += [model.refiner.model for model in models if model.refiner is not None]
    told = [model.memory.told() for model in models]
    rows = min((cut for _, cut in told if cut is not None), default=None)
    return GivenUp(tuple(note for notes, _ in told for note in notes), rows)


def computed(run: Run, max_rows: int | None, most: int, before: GivenUp = NOTHING) -> dict[str, Any]:
    """The facts of a finished run that its model and its machine decide about; see `record.Ran`.

    max_rows: as asked; the fact is what it came down to. most: rows of one of its steps, at the most. before: what was
    given up for it and for others that ran together. All of that goes into every picture's notes.
    """
    model, now = run.model, given_up([run])
    notes, cuts = [*before.notes, *now.notes], [rows for rows in (before.rows, now.rows) if rows and rows < most]
    for facts in run.facts if notes else ():
        facts["notes"] = [*facts.get("notes", ()), *notes]
    return {
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_rows": min((n for n in (max_rows, *cuts) if n is not None), default=None),
        **({"quantize": model.memory.quantize} if model.memory.quantize else {}),
        **({"compile": True} if model.compiled is not None else {}),
    }
