"""Prompts by mask against exact denoisers, each of which knows its own picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run as command
from diffusion_tricks import Ask, Estimate, Trick, UsageError, hookimpl, load_model, sample
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Panorama, Regions
from diffusion_tricks_plugins.regions import BOOTSTRAPPED, around, zoomed

SIDE = 16


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


A, B, C, NONE = map(picture, range(4))
LEFT, RIGHT, LOW = "box:0,0,50%,100%", "box:50%,0,100%,100%", "box:0,75%,100%,100%"
KNOWN: dict[str | None, Tensor] = {"a": A, "b": B, "c": C, None: NONE}


def box(left: int, top: int, right: int, bottom: int) -> Tensor:
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., top:bottom, left:right] = 1
    return mask


def ends_in(*tricks: Trick[Any], model: Any = None, **request: Any) -> Step:
    model = model or exact_model(KNOWN)
    *_, last = sample(model, tricks=tricks, **{"prompt": "a", "steps": 8, "seed": 1, "scheduler": "ddim"} | request)
    return last


class Listens(Trick[Any]):
    """Notes what the model is asked, and where the schedule is."""

    name = "listens"

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[float, Ask]] = []

    @hookimpl(trylast=True)
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        self.heard.append((step.fraction, ask))
        answers: list[Estimate] = yield [ask]
        return answers[0]


@pytest.mark.parametrize("scheduler", ["ddim", "heun", "dpm++2m"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_each_region_shows_its_own_picture_and_the_rest_the_runs(scheduler: str, prediction: str) -> None:
    trick = Regions(regions=[(LEFT, "b"), ("box:8,0,16,4", "c")])
    last = ends_in(trick, model=exact_model(KNOWN, prediction=prediction), scheduler=scheduler)
    left, corner = box(0, 0, 8, 16), box(8, 0, 16, 4)
    expected = left * B + corner * C + (1 - left - corner) * A
    torch.testing.assert_close(last.x, expected, atol=1e-4, rtol=0)
    assert last.rows == 3


def test_where_regions_overlap_each_counts_by_its_weight(tmp_path: Path) -> None:
    """Weights of .4 and .8 become 1/3 and 2/3; .4 alone leaves .6 to the run's prompt."""
    for name, weight in (("dim", 102), ("bright", 204)):
        values = np.full((SIDE, SIDE), weight, np.uint8)
        values[:, 8:] = 0 if name == "bright" else weight
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    trick = Regions(regions=[(tmp_path / "dim.png", "b"), (tmp_path / "bright.png", "c")])
    left = box(0, 0, 8, 16)
    expected = left * (B + 2 * C) / 3 + (1 - left) * (0.4 * B + 0.6 * A)
    torch.testing.assert_close(ends_in(trick).x, expected, atol=1e-4, rtol=0)


def test_regions_of_the_whole_picture_leave_the_runs_prompt_unasked() -> None:
    last = ends_in(Regions(regions=[(LEFT, "b"), (RIGHT, "c")]))
    left = box(0, 0, 8, 16)
    torch.testing.assert_close(last.x, left * B + (1 - left) * C, atol=1e-4, rtol=0)
    assert last.rows == 2
    assert last.run.facts[0]["notes"] == ["the regions cover the whole picture, so that the prompt of the run is not"
                                          " asked"]  # fmt: skip


def test_a_region_has_a_guidance_and_a_negative_prompt_of_its_own_in_brackets() -> None:
    own = {"prompt": "b", "tricks": [{"trick": "guidance", "scale": 3, "negative": "c"}]}
    last = ends_in(Regions(regions=[(LEFT, own)]), Guidance(scale=2))
    left = box(0, 0, 8, 16)
    expected = left * (C + 3 * (B - C)) + (1 - left) * (NONE + 2 * (A - NONE))
    torch.testing.assert_close(last.x, expected, atol=2e-4, rtol=0)
    assert last.rows == 4


def test_regions_of_anagrams_and_an_anagram_of_regions() -> None:
    anagram = {"trick": "anagram", "prompts": ["b", "c"]}
    left = box(0, 0, 8, 16)
    expected = left * (B + C.flip(2)) / 2 + (1 - left) * A
    torch.testing.assert_close(ends_in(Regions(regions=[(LEFT, anagram)])).x, expected, atol=2e-4, rtol=0)
    parts = {"prompt": "a", "tricks": [{"trick": "regions", "regions": [(LEFT, "b")]}]}
    trick = Anagram(views=[("identity", parts), ("mirror", "c")])
    expected = (left * B + (1 - left) * A + C.flip(3)) / 2
    torch.testing.assert_close(ends_in(trick, prompt=None).x, expected, atol=2e-4, rtol=0)


def test_before_an_anagram_regions_would_never_be_heard() -> None:
    regions, anagram = Regions(regions=[(LEFT, "b")]), Anagram(prompts=["a", "c"])
    with pytest.raises(UsageError, match=r"'regions' is never heard; name 'regions' after it, or .*\[anagram \.\.\.\]"):
        ends_in(regions, anagram, prompt=None)
    left = box(0, 0, 8, 16)
    views = (left * B + (1 - left) * A, left * B + (1 - left) * C)  # what each view shows, of its own left half
    expected = (views[0] + views[1].flip(2)) / 2
    torch.testing.assert_close(ends_in(anagram, regions, prompt=None).x, expected, atol=2e-4, rtol=0)


def test_a_latent_model_has_the_mask_at_its_scale_and_a_later_stage_too() -> None:
    """Half a latent's pixels in the box are half a weight."""
    model = load_model(tiny_pipeline("sd"), device="cpu")
    trick = Regions(regions=[("box:0,0,7,16", "b")])
    last = ends_in(trick, model=model, steps=2)
    scale = model.family.scale
    notes = next(iter(last.run._states.values()))
    row = notes.shares[1][0, 0, 0]
    expected = [min(max(7 - i * scale, 0), scale) / scale for i in range(len(row))]
    assert row.tolist() == pytest.approx(expected, abs=1e-2)
    torch.testing.assert_close(sum(notes.shares), torch.ones_like(notes.shares[0]))


def test_the_first_steps_see_each_region_before_a_background_of_its_own() -> None:
    """Outside a region x = alpha c + sigma eps of one colour c; after a fifth of the schedule x is the run's own."""
    listens = Listens()
    last = ends_in(Regions(regions=[(LEFT, "b"), (LOW, "c")], bootstrap=True), listens, steps=10)
    by_step = {fraction: [ask for f, ask in listens.heard if f == fraction] for fraction, _ in listens.heard}
    early = [asks for fraction, asks in by_step.items() if fraction < BOOTSTRAPPED]
    assert len(early) == 2
    for base, left, low in early:
        assert torch.equal(base.x[..., :8], left.x[..., :8])
        assert torch.equal(base.x[..., 12:, :], low.x[..., 12:, :])
        assert not torch.equal(left.x[..., 8:], low.x[..., 8:])
        assert float((left.x - base.x)[..., 8:].abs().mean()) > 0.1
    assert all(ask.x is asks[0].x for fraction, asks in by_step.items() if fraction >= BOOTSTRAPPED for ask in asks)
    left, corner = box(0, 0, 8, 12), box(8, 12, 16, 16)
    inside = left * B + corner * C
    torch.testing.assert_close(last.x * (left + corner), inside, atol=1e-4, rtol=0)


def test_a_part_of_the_picture_has_no_regions() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    with pytest.raises(
        UsageError, match="'regions' is of the whole picture, and is asked about a part of it; name 'regions' before"
    ):
        ends_in(Panorama(), Regions(regions=[(LEFT, "b")]), model=model, size=(32, 16))
    last = ends_in(Regions(regions=[(LEFT, "b")]), Panorama(), model=model, size=(32, 16), steps=2)
    assert last.rows == 6, "three windows of each prompt"


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([], "give at least one region"),
        ([("box:0,0,1", "b")], "'box:0,0,1' is malformed"),
        ([("triangle:0,0,1,1", "b")], "unknown form 'triangle'"),
        ([("box:200%,0,300%,100%", "b")], "lies off the picture"),
        ([("alpha", "b")], "the mask 'alpha' looks at a picture, and here is none"),
    ],
)
def test_what_is_no_region_is_refused(regions: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ends_in(Regions(regions=regions))


def test_views_go_nearer_to_each_region() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8))
    trick = Regions(
        regions=[("box:0,0,50%,50%", "a"), ("box:75%,0,100%,100%", {"trick": "anagram", "prompts": ["b", "c"]})]
    )
    shown = trick.views_of(image)
    assert [(view.name, view.prompt) for view in shown] == [
        ("box:0,0,50%,50%", "a"), ("box:75%,0,100%,100% > identity", "b"), ("box:75%,0,100%,100% > flip", "c"),
    ]  # fmt: skip
    first = shown[0]
    assert first.frame is not None
    assert first.frame(0.0).tobytes() == image.tobytes()
    assert first.frame(1.0).tobytes() == first.picture.tobytes()
    assert first.picture.size == image.size
    near = np.asarray(image.resize((80, 40), Image.Resampling.BICUBIC, box=(0, 0, 40, 20)), float)
    assert np.abs(np.asarray(first.picture, float) - near).mean() < 12, "of noise, by another bicubic; else it is 85"
    assert around((0, 0, 20, 40), (80, 40)) == (-30, 0, 50, 40)
    tall = np.asarray(zoomed(image, (0, 0, 20, 40), 1.0))
    assert np.array_equal(tall[:, 30:50], np.asarray(image)[:, :20])
    assert (tall[:, :30] == 255).all()
    assert (tall[:, 50:] == 255).all()
    assert zoomed(image, (0, 0, 80, 40), 1.0).tobytes() == image.tobytes()


@pytest.mark.parametrize("bootstrap", [False, True])
def test_it_holds_what_a_trick_must(bootstrap: bool) -> None:
    check_trick(Regions(regions=[("ellipse:0,0,50%,50%", "b")], bootstrap=bootstrap))


def test_the_command_line_takes_masks_and_brackets(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Image.new("L", (5, 5), 255).save("sub/mask.png")
    words = ("make", "-m", tiny, "-p", "a", "--steps", 2, "--seed", 1, "--json")
    chain = ("regions", "--region", LEFT, "b", "--region", "sub/mask.png", "[", "c", "guidance", "--scale", 2, "]")
    made = command(*words, "-o", "a.png", "--save-recipe", "sub/a.toml", *chain)
    assert made.code == 0, made.err
    assert made.json["rows_per_step"] == 3, "b, c, and what both are moved away from"
    text = Path("sub/a.toml").read_text()
    assert ('"mask.png"' in text, "sub/mask.png" in text) == (True, False)
    again = command("run", "sub/a.toml", "-m", tiny, "-o", "b.png", "--json")
    assert again.code == 0, again.err
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("b.png")))
    assert command(*words, "-o", "c.png", "regions", "--region", "gone.png", "b").code != 0
