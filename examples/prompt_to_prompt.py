"""Prompt-to-prompt: another prompt in the same layout, by the attention that the first picture pays to its own.

    softmax(q k^T) of the second picture := that of the first, until `until` of the steps        arXiv:2208.01626

    python examples/prompt_to_prompt.py

Writes out/prompt-to-prompt.png: two prompts from one seed, without and with the attention of the first.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.plugin import (
    Ask,
    Asking,
    Attended,
    Attention,
    Share,
    Step,
    Trick,
    TrickOptions,
    hookimpl,
    labelled_grid,
    option,
    to_images,
)  # fmt: skip
from diffusion_tricks_plugins import Guidance


class Options(TrickOptions):
    """Neutral is until 0."""

    until: Share = option(0.6, "share of the steps in which the attention of the first picture is taken")


class PromptToPrompt(Trick[Options]):
    """Every picture of a batch attends to its own prompt as the first one does to its own."""

    name = "prompt-to-prompt"

    def __init__(self, **options: float):
        super().__init__(**options)
        self.first: dict[str, Tensor] = {}
        self.inside = Attention(self.take)

    @hookimpl(trylast=True)  # inside guidance: what that moves away from is left alone
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer, with the attention of the first picture."""
        taken = step.fraction < self.options.until and ask.prompt == step.run.prompt
        answers = yield [ask.but(inside=self.inside) if taken else ask]
        return answers[0]

    def take(self, seen: Attended) -> Tensor | None:
        """The first picture's weights for all; of a batch in several calls, it is in the first."""
        if seen.kind == "self":
            return None
        if seen.rows[0] == 0:
            self.first[seen.name] = seen.weights[:1]
        return seen.of(self.first[seen.name].expand(len(seen.rows), -1, -1, -1))


def main(model: Model | None = None, out: Path = Path("out"), prompts: tuple[str, str] = ("a rabbit", "a cat")) -> Path:
    """Both pictures in a row each: without, and with the attention of the first."""
    model, tiles = model or load_model("emoji"), []
    for until in (0.0, 0.6):
        tricks = [Guidance(scale=4), PromptToPrompt(until=until)]
        *_, last = sample(model, prompt=prompts, seeds=[3, 3], tricks=tricks, steps=20)
        tiles += to_images(last.run.pixels())
    path = out / "prompt-to-prompt.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    labelled_grid(tiles, rows=["each by itself", "attention of the first"], columns=prompts).save(path)
    return path


if __name__ == "__main__":
    print(main())
