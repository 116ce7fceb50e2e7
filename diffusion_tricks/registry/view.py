"""Views: what they are, how they are named, and the numeric check that they keep noise what it was.

A view is a linear map. An orthogonal one may act on noisy latents: with A A^T = I, noise seen through it is still
N(0, I), which is what the model expects (Visual Anagrams, arXiv:2311.17919, section 3.3). Any other says
`orthogonal = False`; it acts on clean pictures alone.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.checked import Checked
from diffusion_tricks.registry.from_words import from_words
from diffusion_tricks.types import Outline, Size

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.diffusion.ask import Ask
    from diffusion_tricks.diffusion.estimate import Estimate


class View(Checked):
    """Base of every view: its fields are its parameters, so `patches:8,seed=3` sets them in order or by name.

    `apply` and `invert` take (b c h w) and give the same shape and dtype; the input is left untouched.

    orthogonal: noise seen through it is still N(0, I). latent: it does to a VAE's latents, without artefacts, what it
    does to their picture, as flips and quarter turns do.
    Raises UsageError for parameters that it does not take, and where it is shown a picture that it does not fit.
    """

    orthogonal: ClassVar[bool] = True
    latent: ClassVar[bool] = False
    _called: ClassVar[str] = "view {}"
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """What the viewer sees, (b c h w)."""

    @abstractmethod
    def invert(self, x: Tensor) -> Tensor:
        """The inverse of `apply`, (b c h w)."""

    def apply_mask(self, x: Tensor) -> Tensor:
        """`apply` for a mask (b 1 h w) of 0..1: moved in space, never negated."""
        return self.apply(x)

    def invert_variance(self, x: Tensor) -> Tensor:
        """The inverse for a variance (b c h w): moved in space, never negated."""
        return self.invert(x)

    def seen(self, x: Tensor) -> Tensor:
        """The share of each pixel of a picture `x` (b c h w) that the viewer sees, 0..1 (1 1 h w); by default 1."""
        return x.new_ones(1, 1, *x.shape[-2:])

    def filled(self, x: Tensor) -> Tensor:
        """The share of each pixel of what the viewer sees that a picture `x` (b c h w) fills, 0..1 (1 1 h w)."""
        return x.new_ones(1, 1, *x.shape[-2:])

    def pieces(self, size: Size) -> list[Outline]:
        """The outlines along which scissors cut a picture of that size for this view; none by default.

        They are closed polygons in pixels from the top left corner; what two pieces share has the same points in both.
        """
        return []

    def folds(self, size: Size) -> list[Outline]:
        """The lines, in the same pixels, along which a picture of that size is folded for it; none by default.

        Of a view in pieces: what of their outlines is not cut, so that they hang together.
        """
        return []

    def instruction(self) -> str:
        """What a person does to see it, as one would tell them: "turn the page a quarter clockwise"."""
        return f"look at it by the view {_words(type(self).__name__)!r}"

    def frame(self, picture: Tensor, share: float) -> Tensor:
        """A picture (b c h w) of -1..1 on its way to what the viewer sees: itself at share 0, `apply` of it at 1."""
        if share <= 0:
            return picture
        return self.apply(picture) if share >= 1 else _movement(self)(self, picture, share)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """What `frame` shows at a share between 0 and 1, (b c h w); by default the one fades into the other."""
        return picture.lerp(self.apply(picture), share)

    def through(self, ask: Ask, **changes: Any) -> Ask:
        """The question seen through this view, with what the model sees beside `x`; `changes` as for `Ask.but`."""
        return ask.through(self, **changes)

    def back(self, estimate: Estimate, x: Tensor) -> Estimate:
        """An estimate made through this view, as an estimate about the unseen-through latents `x`."""
        return estimate.moved(self.invert, self.invert_variance, x)


def _movement(view: View) -> Callable[[View, Tensor, float], Tensor]:
    """How a film goes through a view: as was registered last for its name, else by its own `between`."""
    kind = type(view)
    target = f"{kind.__module__}:{kind.__qualname__}"
    names = {entry.name for entry in host().entries("view").values() if entry.target == target}
    found = [entry for entry in host().entries("movement").values() if entry.notes.get("view") in names]
    movement: Callable[[View, Tensor, float], Tensor] = found[-1].load() if found else kind.between
    return movement


def _words(name: str) -> str:
    """`InnerCircle` as "inner circle"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


class Composed(View):
    """One view after the other: `rotate_cw|negate`. Orthogonal, and fit for latents, if all of them are.

    views: at least two, the first is what the picture is seen through first.
    """

    views: tuple[View, ...]

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """If every view is."""
        return all(view.orthogonal for view in self.views)

    @property
    def latent(self) -> bool:  # type: ignore[override]
        """If every view is."""
        return all(view.latent for view in self.views)

    def apply(self, x: Tensor) -> Tensor:
        """Through the first view, then the next."""
        return reduce(lambda x, view: view.apply(x), self.views, x)

    def invert(self, x: Tensor) -> Tensor:
        """Back from the last view, then from the one before."""
        return reduce(lambda x, view: view.invert(x), reversed(self.views), x)

    def apply_mask(self, x: Tensor) -> Tensor:
        """As `apply`, view by view."""
        return reduce(lambda x, view: view.apply_mask(x), self.views, x)

    def invert_variance(self, x: Tensor) -> Tensor:
        """As `invert`, view by view."""
        return reduce(lambda x, view: view.invert_variance(x), reversed(self.views), x)

    def seen(self, x: Tensor) -> Tensor:
        """What every view sees of what the views before it show."""
        share = x.new_ones(1, 1, *x.shape[-2:])
        for view in reversed(self.views):
            share = view.seen(x) * view.invert_variance(share).clamp(0, 1)
        return share

    def filled(self, x: Tensor) -> Tensor:
        """What every view fills with what is filled of the views before it."""
        share = x.new_ones(1, 1, *x.shape[-2:])
        for view in self.views:
            share = view.filled(x) * view.apply_mask(share).clamp(0, 1)
        return share

    def instruction(self) -> str:
        """One thing after the other."""
        return ", then ".join(view.instruction() for view in self.views)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Each view's own way, one after the other, all of the same length."""
        turn = min(int(share * len(self.views)), len(self.views) - 1)
        begun = reduce(lambda x, view: view.apply(x), self.views[:turn], picture)
        return self.views[turn].frame(begun, share * len(self.views) - turn)


def view_named(text: str) -> View:
    """The view that `name` or `name:value,...,parameter=value,...` stands for, or several of them, `a|b`, for a then b.

    Raises UnknownName for an unknown view, UsageError for parameters it does not take or lacks.
    """
    parts = text.split("|")
    return Composed(views=tuple(map(_one_named, parts))) if len(parts) > 1 else _one_named(text)


def _one_named(text: str) -> View:
    def found(name: str) -> type[View]:
        kind: type[View] = host().find("view", name).load()
        return kind

    return from_words("view", text, found)


def orthogonality_error(view: View, shape: tuple[int, int, int], seed: int = 0) -> float:
    """How far a view is from an orthogonal map on (c h w): 0 for a permutation with signs.

    The larger of |x - invert(apply(x))| and the relative error of <apply(x), apply(y)> = <x, y>, over Gaussian x
    and y in float64. For a linear map both vanish for random vectors only if A^T A = I and the inverse is right.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(1, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    seen_x, seen_y = view.apply(x), view.apply(y)
    inverse = (view.invert(seen_x) - x).abs().max()
    products = [((a * b).sum(), (u * v).sum()) for a, b, u, v in ((x, x, seen_x, seen_x), (x, y, seen_x, seen_y))]
    scale = (x * x).sum()
    return float(max(inverse, *(abs(true - seen) / scale for true, seen in products)))
