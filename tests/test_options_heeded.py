"""An option that would say something of what is not there is refused; where that is there, it is taken."""

from __future__ import annotations

from typing import Any

import pytest

from diffusion_tricks import Trick, UsageError
from diffusion_tricks_plugins import Hybrid, Inpaint, Overlay

TITLE = {"title": "x"}
PAIR = {"far": "a", "near": "b"}
MASKED = {"mask": "box:0,0,9,9"}
# trick, what is given, an option that is then of no use, what makes it of use, what the message holds
IDLE: list[tuple[type[Trick[Any]], dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    (Hybrid, PAIR, {"mid_sigma": 3}, {"mid": "c"}, "`mid_sigma` is of no use without `mid`"),
    (Hybrid, PAIR | {"split": "color"}, {"sigma": 3}, {"split": "frequency"}, "sigma is of bands of frequencies"),
    (Overlay, TITLE, {"stroke_color": "red"}, {"stroke": 2}, "`stroke_color` is of no use without `stroke`"),
    (Overlay, TITLE, {"shadow_color": "red"}, {"shadow": (1, 1)}, "without `shadow` or `shadow_blur`"),
    (Overlay, TITLE, {"shadow_color": "red"}, {"shadow_blur": 2}, "without `shadow` or `shadow_blur`"),
    (Overlay, TITLE, {"author_size": 9}, {"author": "y"}, "`author_size` is of no use without `author`"),
    (Overlay, TITLE, {"text_position": "top"}, {"text": "y"}, "`text_position` is of no use without `text`"),
    (Inpaint, MASKED, {"mask_fit": True}, {"mask": "mask.png"}, "mask_fit is for a mask in a file"),
]


@pytest.mark.parametrize(("trick", "given", "idle", "of_use", "message"), IDLE)
def test_what_would_do_nothing_is_refused(
    trick: type[Trick[Any]], given: dict[str, Any], idle: dict[str, Any], of_use: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        trick(**given, **idle)
    trick(**given)
    trick(**{**given, **of_use}, **idle)


def test_the_default_value_says_nothing() -> None:
    assert Hybrid(far="a", near="b", mid_sigma=1.0).options.mid is None
