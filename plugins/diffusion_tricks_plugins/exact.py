"""An exact denoiser in the model's place: it knows some pictures, so what a trick makes of them can be computed.

    x0 = argmin E |x0 - x0'|^2 given x  =  the picture that the prompt names       EDM, arXiv:2206.00364, appendix B.3

A trick may answer a question itself instead of asking further in; this one does, and the model is asked for nothing but
its size and its schedule. An anagram of two known pictures A and B then ends in (A + v^-1 B) / 2, a hybrid in
lowpass(A) + highpass(B), to the rounding of 8 bits: the mathematics, without a network that can only guess at it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from diffusion_tricks.plugin import Asking, Trick, TrickOptions, UsageError, argument, hookimpl
from diffusion_tricks_plugins.in_places import check_whole
from diffusion_tricks_plugins.picture import leading_to

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step


class ExactOptions(TrickOptions):
    """The prompt that asks for a picture is its file's name without ending: `cat` asks for photos/cat.png."""

    pictures: list[str] = argument(..., "pictures that are known; a file's name without ending asks for it", path=True)

    @field_validator("pictures")
    @classmethod
    def _named(cls, pictures: list[str]) -> list[str]:
        names = [Path(picture).stem for picture in pictures]
        if not names:
            raise ValueError("expected at least one picture that is known, got none")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two pictures are both asked for by {twice!r}; rename one of the files")
        return pictures


class Exact(Trick[ExactOptions]):
    """x0 = the known picture that the prompt names"""

    name = "exact"
    place = "guidance"  # what is exact is not exaggerated

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the pictures at the size of the run, cut to its proportions."""
        from diffusion_tricks.plugin import fit, read_picture, to_tensor

        images = {Path(name).stem: fit(read_picture(name).srgb, run.size) for name in self.options.pictures}
        clean = {name: run.latents_of(to_tensor(image)).float() for name, image in images.items()}
        run.state(self).update(clean=clean)

    @hookimpl(trylast=True)  # innermost: nothing is asked of the model
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer itself."""
        yield from ()  # a generator as any trick's, which asks nothing
        return exactly(ask, step, step.run.state(self)["clean"])


def exactly(ask: Ask, step: Step, clean: dict[str, Tensor]) -> Estimate:
    """The estimate whose clean latents are those that each row's prompt names.

    Raises UsageError for a prompt that names none.
    """
    import torch

    if unknown := [prompt for prompt in ask.rows if prompt not in clean]:
        raise UsageError(f"exact knows {', '.join(map(repr, clean))}, and was asked for {unknown[0]!r}; give that"
                         " picture, too, or name what is asked for as its file is named")  # fmt: skip
    check_whole(Exact.name, ask, step.run, "leave out the trick that shows parts")
    return leading_to(torch.cat([clean[prompt] for prompt in ask.rows if prompt is not None]), ask, step)
