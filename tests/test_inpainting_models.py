"""Models that were trained to inpaint, against diffusers' own inpainting pipelines on tiny random weights.

The pipelines draw the masked picture's latents from the VAE's posterior; here they are its mean: the draw is patched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, Trick, TrickEntry, hookimpl, load_model, make, sample
from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.diffusion.schedulers import scheduler_for
from diffusion_tricks.errors import ModelError, PluginError
from diffusion_tricks.families.inpainting import mask_and_latents
from diffusion_tricks.families.open import family_of
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.testing import check_trick, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid, Inpaint, SDEdit

KINDS = ["sd-inpaint", "sdxl-inpaint"]
PROMPTS = ["a rabbit", "a very old man with a hat", "a skull"]
STEPS, SEED, SIDE = 4, 5, 16
BOX = (3, 2, 12, 11)  # it cuts through latents, which are two pixels wide


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(tiny_pipeline(request.param), device="cpu")


@pytest.fixture(scope="module")
def sd() -> Model:
    return load_model(tiny_pipeline("sd-inpaint"), device="cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A picture of noise, and a mask."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    Image.fromarray(pixels).save(folder / "photo.png")
    Image.fromarray(mask).save(folder / "mask.png")
    return str(folder / "photo.png"), str(folder / "mask.png")


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def inpaint(files: tuple[str, str], **options: Any) -> Inpaint:
    """All of the picture is seen, at its own size."""
    return Inpaint(image=files[0], mask=files[1], padding=SIDE, **options)


def pictures(files: tuple[str, str]) -> dict[str, Any]:
    """For diffusers. The picture is a tensor: what they make of a file lies in memory, and so rounds, otherwise."""
    pixels = np.asarray(Image.open(files[0])).astype(np.float32) / 255
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    return {"image": image, "mask_image": Image.open(files[1])}


def theirs(model: Model, prompts: list[str], scale: float, **more: Any) -> Tensor:
    """The final latents of the pipeline's own `__call__`, from prompts that are encoded one by one."""
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    how: dict[str, Any] = {"num_images_per_prompt": 1, "do_classifier_free_guidance": True, "device": "cpu"}
    each = [model.pipe.encode_prompt(prompt, **how) for prompt in prompts]
    texts = {name: torch.cat(rows) for name, rows in zip(names, zip(*each, strict=True), strict=False)}
    latents: Tensor = model.pipe(
        **texts, **{"num_inference_steps": STEPS, "strength": 1.0, **more}, guidance_scale=scale, height=SIDE,
        width=SIDE, generator=[torch.Generator().manual_seed(SEED + i) for i in range(len(prompts))],
        output_type="latent",
    ).images  # fmt: skip
    return latents


def last(model: Model, *tricks: Trick[Any], **request: Any) -> Step:
    *_, step = sample(model, tricks=tricks, **{"prompt": "a rabbit", "seed": SEED, "steps": STEPS, **request})
    return step


# against diffusers


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.usefixtures("means")
def test_inpainting_is_the_pipelines_own(model: Model, files: tuple[str, str], scale: float, count: int) -> None:
    expected = theirs(model, PROMPTS[:count], scale, **pictures(files))
    step = last(model, inpaint(files), Guidance(scale=scale), prompt=PROMPTS[:count])
    assert torch.equal(step.x, expected), f"largest difference {(step.x - expected).abs().max():.1e}"
    assert step.rows == count * (1 if scale == 1 else 2)
    assert expected.std() > 0.1


@pytest.mark.parametrize("strength", [0.5, 0.75])
@pytest.mark.usefixtures("means")
def test_from_a_noisy_picture_it_is_the_pipelines_own_strength(
    model: Model, files: tuple[str, str], strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with DDIM: the pipelines begin PNDM in the middle as if it were at its start
    monkeypatch.setattr(model.pipe, "scheduler", scheduler_for(model.pipe.scheduler, "ddim"))
    expected = theirs(model, PROMPTS[:1], 5.0, **pictures(files), strength=strength)
    step = last(model, SDEdit(image=files[0], strength=strength), inpaint(files), Guidance(scale=5))
    torch.testing.assert_close(step.x, expected, rtol=0, atol=1e-4)  # float32 square roots in their add_noise


@pytest.mark.usefixtures("means")
def test_from_a_prompt_alone_all_is_new(model: Model) -> None:
    gray, white = torch.full((1, 3, SIDE, SIDE), 0.5), Image.new("L", (SIDE, SIDE), 255)
    expected = theirs(model, PROMPTS[:1], 5.0, image=gray, mask_image=white)
    assert torch.equal(last(model, Guidance(scale=5)).x, expected)


def test_the_same_seed_gives_the_same_picture_alone_and_among_three(model: Model, files: tuple[str, str]) -> None:
    tricks = [inpaint(files), Guidance(scale=5)]
    together = last(model, *tricks, count=3).x
    for i in range(3):
        alone = last(model, *tricks, seed=SEED + i).x
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-4)


def test_recording_leaves_the_pipeline_as_it_was(model: Model) -> None:
    pipe = model.pipe
    before, scheduler, steps = dict(vars(pipe.unet)), pipe.scheduler, pipe.scheduler.num_inference_steps
    model.family.record(["a new prompt", None], (SIDE, SIDE))
    assert vars(pipe.unet) == before
    assert pipe.scheduler is scheduler
    assert scheduler.num_inference_steps == steps


# what the model sees


@pytest.fixture
def watched(sd: Model) -> Iterator[list[Tensor]]:
    """What the UNet is shown from now on."""
    unet, seen = sd.pipe.unet, list[Tensor]()
    sd.encode_prompts([*PROMPTS, None], (SIDE, SIDE))  # so that nothing is recorded later

    def forward(x: Tensor, *arguments: Any, **named: Any) -> Any:
        seen.append(x)
        return type(unet).forward(unet, x, *arguments, **named)

    unet.forward = forward
    yield seen
    del unet.forward


def shown(model: Model, picture: Tensor, new: Tensor) -> Tensor:
    """Mask and latents by the formula: nearest pixels, and the mean of the VAE's posterior, scaled."""
    vae = model.pipe.vae
    with torch.no_grad():
        latents = vae.encode(picture * (1 - new)).latent_dist.mean * vae.config.scaling_factor
    return torch.cat([F.interpolate(new, scale_factor=0.5), latents], dim=1)


@pytest.mark.parametrize("view", ["flip", "rotate_cw"])
def test_a_view_shows_mask_and_picture_as_it_shows_the_latents(
    sd: Model, files: tuple[str, str], watched: list[Tensor], view: str
) -> None:
    anagram = Anagram(views=[("identity", PROMPTS[0]), (view, PROMPTS[1])], space="latent")
    last(sd, inpaint(files), anagram, Guidance(scale=1), prompt=None, steps=1)
    picture = pictures(files)["image"] * 2 - 1
    new = torch.zeros(1, 1, SIDE, SIDE)
    new[..., BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
    turned = (lambda x: x.flip(-2)) if view == "flip" else (lambda x: x.rot90(-1, (-2, -1)))
    for row, turn in zip(watched[0], (lambda x: x, turned), strict=True):
        assert torch.equal(row[4:], shown(sd, turn(picture), turn(new))[0])
    assert torch.equal(watched[0][1, :4], turned(watched[0][:1, :4])[0])


def test_a_negated_view_negates_the_picture_and_not_the_mask(
    sd: Model, files: tuple[str, str], watched: list[Tensor]
) -> None:
    anagram = Anagram(views=[("identity", PROMPTS[0]), ("negate", PROMPTS[1])], space="latent")
    last(sd, inpaint(files), anagram, Guidance(scale=1), prompt=None, steps=1)
    plain, negated = watched[0]
    assert torch.equal(negated[4], plain[4])
    assert (negated[5:] - plain[5:]).abs().max() > 0.1


def test_a_view_that_blurs_the_masks_edge_shows_it_sharp(
    sd: Model, files: tuple[str, str], watched: list[Tensor]
) -> None:
    anagram = Anagram(views=[("identity", PROMPTS[0]), ("rotate:30", PROMPTS[1])])
    step = last(sd, inpaint(files), anagram, Guidance(scale=1), prompt=None, steps=1)
    turned = step.run.condition.through(view_named("rotate:30")).new  # type: ignore[union-attr]
    assert turned is not None
    assert len(F.interpolate(turned, scale_factor=0.5).unique()) > 2
    expected = F.interpolate(turned, scale_factor=0.5) >= 0.5
    rows = torch.cat(watched)[:, 4]  # asked in two calls: first the view that can act on noise
    assert set(rows.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(rows[-1].bool(), expected[0, 0])


def test_each_picture_is_encoded_once_for_all_steps(sd: Model, files: tuple[str, str], watched: list[Tensor]) -> None:
    vae, encoded = sd.pipe.vae, 0

    def encode(*arguments: Any, **named: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return type(vae).encode(vae, *arguments, **named)

    vae.encode = encode
    try:
        last(sd, inpaint(files), Anagram(prompts=PROMPTS[:2]), Guidance(scale=5), prompt=None)
    finally:
        del vae.encode
    assert encoded == 2
    assert len(watched) > 3


def test_a_mask_of_another_size_makes_all_new_that_it_touches(sd: Model, tmp_path: Path) -> None:
    """At the model's size a pixel is new if any of its area is, and of what is new the model sees nothing, gray."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    step = last(sd, Inpaint(image=str(tmp_path / "a.png"), mask="box:11,12,20,31", padding=40))
    condition = step.run.condition
    assert condition is not None
    assert condition.new is not None
    expected = torch.zeros(SIDE, SIDE)
    expected[4:13, 4:8] = 1  # 16 pixels of 2.5 each
    assert torch.equal(condition.new[0, 0], expected)
    assert not condition.picture[..., expected.bool()].any()
    assert condition.picture[..., ~expected.bool()].abs().min() > 0


class Maskless(Trick[Any]):
    name = "maskless"

    @hookimpl
    def estimate_noise(self, ask: Any, step: Step) -> Asking:
        assert ask.condition is not None
        answers = yield [ask.but(condition=Condition(ask.condition.picture))]
        return answers[0]


def test_a_picture_without_a_mask_is_refused(sd: Model) -> None:
    with pytest.raises(PluginError, match="was shown a picture without its mask; give Condition"):
        last(sd, Maskless())
    with pytest.raises(PluginError, match="without its mask"):
        mask_and_latents(sd.pipe.vae, Condition(torch.zeros(1, 3, SIDE, SIDE)), (8, 8))


def test_a_model_that_sees_no_mask_is_asked_without_one() -> None:
    plain = load_model(tiny_pipeline("sd"), device="cpu")
    with pytest.raises(PluginError, match="StableDiffusionPipeline sees nothing beside the latents"):
        plain.family.beside(Condition(torch.zeros(1, 3, SIDE, SIDE)), (SIDE, SIDE))


# the trick


def test_the_steps_are_left_alone_unless_they_are_to_be_blended(sd: Model, files: tuple[str, str]) -> None:
    auto, on, off = (last(sd, inpaint(files, blend=blend)) for blend in ("auto", "on", "off"))
    assert torch.equal(auto.x, off.x)
    known = on.run.state(on.run.tricks[0])["edit"].known
    kept = ~known.new.expand_as(on.x)
    assert kept.any()
    assert torch.equal(on.x[kept], known.clean[kept])
    assert (auto.x[kept] - known.clean[kept]).abs().max() > 0.1


def test_a_model_of_four_channels_is_blended_as_ever(files: tuple[str, str]) -> None:
    plain = load_model(tiny_pipeline("sd"), device="cpu")
    auto, on, off = (last(plain, inpaint(files, blend=blend)) for blend in ("auto", "on", "off"))
    assert torch.equal(auto.x, on.x)
    assert torch.equal(off.x, last(plain).x)
    assert auto.run.condition is None
    assert not torch.equal(auto.x, off.x)


def test_an_inpainting_pipeline_of_four_channels_is_run_like_any_of_four(files: tuple[str, str]) -> None:
    pipe = tiny_pipeline("sd")
    inpainting = StableDiffusionInpaintPipeline(**pipe.components, requires_safety_checker=False)
    inpainting.set_progress_bar_config(disable=True)
    ours, expected = load_model(inpainting, device="cpu"), load_model(pipe, device="cpu")
    for tricks in ([], [inpaint(files)]):
        assert torch.equal(last(ours, *tricks, Guidance(scale=5)).x, last(expected, *tricks, Guidance(scale=5)).x)


@pytest.mark.parametrize("blend", ["auto", "on"])
def test_no_pixel_outside_the_mask_changes(model: Model, tmp_path: Path, blend: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    entry = TrickEntry(trick="inpaint", image=str(tmp_path / "a.png"), mask="box:20,10,50,35", blend=blend)
    (result,) = make(Recipe(prompt="a hat", seed=1, steps=2, tricks=[entry]), model=model)
    changed = (np.asarray(result.image) != pixels).any(axis=2)
    inside = np.zeros((50, 70), bool)
    inside[10:35, 20:50] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9
    assert result.facts["changed_outside"] == 0


@pytest.mark.parametrize(
    "trick",
    [
        Anagram(prompts=PROMPTS[:2]),
        Anagram(views=[("identity", "a"), ("negate", "b")]),  # in pixel space
        Hybrid(far="a skull", near="a duck"),
    ],
    ids=["latent", "pixel", "hybrid"],
)
def test_other_tricks_hold_what_they_must(sd: Model, files: tuple[str, str], trick: Trick[Any]) -> None:
    check_trick(trick, sd, steps=2, tricks=[inpaint(files)])


def test_inpainting_holds_what_every_trick_must(sd: Model, files: tuple[str, str]) -> None:
    check_trick(inpaint(files), sd, steps=2)


# what is served


def test_what_a_unet_sees_is_read_from_its_configuration(model: Model, tmp_path: Path) -> None:
    assert model.family.shape.inpaints
    assert model.family.shape.channels == 4
    model.pipe.save_pretrained(tmp_path)
    entry = TrickEntry(trick="inpaint", image=str(tmp_path / "a.png"), mask="box:1,1,9,9")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    (stage,) = plan(Recipe(model=str(tmp_path), prompt="a", steps=3, tricks=[entry])).stages
    assert (stage.size, set(stage.rows)) == ((SIDE, SIDE), {2})


@pytest.mark.parametrize(("channels", "why"), [(8, ", to edit pictures as it is told; of"), (5, "; of models")])
def test_unets_that_see_something_else_are_refused(channels: int, why: str) -> None:
    pipe = StableDiffusionPipeline(**tiny_pipeline("sd").components, requires_safety_checker=False)
    pipe.unet.register_to_config(in_channels=channels)
    with pytest.raises(ModelError, match=f"the UNet takes {channels} channels where the latents have 4.*{why}"):
        family_of(pipe)
