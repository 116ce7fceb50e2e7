"""The way begins at the picture and ends at the view, no corner leaves it, and a film goes that way."""

from __future__ import annotations

from pathlib import Path

import torch
from dt_cartwheel import cartwheel
from PIL import Image, ImageSequence

from diffusion_tricks.plugin import view_named
from diffusion_tricks.testing import run_command


def waves() -> torch.Tensor:
    """A smooth picture, (1 3 24 24)."""
    down, across = torch.linspace(0, 3, 24)[:, None], torch.linspace(0, 2, 24)
    return torch.sin(down + across).expand(1, 3, 24, 24)


def test_it_begins_at_the_picture_and_ends_at_the_view() -> None:
    view, picture = view_named("rotate_180"), waves()
    torch.testing.assert_close(cartwheel(view, picture, 0), picture, atol=1e-5, rtol=0)
    torch.testing.assert_close(cartwheel(view, picture, 1), view.apply(picture), atol=1e-5, rtol=0)


def test_half_way_it_is_a_quarter_turn() -> None:
    seen = cartwheel(view_named("rotate_180"), waves(), 0.5)
    turned = [waves().rot90(k, (-2, -1)) for k in (1, -1)]
    assert min(float((seen - one).abs().max()) for one in turned) < 1e-5


def test_no_corner_leaves_it() -> None:
    black = cartwheel(view_named("rotate_180"), -torch.ones(1, 3, 64, 64), 0.25)
    assert float(black[..., 0, :16].min()) == 1  # white at the rim
    assert abs(float((black < 0).float().mean()) - 0.5) < 0.05  # a diamond


def test_a_film_goes_that_way(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "photo.png")
    views = ("--view", "identity", "a pear", "--view", "rotate_180", "a bulb", "--no-captions")
    outcome = run_command(
        "film", tmp_path / "photo.png", *views, "-o", tmp_path / "film.gif", "--fps", 4, "--seconds", 4
    )
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "film.gif") as film:
        corners = [frame.convert("RGB").getpixel((1, 1)) for frame in ImageSequence.Iterator(film)]
    assert (255, 255, 255) in corners
