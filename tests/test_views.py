"""Views: the registry, their parameters, their direction, and that they keep noise what it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks import Ask
from diffusion_tricks.diffusion.conditioning import SEEN, Condition
from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.view import View, orthogonality_error, view_named
from diffusion_tricks.testing import check_view
from diffusion_tricks_plugins.views.orthogonal import SHUFFLING_BYTES, shuffling
from diffusion_tricks_plugins.views.pieces import Jigsaw

PLAIN = [name for name, entry in host().entries("view").items() if "example" not in entry.notes]  # as it stands
PLAIN = [name for name in PLAIN if not name.startswith(("scale", "lens", "cylinder", "cone", "polar"))]  # see WARPS
ORDER = Path(__file__).with_name("order.txt")  # 2 x 3 cells
QUARTERS = ["rotate:270", "rotate:-90.0"]
NAMED = [*PLAIN, *QUARTERS, "skew:-0.7", "patches:4,seed=3", "inner_circle:90", "inner_circle:-270,radius=0.5"]
NAMED += ["jigsaw:4,seed=3", "jigsaw:4x6", "jigsaw:1x3", "hinge:3", f"permute:{ORDER}", "orthogonal:5"]
COMPOSED = ["rotate_cw|negate", "skew:-0.7|patches:4,seed=3|flip"]
NAMED += COMPOSED
WARPS = ["scale", "scale:2", "lens", "lens:0.5", "cylinder", "cone", "polar"]
TURNS = ["rotate:135", "rotate:-17.5", "rotate:90.001", "inner_circle:30", *WARPS]
VIEWS = [*NAMED, *TURNS]
ORTHOGONAL = [name for name in NAMED if view_named(name).orthogonal]


@pytest.mark.parametrize("name", VIEWS)
def test_every_registered_view_holds_what_a_view_must(name: str) -> None:
    check_view(name)


class Rolled(View):
    by: list[int]

    def apply(self, x: Tensor) -> Tensor:
        return x.roll(self.by, (-2, -1))

    def invert(self, x: Tensor) -> Tensor:
        return x.roll([-by for by in self.by], (-2, -1))


def test_a_view_with_a_list_holds_in_both_stages() -> None:
    """It is no key of a dictionary; beside a question there may be a picture that is moved once for each view."""
    view = Rolled(by=[3, 5])
    check_view(view)
    ask = Ask(torch.randn(1, 3, 8, 8), "a", Condition(torch.randn(1, 3, 8, 8)))
    first, again = view.through(ask).condition, view.through(ask).condition
    assert first is not None
    assert first is again
    assert torch.equal(first.picture, view.apply(ask.condition.picture))  # type: ignore[union-attr]
    assert Rolled(by=[3, 6]).through(ask).condition is not first


def test_check_view_sees_what_a_second_stage_would() -> None:
    class Smaller(Rolled):
        def apply_mask(self, x: Tensor) -> Tensor:
            return x[..., 1:]

    with pytest.raises(AssertionError, match=r"apply_mask gave the shape \(2, 1, 64, 63\), expected \(2, 1, 64, 64\)"):
        check_view(Smaller(by=[1, 1]))

    class Unwieldy(Rolled):
        def through(self, ask: Ask, **changes: Any) -> Ask:
            return ask.but(x=self.apply(ask.x), **changes)

    with pytest.raises(AssertionError, match=r"leaves the picture beside a question as it is"):
        check_view(Unwieldy(by=[1, 1]))


def test_views_that_are_made_anew_in_every_step_do_not_fill_the_memory() -> None:
    ask = Ask(torch.randn(1, 3, 8, 8), "a", Condition(torch.randn(1, 3, 8, 8)))
    for shift in range(2 * SEEN):
        Rolled(by=[shift, 0]).through(ask)
    assert len(ask.condition._seen) == SEEN  # type: ignore[union-attr]


def test_shuffled_patches_do_not_fill_the_memory() -> None:
    shuffling.cache.clear()
    for seed in range(80):
        shuffling(256**2, seed, torch.device("cpu"))
    assert 0 < shuffling.cache.currsize <= SHUFFLING_BYTES
    again = shuffling(256**2, 79, torch.device("cpu"))
    assert again is shuffling(256**2, 79, torch.device("cpu"))


@pytest.mark.parametrize("angle", [30, 135, -17.5])
def test_rotate_holds_what_a_view_must_on_pictures_that_are_not_square(angle: float) -> None:
    check_view(f"rotate:{angle}", (3, 32, 48))


def test_only_turns_that_are_not_by_quarters_are_not_orthogonal() -> None:
    assert [name for name in VIEWS if name not in ORTHOGONAL] == TURNS
    latent = [name for name in VIEWS if view_named(name).latent]
    turns = ["rotate_cw", "rotate_ccw", "rotate_180", *QUARTERS]
    assert latent == ["identity", "flip", "mirror", *turns]


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_every_registered_view_is_exactly_orthogonal(name: str) -> None:
    """All but one are permutations with signs: the matrix itself is orthogonal to the last bit."""
    basis = torch.eye(3 * 8 * 8, dtype=torch.float64).reshape(-1, 3, 8, 8)
    matrix = view_named(name).apply(basis).reshape(len(basis), -1)
    tolerance = 1e-14 if name.startswith("orthogonal") else 0
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=tolerance)
    assert orthogonality_error(view_named(name), (3, 64, 64)) < 1e-12


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("identity", lambda page: page),
        ("flip", np.flipud),
        ("mirror", np.fliplr),
        ("rotate_cw", lambda page: np.rot90(page, k=-1)),
        ("rotate_ccw", lambda page: np.rot90(page, k=1)),
        ("rotate_180", lambda page: np.rot90(page, k=2)),
        ("negate", np.negative),
    ],
)
def test_orientation_is_numpys(name: str, reference: object) -> None:
    page = np.arange(36.0).reshape(6, 6)
    seen = view_named(name).apply(torch.from_numpy(page)[None, None])[0, 0]
    assert np.array_equal(seen.numpy(), reference(page))


@pytest.mark.parametrize(("angle", "quarters"), [(0, 0), (90, 1), (180, 2), (270, 3), (-90, -1), (450, 1)])
def test_rotate_by_quarters_is_numpys(angle: int, quarters: int) -> None:
    page = np.random.default_rng(0).normal(size=(9, 9))
    view = view_named(f"rotate:{angle}")
    x = torch.from_numpy(page)[None, None]
    seen = view.apply(x)
    for method in (view.apply, view.apply_mask):
        np.testing.assert_array_equal(method(x)[0, 0].numpy(), np.rot90(page, quarters))
    for method in (view.invert, view.invert_variance):
        np.testing.assert_array_equal(method(seen)[0, 0].numpy(), page)
    assert (seen is x) == (quarters == 0)  # so that equal asks are answered once
    named = {0: "identity", 1: "rotate_ccw", 2: "rotate_180", 3: "rotate_cw", -1: "rotate_cw"}[quarters]
    torch.testing.assert_close(seen, view_named(named).apply(x), rtol=0, atol=0)
    assert bool((view.seen(seen) == 1).all())
    assert bool((view.filled(seen) == 1).all())


@pytest.mark.parametrize("size", [(64, 64), (64, 40)])
@pytest.mark.parametrize("angle", [30, -77.7, 135])
def test_rotate_is_pillows_where_the_picture_reaches(angle: float, size: tuple[int, int]) -> None:
    """Pillow interpolates with another cubic (a = -0.5, ours -0.75), so they differ by less than 0.01."""
    down, across = np.meshgrid(np.linspace(0, 5, size[1]), np.linspace(0, 3, size[0]), indexing="ij")
    page = np.sin(down + across).astype(np.float32)
    pillows = Image.fromarray(page).rotate(angle, Image.Resampling.BICUBIC)
    x = torch.from_numpy(page)[None, None]
    view = view_named(f"rotate:{angle}")
    whole = (view.filled(x) == 1)[0, 0].numpy()
    inner = whole & (np.asarray(pillows) != 0)  # Pillow leaves the pixels at the very edge empty
    assert inner.sum() > 0.5 * page.size
    np.testing.assert_allclose(view.apply(x)[0, 0].numpy()[inner], np.asarray(pillows)[inner], atol=0.01)


def test_what_is_turned_out_of_the_frame_is_not_seen() -> None:
    """By 45 degrees, a square of side 2 keeps the octagon |x| + |y| <= sqrt(2), whichever way one looks at it."""
    view, x = view_named("rotate:45"), torch.zeros(1, 1, 64, 64)
    at = (torch.arange(64) - 31.5).abs() / 32
    distance = at[:, None] + at  # of the corners: 2
    for share in (view.seen(x)[0, 0], view.filled(x)[0, 0]):
        assert torch.equal(share == 1, distance <= math.sqrt(2))
        assert torch.equal(share == 0, distance > math.sqrt(2) * (1 + 1 / 8))  # 4 pixels further out


def test_a_mask_and_a_variance_keep_their_range_when_they_are_turned() -> None:
    """A cubic overshoots at an edge, which a picture bears and a mask does not."""
    view, mask = view_named("rotate:30"), torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    assert float(view.apply(mask).max()) > 1.01
    for turned in (view.apply_mask(mask), view.invert_variance(mask)):
        assert 0 <= float(turned.min()) < float(turned.max()) <= 1 + 1e-6
    torch.testing.assert_close(view.apply_mask(mask).rot90(1, (2, 3)), view_named("rotate:120").apply_mask(mask))


def test_skew_shifts_columns_around_the_edge() -> None:
    page = np.arange(64.0).reshape(8, 8)
    seen = view_named("skew").apply(torch.from_numpy(page)[None, None])[0, 0].numpy()
    for j in range(8):
        assert np.array_equal(seen[:, j], np.roll(page[:, j], round(1.5 * (j - 3.5))))


def test_patches_move_whole_and_follow_the_seed() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    seen = view_named("patches:4,seed=3").apply(x)
    assert not torch.equal(seen, view_named("patches:4,seed=4").apply(x))
    assert torch.equal(seen, view_named("patches:grid=4, seed=3").apply(x))

    def patches(page: Tensor) -> set[tuple[float, ...]]:
        return {tuple(page[0, 0, i : i + 2, j : j + 2].flatten().tolist()) for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)}

    assert patches(seen) == patches(x)
    assert not torch.equal(seen, x)


def test_inner_circle_turns_the_disc_of_radius_three_eighths_alone() -> None:
    x = torch.arange(64.0 * 64).reshape(1, 1, 64, 64)
    seen, turned = view_named("inner_circle").apply(x), x.rot90(2, (-2, -1))
    for i, j in ((32, 32), (32, 55), (32, 56), (10, 32), (0, 0), (5, 40)):
        inside = math.hypot(i - 31.5, j - 31.5) <= 24
        assert seen[0, 0, i, j] == (turned if inside else x)[0, 0, i, j]


def test_a_variance_is_moved_but_never_negated() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(view_named("negate").invert_variance(x), x)
    assert torch.equal(view_named("flip").invert_variance(x), x.flip(-2))


class Blurred(View):
    """Not orthogonal, though its inverse is right."""

    def apply(self, x: Tensor) -> Tensor:
        return x * 0.5

    def invert(self, x: Tensor) -> Tensor:
        return x / 0.5


class Turned(View):
    """Orthogonal, but its inverse is wrong."""

    def apply(self, x: Tensor) -> Tensor:
        return x.rot90(1, (-2, -1))

    def invert(self, x: Tensor) -> Tensor:
        return x.rot90(1, (-2, -1))


class Sheared(View):
    """Keeps the length of most of what it is shown, but not its angles."""

    def apply(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1, :] + x[..., 1:2, :], x[..., 1:, :]], dim=-2)

    def invert(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1, :] - x[..., 1:2, :], x[..., 1:, :]], dim=-2)


class Scribbling(View):
    """Writes into what it is handed."""

    def apply(self, x: Tensor) -> Tensor:
        return x.neg_()

    def invert(self, x: Tensor) -> Tensor:
        return -x


class Shrunk(View):
    """Says that it is not orthogonal, but has no inverse either."""

    orthogonal: ClassVar[bool] = False

    def apply(self, x: Tensor) -> Tensor:
        return x * 0.5

    def invert(self, x: Tensor) -> Tensor:
        return x * 1.5


class Hidden(Shrunk):
    """Sees nothing, so that nothing can be wrong, but for the shape."""

    def seen(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Latent(Shrunk):
    """Cannot act on latents, as it is not orthogonal, and says it does."""

    latent: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (Shrunk(), r"invert\(apply\(x\)\) is 0.25 off x where it is seen"),
        (Hidden(), r"seen gave the shape \(2, 3, 16, 16\), expected \(1, 1, 16, 16\)"),
        (Latent(), "says latent, which only a view that is orthogonal can be"),
    ],
)
def test_a_view_that_is_not_what_it_says_is_detected(view: View, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_view(view, (3, 16, 16))


def test_a_view_that_says_it_is_not_orthogonal_may_be_so() -> None:
    class Halved(Blurred):
        orthogonal: ClassVar[bool] = False

    check_view(Halved(), (3, 16, 16))


@pytest.mark.parametrize("view", [Blurred(), Turned(), Sheared()])
def test_a_view_that_is_not_orthogonal_is_detected(view: View) -> None:
    assert orthogonality_error(view, (3, 16, 16)) > 1e-3
    with pytest.raises(AssertionError, match=r"not orthogonal|is not x"):
        check_view(view, (3, 16, 16))


def test_a_view_that_writes_into_its_input_is_detected() -> None:
    with pytest.raises(AssertionError, match="apply wrote into its input"):
        check_view(Scribbling(), (3, 16, 16))


def test_unknown_view_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown view 'flp'; did you mean 'flip'\?"):
        view_named("flp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip:3", "view 'flip' takes no parameters, got 1"),
        ("patches:8,3,1", r"view 'patches' takes 2 parameters \(grid, seed\), got 3"),
        ("patches:grid=8,size=3", "view 'patches' has no parameter 'size'; it takes: grid, seed"),
        ("patches:8,grid=4", "parameter 'grid' is given twice, as '8' and '4'"),
        ("patches:eight", "view 'patches:eight': grid: expected a whole number, got 'eight'"),
        ("patches:0", "grid: expected at least 1, got '0'"),
        ("rotate", "^view 'rotate' needs degrees; expected rotate:DEGREES$"),
        ("rotate:", "^view 'rotate' needs degrees; expected rotate:DEGREES$"),
        ("rotate:askew", "degrees: expected a number, got 'askew'"),
        ("skew:nan", "factor: .*finite number"),
        ("inner_circle:180,radius=0.7", "radius: expected at most 0.5"),
    ],
)
def test_bad_parameters_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        view_named(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rotate_cw", "^a quarter turn needs a square picture; set `size` to a square$"),
        ("rotate:-90", "^a quarter turn needs a square picture; set `size` to a square$"),
        ("patches:3", "needs a height and width that 3 divides, got 8x16"),
        ("jigsaw:9x17", "^jigsaw:9x17 needs at least 9x17 pixels, got 8x16$"),
        ("hinge:9", "^hinge:9 needs at least 9 pixels a side, got 8x16$"),
    ],
)
def test_a_view_that_does_not_fit_the_size_says_so(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        view_named(text).apply(torch.zeros(1, 3, 16, 8))


@pytest.mark.parametrize("name", VIEWS)
def test_a_film_of_a_view_begins_and_ends_exactly(name: str) -> None:
    """Between its ends it is a picture of the same shape, in range, that has changed."""
    view = view_named(name)
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = picture.clone()
    assert torch.equal(view.frame(picture, 0), picture)
    assert torch.equal(view.frame(picture, 1), view.apply(picture))
    for share in (0.01, 0.5, 0.99):
        frame = view.frame(picture, share)
        assert frame.shape == picture.shape
        assert frame.dtype == picture.dtype
        assert float(frame.abs().max()) <= 1.01 or name.startswith("orthogonal")
    assert torch.equal(picture, before)


def test_a_film_fades_from_the_one_to_the_other_by_default() -> None:
    picture = torch.rand(1, 3, 8, 8)
    frame = Rolled(by=[1, 0]).frame(picture, 0.25)
    torch.testing.assert_close(frame, 0.75 * picture + 0.25 * picture.roll(1, -2))


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_tells_a_person_what_to_do(name: str) -> None:
    said = view_named(name).instruction()
    assert 10 < len(said) < 200
    assert said[0].islower()
    assert not said.endswith(".")


def test_a_view_that_says_nothing_is_named() -> None:
    assert Rolled(by=[1, 0]).instruction() == "look at it by the view 'rolled'"


def test_views_are_composed_from_the_left() -> None:
    view, x = view_named("rotate_cw | negate|patches:4,seed=3"), torch.randn(2, 3, 8, 8)
    seen = view_named("patches:4,seed=3").apply(-x.rot90(-1, (-2, -1)))
    assert torch.equal(view.apply(x), seen)
    assert torch.equal(view.invert(seen), x)
    mask = torch.rand(2, 1, 8, 8)
    moved = view_named("rotate_cw|patches:4,seed=3").apply(mask)
    assert torch.equal(view.apply_mask(mask), moved)
    assert torch.equal(view.invert_variance(moved), mask)
    assert view.instruction() == ", then ".join(map(str, [one.instruction() for one in view.views]))  # type: ignore[attr-defined]


def test_composed_views_are_what_their_parts_are() -> None:
    latent = {"flip|rotate_cw": True, "flip|negate": False}
    assert {name: view_named(name).latent for name in latent} == latent
    assert view_named("flip|negate").orthogonal
    assert not view_named("flip|rotate:30").orthogonal
    x = torch.zeros(1, 3, 64, 64)
    turn, both = view_named("rotate:30"), view_named("rotate:30|flip")
    torch.testing.assert_close(both.seen(x), turn.seen(x))
    torch.testing.assert_close(both.filled(x), turn.filled(x).flip(-2))
    there_and_back = view_named("rotate:45|rotate:-45")
    inner = there_and_back.seen(x)[..., 16:48, 16:48]
    torch.testing.assert_close(inner, torch.ones_like(inner))
    assert float(there_and_back.seen(x)[..., 0, 0]) == 0


def test_a_film_of_composed_views_shows_them_in_turn() -> None:
    picture = torch.rand(1, 3, 8, 8)
    view = view_named("flip|negate")
    torch.testing.assert_close(view.frame(picture, 0.5), picture.flip(-2))
    torch.testing.assert_close(view.frame(picture, 0.75), torch.zeros_like(picture))


def test_an_unknown_part_of_composed_views_is_named() -> None:
    with pytest.raises(UnknownName, match=r"unknown view 'flp'; did you mean 'flip'\?"):
        view_named("negate|flp")
    with pytest.raises(UsageError, match="view"):
        view_named("negate|")


SIZES = [(64, 64), (65, 97), (63, 64), (31, 200), (9, 7), (256, 256), (576, 1024), (1024, 1024)]
PIECED = ["jigsaw", "jigsaw:4,seed=3", "jigsaw:4x6", "jigsaw:1", "hinge", "hinge:5", f"permute:{ORDER}", "mirror_half"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*PIECED, "skew", "negate", "inner_circle:180", "inner_circle:90", "flip|mirror_half"])
def test_a_permutation_is_one_at_every_size(name: str, size: tuple[int, int]) -> None:
    """Every pixel is seen once: of pixels that are numbered, none is missing, and each comes back to its place."""
    height, width = size
    x = torch.arange(1.0, height * width + 1, dtype=torch.float64).reshape(1, 1, height, width)
    view = view_named(name)
    seen = view.apply(x)
    assert torch.equal(seen.abs().flatten().sort().values, x.flatten())
    assert torch.equal(view.invert(seen), x)
    assert torch.equal(view.apply(view.invert(x)), x)


@pytest.mark.parametrize("size", SIZES)
def test_a_random_orthogonal_matrix_is_one_at_every_size(size: tuple[int, int]) -> None:
    assert orthogonality_error(view_named("orthogonal:3"), (3, *size)) < 1e-12


def test_a_random_orthogonal_matrix_mixes_all_and_follows_its_seed() -> None:
    basis = torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)
    matrix = view_named("orthogonal:3").apply(basis).reshape(64, 64)
    assert (matrix.abs() > 1e-12).double().mean() > 0.9
    assert float(matrix.square().max()) < 0.5
    assert abs(float(torch.trace(matrix))) < 16, "it leaves much as it is"
    assert not torch.allclose(matrix, view_named("orthogonal:4").apply(basis).reshape(64, 64))
    mask = torch.rand(2, 1, 8, 8)
    assert torch.equal(view_named("orthogonal:3").apply_mask(mask)[0], mask[0].mean().expand(1, 8, 8))


@pytest.mark.parametrize("size", [(64, 64), (66, 98), (60, 96), (256, 256)])
@pytest.mark.parametrize("name", ["jigsaw:4,seed=3", "jigsaw:4x6"])
def test_pieces_of_a_jigsaw_interlock_and_are_congruent(name: str, size: tuple[int, int]) -> None:
    """Every piece is found whole, turned by its quarters, where it goes: NumPy cuts both out and compares them."""
    view = view_named(name)
    assert isinstance(view, Jigsaw)
    known = view.cut_up(*size)
    owner, n = known.pieces.owner.numpy(), len(known.pieces.start)
    seen = view.apply(known.pieces.owner.double()[None, None])[0, 0].numpy()
    cells = set()
    for piece in range(n):
        shape, landed = cut_out(owner == piece), cut_out(seen == piece)
        assert np.array_equal(np.rot90(shape, int(known.pieces.quarters[piece])), landed)
        assert not shape.all(), "it has neither knob nor hole"
        target = np.unique(owner[seen == piece])
        assert len(target) == 1, "it lies across the place of another"
        cells.add(int(target[0]))
    assert cells == set(range(n))


def cut_out(mask: np.ndarray) -> np.ndarray:
    """The smallest rectangle of a mask that holds all of it."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_a_jigsaw_follows_its_seed_and_takes_columns_by_rows() -> None:
    x = torch.randn(1, 3, 48, 32)
    assert not torch.equal(view_named("jigsaw:4,seed=3").apply(x), view_named("jigsaw:4,seed=4").apply(x))
    view = view_named("jigsaw:4x6")
    assert isinstance(view, Jigsaw)
    assert view.shape == (4, 6)
    assert torch.equal(view_named("jigsaw:4").apply(x), Jigsaw(grid="4x4").apply(x))
    with pytest.raises(UsageError, match="expected a side or columns x rows"):
        view_named("jigsaw:4x0")


def test_every_piece_of_a_square_jigsaw_moves() -> None:
    for seed in range(10):
        pieces = Jigsaw(seed=seed).cut_up(64, 64).pieces
        assert bool((pieces.start != pieces.end).any(1).all())


def test_a_hinge_turns_its_squares_against_each_other() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    seen = view_named("hinge").apply(x)
    for i, j in ((0, 0), (0, 4), (4, 0), (4, 4)):
        square = np.s_[0, 0, i : i + 4, j : j + 4]
        assert np.array_equal(seen[square], np.rot90(x[square].numpy(), 1 if i == j else -1))


def test_the_film_of_a_hinge_opens_as_hinged_squares_do() -> None:
    """Half-way all four stand at 45 degrees, 1 / sqrt(2) as large, about the hole that they leave in their midst."""
    black = torch.full((1, 1, 128, 128), -1.0)
    frame = view_named("hinge").frame(black, 0.5)[0, 0]
    assert abs(float((frame < 0).sum()) / (4 * 64**2 / 2) - 1) < 0.03
    assert float(frame[64, 64]) > 0
    assert float(frame[32, 32]) == -1


@pytest.mark.parametrize("kind", ["npy", "json", "txt"])
def test_a_permutation_is_read_from_a_file_and_fits_every_size(kind: str, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(16).reshape(4, 4)
    path, lines = tmp_path / f"order.{kind}", [" ".join(map(str, row)) for row in order]
    if kind == "npy":
        np.save(path, order)
    else:
        path.write_text(json.dumps(order.tolist()) if kind == "json" else "\n".join(lines), encoding="utf-8")
    for k in (1, 2):
        x = torch.randn(1, 1, 4 * k, 4 * k)
        before, after = (
            page[0, 0].unfold(0, k, k).unfold(1, k, k).flatten(0, 1)
            for page in (x, view_named(f"permute:{path}").apply(x))
        )
        assert torch.equal(after, before[torch.from_numpy(order).flatten()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 2", r"each number from 0 to one less than its cells once, got the shape \(2, 2\)"),
        ("0 1 2", "each number from 0"),
        ("", "cannot read a permutation from .*expected whole numbers"),
        ("0 one\n2 3", "cannot read a permutation from .*'one'"),
        (None, "cannot read a permutation from .*No such file"),
    ],
)
def test_a_file_that_is_no_permutation_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "order.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        view_named(f"permute:{path}")


def test_mirror_half_leaves_the_left_half_and_the_middle() -> None:
    x = torch.arange(7.0).expand(1, 1, 2, 7)
    assert view_named("mirror_half").apply(x)[0, 0, 0].tolist() == [0, 1, 2, 3, 6, 5, 4]


@pytest.mark.parametrize("size", [(64, 64), (64, 40), (33, 64)])
def test_an_inner_circle_at_any_angle_holds_what_a_view_must(size: tuple[int, int]) -> None:
    check_view("inner_circle:30", (3, *size))


def test_an_inner_circle_at_any_angle_is_the_rotated_picture_inside() -> None:
    x = torch.randn(1, 3, 64, 64)
    seen, turned = view_named("inner_circle:30").apply(x), view_named("rotate:30").apply(x)
    disc = torch.hypot(torch.arange(64)[:, None] - 31.5, torch.arange(64) - 31.5) <= 24
    assert torch.equal(seen[..., disc], turned[..., disc])
    assert torch.equal(seen[..., ~disc], x[..., ~disc])


MOVING = ["flip", "mirror", "rotate_cw", "rotate_180", "negate", "skew", "patches:4", "jigsaw", "hinge", "mirror_half"]


@pytest.mark.parametrize("name", MOVING)
def test_a_film_is_continuous_at_its_ends(name: str) -> None:
    down, across = torch.linspace(-1, 1, 64)[:, None], torch.linspace(-1, 1, 64)
    picture = (0.5 * down + 0.3 * across).expand(1, 3, 64, 64).contiguous()
    view = view_named(name)
    for share, end in ((1e-4, picture), (1 - 1e-4, view.apply(picture))):
        assert float((view.frame(picture, share) - end).abs().mean()) < 0.01
    assert float((view.frame(picture, 0.5) - picture).abs().mean()) > 0.02


@pytest.mark.parametrize(("name", "place", "source"), [
    ("scale:0.5", (40, 40), (48.5, 48.5)),
    ("cylinder:120", (32, 63), (32, 63)),
    ("polar", (0, 32), (0, 32)),
    ("cone:180", (32, 60), (11.5, 51.5)),
])  # fmt: skip
def test_a_warp_shows_the_place_that_its_formula_says(
    name: str, place: tuple[int, int], source: tuple[float, float]
) -> None:
    """A ramp shows where each pixel comes from; linear pictures are not changed by the pyramid."""
    view, ramp = view_named(name), torch.arange(64.0)
    for ramps, expected in ((ramp[:, None].expand(64, 64), source[0]), (ramp.expand(64, 64), source[1])):
        seen = view.apply(ramps[None, None].contiguous())[0, 0, place[0], place[1]]
        assert abs(float(seen) - expected) < 1.2


def test_a_lens_leaves_what_is_outside_and_makes_its_middle_larger() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 64, 64).contiguous()
    seen = view_named("lens:2").apply(ramp)[0, 0]
    torch.testing.assert_close(seen[0], ramp[0, 0, 0])
    assert 0.5 <= float(seen[32, 36] - seen[32, 27]) / 9 < 0.6


def test_a_warp_that_makes_smaller_does_not_alias() -> None:
    """A checkerboard seen at half its size is gray."""
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    seen = view_named("scale:0.5").apply(board[None, None])
    assert float(seen[..., 20:44, 20:44].abs().max()) < 0.05
