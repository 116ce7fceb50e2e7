"""The prompts of a run: as they were written, and as they are asked in a step."""

from __future__ import annotations

from typing import Any

from diffusion_tricks.diffusion.prompt_grammar import at_step, composed, spoken
from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.calls import calls, guarded
from diffusion_tricks.types import Prompt


def every_prompt(written: list[str | None], steps: int) -> list[str | None]:
    """Every prompt that is asked in some step of a schedule of whole steps, in the words of that step."""
    texts = ([None] if prompt is None else spoken(prompt, steps) for prompt in written)
    return list(dict.fromkeys(text for each in texts for text in each))


def written(run: Any, own: Prompt) -> list[str | None]:
    """A run's own prompts and those that its tricks name, with their schedules. Raises PluginError."""
    named: list[str | None] = []
    for call in calls(run.hook.prompts):
        answer = call(run=run)
        if isinstance(answer, str):
            raise call.broken(f"it must give a list of prompts, and gave the text {answer!r}")
        named += guarded(call.name, call.place, list, answer or ())
    return list(dict.fromkeys([*(own if isinstance(own, tuple) else (own,)), *named]))


def said_in(step: int, steps: int, prompt: str | None) -> str | None:
    """A prompt as it is asked in a step, of whole ones, schedules taken. Raises UsageError for several in one (AND)."""
    if prompt is None:
        return None
    if len(parts := composed(prompt)) > 1:
        raise UsageError(f"the prompt {prompt!r} is {len(parts)} in one, which `guidance` composes; "
                         r"add that trick, or write \AND for the word")  # fmt: skip
    return at_step(prompt, step, steps)
