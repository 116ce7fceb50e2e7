"""Tricks on models without text, of nothing (DDPM, DDIM) and of classes, against loops of diffusers' schedulers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, Step, Trick, TrickEntry, load_model, make, sample
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.plain import PlainFamily
from diffusion_tricks.families.table import row_for
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.testing import check_trick, tiny_pipeline
from diffusion_tricks.testing.tiny.weights import built
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid, Inpaint, SDEdit

STEPS, SEED, SIDE = 4, 5, 16
NAMES = ("cat", "dog", "owl")


def with_classes() -> Any:
    """Three classes, and an embedding more for none of them."""
    unet = UNet2DModel(
        sample_size=SIDE, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    )  # fmt: skip
    return DDPMPipeline(unet, DDPMScheduler(clip_sample=True))


@pytest.fixture(scope="module", params=["ddpm", "ddim"])
def plain(request: pytest.FixtureRequest) -> Model:
    return load_model(tiny_pipeline(request.param), device="cpu")


@pytest.fixture(scope="module")
def classes() -> Model:
    pipe = built(with_classes, 0)
    model = load_model(pipe, device="cpu")
    model.family = PlainFamily(pipe, NAMES)
    return model


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    return str(path)


def last(model: Model, *tricks: Trick[Any], **request: Any) -> Step:
    *_, step = sample(model, tricks=tricks, **{"prompt": "", "seed": SEED, "steps": STEPS, **request})
    return step


def loop(model: Model, estimate: Any, x: Tensor | None = None, first: int = 0) -> Tensor:
    """Plain sampling from diffusers' scheduler, as its tutorials write it; estimate: eps of (x, t)."""
    scheduler, drawn = copy.deepcopy(model.pipe.scheduler), torch.Generator().manual_seed(SEED)
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=drawn)
    times = scheduler.timesteps[first:]
    x = noise if x is None else scheduler.add_noise(x, noise, times[:1])
    for t in times:
        with torch.no_grad():
            eps = estimate(x, t)
        draws = {"generator": drawn} if isinstance(scheduler, DDPMScheduler) else {}
        x = scheduler.step(eps, t, x, **draws, return_dict=False)[0]
    return x


def asked(model: Model, *labels: int) -> Any:
    """The network's answer, of one class or of none at all."""
    given = {"class_labels": torch.tensor(labels)} if labels else {}
    return lambda x, t: model.pipe.unet(x, t, **given, return_dict=False)[0]


# without a prompt


def test_pictures_are_the_pipelines_own(plain: Model) -> None:
    drawn = torch.Generator().manual_seed(SEED)
    expected = plain.pipe(generator=drawn, num_inference_steps=STEPS, output_type="np").images[0]
    unit = (last(plain).x[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(unit, expected)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_sdedit_starts_from_the_picture(plain: Model, photo: str, strength: float) -> None:
    clean, first = to_tensor(Image.open(photo)), STEPS - int(STEPS * strength)
    expected = loop(plain, asked(plain), clean, first)
    step = last(plain, SDEdit(image=photo, strength=strength))
    torch.testing.assert_close(step.x, expected, rtol=0, atol=1e-4)  # float32 square roots in their add_noise


def test_an_anagram_is_the_mean_of_its_views(plain: Model) -> None:
    network = asked(plain)

    def mean(x: Tensor, t: Tensor) -> Tensor:
        straight, turned = network(torch.cat([x, x.flip(-2)]), t).chunk(2)
        return torch.stack([straight, turned.flip(-2)]).mean(0)

    step = last(plain, Anagram(prompts=["", ""]), Guidance(scale=1), prompt=None)
    assert torch.equal(step.x, loop(plain, mean))
    assert step.rows == 2


def test_inpainting_keeps_what_is_known(plain: Model, photo: str) -> None:
    step = last(plain, Inpaint(image=photo, mask="box:0,0,8,16", padding=SIDE))
    clean = to_tensor(Image.open(photo))
    assert torch.equal(step.x[..., 8:], clean[..., 8:])
    assert not torch.equal(step.x[..., :8], clean[..., :8])
    assert not torch.equal(step.x[..., :8], last(plain).x[..., :8])  # it hears the known half


def test_no_pixel_outside_the_mask_changes(plain: Model, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    entry = TrickEntry(trick="inpaint", image=str(tmp_path / "a.png"), mask="box:20,10,50,35")
    (result,) = make(Recipe(prompt="", guidance=1, seed=1, steps=2, tricks=[entry]), model=plain)
    changed = (np.asarray(result.image) != pixels).any(axis=2)
    assert not changed[:10].any()
    assert changed[10:35, 20:50].mean() > 0.9
    assert result.facts["changed_outside"] == 0


def test_tricks_hold_what_they_must(plain: Model, photo: str) -> None:
    for trick in (Inpaint(image=photo, mask="box:0,0,8,16"), SDEdit(image=photo, strength=0.5)):
        check_trick(trick, plain, prompt="", steps=2)
    check_trick(Anagram(prompts=["", ""]), plain, steps=2)


def test_no_prompt_is_needed_and_guidance_costs_nothing_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_pipeline("ddpm").save_pretrained("plain")
    assert row_for("DDPMPipeline", {"unet": {}}).defaults.guidance == 1  # type: ignore[union-attr]
    told = dict(line.split(":", 1) for line in run("models", "show", "plain").lines if ":" in line)
    assert (told["prompts"].strip(), told["guidance"].strip()) == ("none", "1, which is none")
    planned = run("plan", "-m", "plain", "--steps", "2", "--json")
    assert (planned.code, planned.json["rows_per_step"]) == (0, 1), planned.err
    line = ("generate", "-m", "plain", "--seed", 1, "--steps", 2, "--json")
    bare, empty = run(*line, "-o", "bare.png"), run(*line, "-p", "", "-o", "empty.png")
    assert (bare.code, empty.code) == (0, 0), bare.err
    assert (bare.json["rows_per_step"], empty.json["rows_per_step"]) == (1, 1)
    assert Image.open("bare.png").tobytes() == Image.open("empty.png").tobytes()
    assert run("rerun", "bare.png", "-m", "plain", "-o", "again.png").code == 0
    assert Image.open("again.png").tobytes() == Image.open("bare.png").tobytes()
    asked = run(*line, "-p", "a cat", "-o", "cat.png")
    assert asked.code == 2
    assert "this model takes no prompt, it makes what it was trained on; got 'a cat', leave it out" in asked.err


# classes


def test_a_model_object_that_takes_no_prompt_needs_none(plain: Model, classes: Model) -> None:
    (result,) = make(Recipe(seed=1, steps=2), model=plain)
    assert result.facts["rows_total"] == 2
    with pytest.raises(UsageError, match="a prompt is missing"):
        make(Recipe(seed=1, steps=2), model=classes)


def test_a_model_of_classes_is_guided_and_asks_for_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built(with_classes, 0).save_pretrained("classes")
    told = dict(line.split(":", 1) for line in run("models", "show", "classes").lines if ":" in line)
    assert (told["prompts"].strip(), told["guidance"].strip()) == (
        "the name or number of a class", "7, by a second answer"
    )  # fmt: skip
    assert "a prompt is missing" in run("generate", "-m", "classes").err


def test_an_anagram_of_classes_with_guidance_away_from_none(classes: Model) -> None:
    network = asked(classes, 3, 3, 0, 2)  # none of them twice, a cat, an owl

    def guided(x: Tensor, t: Tensor) -> Tensor:
        seen = torch.cat([x, x.rot90(-1, (-2, -1))])
        uncond, cond = network(torch.cat([seen, seen]), t).chunk(2)
        straight, turned = (uncond + 3 * (cond - uncond)).chunk(2)
        return torch.stack([straight, turned.rot90(1, (-2, -1))]).mean(0)

    views = Anagram(views=[("identity", "a cat"), ("rotate_cw", "an owl")])
    step = last(classes, views, Guidance(scale=3), prompt=None)
    torch.testing.assert_close(step.x, loop(classes, guided), rtol=0, atol=1e-5)  # rows in another order there
    assert step.rows == 4


def test_a_class_is_drawn_into_a_picture_and_from_it(classes: Model, photo: str) -> None:
    clean = to_tensor(Image.open(photo))
    expected = loop(classes, asked(classes, 1), clean, 2)
    step = last(classes, SDEdit(image=photo, strength=0.5), prompt="a dog")
    torch.testing.assert_close(step.x, expected, rtol=0, atol=1e-4)
    inpaint = Inpaint(image=photo, mask="box:0,0,8,16", padding=SIDE)
    dog, owl = (last(classes, inpaint, Guidance(scale=3), prompt=name).x for name in ("a dog", "an owl"))
    assert torch.equal(dog[..., 8:], clean[..., 8:])
    assert (dog - owl)[..., :8].abs().max() > 0.01


def test_a_hybrid_of_classes_holds_what_it_must(classes: Model) -> None:
    check_trick(Hybrid(far="a cat", near="a dog"), classes, steps=2)
