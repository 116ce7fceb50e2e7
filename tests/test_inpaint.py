"""Inpainting against closed-form denoisers; what the mask keeps is compared bit by bit, in files read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import data

from diffusion_tricks import Recipe, TrickEntry, make, sample
from diffusion_tricks.errors import UsageError
from diffusion_tricks.generate.result import Result
from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.io.pictures import read_picture, write_picture
from diffusion_tricks.io.pixels import to_images, to_tensor
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.options import TrickOptions
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing.denoisers import exact_model
from diffusion_tricks_plugins import Inpaint, SDEdit
from diffusion_tricks_plugins.kept import changed_outside
from diffusion_tricks_plugins.pasting import blended

Array = np.ndarray[Any, Any]
SCHEDULERS = ["ddpm", "ddim", "dpm++2m", "unipc", "euler", "euler-a", "heun"]
RED = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)


def astronaut() -> Image.Image:
    """Public domain (NASA), 512 x 512."""
    return Image.fromarray(data.astronaut())


def saved(image: Image.Image, path: Path) -> str:
    image.save(path)
    return str(path)


def inpainted(image: str, mask: str, model: Model | None = None, **options: Any) -> Result:
    entry = TrickEntry(trick="inpaint", image=image, mask=mask, **options)
    recipe = Recipe(prompt="a hat", seed=1, steps=4, scheduler="ddim", guidance=1, tricks=[entry])
    return make(recipe, model=model or exact_model(RED))[0]


def read_back(result: Result, path: Path) -> Array:
    write_picture(result.image, path, force=False)
    return np.asarray(read_picture(path).image)


def outside(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> Array:
    kept = np.ones(shape[:2], bool)
    kept[box[1] : box[3], box[0] : box[2]] = False
    return kept


# what the mask keeps


@pytest.mark.parametrize("feather", [0, 7.5])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (101, 57, 214, 260), (440, 290, 451, 300), (3, 140, 449, 151)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16", "P"])
def test_kept_pixels_are_bit_identical_in_the_file_read_back(
    tmp_path: Path, mode: str, box: tuple[int, int, int, int], feather: float
) -> None:
    cat = Image.fromarray(data.cat())
    if mode == "RGBA":
        cat.putalpha(Image.fromarray(np.arange(451 * 300, dtype=np.uint32).reshape(300, 451).astype(np.uint8)))
    elif mode == "I;16":
        cat = Image.fromarray(np.asarray(cat.convert("L")).astype(np.uint16) * 251)
    elif mode != "RGB":
        cat = cat.convert(mode)
    path = saved(cat, tmp_path / "cat.png")
    result = inpainted(path, "box:" + ",".join(map(str, box)), feather=feather)
    before, after = np.asarray(read_picture(path).image), read_back(result, tmp_path / "out.png")
    assert after.shape == before.shape
    kept = outside(before.shape, box)
    np.testing.assert_array_equal(after[kept], before[kept])
    assert (after[~kept] != before[~kept]).any()
    assert result.facts["changed_outside"] == 0
    assert result.facts["mask_pixels"] == (~kept).sum()
    if not feather:  # enlarging lets a little of the surroundings into the mask's rim
        made = [76, 76, 76] if mode in {"L", "I;16"} else [255, 0, 0]  # gray stays gray
        red = np.abs(after[~kept][:, :3].astype(int) - made)
        assert red.max() < 40
        assert np.median(red) == 0


def test_changed_outside_is_measured() -> None:
    before = Image.new("RGBA", (5, 4), (1, 2, 3, 4))
    after = before.copy()
    for place in ((0, 0), (4, 3), (2, 2)):
        after.putpixel(place, (1, 2, 3, 5))
    weights = np.zeros((4, 5), np.uint8)
    weights[2, 2] = 9
    assert changed_outside(np.asarray(before), np.asarray(after), weights == 0) == 2


def test_gray_in_a_mask_blends(tmp_path: Path) -> None:
    photo = astronaut().resize((32, 32))
    mask = Image.fromarray(np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1)))
    result = inpainted(saved(photo, tmp_path / "a.png"), saved(mask, tmp_path / "m.png"))
    weights = np.asarray(mask).astype(float)
    share = np.where(weights < 8, 0, np.where(weights > 247, 255, weights))[..., None] / 255
    expected = np.asarray(photo) * (1 - share) + np.array([255.0, 0, 0]) * share
    np.testing.assert_allclose(np.asarray(result.image), expected, rtol=0, atol=0.501)


def test_specks_of_a_lossy_mask_count_as_black_and_white(tmp_path: Path) -> None:
    photo = saved(astronaut().resize((64, 64)), tmp_path / "a.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 16:48] = 255
    clean = inpainted(photo, saved(Image.fromarray(mask), tmp_path / "m.png"))
    rng = np.random.default_rng(0)
    noisy = np.clip(mask.astype(int) + rng.integers(-7, 8, mask.shape), 0, 255).astype(np.uint8)
    again = inpainted(photo, saved(Image.fromarray(noisy), tmp_path / "n.png"))
    assert again.image == clean.image


# what the model is shown


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_region_is_the_picture_and_the_rest_the_models(tmp_path: Path, name: str) -> None:
    photo, other = astronaut().resize((32, 32)), to_tensor(Image.fromarray(data.cat()).resize((32, 32)))
    trick = Inpaint(image=saved(photo, tmp_path / "a.png"), mask="box:10,5,20,32", padding="1000%")
    steps = list(sample(exact_model(other), tricks=[trick], steps=10, scheduler=name, seed=3))
    new = torch.zeros(1, 3, 32, 32, dtype=torch.bool)
    new[..., 5:32, 10:20] = True
    torch.testing.assert_close(steps[-1].x[~new], to_tensor(photo)[~new], rtol=0, atol=0)
    torch.testing.assert_close(steps[-1].x[new], other[new], rtol=0, atol=0.02)  # some end a little above no noise
    assert all((step.estimate.clean - other).abs().max() < 0.02 for step in steps)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_region_has_one_noise_at_every_level(tmp_path: Path, name: str) -> None:
    photo = astronaut().resize((32, 32))
    inpaint = Inpaint(image=saved(photo, tmp_path / "a.png"), mask="box:0,0,32,8", padding="100")
    seen: list[torch.Tensor] = []

    class Watch(Trick[TrickOptions]):
        @hookimpl
        def before_step(self, step: Step) -> None:
            if step.sigma > 0.05:
                seen.append((step.x - step.alpha * to_tensor(photo))[..., 8:, :] / step.sigma)

    steps = list(sample(exact_model(RED), tricks=[inpaint, Watch()], steps=8, scheduler=name, seed=5, count=2))
    noise = seen[0]
    assert len(seen) > 5
    for eps in seen:
        torch.testing.assert_close(eps, noise, rtol=0, atol=1e-3)
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05
    assert not torch.equal(noise[0], noise[1])
    expected = to_tensor(photo)[..., 8:, :].expand(2, -1, -1, -1)
    torch.testing.assert_close(steps[-1].x[..., 8:, :], expected, rtol=0, atol=0)


@pytest.mark.parametrize("which", [0, 1])
def test_the_model_completes_what_the_known_region_shows(tmp_path: Path, which: int) -> None:
    pictures = [Image.fromarray(page).resize((32, 32)) for page in (data.astronaut(), data.cat())]
    known = torch.cat([to_tensor(page) for page in pictures])
    model = exact_model(known)
    inpaint = Inpaint(image=saved(pictures[which], tmp_path / "a.png"), mask="box:6,6,26,26", padding="100%")
    end = list(sample(model, tricks=[inpaint], steps=20, scheduler="ddim", seed=0, count=4))[-1]
    torch.testing.assert_close(end.x, to_tensor(pictures[which]).expand(4, -1, -1, -1), rtol=0, atol=0.02)
    free = list(sample(model, steps=20, scheduler="ddim", seed=0, count=16))[-1]
    ends = {int((x - known).square().mean((1, 2, 3)).argmin()) for x in free.x}
    assert ends == {0, 1}  # without the known region either may come


def test_the_model_works_on_the_surroundings_and_its_picture_fills_the_mask(tmp_path: Path) -> None:
    photo = astronaut()
    path = saved(photo, tmp_path / "a.png")
    box = (301, 77, 365, 141)
    run = begin(exact_model(RED), tricks=[Inpaint(image=path, mask="box:301,77,365,141", padding="16")])
    run.hook.prepare(run=run)
    assert run.source is not None
    assert run.source.region == (285, 61, 381, 157)
    know = to_tensor(photo.crop((285, 61, 381, 157)))
    model = exact_model(know)  # 96 px: the region at its own size
    result = inpainted(path, "box:" + ",".join(map(str, box)), model=model, padding=16)
    np.testing.assert_allclose(np.asarray(result.image).astype(int), np.asarray(photo).astype(int), rtol=0, atol=1)
    assert result.facts["region"] == [285, 61, 381, 157]


def test_sdedit_starts_from_the_same_region(tmp_path: Path) -> None:
    path = saved(astronaut(), tmp_path / "a.png")
    for order in (1, -1):
        tricks: list[Trick[Any]] = [SDEdit(image=path, strength=0.0), Inpaint(mask="ellipse:25%,25%,75%,75%")]
        run = begin(exact_model(RED), tricks=tricks[::order])
        run.hook.prepare(run=run)
        start = run.hook.start(run=run)
        expected = to_tensor(astronaut().crop((64, 64, 448, 448)).resize((32, 32), Image.Resampling.LANCZOS))
        torch.testing.assert_close(start.latents, expected, rtol=0, atol=0)


def test_overlay_goes_on_the_whole_picture_wherever_it_stands(tmp_path: Path) -> None:
    path = saved(astronaut(), tmp_path / "a.png")
    inpaint = TrickEntry(trick="inpaint", image=path, mask="box:0,0,40,40")
    overlay = TrickEntry(trick="overlay", title="Hi")
    one, two = (
        make(Recipe(prompt="a", seed=1, steps=2, guidance=1, tricks=tricks), model=exact_model(RED))[0].image
        for tricks in ([inpaint, overlay], [overlay, inpaint])
    )
    assert one.size == (512, 512)
    assert one == two != inpainted(path, "box:0,0,40,40").image


def test_picture_i_of_a_batch_equals_the_single_run(tmp_path: Path) -> None:
    path = saved(astronaut(), tmp_path / "a.png")
    entry = TrickEntry(trick="inpaint", image=path, mask="ellipse:10%,10%,60%,60%")
    model = exact_model(RED, variance=0.0)
    recipe = Recipe(prompt="a", seed=5, steps=5, guidance=1, tricks=[entry], scheduler="euler-a")
    batch = make(recipe.model_copy(update={"count": 3}), model=model)
    for i in range(3):
        assert make(recipe.model_copy(update={"seed": 5 + i}), model=model)[0].image == batch[i].image


# alpha


def test_transparent_pixels_are_filled_and_opaque_ones_kept(tmp_path: Path) -> None:
    photo = astronaut().resize((100, 80))
    alpha = np.full((80, 100), 255, np.uint8)
    alpha[20:40, 30:70] = 0
    alpha[40, 30:70] = 100
    photo.putalpha(Image.fromarray(alpha))
    before, path = np.asarray(photo), saved(photo, tmp_path / "a.png")
    result = inpainted(path, "alpha")
    after = read_back(result, tmp_path / "out.png")
    assert (after[..., 3] == 255).all()
    np.testing.assert_array_equal(after[alpha == 255], before[alpha == 255])
    np.testing.assert_array_equal(after[30, 40:60, :3], np.broadcast_to([255, 0, 0], (20, 3)))
    assert result.facts["changed_outside"] == 0


def test_inverted_alpha_keeps_the_transparent(tmp_path: Path) -> None:
    photo = astronaut().resize((60, 60))
    alpha = np.zeros((60, 60), np.uint8)
    alpha[10:30, 10:50] = 255
    photo.putalpha(Image.fromarray(alpha))
    after = np.asarray(inpainted(saved(photo, tmp_path / "a.png"), "alpha", invert=True).image)
    np.testing.assert_array_equal(after[alpha == 0], np.asarray(photo)[alpha == 0])
    assert (after[alpha == 255][:, 3] == 255).all()
    np.testing.assert_array_equal(after[20, 20:40], np.broadcast_to([255, 0, 0, 255], (20, 4)))


def test_colours_are_blended_by_what_is_visible_of_them() -> None:
    old, new = Image.new("RGBA", (4, 1), (0, 0, 200, 102)), Image.new("RGB", (4, 1), (250, 0, 0))
    weights, both = np.array([[0, 51, 204, 255]], np.uint8), (np.asarray(old), np.asarray(new))
    lerp, filled = (blended(*both, weights, 255, fill)[0].astype(int) for fill in (False, True))
    for found in (lerp, filled):
        assert found[0].tolist() == [0, 0, 200, 102]
        assert found[3].tolist() == [250, 0, 0, 255]
    # premultiplied by hand: alpha .4 (1 - w) + w; filled: .4 old over new first, then w of new
    assert lerp[1].tolist() == [round(250 * 0.2 / 0.52), 0, round(200 * 0.32 / 0.52), round(255 * 0.52)]
    assert lerp[2].tolist() == [round(250 * 0.8 / 0.88), 0, round(200 * 0.08 / 0.88), round(255 * 0.88)]
    assert filled[1].tolist() == [round(250 * (0.8 * 0.6 + 0.2)), 0, round(200 * 0.4 * 0.8), 255]
    assert filled[2].tolist() == [round(250 * (0.2 * 0.6 + 0.8)), 0, round(200 * 0.4 * 0.2), 255]


@pytest.mark.parametrize("size", [(20, 20), (333, 257), (640, 512)])
def test_nothing_of_the_old_content_is_left_around_the_mask(tmp_path: Path, size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, (0, 0, 255))
    box = size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2
    photo.paste((0, 255, 0), box)
    after = np.asarray(inpainted(saved(photo, tmp_path / "a.png"), "box:" + ",".join(map(str, box))).image)
    assert after[..., 1].max() == 0  # green went with the mask; red is the model's, blue the surroundings'
    assert after[..., 0].max() == 255


# masks that are at the edge of being masks


def test_a_mask_smaller_than_one_latent_is_still_made_new(tmp_path: Path) -> None:
    path = saved(astronaut(), tmp_path / "a.png")
    after = np.asarray(inpainted(path, "box:200,300,201,301", padding="50%").image)
    huge = np.asarray(inpainted(path, "box:200,300,201,301", padding="400").image)
    before = np.asarray(astronaut())[300, 200].astype(int)
    for picture in (after, huge):
        nearness = abs(picture[300, 200].astype(int) - [255, 0, 0]).sum() / abs(before - [255, 0, 0]).sum()
        assert nearness < 0.35  # a lone latent blends with its neighbours when it is enlarged
        assert (picture != np.asarray(astronaut())).any(axis=2).sum() == 1


def test_a_full_mask_makes_all_new_and_says_so(tmp_path: Path) -> None:
    result = inpainted(saved(astronaut(), tmp_path / "a.png"), "box:0,0,100%,100%")
    assert (np.asarray(result.image) == [255, 0, 0]).all()
    assert result.facts["notes"] == ["the mask covers the whole picture: all of it is made new"]
    assert result.facts["changed_outside"] == 0


def test_what_is_done_to_a_mask_is_noted(tmp_path: Path) -> None:
    wide = saved(astronaut().resize((640, 40)), tmp_path / "a.png")
    result = inpainted(wide, "box:-10,0,600,20", feather=30)
    cut, narrow, squeezed = result.facts["notes"]
    assert cut == "the mask 'box:-10,0,600,20' reaches over the picture's edge and is cut at 640 x 40 pixels"
    assert narrow.startswith("the mask is narrower than its feather of 30 px")
    assert squeezed.startswith("the model saw 640 x 40 pixels squeezed to 32 x 32")
    assert result.facts["mask_pixels"] == 600 * 20


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("box:600,0,700,10", r"mask 'box:600,0,700,10' lies off the picture, which is 512 x 512 pixels"),
        ("ellipse:0,-20%,10,0%", r"lies off the picture"),
        ("box:10,10,10,20", r"has no area: expected x0 < x1 and y0 < y1"),
        ("box:20,10,10,20", r"has no area"),
        (
            "box:1,2,3",
            r"mask 'box:1,2,3' is malformed: expected x0,y0,x1,y1 or WxH\+X\+Y, in .*\n  box:1,2,3\n      \^",
        ),
        ("box:1,2,3,four", r"is malformed"),
        ("box:nan,0,1,1", r"is malformed"),
        ("circle:1,2,3,4", r"mask 'circle:1,2,3,4' is malformed: expected x,y,r"),
        ("square:1,2,3,4", r"mask 'square:1,2,3,4': unknown form 'square'; expected a picture file, alpha, box"),
        ("alpha", r"a\.png has no alpha channel; give a mask file"),
        ("nothing.png", r"nothing\.png does not exist"),
    ],
)
def test_masks_that_are_none(tmp_path: Path, mask: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        inpainted(saved(astronaut(), tmp_path / "a.png"), mask)


def test_an_empty_mask_is_an_error(tmp_path: Path) -> None:
    photo = saved(astronaut().resize((60, 40)), tmp_path / "a.png")
    black, white = (saved(Image.new("L", (60, 40), value), tmp_path / f"{value}.png") for value in (0, 255))
    with pytest.raises(UsageError, match=r"the mask '.*0\.png' is empty: nothing in it is white"):
        inpainted(photo, black)
    with pytest.raises(UsageError, match="is empty: nothing in it is black"):
        inpainted(photo, white, invert=True)
    assert inpainted(photo, black, invert=True).facts["mask_pixels"] == 2400
    opaque = saved(astronaut().convert("RGBA"), tmp_path / "b.png")
    with pytest.raises(UsageError, match="'alpha' is empty: nothing in it is transparent"):
        inpainted(opaque, "alpha")


def test_a_mask_of_another_size_needs_mask_fit(tmp_path: Path) -> None:
    photo = saved(astronaut(), tmp_path / "a.png")
    mask = Image.new("RGB", (64, 64))
    mask.paste((255, 255, 255), (16, 16, 32, 32))
    path = saved(mask, tmp_path / "m.png")
    with pytest.raises(UsageError, match=r"m\.png is 64 x 64 pixels, expected 512 x 512 .*`mask_fit=True`"):
        inpainted(photo, path)
    after = np.asarray(inpainted(photo, path, mask_fit=True).image)
    assert (after[140:244, 140:244] == [255, 0, 0]).all()
    changed = (after != np.asarray(astronaut())).any(axis=2)
    assert not changed[outside(changed.shape, (120, 120, 264, 264))].any()


@pytest.mark.parametrize("padding", ["wide", "-3", "10px%"])
def test_padding_that_is_none(tmp_path: Path, padding: str) -> None:
    with pytest.raises(UsageError, match=f"padding '{padding}': expected pixels or a share of the mask"):
        inpainted(saved(astronaut(), tmp_path / "a.png"), "box:0,0,9,9", padding=padding)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="inpaint: a picture is missing"):
        list(sample(exact_model(RED), tricks=[Inpaint(mask="alpha")]))
    with pytest.raises(UsageError, match="inpaint: mask: Field required"):
        Inpaint(image="a.png")
    with pytest.raises(UsageError, match="inpaint: mask: expected a list, got 5"):
        Inpaint(image="a.png", mask=5)
    with pytest.raises(UsageError, match="mask: List should have at least 1 item"):
        Inpaint(image="a.png", mask=[])


def test_the_picture_and_mask_files_are_left_as_they_were(tmp_path: Path) -> None:
    photo, mask = saved(astronaut(), tmp_path / "a.png"), saved(Image.new("L", (512, 512), 200), tmp_path / "m.png")
    before = Path(photo).read_bytes(), Path(mask).read_bytes()
    inpainted(photo, mask)
    assert (Path(photo).read_bytes(), Path(mask).read_bytes()) == before


def test_the_decoded_red_is_red() -> None:
    """The oracle of this file: the exact model's picture is 255, 0, 0 throughout."""
    assert set(to_images(RED)[0].get_flattened_data()) == {(255, 0, 0)}


@pytest.mark.parametrize("deep", [False, True])
def test_alpha_is_kept_where_that_is_asked(tmp_path: Path, deep: bool) -> None:
    """The colours are those of the mask's blend, the alpha that of the photo, in the file that tifffile reads."""
    rng = np.random.default_rng(3)
    top, kind = (65535, np.uint16) if deep else (255, np.uint8)
    before = rng.integers(0, top + 1, (40, 50, 4)).astype(kind)
    before[..., 3] = np.linspace(0, top, 50).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", before, photometric="rgb", extrasamples=["unassalpha"])
    result = inpainted(str(tmp_path / "a.tif"), "box:10,10,40,30", keep_alpha=True)
    result.save(tmp_path / "b.tif")
    after = tifffile.imread(tmp_path / "b.tif")
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    inside = after[14:26, 14:36, :3].astype(float) / top
    assert np.abs(inside - [1, 0, 0]).max() < 0.05
    kept = outside(before.shape, (10, 10, 40, 30))
    np.testing.assert_array_equal(after[kept], before[kept])
    opaque = inpainted(str(tmp_path / "a.tif"), "box:10,10,40,30")
    opaque.save(tmp_path / "c.tif")
    assert (tifffile.imread(tmp_path / "c.tif")[14:26, 14:36, 3] == top).all()


def test_keeping_an_alpha_that_is_not_there_is_told_or_refused(tmp_path: Path) -> None:
    photo = saved(astronaut(), tmp_path / "a.png")
    (note,) = [note for note in inpainted(photo, "box:10,10,40,30", keep_alpha=True).facts["notes"] if "alpha" in note]
    assert note == f"{photo} has no alpha that `keep_alpha` could leave as it is"
    with pytest.raises(UsageError, match="`keep_alpha` would leave unseen what is made where the picture is"):
        Inpaint(mask="alpha", keep_alpha=True)
