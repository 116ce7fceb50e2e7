"""What a pipeline's `encode_prompt` gives, kept as rows of the denoiser and given back.

Tuples are kept as dictionaries by position, so that rows are stacked as all others are.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diffusion_tricks.families.onestep import Leaving


class Encoding:
    """Stands for `encode_prompt`: does what that does, and keeps what it gives, call by call."""

    def __init__(self, own: Any):
        self.own, self.calls, self.out = own, list[Any](), Leaving()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the pipeline's own gives."""
        self.out.check()
        self.calls.append(self.own(*arguments, **named))
        return self.calls[-1]

    @property
    def kept(self) -> dict[int, Any]:
        """Every call's result in order, tuples as dictionaries by position, as rows of the denoiser hold them."""
        return {i: dict(enumerate(call)) if isinstance(call, tuple) else call for i, call in enumerate(self.calls)}


class Encoded:
    """Stands for `encode_prompt`: gives again what `Encoding` kept, call by call."""

    def __init__(self, kept: dict[int, Any]):
        self.results, self.out = iter(kept.values()), Leaving()

    def __call__(self, *_: Any, **__: Any) -> Any:
        """What the pipeline's own gave in the same place."""
        self.out.check()
        result = next(self.results)
        return (
            tuple(result.values()) if isinstance(result, dict) and all(isinstance(k, int) for k in result) else result
        )


def negative(off: dict[int, Any], on: dict[int, Any]) -> dict[int, Any]:
    """The texts of the unconditional, as the conditional's: what guidance fills of each call's result, in order.

    off, on: the calls of `encode_prompt` for the empty text, with guidance and without. Where it is not as many
    results that guidance fills as there are without it, they are those of the empty text.
    """
    found = {i: _filled(off[i], on.get(i)) for i in off}
    return off if any(texts is None for texts in found.values()) else found


def _filled(off: Any, on: Any) -> dict[int, Any] | None:
    if not isinstance(off, dict) or not isinstance(on, dict):
        return None
    there, empty = [k for k in off if off[k] is not None], [k for k in off if off[k] is None]
    if len(there) != len(empty) or any(on.get(k) is None for k in empty):
        return None
    return {**off, **{k: on[other] for k, other in zip(there, empty, strict=True)}}


def doubled(one: Any, two: Any) -> bool:
    """Whether texts of several prompts are those of each, row by row: `two` of a prompt given twice, `one` of it."""
    if isinstance(one, dict):
        return all(doubled(one[name], two[name]) for name in one)
    if isinstance(one, Tensor):
        return two.shape == (2 * len(one), *one.shape[1:]) if one.ndim else True
    return len(two) == 2 * len(one) if isinstance(one, list) else True
