"""What of a run's prompts nobody reads: words that were left out of them, and prompts that only a refiner was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks.sampling.prompts import every_prompt

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.ask import Ask
    from diffusion_tricks.diffusion.noise_level import Level
    from diffusion_tricks.sampling.run import Run


def heard(run: Run, asks: Sequence[Ask], level: Level, index: int) -> None:
    """Keeps in mind who answers what is asked in step `index` about latents of a level, in the words of that step."""
    refiner = run.model.refiner
    said = [(row % run.count, prompt) for ask in asks for row, prompt in enumerate(ask.rows)]
    if refiner is None or not refiner.answers(asks, level, run.span):
        run.heard.itself.update(said)
        return
    for each in said:
        run.heard.refiner.setdefault(each, index // run.substeps)


def note_unread(run: Run, prompts: Iterable[str | None]) -> None:
    """Notes of each picture what was left out of the prompts that are asked for it; of all where it is a trick's."""
    own = run.prompt if isinstance(run.prompt, tuple) else (run.prompt,) * run.count
    for prompt, unread in ((prompt, run.model.unread.get(prompt or "", [])) for prompt in prompts):
        has = [prompt in every_prompt([mine], run.whole_steps) for mine in own]
        for mine, facts in zip(has, run.facts, strict=True):
            if unread and (mine or not any(has)):
                facts["notes"] = [*facts.get("notes", ()), *unread]


def note_unheard(run: Run) -> None:
    """Notes of each picture which prompts said nothing, as they were asked only where a model without text answers.

    That is so of words that a schedule brings in late, and of guidance that begins late.
    """
    for (picture, prompt), index in run.heard.by_refiner_alone().items():
        assert run.model.refiner is not None
        said = "the empty prompt" if prompt is None else repr(prompt)
        note = (
            f"{said} is asked only from step {index + 1} of {run.whole_steps} on, where "
            f"{run.model.refiner.model.name} answers, which reads no prompts: what it says changes nothing"
        )
        facts = run.facts[picture]
        facts["notes"] = [*facts.get("notes", ()), note]
