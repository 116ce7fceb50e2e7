"""Components against their formulas in NumPy, PyWavelets, scikit-image and exact denoisers."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor

from command_line import run
from diffusion_tricks import UsageError, load_model, sample
from diffusion_tricks.registry.branch import outline
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Components
from diffusion_tricks_plugins.filters import identity_error
from diffusion_tricks_plugins.kernels import filtering, line, oriented_gaussian
from diffusion_tricks_plugins.lab import from_lab, most_colour, to_lab
from diffusion_tricks_plugins.pyramids import daubechies, pyramid, wavelet
from diffusion_tricks_plugins.split import Canvas
from diffusion_tricks_plugins.splits import Gray, split_named

Page = NDArray[np.float64]
SIDE = 32


def picture(height: int, width: int, seed: int, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def page(x: Tensor) -> Page:
    return x[0].double().numpy()


def numpy_filtered(whole: Page, kernel: Page) -> Page:
    """The sum over the window around each pixel, edges reflected; whole (c h w)."""
    radius = len(kernel) // 2
    padded = np.pad(whole, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, kernel)


def numpy_gaussian(sigma: float, across: float, angle: float) -> Page:
    radius = math.ceil(4 * max(sigma, across))
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    turn = np.deg2rad(angle)
    along = np.stack([np.cos(turn), -np.sin(turn)])  # rightwards, downwards
    over = np.stack([np.sin(turn), np.cos(turn)])
    inverse = np.outer(along, along) / sigma**2 + np.outer(over, over) / across**2
    places = np.stack([right, down])
    kernel = np.exp(-np.einsum("iab,ij,jab->ab", places, inverse, places) / 2)
    return kernel / kernel.sum()


@pytest.mark.parametrize(("sigma", "across", "angle"), [(2.0, 2.0, 0.0), (4.0, 1.0, 30.0), (1.0, 3.0, -75.0)])
def test_a_gaussian_of_two_sigmas_is_numpys(sigma: float, across: float, angle: float) -> None:
    x = picture(64, 70, 0)
    expected = numpy_filtered(page(x), numpy_gaussian(sigma, across, angle))
    found = filtering(oriented_gaussian(sigma, across, angle, 64))(x)
    np.testing.assert_allclose(page(found), expected, atol=2e-6)
    wide = oriented_gaussian(sigma, across, angle, 128)
    np.testing.assert_allclose(wide.numpy(), numpy_gaussian(2 * sigma, 2 * across, angle), atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 45.0, 100.0])
def test_a_line_is_even_along_its_angle(angle: float) -> None:
    """It reads the same backwards; its second moment is L^2 / 12 and a pixel's, along it, and a pixel's across it."""
    kernel = line(12.0, angle, 64).double().numpy()
    radius, turn = len(kernel) // 2, np.deg2rad(angle)
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along, over = right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
    assert 12 <= (kernel * along**2).sum() < 12.5
    assert (kernel * over**2).sum() < 0.25


def test_a_horizontal_line_is_a_mean_along_rows() -> None:
    x = picture(64, 64, 1)
    moved = page(filtering(line(7.0, 0.0, 64))(x))
    row = line(7.0, 0.0, 64).numpy()
    assert np.count_nonzero(row.any(1)) == 1
    np.testing.assert_allclose(moved, numpy_filtered(page(x), row.astype(float)), atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 46)])
@pytest.mark.parametrize("levels", [1, 3])
def test_the_laplacian_pyramid_is_burt_and_adelsons(height: int, width: int, levels: int) -> None:
    """w(i) = (1 4 6 4 1) / 16; to expand: 4 sum w(m) w(n) g((i - m) / 2, (j - n) / 2), over whole numbers."""
    weights = np.array([1, 4, 6, 4, 1]) / 16

    def reduced(x: Page) -> Page:
        return numpy_filtered(x, np.outer(weights, weights))[:, ::2, ::2]

    def expanded(x: Page, shape: tuple[int, ...]) -> Page:
        wide = np.zeros(shape)
        wide[:, ::2, ::2] = x
        return 4 * numpy_filtered(wide, np.outer(weights, weights))

    x = picture(height, width, 2)
    kept = [page(x)]
    for _ in range(levels):
        kept.append(reduced(kept[-1]))
    low = kept[-1]
    for finer in reversed(kept[:-1]):
        low = expanded(low, finer.shape)
    np.testing.assert_allclose(page(pyramid(levels)(x)), low, atol=2e-6)


@pytest.mark.parametrize(("name", "moments"), [("haar", 1), ("db2", 2), ("db4", 4), ("db10", 10)])
def test_the_wavelets_are_those_of_pywavelets(name: str, moments: int) -> None:
    np.testing.assert_allclose(daubechies(moments), pywt.Wavelet(name).rec_lo, atol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 46)])
@pytest.mark.parametrize(("name", "moments"), [("haar", 1), ("db2", 2), ("db4", 4)])
def test_the_bands_of_a_wavelet_are_those_of_pywavelets(height: int, width: int, name: str, moments: int) -> None:
    x = picture(height, width, 3)
    for levels in (1, 2):
        approximation, *details = pywt.wavedec2(page(x), name, mode="symmetric", level=levels, axes=(1, 2))
        nothing = [tuple(np.zeros_like(one) for one in level) for level in details]
        expected = pywt.waverec2([approximation, *nothing], name, mode="symmetric", axes=(1, 2))[:, :height, :width]
        np.testing.assert_allclose(page(wavelet(moments, levels, height, width)(x)), expected, atol=2e-6)


def test_lab_needs_no_inverse_and_no_double_precision_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either would have a GPU wait in every step, and Apple's has no float64."""
    for name in ("inv", "inv_ex"):
        monkeypatch.setattr(torch.linalg, name, lambda *_: pytest.fail("a matrix was inverted"))
    monkeypatch.setattr(torch.Tensor, "double", lambda _: pytest.fail("double precision"))
    x = torch.zeros(1, 3, 2, 2)
    torch.testing.assert_close(from_lab(to_lab(x)), x, atol=1e-5, rtol=0)


def test_lab_is_scikit_images_and_back() -> None:
    x = picture(16, 20, 4)
    expected = rgb2lab((page(x).transpose(1, 2, 0) + 1) / 2).transpose(2, 0, 1)
    np.testing.assert_allclose(page(to_lab(x)), expected, atol=0.01)  # its matrix has six digits
    wide = 3 * picture(16, 20, 5)
    torch.testing.assert_close(from_lab(to_lab(wide)), wide, atol=1e-4, rtol=0)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_colour_gives_way_until_it_fits(strength: float) -> None:
    """Of the stronger colour no pixel can have all, of the weaker most have."""
    gray = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    colour = strength * torch.tensor([1.5, -0.5, -1.0])[:, None, None]
    fitted = most_colour(lambda share: gray + share * colour, gray)
    assert float(fitted.abs().max()) <= 1
    torch.testing.assert_close(fitted.mean(1), gray.mean(1), atol=1e-6, rtol=0)
    bands = Gray().bands(2, Canvas((3, 8, 8), (8, 8)))
    torch.testing.assert_close(Gray().in_gamut(bands, [gray, gray + colour]), fitted, atol=2e-6, rtol=0)
    red, blue = 1.5 * strength, 1.0 * strength
    share = np.minimum(1, np.minimum((1 - page(gray)[0]) / red, (1 + page(gray)[0]) / blue))
    assert (share == 1).any() == (strength < 1)
    np.testing.assert_allclose((page(fitted) - page(gray))[0] / red, share, atol=2**-19 if strength == 1 else 1e-6)


SPLITS = [
    ("pyramid", 4), ("wavelet", 3), ("wavelet:haar", 2), ("gaussian:3", 2), ("gaussian:4,across=1,angle=30", 2),
    ("line:9,angle=60", 2), ("gray", 2), ("lab", 2), ("scale:2/1", 2), ("scale", 3), ("mask", 2),
]  # fmt: skip


def components(split: str, parts: list[Any], **options: Any) -> Components:
    mask = {"mask": "box:0%,0%,50%,100%"} if split == "mask" else {}
    return Components(split=split, parts=parts, **mask, **options)


@pytest.mark.parametrize("shape", [(3, 64, 64), (4, 8, 8), (3, 37, 50)], ids=str)
@pytest.mark.parametrize(("split", "count"), SPLITS)
def test_all_components_add_up_at_every_size(split: str, count: int, shape: tuple[int, int, int]) -> None:
    count = min(count, 3) if split == "pyramid" and shape[1] == 8 else count  # halved twice, it is 2 pixels a side
    trick = components(split, list("abcd")[:count]).split
    bands = trick.bands(count, Canvas(shape, (shape[2], shape[1])))
    if trick.linear:
        assert identity_error(bands, shape) < 1e-5
    elif shape[0] == 3:
        x = picture(*shape[1:], 0)
        torch.testing.assert_close(trick.whole(bands, [x] * count), x, atol=1e-4, rtol=0)


KNOWN = {name: picture(SIDE, SIDE, i) for i, name in enumerate("abcd")}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("split", "count"), SPLITS)
def test_each_part_is_that_of_its_own_picture(split: str, count: int, prediction: str) -> None:
    """With exact denoisers the result is sum_i f_i(picture_i)."""
    trick = components(split, list("abcd")[:count])
    *_, last = sample(exact_model(KNOWN, prediction=prediction), tricks=[trick], steps=4, scheduler="ddim")
    known = [KNOWN[name] for name in "abcd"[:count]]
    bands = trick.split.bands(count, Canvas((3, SIDE, SIDE), (SIDE, SIDE)))
    torch.testing.assert_close(last.x, trick.split.whole(bands, known), atol=2e-4, rtol=0)


def test_shares_and_masks_are_what_they_say() -> None:
    a, b = KNOWN["a"], KNOWN["b"]
    *_, last = sample(exact_model(KNOWN), tricks=[components("scale:3/1", ["a", "b"])], steps=4, scheduler="ddim")
    torch.testing.assert_close(last.x, (3 * a + b) / 4, atol=2e-5, rtol=0)
    *_, last = sample(exact_model(KNOWN), tricks=[components("mask", ["a", "b"])], steps=4, scheduler="ddim")
    half = SIDE // 2
    torch.testing.assert_close(last.x, torch.cat([a[..., :half], b[..., half:]], 3), atol=2e-5, rtol=0)


def test_a_soft_mask_is_a_file(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, SIDE).round().astype(np.uint8), (SIDE, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    trick = Components(split="mask", mask=str(tmp_path / "ramp.png"), parts=["a", "b"])
    *_, last = sample(exact_model(KNOWN), tricks=[trick], steps=4, scheduler="ddim")
    share = torch.from_numpy(np.where(ramp < 8, 0, np.where(ramp > 247, 255, ramp))).float() / 255
    expected = share * KNOWN["a"] + (1 - share) * KNOWN["b"]
    torch.testing.assert_close(last.x, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["if", "sd"])
def test_equal_prompts_change_nothing(kind: Any) -> None:
    """Also where latents stand for pictures; lab decodes them, and what coding loses is added back."""
    model = load_model(tiny_pipeline(kind), device="cpu")
    *_, plain = sample(model, prompt="a duck", steps=2)
    for split, count in SPLITS:
        if kind == "sd" and count > 3:
            continue  # 8 latents a side are halved twice
        *_, last = sample(model, tricks=[components(split, ["a duck"] * count)], steps=2)
        torch.testing.assert_close(last.x, plain.x, atol=2e-3 if split in {"lab", "gray"} else 2e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ["a"]}, "two parts or more, got 1"),
        ({"parts": ["a", "b", "c"], "split": "lab"}, "split 'lab' has 2 parts, got 3"),
        ({"parts": ["a", "b"], "split": "pyramids"}, "unknown split 'pyramids'; did you mean 'pyramid'"),
        ({"parts": ["a", "b"], "split": "gaussian:0"}, "expected a number above 0"),
        ({"parts": ["a", "b"], "split": "line:7,turn=3"}, "no parameter 'turn'; it takes: length, angle"),
        ({"parts": ["a", "b"], "split": "wavelet:db11"}, "split 'wavelet:db11': name"),
        ({"parts": ["a", "b"], "split": "mask"}, "give both, or neither"),
        ({"parts": ["a", "b"], "mask": "box:0,0,5,5"}, "is of no use without|give both, or neither"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Components(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ["a"] * 6}, "6 bands need 5 halvings, and what is taken apart is 16 pixels a side"),
        (
            {"parts": ["a", "b"], "split": "scale:1/2/3"},
            "expected 3 shares, one for each part, got 2|expected 2 shares",
        ),
        ({"parts": ["a", "b"], "split": "mask", "mask": "gone.png"}, "gone.png does not exist"),
        ({"parts": ["a", "b"], "split": "lab", "space": "latent"}, "acts on pictures, not on the latents"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(sample(load_model(tiny_pipeline("if"), device="cpu"), tricks=[Components(**options)], steps=1))


@pytest.mark.parametrize(("split", "count"), SPLITS)
def test_components_hold_what_a_trick_must(split: str, count: int) -> None:
    check_trick(components(split, ["a rabbit", "a duck", "a cat", "a dog"][:count]))


@pytest.mark.parametrize(("split", "count"), SPLITS)
def test_each_is_seen_and_filmed(split: str, count: int) -> None:
    """One look for each part; its film begins with the picture and ends with exactly what is seen."""
    trick = components(split, list("abcd")[:count])
    image = Image.fromarray((picture(40, 48, 5)[0].permute(1, 2, 0).numpy() * 127 + 127).astype(np.uint8))
    looks = trick.views_of(image)
    assert [(look.name, look.prompt) for look in looks] == trick.asks()
    for look in looks:
        assert look.picture.size == image.size
        assert look.frame is not None
        assert look.frame(0.0).tobytes() == image.tobytes()
        assert look.frame(1.0).tobytes() == look.picture.tobytes()
        assert look.frame(0.4).size == image.size
    assert looks[-1].picture.tobytes() == image.tobytes() or split == "mask"


def test_a_pyramid_says_how_far_to_go() -> None:
    """The blur of a look is that of its approximation, for the sheet of distances."""
    looks = components("pyramid", ["a", "b", "c"]).views_of(Image.new("RGB", (64, 64)))
    assert [look.blur for look in looks] == [pytest.approx(math.sqrt(10) / 64), pytest.approx(math.sqrt(2) / 64), None]


def test_the_command_line_plans_makes_scores_and_remakes(tiny: Path, tmp_path: Path) -> None:
    said = shlex.split("components --split wavelet:db2 --part a --part [ anagram b c ] --part d")
    planned = run("plan", "-m", tiny, "--steps", 2, *said)
    assert "band 1: a" in planned.out
    assert "flip: c" in planned.out
    made = run("make", "-m", tiny, "--steps", 2, "--seed", 1, "-o", tmp_path / "a.png", *said)
    assert made.code == 0, made.err
    assert run("rerun", tmp_path / "a.png", "-m", tiny, "-o", tmp_path / "b.png").code == 0
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "b.png")))
    scored = run("score", tmp_path / "a.png", "--json")
    assert scored.code == 0, scored.err
    assert '"band 2 > flip"' in scored.out


def test_a_mask_of_a_recipe_is_a_path(tiny: Path, tmp_path: Path) -> None:
    Image.new("L", (16, 16), 128).save(tmp_path / "half.png")
    said = ("components", "--split", "mask", "--mask", tmp_path / "half.png", "--part", "a", "--part", "b")
    made = run("make", "-m", tiny, "--steps", 1, "--seed", 1, "-o", tmp_path / "a.png", *said,
               "--save-recipe", tmp_path / "a.toml")  # fmt: skip
    assert made.code == 0, made.err
    assert 'mask = "half.png"' in (tmp_path / "a.toml").read_text()


def test_the_outline_names_each_part() -> None:
    drawn = outline(components("lab", ["a", "b"]))
    assert drawn == ["components", "  lightness: a", "  colour: b"]
    assert split_named("scale").names(3) == ["share 1", "share 2", "share 3"]
