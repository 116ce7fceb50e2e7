"""A given picture in the place of a prompt: one component of it, or one view, is kept, and the rest is made to fit.

    eps = (x - alpha x0) / sigma,   x0 the picture        Factorized Diffusion, arXiv:2404.11615, section 3.5

The answer leads to the picture, from wherever it is asked. Where a component f takes it, the part that f gives of the
noisy latents is f(alpha_t x0 + sigma_t eps) at every step, which is what the paper projects onto, with noise of the
run's own; and after the last step it is f(x0), to which the parts of the others are added. As seen through f that is
f(x0) itself where f is a projection, as gray, lightness and masks are; a blur lets some of the others through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import (
    Asking,
    Estimate,
    Fit,
    Prompted,
    Shown,
    Trick,
    TrickOptions,
    UsageError,
    argument,
    fit,
    flatten,
    hookimpl,
    option,
    read_picture,
)
from diffusion_tricks_plugins.in_places import check_whole

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Run, Size, Step

EIGHT_BIT = 127.5  # levels in what -1..1 has for 1
WHITE = 1 + 0.5 / EIGHT_BIT  # but for rounding
WHOLE = "name the trick that it stands in before the one that shows parts"
SURE = -1.0  # learned variance of an answer that knows x0: the least there is, that of q(x_t-1 | x_t, x0)


class PictureOptions(TrickOptions):
    """`picture:photo.png` in the place of a prompt is short for it."""

    image: str = argument(..., "the picture to keep", path=True)
    fit: Fit = option("crop", "how a picture of other proportions fills the size")


class GivenPicture(Trick[PictureOptions]):
    """eps = (x - alpha x0) / sigma, where x0 is the picture"""

    name = "picture"
    brings_prompts = True

    def seen(self, size: Size) -> Image:
        """The picture at a size, as RGB. Raises PictureError for a file that cannot be read."""
        return fit(flatten(read_picture(self.options.image).srgb), size, self.options.fit)

    def views_of(self, image: Image) -> list[Shown]:
        """The picture as it is, by the name of the file."""
        return [Shown("", image, Path(self.options.image).stem, frame=lambda share: image, said=False)]

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the picture at the size of this run. Raises UsageError where it stands in no place of a prompt."""
        from diffusion_tricks.plugin import to_tensor  # here: it needs torch, the options do not

        if not is_nested(self, run):
            raise UsageError("a picture alone leaves nothing to make; put it in the place of a prompt of another trick,"
                             f' for example `Hybrid(far="picture:{self.options.image}", near="a duck")`')  # fmt: skip
        run.state(self)["clean"] = run.latents_of(to_tensor(self.seen(run.size))).float()

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """What leads to the picture; nothing is asked for it."""
        yield []
        check_whole(self.name, ask, step.run, WHOLE)
        return leading_to(step.run.state(self)["clean"].expand_as(ask.x), ask, step)


def leading_to(clean: Tensor, ask: Ask, step: Step) -> Estimate:
    """The answer that knows the clean latents (b c h w) and leads to them, surely, where a variance is learned."""
    variance = clean * 0 + SURE if step.run.model.family.shape.learned else None
    return Estimate(clean, ask.x, step.level, variance).with_clean(clean)


def is_nested(trick: Trick[Any], run: Run) -> bool:
    """Whether a trick stands in the place of a prompt of another one."""
    return any(one is trick for other in run.tricks for one in other.nested)


def given(said: Prompted) -> GivenPicture | None:
    """The picture that alone stands in the place of a prompt, if one does."""
    built = () if isinstance(said, str) else said.built
    return built[0] if len(built) == 1 and isinstance(built[0], GivenPicture) else None


Kept = Callable[[int, "Tensor"], "Tensor"]  # number of a component, picture (1 3 h w) -> that component


def note_kept(run: Run, image: Image, index: int, asks: Iterable[tuple[str, Prompted]], kept: Kept) -> None:
    """Notes how far a finished picture's components are from those of the pictures that were given for them.

    In the facts, as `kept`: for each the worst and the mean difference, in levels of 8 bits; and, of a model of pixels,
    the share of values that were clipped, as they were darker than black or lighter than white.
    """
    from diffusion_tricks.plugin import to_tensor

    x, rows, last = to_tensor(image), [], run.stages[-1]
    pixels = last.latents[index] if last.latents is not None and last.model.family.scale == 1 else None
    clipped = {} if pixels is None else {"clipped": round(float((pixels.abs() > WHITE).float().mean()), 4)}
    for i, (name, said) in enumerate(asks):
        if (picture := given(said)) is not None:
            off = (kept(i, x) - kept(i, to_tensor(picture.seen(image.size)))).abs() * EIGHT_BIT
            rows.append(
                {"part": name, "worst": round(float(off.max()), 2), "mean": round(float(off.mean()), 3)} | clipped
            )
    if rows:
        run.facts[index]["kept"] = [*run.facts[index].get("kept", []), *rows]
