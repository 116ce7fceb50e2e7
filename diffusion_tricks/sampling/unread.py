"""What of a run's prompts nobody reads: words that were left out of them, and prompts that only a refiner was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks.sampling.prompts import every_prompt

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.ask import Ask
    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.step import Step


def heard(step: Step, asks: Sequence[Ask]) -> None:
    """Keeps in mind who answers the asks of a step, in the words of that step."""
    run = step.run
    refiner, prompts = run.model.refiner, [prompt for ask in asks for prompt in ask.rows]
    if refiner is None or not refiner.answers(asks, step.level, run.span):
        run.heard.itself.update(prompts)
        return
    for prompt in prompts:
        run.heard.refiner.setdefault(prompt, step.index // run.substeps)


def note_unread(run: Run, prompts: Iterable[str | None]) -> None:
    """Notes of each picture what was left out of the prompts that are asked for it."""
    for prompt in prompts:
        _note(run, prompt, run.model.unread.get(prompt or "", []))


def note_unheard(run: Run) -> None:
    """Notes of each picture which prompts changed nothing, as they were asked only where a model without text answers.

    That is so of words that a schedule brings in late, and of guidance that begins late.
    """
    for prompt, index in run.heard.by_refiner_alone().items():
        assert run.model.refiner is not None
        said = "no prompt" if prompt is None else repr(prompt)
        _note(run, prompt, [
            f"{said} is asked only from step {index} of {run.whole_steps} on, where {run.model.refiner.model.name} "
            "answers, which reads no prompts: it changes nothing"
        ])  # fmt: skip


def _note(run: Run, prompt: str | None, notes: list[str]) -> None:
    """Notes of those pictures that have the prompt as their own, in the words of some step; of all where none has."""
    own = run.prompt if isinstance(run.prompt, tuple) else (run.prompt,) * run.count
    has = [prompt in every_prompt([mine], run.whole_steps) for mine in own]
    for mine, facts in zip(has, run.facts, strict=True):
        if notes and (mine or not any(has)):
            facts["notes"] = [*facts.get("notes", ()), *notes]
