"""Posterior sampling on data that are standard normal, whose denoiser and whose posterior are known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, UsageError, load_model, sample
from diffusion_tricks.plugin import Level, Step, to_tensor
from diffusion_tricks.testing import check_trick, denoiser_model, tiny_pipeline
from diffusion_tricks_plugins import DPS, Anagram, Guidance

SIDE, NOISE = 32, 0.5
LEFT = f"box:0,0,{SIDE // 2},{SIDE}"  # is unknown


def normal(x: Tensor, level: Level, prompts: Any) -> Tensor:
    """x0 = alpha x / (alpha^2 + sigma^2), of x0 ~ N(0, 1)."""
    return level.alpha / (level.alpha**2 + level.sigma**2) * x


@pytest.fixture(scope="module")
def model() -> Model:
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    return denoiser_model(normal, (3, SIDE, SIDE), scheduler)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dps") / "photo.png"
    shades = torch.randint(0, 256, (SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(shades.numpy()).save(path)
    return path


def run(model: Model, trick: DPS, steps: int = 4, count: int = 1, **more: Any) -> list[Step]:
    return list(sample(model, prompt="a", tricks=[trick], steps=steps, count=count, seed=3, **more))


@pytest.mark.parametrize(("scheduler", "measured"), [("ddim", {}), ("euler", {}), ("ddim", {"reduce": 4})])
def test_a_step_of_dps_is_the_papers(model: Model, photo: Path, scheduler: str, measured: dict[str, Any]) -> None:
    small = SIDE // measured.get("reduce", 1)
    y = to_tensor(Image.open(photo).resize((small, small), Image.Resampling.LANCZOS) if measured else Image.open(photo))
    trick = DPS(image=str(photo), step=0.7 * 4 / 1000, **measured)
    plain, made = (run(model, t, scheduler=scheduler)[0] for t in (DPS(image=str(photo), step=0, **measured), trick))
    now, then = made.level, made.next_level
    n, n_then = ((level.alpha**2 + level.sigma**2) ** 0.5 for level in (now, then))
    c = now.alpha / n**2
    x = plain.estimate.x
    if measured:
        y = trick_measured(made, trick)
        off = y - torch.nn.functional.avg_pool2d(c * x, 4)
        back = torch.nn.functional.interpolate(off, scale_factor=4) / 16
    else:
        off = back = y - c * x
    expected = plain.x + 0.7 * n * n_then * c * back / off.norm()
    torch.testing.assert_close(made.x, expected, rtol=0, atol=1e-4 * n_then)


def trick_measured(step: Step, trick: DPS) -> Tensor:
    """What the trick read of its picture, resized by the io room."""
    return next(notes.measured for key, notes in step.run._states.items() if key == id(trick))


def test_pigdm_draws_from_the_posterior_of_normal_data(model: Model, photo: Path) -> None:
    trick = DPS(image=str(photo), mask=LEFT, rule="pigdm", noise=NOISE)
    x0 = run(model, trick, steps=250, count=4, scheduler="ddim")[-1].x.double()
    y = to_tensor(Image.open(photo)).double()
    known, unknown = slice(SIDE // 2, SIDE), slice(0, SIDE // 2)
    mean, variance = y / (1 + NOISE**2), NOISE**2 / (1 + NOISE**2)
    off = x0[..., known] - mean[..., known]
    assert abs(float(off.mean())) < 0.02
    assert float(off.var()) == pytest.approx(variance, rel=0.06)
    assert abs(float(x0[..., unknown].mean())) < 0.03
    assert float(x0[..., unknown].var()) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("measured", "power"), [({"mask": LEFT}, 1), ({"reduce": 4}, 1 / 16)])
@pytest.mark.parametrize("slope", [3, 1 / 3])
def test_pigdm_moves_a_picture_no_further_than_what_it_is_off(
    photo: Path, measured: dict[str, Any], power: float, slope: float
) -> None:
    """The x0 of a network so many times as steep as the exact one would be moved as many times as far as it is off."""
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    steep = denoiser_model(lambda x, level, prompts: slope * normal(x, level, prompts), (3, SIDE, SIDE), scheduler)
    pigdm = DPS(image=str(photo), rule="pigdm", noise=0.01, **measured)
    made = run(steep, pigdm, count=2)[0]
    plain = run(steep, DPS(image=str(photo), step=0, **measured), count=2)[0]
    notes = next(notes for key, notes in made.run._states.items() if key == id(pigdm))
    off = (notes.measured - notes.how.of(plain.estimate.clean)).flatten(1).norm(dim=1)
    far = (made.estimate.clean - plain.estimate.clean).flatten(1).norm(dim=1)
    torch.testing.assert_close(far, min(slope, 1) * off / power**0.5, rtol=5e-3, atol=0)


@pytest.mark.parametrize("measured", [{"mask": LEFT}, {"blur": 1.5}, {"reduce": 4}])
def test_what_is_made_comes_nearer_to_what_was_measured(model: Model, photo: Path, measured: dict[str, Any]) -> None:
    if "blur" in measured:  # noise is no blurred picture
        smooth = photo.with_name("smooth.png")
        Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(smooth)
        photo = smooth

    def off(step: float) -> float:
        trick = DPS(image=str(photo), step=step, **measured)
        last = run(model, trick, steps=20, scheduler="ddim")[-1]
        notes = next(notes for key, notes in last.run._states.items() if key == id(trick))
        return float((notes.how.of(last.x) - notes.measured).norm())

    assert off(1.0) < 0.35 * off(0.0001)


@pytest.mark.parametrize("kind", ["if", "sd", "sd3"])
def test_gradients_go_through_guidance_views_and_the_vae(kind: str, photo: Path) -> None:
    model = load_model(tiny_pipeline(kind), device="cpu")
    tricks = [Anagram(prompts=["a", "b"]), DPS(image=str(photo)), Guidance(scale=2)]
    steps = list(sample(model, tricks=tricks, steps=2, seed=1, count=2))
    assert {step.rows for step in steps} == {8}
    assert steps[0].differentiated == 8
    assert torch.isfinite(steps[-1].x).all()
    plain = list(sample(model, tricks=[Anagram(prompts=["a", "b"]), Guidance(scale=2)], steps=2, seed=1, count=2))
    assert torch.equal(steps[0].estimate.value, plain[0].estimate.value), "asks with a gradient have the same answers"
    assert not torch.equal(steps[0].x, plain[0].x)


def test_it_holds_what_every_trick_holds(photo: Path) -> None:
    check_trick(DPS(image=str(photo), mask=LEFT))
    check_trick(DPS(image=str(photo), reduce=4, rule="pigdm"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": LEFT, "blur": 2}, "mask and blur are two ways to measure"),
        ({"reduce": 5}, "`reduce` 5 does not divide the size 32x32"),
        ({"blur": 2, "rule": "pigdm"}, "use rule dps for `blur`"),
    ],
)
def test_bad_measurements_are_refused(model: Model, photo: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(model, DPS(image=str(photo), **options))
