"""Pictures in the place of prompts, with exact denoisers, for which what is kept and what is made are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, UsageError, load_model, make, sample
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.plugin import PictureError, to_tensor
from diffusion_tricks.recipes.paths import mapped, paths
from diffusion_tricks.registry.branch import in_full, outline
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Components, GivenPicture, Guidance, Hybrid
from diffusion_tricks_plugins.filters import blur, gray
from diffusion_tricks_plugins.lab import to_lab

SIDE = 16
low = blur(2.0, 33, SIDE)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A smooth picture of middle tones."""
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    page = np.stack([0.3 + 0.3 * down, 0.4 + 0.2 * across, 0.6 - 0.2 * down * across], 2)
    Image.fromarray((page * 255).round().astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tensor(path: Path) -> Tensor:
    return to_tensor(Image.open(path))


A, B, NONE = map(picture, range(3))
KNOWN = {"a": A, "b": B, None: NONE}


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++2m", "euler"])
def test_far_or_near_is_that_of_the_picture(photo: Path, scheduler: str) -> None:
    """It ends in f(photo) + (1 - f)(a), to rounding in float32, whatever the sampler."""
    p = tensor(photo)
    for options, expected in (
        ({"far": f"picture:{photo}", "near": "a"}, low(p) + A - low(A)),
        ({"far": "a", "near": f"picture:{photo}"}, low(A) + p - low(p)),
        ({"far": "a", "near": f"picture:{photo}", "split": "color"}, gray(A) + p - gray(p)),
    ):
        *_, last = sample(exact_model(KNOWN), tricks=[Hybrid(**options)], steps=10, scheduler=scheduler)
        torch.testing.assert_close(last.x, expected, rtol=0, atol=2e-4)


def test_the_noisy_latents_are_projected_onto_it_in_every_step(photo: Path) -> None:
    """Section 3.5: f(x_t) = f(alpha_t photo + sigma_t eps), with one eps in a deterministic sampler."""
    p, trick = tensor(photo), Hybrid(far=f"picture:{photo}", near="a", split="color")
    noises = []
    for step in sample(exact_model(KNOWN), tricks=[trick], steps=8, scheduler="ddim"):
        level = step.next_level
        if level.sigma > 0.05:
            noises.append(gray(step.x - level.alpha * p) / level.sigma)
    assert len(noises) > 4
    for noise in noises[1:]:
        torch.testing.assert_close(noise, noises[0], rtol=0, atol=1e-3)


def test_a_view_is_the_picture_and_the_rest_is_made(photo: Path) -> None:
    """The optimum in least squares, (A + v^-1 photo) / 2."""
    trick = Anagram(views=[("identity", "a"), ("rotate_cw", f"picture:{photo}")])
    *_, last = sample(exact_model(KNOWN), tricks=[trick, Guidance(scale=1)], steps=10)
    torch.testing.assert_close(last.x, (A + tensor(photo).rot90(1, (2, 3))) / 2, rtol=0, atol=2e-4)
    assert last.rows == 1, "the picture is not asked for"


def test_a_view_that_warps_is_the_picture_too(photo: Path) -> None:
    trick = Anagram(views=[("identity", f"picture:{photo}"), ("scale:0.5", "b")])
    *_, last = sample(exact_model(KNOWN), tricks=[trick], steps=6)
    assert torch.isfinite(last.x).all()
    torch.testing.assert_close(last.x[..., 0, :], tensor(photo)[..., 0, :], rtol=0, atol=1.0)


def test_it_nests_as_deep_as_any_prompt(photo: Path) -> None:
    inner = {"trick": "anagram", "views": [("identity", f"picture:{photo}"), ("flip", "b")]}
    *_, last = sample(exact_model(KNOWN), tricks=[Hybrid(far=inner, near="a")], steps=10)
    expected = low((tensor(photo) + B.flip(2)) / 2) + A - low(A)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("split", "part"), [("gray", gray), ("lab", lambda x: to_lab(x)[:, :1])])
def test_the_gray_of_a_photo_is_kept_wholly(photo: Path, split: str, part: Any) -> None:
    """Within half a level of 8 bits in the finished picture: colours that do not fit are weakened, and none clips."""
    trick = TrickEntry(trick="components", split=split, parts=[f"picture:{photo}", "a"])
    made = make(Recipe(steps=6, seed=1, prompt=None, tricks=[trick]), model=exact_model(KNOWN))[0]
    (kept,) = made.facts["kept"]
    assert kept["part"] == {"gray": "gray", "lab": "lightness"}[split]
    assert kept["worst"] <= {"gray": 0.5, "lab": 1.5}[split]
    assert kept["clipped"] == 0
    off = (part(to_tensor(made.image)) - part(tensor(photo))).abs().max()
    assert off <= {"gray": 0.51 / 127.5, "lab": 0.5}[split], "of lightness, which is 0 to 100"
    assert float((to_tensor(made.image) - gray(to_tensor(made.image))).abs().mean()) > 0.1, "the colours are those of a"


def test_what_was_clipped_is_said(photo: Path) -> None:
    """By a blur: what is seen from afar is low(picture), of which the parts of the others and what was clipped are."""
    loud = {"a": A * 2, None: A * 2}
    trick = TrickEntry(trick="hybrid", far=f"picture:{photo}", near="a")
    made = make(Recipe(steps=6, seed=1, tricks=[trick]), model=exact_model(loud))[0]
    (kept,) = made.facts["kept"]
    raw = low(tensor(photo)) + 2 * (A - low(A))
    assert kept["clipped"] == pytest.approx(float((raw.abs() > 1 + 0.5 / 127.5).float().mean()), abs=2e-3)
    off = (low(raw.clamp(-1, 1)) - low(tensor(photo))).abs() * 127.5
    assert kept["worst"] == pytest.approx(float(off.max()), abs=1)
    assert kept["mean"] == pytest.approx(float(off.mean()), abs=0.1)


def test_a_learned_variance_goes_on(photo: Path) -> None:
    """Of DeepFloyd IF: the picture is sure, -1, and what is asked has its own; their mean goes to the scheduler."""
    model, latents = load_model(tiny_pipeline("if"), device="cpu"), picture(0)
    alone = next(iter(sample(model, prompt="a", latents=latents, steps=3))).estimate.variance
    both = sample(model, tricks=[Hybrid(far=f"picture:{photo}", near="a")], latents=latents, steps=3)
    torch.testing.assert_close(next(iter(both)).estimate.variance, (alone - 1) / 2, atol=1e-5, rtol=0)


def test_a_latent_model_keeps_it_in_its_latents(photo: Path) -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    trick = Hybrid(far="a", near=f"picture:{photo}")
    *_, last = sample(model, tricks=[trick], steps=2, scheduler="ddim")
    clean = model.encode(to_tensor(Image.open(photo).resize((16, 16))))
    filtered = blur(2.0, 33, last.x.shape[-1])
    high = clean - filtered(clean)
    torch.testing.assert_close((last.x - filtered(last.x)).mean(), high.mean(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("place", ["far", "near"])
def test_it_holds_what_a_trick_must(photo: Path, place: str) -> None:
    other = {"far": "near", "near": "far"}[place]
    check_trick(Hybrid(**{place: f"picture:{photo}", other: "a duck"}))
    check_trick(Components(split="lab", parts=[f"picture:{photo}", "a duck"]))


def test_a_space_makes_it_a_prompt() -> None:
    assert in_full("picture: a dog") == "picture: a dog"
    with pytest.raises(UsageError, match=r"expected picture:FILE, got 'picture:', which names none"):
        in_full("picture:")
    assert in_full("a picture:x") == "a picture:x"
    assert in_full("picture:a b.png") == {"trick": "picture", "image": "a b.png"}
    assert in_full("hybrid:a") == "hybrid:a"


def test_alone_it_is_refused(photo: Path) -> None:
    with pytest.raises(UsageError, match="a picture alone leaves nothing to make"):
        list(sample(exact_model(KNOWN), tricks=[GivenPicture(image=photo)], steps=2))


def test_balance_by_score_wants_words(photo: Path) -> None:
    trick = Anagram(views=[("identity", "a"), ("flip", f"picture:{photo}")], balance="score")
    with pytest.raises(UsageError, match=r"balance by score.*given picture"):
        list(sample(exact_model(KNOWN), tricks=[trick], steps=2))


def test_what_is_seen_names_the_file_and_is_not_scored(photo: Path) -> None:
    trick = {"trick": "anagram", "views": [("identity", "a"), ("flip", f"picture:{photo}")]}
    looks = shown(Recipe(tricks=[TrickEntry(**trick)]), Image.new("RGB", (32, 32), "red"))
    assert [(look.name, look.prompt, look.said) for look in looks] == [
        ("identity", "a", True),
        ("flip", "photo", False),
    ]
    assert [view.name for view in Scorer().score(looks).views] == ["identity"]
    with pytest.raises(UsageError, match="given pictures are not scored"):
        Scorer().score(looks[1:])
    assert outline(TrickEntry(**trick).build()) == ["anagram", "  identity: a", "  flip:", "    picture"]


def test_a_missing_file_is_an_error_before_the_model_is_read(tmp_path: Path) -> None:
    made = run("hybrid", "--far", f"picture:{tmp_path}/gone.png", "--near", "a", "-o", tmp_path / "a.png")
    assert made.code == 2
    assert "gone.png does not exist, expected a picture file" in made.err
    with pytest.raises(PictureError):
        make(Recipe(tricks=[TrickEntry(trick="hybrid", far="picture:gone.png", near="a")]))


def test_its_file_is_a_path_of_the_recipe(photo: Path) -> None:
    entry = TrickEntry(trick="anagram", views=[["identity", "picture:photo.png"], ["flip", "picture: a dog"]])
    recipe = Recipe(tricks=[entry])
    assert paths(recipe, of=["argument"]) == [Path("photo.png")]
    moved = mapped(recipe, lambda path: f"there/{path}").tricks[0].options["views"]
    assert moved == [["identity", {"trick": "picture", "image": "there/photo.png"}], ["flip", "picture: a dog"]]
    title = Recipe(picture="x.png", tricks=[TrickEntry(trick="overlay", title="picture:photo.png")])
    assert paths(title) == [Path("x.png")], "a title is no prompt"


def test_brackets_recipes_and_reruns_find_it(photo: Path, tiny: Path, tmp_path: Path) -> None:
    short = run("hybrid", "-m", tiny, "--far", f"picture:{photo}", "--near", "a", "--seed", 1, "--steps", 2,
                "-o", tmp_path / "a.png", "--save-recipe", tmp_path / "a.toml", "--json")  # fmt: skip
    assert short.code == 0, short.err
    assert json.loads(short.out)["kept"][0]["part"] == "far"
    long = run("hybrid", "-m", tiny, "--far", "[", "picture", photo, "]", "--near", "a", "--seed", 1, "--steps", 2,
               "-o", tmp_path / "b.png")  # fmt: skip
    assert long.code == 0, long.err
    there = tmp_path / "there"
    there.mkdir()
    for name in ("a.png", "a.toml", "photo.png"):
        shutil.copy(tmp_path / name, there / name)
    assert run("run", there / "a.toml", "-m", tiny, "-o", there / "c.png").code == 0
    assert run("rerun", there / "a.png", "-m", tiny, "-o", there / "d.png").code == 0
    pages = [np.asarray(Image.open(path)) for path in (tmp_path / "a.png", tmp_path / "b.png", there / "c.png",
                                                       there / "d.png")]  # fmt: skip
    assert all(np.array_equal(pages[0], page) for page in pages[1:])


def test_an_input_is_never_overwritten(photo: Path, tiny: Path) -> None:
    made = run("hybrid", "-m", tiny, "--far", f"picture:{photo}", "--near", "a", "--steps", 1, "-o", photo, "--force")
    assert made.code == 2
    assert "photo.png" in made.err


def test_a_film_goes_from_prompt_to_picture(photo: Path, tiny: Path, tmp_path: Path) -> None:
    made = run("anagram", "-m", tiny, "--view", "identity", "a", "--view", "flip", f"picture:{photo}", "--steps", 1,
               "--seed", 1, "-o", tmp_path / "a.png")  # fmt: skip
    assert made.code == 0, made.err
    assert run("film", tmp_path / "a.png", "-o", tmp_path / "a.gif", "--size", 32, "--fps", 4).code == 0
    assert run("page", tmp_path / "a.png", "-o", tmp_path / "a.html").code == 0
    assert "photo" in (tmp_path / "a.html").read_text()


def test_the_way_to_a_given_picture_is_that_of_its_component(photo: Path) -> None:
    image = Image.open(photo).convert("RGB")
    views = Components(split="gray", parts=[f"picture:{photo}", "a"]).views_of(image)
    kept = next(view for view in views if view.prompt == "photo")
    assert kept.frame is not None
    assert kept.frame(0.0).tobytes() == image.tobytes()
    assert kept.frame(1.0).tobytes() == kept.picture.tobytes()
    assert kept.frame(0.5).tobytes() not in (image.tobytes(), kept.picture.tobytes())
