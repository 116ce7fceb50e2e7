"""An edited photo comes back at its own size: against the formula in NumPy, exact denoisers, and other readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import data

from command_line import run
from diffusion_tricks import Recipe, Result, TrickEntry, load_model, make
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.io.pictures import picture_size, read_picture
from diffusion_tricks.io.pixels import fit, to_images, to_tensor
from diffusion_tricks.io.raster import Raster
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.testing import denoiser_model, exact_model, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins.frame import brought_back, cropped, framed, padded, size_in_tiles, size_like
from faithful.profiles import DISPLAY_P3, P3, lab, srgb_lab

SIZE = (32, 32)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def edit(image: str = "a.png", model: Any = None, recipe: dict[str, Any] | None = None, **options: Any) -> Result:
    """What an edit makes; by default of a model that knows a picture of one colour."""
    entry = TrickEntry(trick="sdedit", image=image, **{"strength": 0.5} | options)
    told: dict[str, Any] = {"prompt": "a", "seed": 1, "steps": 4, "scheduler": "ddim", "guidance": 1} | (recipe or {})
    return make(Recipe(tricks=[entry], **told), model=model or exact_model(torch.full((1, 3, 32, 32), 0.2)))[0]


def keys(t: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel, a = -1/2. Keys, IEEE Trans. ASSP 29(6), 1981, equation 15."""
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def enlarged(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Samples along an axis at another length, counted at their middles; the kernel ends at the picture's edge."""
    count = values.shape[axis]
    at = (np.arange(length) + 0.5) * count / length - 0.5
    weights = keys(at[:, None] - np.arange(count))
    weights /= weights.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_it_is_the_photo_and_the_enlarged_change(dtype: Any, top: float, channels: int) -> None:
    random, colours = np.random.default_rng(3), min(channels, 3)
    photo = (random.random((700, 90, channels)) * top).astype(dtype)
    given, made = ((random.random((16, 8, colours)) * top).astype(dtype) for _ in range(2))
    shown = (10, 20, 80, 620)  # more rows than are brought back at a time
    raster = brought_back(Raster(photo.copy(), "RGB" if colours == 3 else "L", top), shown, made, given)
    part = photo[20:620, 10:80].astype(np.float64)
    part[..., :colours] += enlarged(enlarged(made.astype(float) - given, 600, 0), 70, 1)
    expected = photo.astype(np.float64)
    expected[20:620, 10:80] = part.clip(0, top)
    if channels == 4:
        clear = photo[..., 3:] == 0
        expected = np.where(clear, photo, expected)
    off = np.abs(raster.samples.astype(np.float64) - expected)
    assert off.max() <= (0.5 + top * 1e-6 if dtype != np.float32 else 1e-5)
    outside = np.ones(photo.shape[:2], bool)
    outside[20:620, 10:80] = False
    assert (raster.samples[outside] == photo[outside]).all()


def test_what_is_not_changed_or_not_seen_stays_to_the_bit() -> None:
    random = np.random.default_rng(0)
    photo = random.integers(0, 65536, (64, 64, 4), np.uint16)
    photo[:, :32, 3] = 0
    given = random.integers(0, 65536, (8, 8, 3), np.uint16)
    made = given.copy()
    made[:, 6:] = 0
    after = brought_back(Raster(photo.copy(), "RGB", 65535), (0, 0, 64, 64), made, given).samples
    assert (after[:, :32] == photo[:, :32]).all(), "transparent"
    assert (after[:, 32:36] == photo[:, 32:36]).all(), "2 pixels of the change and the kernel's reach away"
    assert (after[:, 44:, :3] != photo[:, 44:, :3]).any()
    bright = np.full((8, 8, 1), 7.5, np.float32)
    kept = brought_back(Raster(bright.copy(), "L", 1.0), (0, 0, 8, 8), given[..., :1] * 0.0, given[..., :1] * 0.0)
    assert (kept.samples == bright).all(), "floats beyond white are not cut where nothing is changed"


@pytest.mark.parametrize("photo", [(451, 300), (300, 451), (4000, 3000), (640, 640), (3000, 200), (7, 900)])
@pytest.mark.parametrize("shape", [Shape(3, (64, 64), multiple=16), Shape(4, (512, 512), 8, 8), Shape(3, (32, 32))])
def test_the_model_makes_a_size_like_the_photos(photo: tuple[int, int], shape: Shape) -> None:
    own, step = shape.size[0], shape.multiple
    size = size_like(photo, shape)
    assert not any(side % step for side in size)
    assert size[0] * size[1] <= own * own
    assert own // 2 <= min(size) <= max(size) <= 2 * own
    far = max(abs(np.log(side / own)) for side in size)
    if photo[0] == photo[1]:
        assert size == shape.size
    elif max(photo) < 2 * min(photo) and step < 16:
        assert size[0] / size[1] == pytest.approx(photo[0] / photo[1], rel=0.03)
        assert far < 0.5
    else:
        assert (size[0] > size[1]) == (photo[0] > photo[1])
    whole = size_in_tiles(photo, shape.size, step)
    assert min(whole) >= own
    assert not any(side % step for side in whole)
    assert all(0 <= side - of < step for side, of in zip(whole, photo, strict=True)) or min(photo) < own


@pytest.mark.parametrize("photo", [(451, 300), (300, 451), (64, 64), (5, 999)])
def test_boxes_are_those_of_fitting(photo: tuple[int, int]) -> None:
    image = Image.new("L", photo, 255)
    left, top, right, bottom = padded(photo, SIZE)
    assert fit(image, SIZE, "pad", background=0).getbbox() == (left, top, right, bottom)
    box = cropped(photo, SIZE)
    assert abs((box[2] - box[0]) - (box[3] - box[1])) <= 1, "square, as the size is"
    assert min(photo) in (box[2] - box[0], box[3] - box[1])
    assert framed(photo, SIZE, "stretch") == ((0, 0, *photo), (0, 0, *SIZE))


@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_of_a_file_is_that_of_its_picture(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(data.cat()[:60, :90]).save(f"a.{form}", exif=exif)
    assert picture_size(f"a.{form}") == read_picture(f"a.{form}").image.size == ((90, 60), (60, 90))[orientation > 4]


def test_strength_0_is_the_file_at_its_full_depth(tiny: Path) -> None:
    before = np.random.default_rng(0).integers(0, 65536, (70, 45, 4), np.uint16)
    tifffile.imwrite("a.tif", before, photometric="rgb", extrasamples=["unassalpha"])
    outcome = run("edit", "a.tif", "x", "-m", tiny, "--strength", 0, "-o", "b.tif", "--json")
    assert (outcome.code, outcome.json["steps"], outcome.json.get("notes")) == (0, 0, None)
    np.testing.assert_array_equal(tifffile.imread("b.tif"), before)
    assert run("edit", "a.tif", "x", "-m", tiny, "--strength", 0.6, "--steps", 2, "-o", "c.tif").code == 0
    after = tifffile.imread("c.tif")
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    assert (after[..., :3] % 257 != 0).mean() > 0.9, "the photo's own depth, not that of 8 bit"


def test_a_model_that_knows_the_photo_gives_it_back_and_one_that_knows_another_its_colours() -> None:
    Image.fromarray(data.cat()).save("a.png")
    seen = to_tensor(Image.open("a.png").resize(SIZE, Image.Resampling.LANCZOS))
    same = edit(model=exact_model(seen))
    assert (np.asarray(same.image).astype(int) - data.cat()).max() <= 1
    assert (same.image.size, same.recipe.size, same.facts["width"]) == ((451, 300), SIZE, 451)
    other = np.asarray(edit(model=exact_model(seen * 0 + 0.2)).image).astype(float)
    assert other.mean() == pytest.approx(0.6 * 255, abs=3)
    fine = data.cat() - np.asarray(Image.fromarray(data.cat()).resize(SIZE, 1).resize((451, 300), 3)).astype(float)
    assert np.corrcoef(other.ravel(), fine.ravel())[0, 1] > 0.9, "its details are the photo's"


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_what_is_not_shown_stays_and_is_told_with_its_box(how: str) -> None:
    photo = data.cat()[:200]
    Image.fromarray(photo).save("a.png")
    result = edit(fit=how)
    after = np.asarray(result.image)
    changed = (after != photo).any(axis=2)
    assert after.shape == photo.shape
    notes = " ".join(result.facts.get("notes", ()))
    if how == "crop":
        assert not changed[:, :125].any()
        assert not changed[:, 326:].any()
        assert changed[:, 130:320].mean() > 0.9
        assert "125,0,325,200 of a.png, which is 451 x 200" in notes
        assert result.facts["region"] == [125, 0, 325, 200]
        known = to_tensor(Image.fromarray(photo[:, 125:325]).resize(SIZE, Image.Resampling.LANCZOS))
        same = np.asarray(edit(fit=how, model=exact_model(known)).image).astype(int)
        assert np.abs(same - photo).max() <= 1, "the part that the note tells, to the pixel"
    else:
        assert changed[:, :100].mean() > 0.9
        assert changed[:, 350:].mean() > 0.9
        assert ("squeezed to 32 x 32" in notes) == (how == "stretch")


def test_a_size_or_enlarging_is_a_size_and_more_than_one_is_refused() -> None:
    Image.fromarray(data.cat()).save("a.png")
    assert edit(recipe={"size": SIZE}).image.size == SIZE
    assert edit(recipe={"enlarge": 2}).image.size == (64, 64)
    assert edit(own_size=False).image.size == SIZE
    assert edit(recipe={"size": SIZE}, own_size=True).image.size == (451, 300)
    with pytest.raises(UsageError, match="sdedit gives its picture back at the size it came in, so `enlarge=2`"):
        edit(recipe={"enlarge": 2}, own_size=True)
    tricks = [TrickEntry(trick="sdedit", own_size=True), TrickEntry(trick="inpaint", image="a.png", mask="box:0,0,9,9")]
    with pytest.raises(UsageError, match="'inpaint' gives the picture back at its own size already"):
        make(Recipe(prompt="a", seed=1, steps=2, tricks=tricks), model=exact_model(torch.zeros(1, 3, 32, 32)))


def test_a_record_makes_it_again_and_other_tricks_work_on_the_whole(tiny: Path) -> None:
    Image.fromarray(data.cat()).save("a.png")
    words = ("-m", tiny, "-p", "x", "--seed", 3, "--steps", 2, "--count", 2, "-o", "b.png", "--json")
    outcome = run("make", *words, "sdedit", "a.png", "overlay", "--title", "Cat", "--box", "red")
    assert outcome.code == 0, outcome.err
    told = read_record("b-1.png")["recipe"]
    assert (told["size"], told["tricks"][0]["own_size"]) == ([18, 12], True)
    assert run("rerun", "b-1.png", "-m", tiny, "-o", "c.png").code == 0
    before, after = (np.asarray(Image.open(name)) for name in ("b-1.png", "c.png"))
    np.testing.assert_array_equal(after, before)
    assert before.shape == data.cat().shape
    assert (before == (255, 0, 0)).all(axis=2).sum() > 2000
    plain = run("make", *words[:-4], 1, "-o", "d.png", "sdedit", "a.png")
    assert plain.code == 0, plain.err
    same = (np.asarray(Image.open("d.png")) == np.asarray(Image.open("b-0.png"))).all(axis=2)
    assert 0.2 < same.mean() < 1, "the overlay is laid on it"


def test_a_plan_tells_what_the_model_makes_and_prompts_of_other_tricks_leave_it_its_size(tiny: Path) -> None:
    Image.fromarray(data.cat()).save("a.png")
    words = ("-m", tiny, "--steps", 2, "--guidance", 1, "--json")
    sizes = {
        "": ([18, 12], 1), "--fit crop": ([16, 16], 1), "--no-own-size": ([16, 16], 1), "--tiles": ([452, 300], 56 * 37)
    }  # fmt: skip
    for said, (size, rows) in sizes.items():
        planned = run("plan", *words, "-p", "x", "sdedit", "a.png", *said.split()).json
        assert (planned["size"], planned["rows_per_step"]) == (size, rows), said
    assert run("plan", *words, "sdedit", "a.png", "anagram", "x", "y").json["size"] == [16, 16]


@pytest.mark.parametrize("strength", [0.0, 0.9])
def test_a_patch_of_display_p3_has_the_colour_of_what_is_made(strength: float) -> None:
    patch, made = np.tile(np.uint8([150, 110, 90]), (64, 96, 1)), np.array([0.6, -0.4, -0.2])
    Image.fromarray(patch).save("a.png", icc_profile=DISPLAY_P3)
    known = torch.tensor(made, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    result = edit(model=exact_model(known), strength=strength)
    expected = srgb_lab(((made + 1) * 127.5).round()) if strength else lab(patch[0, 0], P3)
    assert np.linalg.norm(lab(np.asarray(result.image), P3) - expected, axis=2).max() < 1
    assert (result.icc, result.image.size) == (DISPLAY_P3, (96, 64))


def test_of_latents_what_was_given_is_what_the_vae_makes_of_the_photo() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    photo = data.cat()[: model.family.size[1], : model.family.size[0]]
    Image.fromarray(photo).save("a.png")
    made = np.asarray(edit(model=model, own_size=False).image).astype(int)
    given = np.asarray(to_images(model.decode(model.encode(to_tensor(Image.fromarray(photo)))))[0]).astype(int)
    assert np.abs(given - photo).mean() > 5, "a VAE of random weights"
    np.testing.assert_array_equal(np.asarray(edit(model=model).image), (photo + made - given).clip(0, 255))


def test_strength_0_is_the_photo_whatever_an_upscaler_would_add() -> None:
    Image.fromarray(data.cat()).save("a.png")
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    staged: dict[str, Any] = {"size": (64, 64), "upscale_steps": 1, "upscale_guidance": 1.0}
    none, some = (edit(model=model, strength=share, own_size=True, recipe=staged) for share in (0.0, 0.5))
    np.testing.assert_array_equal(np.asarray(none.image), data.cat())
    assert (some.image.size, [stage["size"] for stage in some.facts["stages"]]) == ((451, 300), [[16, 16], [64, 64]])


# ---- tiles -----------------------------------------------------------------------------------------------------


def known_by_windows(whole: torch.Tensor, side: int) -> Any:
    """A denoiser that is asked about windows and knows of each picture one colour; it refuses another size."""

    def denoise(x: torch.Tensor, level: Any, prompts: Any) -> torch.Tensor:
        assert x.shape[1:] == (3, side, side)
        return whole.to(x.dtype).expand_as(x)

    return denoiser_model(denoise, (3, side, side))


def test_tiles_see_all_of_the_photo_at_its_size_and_leave_no_seam() -> None:
    photo = data.cat()[:60, :90]
    Image.fromarray(photo).save("a.png")
    model = known_by_windows(torch.tensor([0.6, -0.4, -0.2]).view(1, 3, 1, 1), 16)
    result = edit(model=model, tiles=True, recipe={"steps": 3})
    made = np.asarray(result.image)
    assert result.recipe.size == (90, 60)
    assert np.abs(made.astype(int) - np.array([204, 76, 102])).max() <= 1, "the one colour, everywhere: no seam at all"
    assert result.facts["rows_per_step"] == 11 * 7, "of 16 pixels, 8 apart at the most"


def test_tiles_are_windows_of_a_panorama() -> None:
    """To the bit: the same denoiser, asked by `panorama --alone` about the photo's size."""
    Image.fromarray(data.cat()[:32, :48]).save("a.png")
    model = load_model(tiny_pipeline("if"), device="cpu")
    tiled = edit(model=model, tiles=True, own_size=False, recipe={"size": (48, 32)})
    entries = [TrickEntry(trick="sdedit", image="a.png", strength=0.5), TrickEntry(trick="panorama", alone=True)]
    recipe = Recipe(prompt="a", seed=1, steps=4, scheduler="ddim", guidance=1, size=(48, 32), tricks=entries)
    panorama = make(recipe, model=model)[0]
    np.testing.assert_array_equal(np.asarray(tiled.image), np.asarray(panorama.image))
    whole = edit(model=model, tiles=True)
    np.testing.assert_array_equal(np.asarray(whole.image), np.asarray(panorama.image))
