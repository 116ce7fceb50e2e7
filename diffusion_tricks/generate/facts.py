"""What a run says of the machine it ran on: where, in what precision, and what a lack of memory made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run


def computed(run: Run, max_rows: int | None) -> dict[str, Any]:
    """The facts of a finished run that its model and its machine decide about; see `record.Ran`.

    max_rows: as asked; the fact is what it came down to. What was given up for memory goes into every picture's notes.
    """
    model, notes, rows = run.model, list[str](), [max_rows]
    for stage in run.stages:
        given_up, cut = stage.model.memory.told()
        notes += given_up
        rows.append(cut)
    for facts in run.facts if notes else ():
        facts["notes"] = [*facts.get("notes", ()), *notes]
    return {
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_rows": min((n for n in rows if n is not None), default=None),
        **({"quantize": model.memory.quantize} if model.memory.quantize else {}),
        **({"compile": True} if model.compiled is not None else {}),
    }
