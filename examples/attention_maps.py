"""Where the model looks for each word: its attention from the picture to the text, over all layers and steps.

    python examples/attention_maps.py

Writes out/attention.png: the picture, and beside it a map for every word, bright where the word is heeded most.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.plugin import (
    Ask,
    Asking,
    Attended,
    Attention,
    Run,
    Step,
    Trick,
    TrickOptions,
    hookimpl,
    labelled_grid,
    to_images,
    word_places,
)  # fmt: skip
from diffusion_tricks_plugins import Guidance


class Looking(Trick[TrickOptions]):
    """Adds up, for every word, how much each place of the picture takes of it; the answers stay what they are."""

    name = "looking"

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Finds the words among the tokens."""
        self.prompt = str(run.prompt)
        self.words = word_places(run.model.pipe, self.prompt)
        self.maps = torch.zeros(len(self.words), *run.latent_shape[1:])
        self.inside = Attention(self.look)

    @hookimpl(trylast=True)  # inside guidance, so that it sees the prompt asked and not what that moves away from
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer as it is."""
        answers = yield [ask.but(inside=self.inside) if ask.prompt == self.prompt else ask]
        return answers[0]

    def look(self, seen: Attended) -> None:
        """Adds what one attention takes of each word."""
        if seen.kind == "self":
            return
        weights = seen.weights[0, :, seen.seeing, seen.text].mean(0)  # (q k)
        each = torch.stack([weights[:, word.places].sum(1).reshape(seen.shape) for word in self.words])
        self.maps += F.interpolate(each[None], self.maps.shape[1:], mode="bilinear")[0]


def main(model: Model | None = None, out: Path = Path("out"), prompt: str = "a red rose on a blue background") -> Path:
    """The picture and a map for each word of the prompt, in one file."""
    looking, model = Looking(), model or load_model("emoji")
    *_, last = sample(model, prompt=prompt, tricks=[Guidance(scale=4), looking], seed=1, steps=20)
    picture = to_images(last.run.pixels())[0]
    shades = [(255 * one / one.max()).byte().cpu().numpy() for one in looking.maps]
    maps = [Image.fromarray(shade).convert("RGB").resize(picture.size) for shade in shades]
    path = out / "attention.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    labelled_grid([picture, *maps], columns=["picture", *(placed.word for placed in looking.words)]).save(path)
    return path


if __name__ == "__main__":
    print(main())
