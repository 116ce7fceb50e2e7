"""Inpainting that blends: strength, what fills the mask, soft masks, resampling and colours, against their formulas."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from diffusion_tricks import Recipe, TrickEntry, make, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.errors import UsageError
from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.registry.options import TrickOptions
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing.denoisers import exact_model, posterior_mean
from diffusion_tricks_plugins import Inpaint, SDEdit
from diffusion_tricks_plugins.inpaint_fill import RING, filled, matched

Array = np.ndarray[Any, Any]
SIDE = 32
BOX = "box:10,6,24,26"
INSIDE = np.zeros((SIDE, SIDE), bool)
INSIDE[6:26, 10:24] = True
RED = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)
PHOTO = np.asarray(Image.fromarray(data.astronaut()).resize((SIDE, SIDE)))
OTHERS = torch.cat([to_tensor(Image.fromarray(page).resize((SIDE, SIDE))) for page in (data.cat(), data.coffee())])


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


class Watch(Trick[TrickOptions]):
    """Keeps the latents that every step is made from."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, torch.Tensor]] = []

    @hookimpl(trylast=True)
    def before_step(self, step: Step) -> None:
        self.seen.append((step.index, step.x))


def ran(photo: str, model: Any = None, mask: str = BOX, **options: Any) -> tuple[list[Step], Watch]:
    watch = Watch()
    tricks = [Inpaint(image=photo, mask=mask, padding="1000%", **options), watch]
    steps = sample(model or exact_model(OTHERS), tricks=tricks, steps=8, scheduler="ddim", seed=3)
    return list(steps), watch


# what stands under the mask


def test_the_mean_and_the_nearest_of_what_is_kept() -> None:
    found = filled(PHOTO, INSIDE, "mean")
    np.testing.assert_array_equal(found[INSIDE], np.tile(PHOTO[~INSIDE].mean(0).round(), (INSIDE.sum(), 1)))
    kept = np.argwhere(~INSIDE)
    found = filled(PHOTO, INSIDE, "edge")
    for y, x in np.argwhere(INSIDE):
        far = ((kept - [y, x]) ** 2).sum(1)
        nearest = PHOTO[tuple(kept[far == far.min()].T)]
        assert (nearest == found[y, x]).all(axis=1).any()
    np.testing.assert_array_equal(found[~INSIDE], PHOTO[~INSIDE])


def test_blur_is_a_normalised_convolution() -> None:
    kept, sigma = (~INSIDE).astype(float), 7 / 2  # the deepest pixel lies 7 px inside
    shares = gaussian_filter(kept, sigma, mode="nearest")
    expected = [gaussian_filter(PHOTO[..., i] * kept, sigma, mode="nearest") / shares for i in range(3)]
    found = filled(PHOTO, INSIDE, "blur")
    np.testing.assert_allclose(found[INSIDE], np.stack(expected, 2)[INSIDE], rtol=0, atol=0.501)
    np.testing.assert_array_equal(found[~INSIDE], PHOTO[~INSIDE])


@pytest.mark.parametrize("how", ["original", "noise"])
def test_what_fills_nothing_changes_nothing(how: Any) -> None:
    assert filled(PHOTO, INSIDE, how) is PHOTO
    for nothing in (np.zeros_like(INSIDE), np.ones_like(INSIDE)):
        assert filled(PHOTO, nothing, "edge") is PHOTO


def test_telea_is_opencvs_and_its_absence_is_told() -> None:
    with mock.patch.dict(sys.modules, {"cv2": None}), pytest.raises(UsageError, match="done by OpenCV, which is not"):
        filled(PHOTO, INSIDE, "telea")
    stand_in = mock.Mock(INPAINT_TELEA=1, inpaint=mock.Mock(return_value=np.full_like(PHOTO, 7)))
    with mock.patch.dict(sys.modules, {"cv2": stand_in}):
        found = filled(PHOTO, INSIDE, "telea")
    assert (found[INSIDE] == 7).all()
    np.testing.assert_array_equal(stand_in.inpaint.call_args.args[1], INSIDE.astype(np.uint8))


def test_telea_itself() -> None:
    cv2 = pytest.importorskip("cv2")
    expected = cv2.inpaint(PHOTO.copy(), INSIDE.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    np.testing.assert_array_equal(filled(PHOTO, INSIDE, "telea")[INSIDE], expected[INSIDE])


# strength


@pytest.mark.parametrize("fill", ["original", "mean", "blur", "edge"])
def test_a_run_of_some_strength_starts_from_the_filled_picture(photo: str, fill: Any) -> None:
    steps, watch = ran(photo, strength=0.5, fill=fill)
    assert [step.index for step in steps] == [4, 5, 6, 7]
    step, clean = steps[0], to_tensor(Image.fromarray(filled(PHOTO, INSIDE, fill)))
    eps = (watch.seen[0][1] - step.alpha * clean) / step.sigma
    inside = torch.from_numpy(INSIDE)
    assert abs(float(eps[..., inside].mean())) < 0.1
    assert abs(float(eps[..., inside].std()) - 1) < 0.1


def test_noise_under_the_mask_is_of_unit_spread(photo: str) -> None:
    steps, watch = ran(photo, strength=0.5, fill="noise")
    x = watch.seen[0][1][..., torch.from_numpy(INSIDE)]
    assert abs(float(x.std()) - (steps[0].alpha ** 2 + steps[0].sigma ** 2) ** 0.5) < 0.1


def made(photo: str, mask: str = BOX, **options: Any) -> Any:
    entry = TrickEntry(trick="inpaint", image=photo, mask=mask, **options)
    recipe = Recipe(prompt="x", seed=1, steps=4, scheduler="ddim", guidance=1, tricks=[entry])
    return make(recipe, model=exact_model(RED))[0]


def test_strength_0_gives_the_files_own_pixels(photo: str) -> None:
    result = made(photo, strength=0)
    np.testing.assert_array_equal(np.asarray(result.image), PHOTO)
    assert (result.facts["steps"], result.facts["changed_outside"]) == (0, 0)


def test_strength_is_refused_where_it_would_do_nothing(photo: str) -> None:
    with pytest.raises(UsageError, match=r"strength 0\.01 of 4 steps is less than one, so no step would be run"):
        made(photo, strength=0.01)
    with pytest.raises(UsageError, match="`fill` is of no use without `strength`"):
        made(photo, fill="edge")
    with pytest.raises(UsageError, match="'sdedit' and 'inpaint' both fill the place 'start'"):
        list(sample(exact_model(RED), tricks=[SDEdit(image=photo), Inpaint(mask=BOX, strength=0.5)]))
    twice = [Inpaint(image=photo, mask=BOX, strength=0.5), Inpaint(mask="box:0,0,4,4", strength=0.5)]
    assert len(list(sample(exact_model(RED), tricks=twice, steps=4))) == 2


# soft masks


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_soft_masks_are_differential_diffusion(photo: str, tmp_path: Path, strength: float) -> None:
    """As StableDiffusionDifferentialImg2ImgPipeline of diffusers' community has it: mask_i = map > i / n, and
    x_i = mask_i noised(x0, t_i) + (1 - mask_i) x_i."""
    weights = np.tile(np.linspace(0, 255, SIDE).round().astype(np.uint8), (SIDE, 1))
    Image.fromarray(weights).save(tmp_path / "m.png")
    weights = np.where(weights < 8, 0, np.where(weights > 247, 255, weights))
    steps, watch = ran(photo, mask=str(tmp_path / "m.png"), soft="strength", strength=strength)
    run = steps[0].run
    known = run.state(run.tricks[0])["edit"].known
    keep = 1 - torch.from_numpy(weights / 255).float()
    first, count = run.first, len(run.timesteps)
    x, clean = watch.seen[0][1], to_tensor(Image.fromarray(PHOTO))
    for index in range(first, count):
        level, after = run.levels[index], run.levels[index + 1]
        mask = keep > (index - first) / (count - first)
        x = torch.where(mask, level.alpha * clean + level.sigma * known.noise, x)
        torch.testing.assert_close(watch.seen[index - first][1], x, rtol=0, atol=1e-4)
        x0 = posterior_mean(x, level, OTHERS)
        x = after.alpha * x0 + after.sigma * (x - level.alpha * x0) / level.sigma
    x = torch.where(keep == 1, clean, x)
    torch.testing.assert_close(steps[-1].x, x, rtol=0, atol=1e-4)


def test_a_hard_mask_is_the_same_by_strength(photo: str) -> None:
    (one, _), (other, _) = ran(photo, soft="strength"), ran(photo)
    assert torch.equal(one[-1].x, other[-1].x)
    result = made(photo, soft="strength", feather=4)
    assert result.facts["changed_outside"] == 0
    with pytest.raises(UsageError, match="puts back what is known for a while"):
        made(photo, soft="strength", blend="off")


# resampling


def test_resampling_makes_each_step_so_often_from_fresh_noise(photo: str) -> None:
    steps, watch = ran(photo, resample=3)
    assert [index for index, _ in watch.seen] == [i for i in range(7) for _ in range(3)] + [7]
    same = [x for index, x in watch.seen if index == 2]
    assert not torch.equal(same[0], same[1])
    kept = torch.from_numpy(~INSIDE)
    torch.testing.assert_close(same[0][..., kept], same[1][..., kept], rtol=0, atol=0)
    torch.testing.assert_close(steps[-1].x[..., kept], to_tensor(Image.fromarray(PHOTO))[..., kept], rtol=0, atol=0)


def get_schedule_jump(t_T: int, jump_length: int, jump_n_sample: int) -> list[int]:
    """As the paper's code has it, with n_sample = 1: the levels that a run comes to, T - 1 the noisiest, -1 clean."""
    jumps = {j: jump_n_sample - 1 for j in range(0, t_T - jump_length, jump_length)}
    t, ts = t_T, []
    while t >= 1:
        t = t - 1
        ts.append(t)
        if jumps.get(t, 0) > 0:
            jumps[t] = jumps[t] - 1
            for _ in range(jump_length):
                t = t + 1
                ts.append(t)
    return [*ts, -1]


def levels_made(made: list[int], count: int) -> list[int]:
    """The levels that steps made in this order come to, and those that noise brings them back through."""
    ts = [count - 1]
    for index in made:
        at = count - 1 - index
        ts += range(ts[-1] + 1, at + 1)
        ts.append(at - 1)
    return ts


@pytest.mark.parametrize(("jump", "resample"), [(1, 1), (1, 3), (2, 2), (3, 4), (5, 2), (7, 3)])
def test_resampling_goes_back_as_repaint_does(photo: str, jump: int, resample: int) -> None:
    _, watch = ran(photo, resample=resample, **({"jump": jump} if resample > 1 else {}))
    assert levels_made([index for index, _ in watch.seen], 8) == get_schedule_jump(8, jump, resample)


def test_the_papers_own_schedule_is_that_of_diffusers() -> None:
    """Its RePaintScheduler lists the same levels, but for the clean one at the end."""
    from diffusers import RePaintScheduler

    from diffusion_tricks_plugins.repainting import jumps

    scheduler = RePaintScheduler()
    scheduler.set_timesteps(250, jump_length=10, jump_n_sample=10)
    back, made, times, index = jumps(250, 10), list[int](), dict[int, int](), 0
    while index < 250:
        made.append(index)
        times[index] = times.get(index, 0) + 1
        index = back[index] if index in back and times[index] < 10 else index + 1
    levels = levels_made(made, 250)
    assert levels == get_schedule_jump(250, 10, 10)
    assert levels[:-1] == [int(t) // 4 for t in scheduler.timesteps]


@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_every_sampler_jumps_and_ends_in_the_known_picture(photo: str, scheduler: str) -> None:
    tricks = [Inpaint(image=photo, mask=BOX, padding="1000%", resample=2, jump=3)]
    *_, last = sample(exact_model(RED), tricks=tricks, steps=8, scheduler=scheduler, seed=3, count=2)
    inside = torch.from_numpy(INSIDE)
    end = last.next_level
    assert float((last.x - end.alpha * RED)[..., inside].abs().max()) <= 1e-3 + 6 * end.sigma
    kept = to_tensor(Image.fromarray(PHOTO))[..., ~inside]
    torch.testing.assert_close(last.x[..., ~inside], kept.expand(2, -1, -1), rtol=0, atol=0)


def test_a_run_of_some_strength_jumps_no_further_back_than_it_began(photo: str) -> None:
    _, watch = ran(photo, strength=0.5, resample=2, jump=2)
    assert [index for index, _ in watch.seen] == [4, 5, 6, 5, 6, 7]


# colours


def test_colours_are_matched_on_the_kept_ring() -> None:
    rng = np.random.default_rng(0)
    old = rng.integers(60, 190, (80, 80, 3)).astype(np.uint8)
    new = (old.astype(float) * [0.5, 0.8, 1.0] + [60, 10, -20]).round().clip(0, 255).astype(np.uint8)
    there = np.zeros((80, 80), bool)
    there[30:50, 25:60] = True
    y, x = np.mgrid[:80, :80]
    dy, dx = np.maximum(np.maximum(30 - y, y - 49), 0), np.maximum(np.maximum(25 - x, x - 59), 0)
    near = dx**2 + dy**2 <= RING**2
    new[~near] = 255  # what lies farther off says nothing
    found = matched(new, old, there, "mean").astype(float)
    assert np.abs(found - old)[near].mean() < 1.5
    ring = near & ~there
    np.testing.assert_allclose(found[ring].mean(0), old[ring].mean(0), atol=0.5)
    assert matched(new, old, there, "off") is new
    assert matched(new, old, np.ones_like(there), "mean") is new


def test_poisson_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    there = np.zeros((80, 80), bool)
    there[30:50, 25:60] = True
    old = np.tile(np.linspace(40, 200, 80).astype(np.uint8)[:, None], (80, 1, 3))
    found = matched((old // 2).astype(np.uint8), old, there, "poisson")
    assert found.shape == old.shape
    assert np.abs(found[~there].astype(int) - old[~there]).max() <= 2
    assert cv2.NORMAL_CLONE == 1


@pytest.mark.parametrize(("mask", "padding", "note"), [
    (BOX, "1000%", None),
    ("box:8,8,24,24", "0", "the model saw nothing of what is kept; give more `padding`, or `match` mixed"),
    ("box:0,0,32,32", "0", "nothing of the picture is kept whose colours it could match"),
])  # fmt: skip
def test_what_has_no_colours_to_match_is_noted(photo: str, mask: str, padding: str, note: str | None) -> None:
    facts = made(photo, mask=mask, padding=padding, match="mean").facts
    said = [text for text in facts.get("notes", []) if "`match`" in text]
    assert said == ([] if note is None else [f"`match` mean had no effect: {note}"])


@pytest.mark.parametrize("how", ["poisson", "mixed"])
def test_opencv_that_is_missing_is_said_before_a_step_is_made(photo: str, how: str) -> None:
    tricks = [Inpaint(image=photo, mask=BOX, match=how)]
    steps = sample(exact_model(RED), tricks=tricks, steps=4, scheduler="ddim", seed=3)
    with mock.patch.dict(sys.modules, {"cv2": None}), pytest.raises(UsageError, match=f'match="{how}"` is done by'):
        next(iter(steps))


def test_mixed_edges_show_the_texture_of_what_was_there_through_what_is_flat() -> None:
    pytest.importorskip("cv2")
    there = np.zeros((80, 80), bool)
    there[20:60, 20:60] = True
    old = np.random.default_rng(0).integers(100, 140, (80, 80, 1)).repeat(3, 2).astype(np.uint8)
    new = np.full_like(old, 250)
    new[30:50, 30:50] = 60  # a dark thing on white
    mixed, plain = (matched(new, old, there, how).astype(int) for how in ("mixed", "poisson"))
    ground = np.s_[22:27, 22:58]
    assert np.abs(mixed[ground] - old[ground]).mean() < 4
    assert plain[ground].std() < 0.5 * old[ground].std()
    assert mixed[35:45, 35:45].mean() < old[35:45, 35:45].mean() - 50


@pytest.mark.parametrize("padding", ["0", "1000%"])
def test_poisson_goes_on_from_what_was_there_whatever_the_model_saw(photo: str, padding: str) -> None:
    """What the model made is flat, so that nothing of it stays but the colours of the photograph's rim."""
    pytest.importorskip("cv2")
    found = made(photo, mask="box:8,8,24,24", match="poisson", padding=padding)
    colours, rim = np.asarray(found.image).astype(int), np.zeros((SIDE, SIDE), bool)
    rim[8:24, 8:24], rim[9:23, 9:23] = True, False
    assert np.abs(colours - PHOTO)[rim].mean() < 3
    assert not found.facts.get("notes")
    kept = np.pad(np.zeros((16, 16), bool), 8, constant_values=True)
    np.testing.assert_array_equal(colours[kept], PHOTO[kept])


def test_matching_leaves_what_is_kept_alone(photo: str) -> None:
    plain, brought = made(photo), made(photo, match="mean")
    assert brought.facts["changed_outside"] == 0
    np.testing.assert_array_equal(np.asarray(brought.image)[~INSIDE], np.asarray(plain.image)[~INSIDE])
