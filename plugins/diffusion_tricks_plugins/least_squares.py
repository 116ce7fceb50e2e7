"""The one picture that all views see best, in least squares, each as far as its window goes.

    p = argmin_p sum_i w_i |W_i (A_i p - p_i)|^2

A_i: view i, a linear map. W_i: its window, what of the view the picture fills. p_i: what the view shows. The normal
equations  sum_i w_i A_i^T W_i^2 A_i p = sum_i w_i A_i^T W_i^2 p_i  are solved by conjugate gradients (Hestenes and
Stiefel 1952) from the mean of the views, `ITERATIONS` of them: what no view sees stays as it is there, and what they
see but faintly is not driven to extremes. Orthogonal views have W_i = 1 and A_i^T A_i = 1: theirs is the weighted mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import View

ITERATIONS = 20
SMALLEST = 1e-20  # of squared lengths: what divides

Weights = Sequence["float | Tensor"]  # one per view, for all pictures or for each of them (b 1 1 1)


def least_squares(
    views: Sequence[View], seen: Sequence[Tensor], weights: Weights, start: Tensor, iterations: int = ITERATIONS
) -> Tensor:
    """The picture (b c h w) that the views see as `seen`, as nearly as can be; of each of a batch by itself.

    seen: p_i, what each view shows (b c h w). weights: w_i, >= 0. start: where the search begins (b c h w).
    """
    windows = [weight * view.filled(start).square() for view, weight in zip(views, weights, strict=True)]

    def back(parts: Sequence[Tensor]) -> Tensor:
        """sum_i A_i^T W_i^2 w_i x_i."""
        turned = (adjoint(view, window * x) for view, window, x in zip(views, windows, parts, strict=True))
        return sum(turned, start * 0)

    p = start
    r = d = back([x - view.apply(p) for view, x in zip(views, seen, strict=True)])
    for _ in range(iterations):
        q = back([view.apply(d) for view in views])
        step = squared(r, r) / squared(d, q).clamp(min=SMALLEST)
        p, left = p + step * d, r - step * q
        r, d = left, left + squared(left, left) / squared(r, r).clamp(min=SMALLEST) * d
    return p


def squared(x: Tensor, y: Tensor) -> Tensor:
    """The inner product of each of a batch (b 1 1 1)."""
    return (x * y).sum((1, 2, 3), keepdim=True)


def adjoint(view: View, y: Tensor) -> Tensor:
    """A^T y (b c h w) of a view: as A is linear, the derivative of <A p, y> by p, wherever."""
    import torch  # here, so that the options of tricks can be read without it

    with torch.enable_grad():
        p = torch.zeros_like(y, requires_grad=True)
        (turned,) = torch.autograd.grad(view.apply(p), p, y)
    return turned


__all__ = ["adjoint", "least_squares"]
