"""What a hand does to see a view is found by comparing pixels: turns, distances, pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_tricks.generate.shown import seen_through
from diffusion_tricks_show.acts import Act, Distance, Frames, Turn, act_of, pieces_of
from diffusion_tricks_show.pieces import Puzzle, puzzle_of
from diffusion_tricks_show.subject import same, subject_of
from show.illusions import HYBRID, made, pattern

TURNS = {
    "identity": Turn(0, False, False), "flip": Turn(0, True, False), "mirror": Turn(2, True, False),
    "rotate_cw": Turn(1, False, False), "rotate_ccw": Turn(3, False, False), "rotate_180": Turn(2, False, False),
    "rotate:90": Turn(3, False, False), "negate": Turn(0, False, True),
}  # fmt: skip


def act(tmp_path: Path, name: str) -> Act:
    subject = subject_of(made(tmp_path / "a.png", []), [(name, "a")])
    return act_of(subject, subject.views[0])


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_found(tmp_path: Path, name: str) -> None:
    assert act(tmp_path, name) == TURNS[name]
    assert same(TURNS[name].seen(pattern()), seen_through(name, pattern()))


@pytest.mark.parametrize("name", ["skew", "rotate:30", "inner_circle"])
def test_what_is_no_turn_is_shown_frame_by_frame(tmp_path: Path, name: str) -> None:
    found = act(tmp_path, name)
    assert isinstance(found, Frames)
    assert found.puzzle is None
    assert same(found.frames[-1], seen_through(name, pattern()))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.5])
def test_the_blur_of_a_hybrid_is_found_from_its_pixels(tmp_path: Path, sigma: float) -> None:
    """Sigma is of 64 pixels, as it is for the trick."""
    subject = subject_of(made(tmp_path / "a.png", [{**HYBRID[0], "sigma": sigma}]))
    near, far = (act_of(subject, view) for view in subject.views)
    assert near == Turn(0, False, False)
    assert isinstance(far, Distance)
    assert far.sigma * 64 == pytest.approx(sigma, rel=0.03)


def put_together(image: Image.Image, puzzle: Puzzle) -> Image.Image:
    """The pieces cut from a picture, and laid where they are seen."""
    whole = np.asarray(image)
    page = np.zeros_like(whole)
    filled = np.zeros(whole.shape[:2], int)
    for number, piece in enumerate(puzzle.pieces):
        rows, columns = slice(piece.y, piece.y + piece.height), slice(piece.x, piece.x + piece.width)
        mask = np.rot90(puzzle.labels[rows, columns] == number, -piece.quarters)
        pixels = np.rot90(whole[rows, columns], -piece.quarters)
        top, left = round(piece.seen_y - mask.shape[0] / 2), round(piece.seen_x - mask.shape[1] / 2)
        there = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        page[there][mask] = pixels[mask]
        filled[there] += mask
    assert (filled == 1).all()
    return Image.fromarray(page)


@pytest.mark.parametrize("name", ["patches:4,seed=3", "patches:8", "jigsaw:4,seed=3", "jigsaw:3,seed=1", "hinge"])
@pytest.mark.parametrize("side", [48, 96])
def test_pieces_put_together_by_hand_are_the_view(name: str, side: int) -> None:
    puzzle = pieces_of(name, (side, side))
    assert puzzle is not None
    assert same(put_together(pattern(side), puzzle), seen_through(name, pattern(side)))


def test_as_many_pieces_as_the_view_has() -> None:
    """Neighbours that stay neighbours are one."""
    puzzle = pieces_of("patches:4,seed=3", (64, 64))
    assert puzzle is not None
    assert 12 <= len(puzzle.pieces) <= 16
    assert len(np.unique(puzzle.labels)) == len(puzzle.pieces)


def test_no_pieces_where_pixels_are_mixed_or_lost() -> None:
    places = np.indices((16, 16)).astype(float)
    assert puzzle_of(places / 2) is None
    assert puzzle_of(np.zeros_like(places)) is None
    assert puzzle_of(places) is None, "one piece is no puzzle"
    assert puzzle_of(np.random.default_rng(0).permutation(places.reshape(2, -1).T).T.reshape(2, 16, 16)) is None
    assert pieces_of("no such view", (16, 16)) is None
