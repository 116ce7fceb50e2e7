"""Panoramas: windows against the formula by hand, plain runs, and turns of what has no seam."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from torch import Tensor

from command_line import run as command
from diffusion_tricks import Trick, UsageError, load_model, sample
from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.model.model import Model
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.sampling.wrapping import around, within
from diffusion_tricks.testing import check_trick, denoiser_model, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, Guidance, Panorama, Regions
from diffusion_tricks_plugins.windows import Window, weights, windows


def tiny(kind: str = "if") -> Model:
    return load_model(tiny_pipeline(kind), device="cpu")


def steps_of(model: Model, *tricks: Trick[Any], **request: Any) -> list[Step]:
    return list(sample(model, tricks=tricks, **{"prompt": "a", "steps": 3, "seed": 1} | request))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))


def placed(place: Window, part: Tensor) -> Tensor:
    """A part where its window lies in the whole, with 0 around it."""
    total = torch.zeros(1, part.shape[1], *place.whole[::-1])
    place.add(part, total)
    return total


@pytest.mark.parametrize(("wrap", "count"), [(False, 9), (True, 9)])
@pytest.mark.parametrize("whole", [(37, 20), (64, 16), (16, 50)])
def test_windows_cover_every_pixel(whole: tuple[int, int], wrap: bool, count: int) -> None:
    places = windows(whole, (16, 16), (8, 8), wrap)
    cover = sum(placed(place, torch.ones(1, 1, 16, 16)) for place in places)
    assert float(cover.min()) >= 1
    assert all(wrap or place.left + 16 <= whole[0] for place in places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("left", [0, 5, 30])
def test_a_window_is_placed_where_it_was_cut(left: int) -> None:
    x, place = noise(3, 16, 32), Window(left, 4, (8, 8), (32, 16))
    columns = torch.arange(left, left + 8) % 32
    assert torch.equal(place.apply(x), x[..., 4:12, columns])
    mask = torch.zeros(16, 32)
    mask[4:12, columns] = 1
    assert torch.equal(placed(place, place.apply(x)), x * mask)
    large = x.repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert torch.equal(place.apply(large), place.apply(x).repeat_interleave(4, -1).repeat_interleave(4, -2))


@pytest.mark.parametrize("falloff", ["flat", "feather", "gaussian"])
def test_weights_are_above_nothing_and_the_same_from_both_sides(falloff: Any) -> None:
    weight = weights((16, 8), falloff, torch.zeros(1))
    assert weight.shape == (1, 1, 8, 16)
    assert 0 < float(weight.min()) <= float(weight.max()) <= 1
    torch.testing.assert_close(weight, weight.flip(-1, -2))
    expected = {"flat": 1.0, "feather": 1 / 16, "gaussian": np.exp(-((15 / 32) ** 2) * 8)}[falloff]
    assert float(weight[..., 0].max() / weight.max()) == pytest.approx(expected, rel=0.07)


@pytest.mark.parametrize("kind", ["if", "sd", "sdxl", "sd3", "flux"])
def test_one_window_is_the_plain_run_to_the_bit(kind: str) -> None:
    model = tiny(kind)
    plain, windowed = (steps_of(model, *tricks)[-1].x for tricks in ([], [Panorama()]))
    assert torch.equal(plain, windowed)


@pytest.mark.parametrize("kind", ["if", "sd", "sdxl", "sd3", "flux"])
@pytest.mark.parametrize("falloff", ["flat", "gaussian"])
def test_a_step_is_the_weighted_mean_of_what_the_windows_say(kind: str, falloff: Any) -> None:
    """Each asked alone, as a picture of its own; SDXL is told a window's size, FLUX its positions."""
    model = tiny(kind)
    channels, scale = model.family.channels, model.family.scale
    (wide, high), own = model.family.size, model.family.size[0] // scale
    latents = noise(channels, own, 2 * own)
    step = next(iter(sample(model, prompt="a", steps=3, size=(2 * wide, high), latents=latents,
                            tricks=[Panorama(overlap=0.5, falloff=falloff)])))  # fmt: skip
    total = cover = torch.zeros_like(latents)
    weight = weights((own, own), falloff, latents)
    for left in (0, own // 2, own):
        part = latents[..., left : left + own]
        answer = next(iter(sample(model, prompt="a", steps=3, latents=part))).estimate.value
        mask = torch.zeros_like(latents)
        mask[..., left : left + own] = 1
        spread = torch.zeros_like(latents)
        spread[..., left : left + own] = weight * answer
        total, cover = total + spread, cover + mask * torch.nn.functional.pad(weight, (left, own - left))
    torch.testing.assert_close(step.estimate.value, total / cover, atol=2e-4, rtol=1e-3)
    assert step.rows == 3


@pytest.mark.parametrize("kind", ["if", "sd"])
def test_a_picture_that_wraps_turns_with_its_noise(kind: str) -> None:
    """Rolled by the stride, the windows see the same: so does the picture, with a scheduler that draws no noise."""
    model = tiny(kind)
    (wide, high), side = model.family.size, model.family.size[0] // model.family.scale
    latents = noise(model.family.channels, side, 3 * side)
    ask: dict[str, Any] = {"size": (3 * wide, high), "scheduler": "ddim"}
    plain, rolled = (
        steps_of(model, Panorama(wrap=True), latents=latents.roll(by, -1), **ask)[-1].run for by in (0, side // 2)
    )
    assert plain.latents is not None
    assert rolled.latents is not None
    torch.testing.assert_close(rolled.latents, plain.latents.roll(side // 2, -1), atol=2e-4, rtol=1e-3)

    def off(decode: Any) -> float:
        """How far the pictures are apart, at most at their seams."""
        return float((decode(rolled) - decode(plain).roll(wide // 2, -1)).abs().mean())

    decoded = off(lambda run: model.decode(run.latents))
    assert off(lambda run: run.pixels()) < (1e-4 if kind == "if" else decoded / 2)


def test_around_and_within_are_inverse() -> None:
    x = noise(3, 4, 24)
    padded = around(x, 8)
    assert torch.equal(padded, torch.cat([x.roll(8, -1)[..., :8], x, x[..., :8]], -1))
    assert torch.equal(within(padded, 8 / 24), x)
    assert torch.equal(within(padded.repeat_interleave(4, -1), 8 / 24), x.repeat_interleave(4, -1))
    assert around(x, 0) is within(x, 0.0) is x


def test_a_model_of_one_size_makes_any_with_windows_of_that() -> None:
    """A denoiser that knows one colour, and refuses to be asked about another size."""

    def one_colour(x: Tensor, level: Any, prompts: Any) -> Tensor:
        assert x.shape[1:] == (3, 8, 8)
        return torch.full_like(x, 0.25)

    model = denoiser_model(one_colour, (3, 8, 8))
    (*_, last) = steps_of(model, Panorama(overlap=0.25), size=(50, 8), scheduler="ddim")
    assert last.x.shape == (1, 3, 8, 50)
    torch.testing.assert_close(last.x, torch.full_like(last.x, 0.25), atol=1e-5, rtol=0)
    (*_, last) = steps_of(model, Panorama(alone=True), size=(24, 40), scheduler="ddim")
    assert last.x.shape == (1, 3, 40, 24)


def test_the_shorter_side_says_which_stage_makes_it() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    with pytest.raises(UsageError, match="got 256x64"):
        steps_of(model, size=(256, 64))
    steps = steps_of(model, Panorama(wrap=True), Guidance(scale=2), size=(256, 64), steps=2, upscale_steps=2)
    assert [(step.stage, step.run.size, step.run.window) for step in steps[::2]] == [
        (1, (64, 16), (16, 16)), (2, (256, 64), (64, 64)),
    ]  # fmt: skip
    assert [step.rows for step in steps] == [16, 16, 16, 16]
    assert isinstance(steps[-1].run.condition, Condition)
    assert steps[-1].run.condition.picture.shape == (1, 3, 64, 256)
    assert [s.run.size for s in steps_of(model, Panorama(alone=True), size=(64, 48), steps=1)] == [(64, 48)]
    assert [s.run.size for s in steps_of(model, Panorama(), size=(64, 16), steps=1)] == [(64, 16)]


def test_the_stride_is_in_pixels_of_the_model() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    steps = steps_of(model, Panorama(stride=4), size=(192, 64), steps=1, upscale_steps=1)
    assert [step.rows for step in steps] == [9, 9], "(48 - 16) / 4 + 1, and the same share in the second stage"
    with pytest.raises(
        UsageError, match="windows of 16x16 that lie 17 apart do not meet; use a `stride` of at most 16"
    ):
        steps_of(model, Panorama(stride=17), size=(48, 16))
    with pytest.raises(UsageError, match="`overlap` and `stride` both say how far apart"):
        Panorama(stride=4, overlap=0.5)


def test_other_tricks_act_on_all_of_it_or_on_every_window() -> None:
    model = tiny()
    views = [("identity", "a"), ("flip", "b")]
    for order in ([Anagram(views=views), Panorama()], [Panorama(), Anagram(views=views)]):
        last = steps_of(model, *order, prompt=None, size=(32, 16))[-1]
        assert (last.rows, tuple(last.x.shape)) == (6, (1, 3, 16, 32))


def test_learned_variances_are_joined_like_what_they_are_of() -> None:
    step = steps_of(tiny(), Panorama(), size=(32, 16), steps=1)[-1]
    assert step.estimate.variance is not None
    assert step.estimate.variance.shape == step.x.shape
    assert step.estimate.x.shape == step.x.shape


def test_views_move_each_part_to_the_middle() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 48, 3), np.uint8))
    plain, wrapped = Panorama().views_of(image), Panorama(wrap=True).views_of(image)
    assert [view.name for view in plain] == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]
    assert plain[1].picture is image
    assert wrapped[0].picture.tobytes() == ImageChops.offset(image, 16, 0).tobytes()
    first = plain[0].picture
    assert first.crop((16, 0, 48, 16)).tobytes() == image.crop((0, 0, 32, 16)).tobytes()
    assert first.crop((0, 0, 16, 16)).getcolors() == [(256, (255, 255, 255))]
    for view in (*plain, *wrapped):
        assert view.frame is not None
        assert view.frame(0.0).tobytes() == image.tobytes()
        assert view.frame(1.0).tobytes() == view.picture.tobytes()
    assert Panorama().views_of(image.crop((0, 0, 16, 16))) == []


def test_scores_ask_every_part_for_the_prompt_unless_regions_say_more() -> None:
    from diffusion_tricks import Recipe, TrickEntry
    from diffusion_tricks.plugin import shown

    image = Image.new("RGB", (48, 16))
    pano = TrickEntry(trick="panorama")
    parts = TrickEntry(trick="regions", regions=[("box:0,0,50%,100%", "b")])
    views = shown(Recipe(prompt="a", seed=0, tricks=[pano]), image)
    assert [(view.name, view.prompt) for view in views] == [(f"part {i} of 3", "a") for i in (1, 2, 3)]
    views = shown(Recipe(prompt="a", seed=0, tricks=[parts, pano]), image)
    assert [(view.name, view.prompt) for view in views] == [("box:0,0,50%,100%", "b")]


@pytest.mark.parametrize("options", [{}, {"wrap": True, "falloff": "flat"}], ids=str)
def test_it_holds_what_a_trick_must(options: dict[str, Any]) -> None:
    check_trick(Panorama(**options), size=(32, 16))


def test_the_command_line_plans_makes_and_scores_one(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("-m", tiny, "-p", "a", "--size", "64x16", "--guidance", 1, "--seed", 1, "--steps", 2)
    planned = command("plan", *words, "panorama", "--json")
    made = command("make", *words, "-o", "a.png", "--json", "panorama")
    assert (planned.code, made.code) == (0, 0), planned.err + made.err
    assert made.json["rows_per_step"] == 7
    refused = command("make", *words, "-o", "b.png")
    assert (refused.code, "64x16" in refused.err) == (2, True)
    scored = command("score", "a.png", "--json")
    assert [view["name"] for view in scored.json["views"]] == [f"part {i} of 4" for i in (1, 2, 3, 4)], scored.err


def test_regions_and_windows_together_end_in_what_each_knows() -> None:
    """Two colours, left and right, of a panorama three windows long."""

    def by_prompt(x: Tensor, level: Any, prompts: Any) -> Tensor:
        return torch.stack([torch.full_like(one, {"a": 0.5, "b": -0.5}[p]) for one, p in zip(x, prompts, strict=True)])

    model = denoiser_model(by_prompt, (3, 8, 8))
    last = steps_of(
        model, Regions(regions=[("box:0,0,12,8", "b")]), Panorama(wrap=True), size=(24, 8), scheduler="ddim"
    )[-1]
    expected = torch.full((1, 3, 8, 24), 0.5)
    expected[..., :12] = -0.5
    torch.testing.assert_close(last.x, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        (["hybrid", "--far", "picture:a.png", "--near", "b"], "'picture' is .*name the trick that it stands in before"),
        (["components", "--split", "wavelet", "--part", "a", "--part", "b"], "name 'components' before the trick that"),
        (["components", "--split", "mask", "--mask", "box:0,0,8,8", "--part", "a", "--part", "b"], "name 'components'"),
        (["anagram", "a", "a", "exact", "a.png"], "'exact' is of the whole picture, .*leave out the trick that shows"),
    ],
)
def test_what_is_of_the_whole_is_not_asked_about_windows(
    trick: list[str], message: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), "red").save("a.png")
    how = ["-m", tiny, "--steps", "1", "--size", "32x16", "-o", "out.png"]
    refused = command("make", *how, "panorama", *trick)
    assert refused.code == 2, refused.err
    assert re.search(message, refused.err), refused.err
    if trick[0] != "anagram":  # `exact` is always asked last
        made = command("make", *how, *trick, "panorama")
        assert made.code == 0, made.err
