"""eps = sum_i m_i eps(x, prompt_i) / sum_i m_i; where no box is, eps of the run's own prompt    arXiv:2302.08113"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import Asking, Trick, TrickOptions, UsageError, hookimpl, option

if TYPE_CHECKING:  # so that the command line's help costs no torch
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Run, Step


class AreasOptions(TrickOptions):
    area: list[tuple[str, str]] = option(..., "box x0,y0,x1,y1 of 0..1, and its prompt; may repeat", min_length=1)


class Areas(Trick[AreasOptions]):
    """Each box of the picture has its own prompt; where boxes overlap, all of theirs count."""

    name = "areas"

    @hookimpl
    def prompts(self, run: Run) -> Iterable[str | None]:
        """That of each box, which is refused here where it is none."""
        return [prompt for box, prompt in self.options.area if parsed(box)]

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """All prompts in one call, each answer weighted by its box."""
        own, *others = yield [ask, *(ask.but(prompt=prompt) for _, prompt in self.options.area)]
        boxes = [within(parsed(box), ask.x) for box, _ in self.options.area]
        total = sum(boxes[1:], boxes[0])  # (h w)
        start = own * (total == 0)
        return sum((other * (box / total.clamp(min=1)) for other, box in zip(others, boxes, strict=True)), start)


def parsed(box: str) -> tuple[float, ...]:
    """The sides of a box, shares of the picture. Raises UsageError for what is none."""
    sides = tuple(float(side) if side.replace(".", "", 1).isdigit() else -1 for side in box.split(","))
    if len(sides) != 4 or not (0 <= sides[0] < sides[2] <= 1 and 0 <= sides[1] < sides[3] <= 1):
        raise UsageError(f"expected a box x0,y0,x1,y1 of shares of the picture, as 0,0,0.5,1, got {box!r}")
    return sides


def within(box: tuple[float, ...], x: Tensor) -> Tensor:
    """1 within the box and 0 without, (h w), for latents x (b c h w)."""
    mask = x.new_zeros(x.shape[-2:])
    left, top, right, bottom = (round(side * x.shape[-1 - i % 2]) for i, side in enumerate(box))
    mask[top:bottom, left:right] = 1
    return mask


@hookimpl
def register_tricks(register: Callable[..., None]) -> None:
    """Names the class; it is imported when it is used."""
    register("areas", "dt_regions:Areas", summary="a prompt for each box")
