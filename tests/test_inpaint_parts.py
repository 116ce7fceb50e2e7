"""Several parts of a picture made new in one run, each after a prompt of its own, against exact denoisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, load_model, make, sample
from diffusion_tricks.errors import UsageError
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.testing.denoisers import exact_model
from diffusion_tricks_plugins import Anagram, Inpaint
from diffusion_tricks_plugins.inpaint_known import shares_of
from diffusion_tricks_plugins.regions import zoomed

SIDE = 32
LEFT, RIGHT = "box:2,4,12,28", "box:18,4,30,20"


def plain(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)


PICTURES = {"red": plain(1.0, -1.0, -1.0), "blue": plain(-1.0, -1.0, 1.0), "both": plain(0.0, -1.0, 0.0)}


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    Image.fromarray(data.astronaut()).resize((SIDE, SIDE)).save(path)
    return str(path)


def part(mask: str | list[str], prompt: str | None = None, **options: Any) -> Inpaint:
    return Inpaint(mask=mask, padding="1000%", **({"prompt": prompt} if prompt else {}), **options)


def boxed(text: str) -> np.ndarray[Any, Any]:
    x0, y0, x1, y1 = map(int, text.removeprefix("box:").split(","))
    inside = np.zeros((SIDE, SIDE), bool)
    inside[y0:y1, x0:x1] = True
    return inside


def test_each_part_is_looked_at_alone(photo: str) -> None:
    """By the bounds of its mask; where that looks at the picture of before, all of the picture shows its prompt."""
    image = Image.open(photo)
    tricks = [part(LEFT, "red", image=photo), part(RIGHT, "blue"), part("saliency", "red")]
    recipe = Recipe(tricks=[TrickEntry(trick=one.name, **one.options.model_dump(exclude_unset=True)) for one in tricks])
    left, right, found = shown(recipe, image)
    assert [(one.name, one.prompt) for one in (left, right, found)] == [
        (LEFT, "red"), (RIGHT, "blue"), ("saliency", "red")
    ]  # fmt: skip
    assert np.array_equal(left.picture, zoomed(image, (2, 4, 12, 28), 1.0))
    assert np.array_equal(right.picture, zoomed(image, (18, 4, 30, 20), 1.0))
    assert np.array_equal(found.picture, image)
    (plain,) = part(LEFT).views_of(image)  # with its surroundings, and what the run's prompt says
    assert (plain.own, plain.picture.size) == (False, (32, 32))
    recipe = Recipe(prompt="blue", tricks=[TrickEntry(trick="inpaint", image=photo, mask=LEFT)])
    assert [(one.name, one.prompt) for one in shown(recipe, image)] == [("region", "blue")]
    large = image.resize((640, 480))
    (plain,) = part("box:400,100,500,180").views_of(large)
    assert np.array_equal(plain.picture, large.crop((368, 58, 532, 222)))
    (seen,) = part("luma:>50%", image=photo).views_of(image)  # it looks at the picture of before, which is here
    assert seen.name == "region"
    assert part("luma:>50%").views_of(image) == []


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++2m", "euler-a", "heun"])
def test_each_part_is_what_its_own_prompt_says(photo: str, scheduler: str) -> None:
    tricks = [part(LEFT, "red", image=photo), part(RIGHT, "blue")]
    steps = list(sample(exact_model(PICTURES), tricks=tricks, steps=10, scheduler=scheduler, seed=3))
    end = steps[-1].x[0]
    for text, prompt in ((LEFT, "red"), (RIGHT, "blue")):
        inside = torch.from_numpy(boxed(text))
        torch.testing.assert_close(end[:, inside], PICTURES[prompt][0][:, inside], rtol=0, atol=0.02)
    kept = torch.from_numpy(~(boxed(LEFT) | boxed(RIGHT)))
    torch.testing.assert_close(end[:, kept], to_tensor(Image.open(photo))[0][:, kept], rtol=0, atol=0)
    assert {step.rows for step in steps} == {2}


def test_parts_that_lie_over_one_another_say_equally_much(photo: str) -> None:
    model = exact_model(PICTURES)
    tricks = [part("box:0,0,20,32", "red", image=photo), part("box:12,0,32,32", "blue")]
    clean = next(iter(sample(model, tricks=tricks, steps=4, scheduler="ddim", seed=3))).estimate.clean[0]
    assert torch.allclose(clean[:, :, :12], PICTURES["red"][0, :, :, :12], atol=1e-3)
    assert torch.allclose(clean[:, :, 12:20], PICTURES["both"][0, :, :, 12:20], atol=1e-3)
    assert torch.allclose(clean[:, :, 20:], PICTURES["blue"][0, :, :, 20:], atol=1e-3)


def test_shares_add_up_to_one() -> None:
    new = [torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(i)) > 0.6 for i in range(3)]
    shares = shares_of(new)
    torch.testing.assert_close(sum(shares), torch.ones(1, 1, 9, 9))
    alone = new[0] & ~new[1] & ~new[2]
    assert alone.any()
    assert set(shares[0][alone].tolist()) == {1.0}


def test_parts_of_one_prompt_are_one_mask(photo: str) -> None:
    model = exact_model(PICTURES)
    two = [part(LEFT, image=photo), part(RIGHT)]
    ways = (two, [part([LEFT, RIGHT], image=photo)], [part(f"{LEFT} + {RIGHT}", image=photo)])
    how = {"prompt": "red", "steps": 4, "scheduler": "ddim", "seed": 3}
    ends = [list(sample(model, tricks=tricks, **how))[-1] for tricks in ways]
    assert all(torch.equal(ends[0].x, end.x) for end in ends)
    assert {end.rows for end in ends} == {1}


def made(photo: str, *entries: dict[str, Any], prompt: str | None = None) -> Any:
    tricks = [TrickEntry(trick="inpaint", **({"image": photo} if i == 0 else {}), **e) for i, e in enumerate(entries)]
    recipe = Recipe(prompt=prompt, seed=1, steps=4, scheduler="ddim", guidance=1, tricks=tricks)
    return make(recipe, model=exact_model(PICTURES))[0]


def test_the_file_changes_in_the_union_alone_and_says_so(photo: str) -> None:
    result = made(photo, {"mask": LEFT, "prompt": "red"}, {"mask": RIGHT, "prompt": "blue", "feather": 2})
    before, after = np.asarray(Image.open(photo)), np.asarray(result.image)
    union = boxed(LEFT) | boxed(RIGHT)
    np.testing.assert_array_equal(after[~union], before[~union])
    assert result.facts["changed_outside"] == 0
    assert result.facts["mask_pixels"] == union.sum()
    assert result.facts["parts"] == [
        {"mask": [LEFT], "box": [2, 4, 12, 28], "mask_pixels": 240},
        {"mask": [RIGHT], "box": [18, 4, 30, 20], "mask_pixels": 192},
    ]
    assert (after[boxed(LEFT)] == [255, 0, 0]).all()
    assert (after[9:15, 22:26] == [0, 0, 255]).all()


def test_parts_that_do_not_go_together_are_refused(photo: str) -> None:
    with pytest.raises(UsageError, match="1 of 2 inpaint tricks says what to make in its part; give each a prompt"):
        made(photo, {"mask": LEFT, "prompt": "red"}, {"mask": RIGHT})
    with pytest.raises(UsageError, match="`padding` holds for the whole edit and is told differently by its parts"):
        made(photo, {"mask": LEFT, "padding": "3"}, {"mask": RIGHT, "padding": "4"}, prompt="red")
    with pytest.raises(UsageError, match="the prompt 'blue' is not asked, as 'inpaint' brings its own"):
        made(photo, {"mask": LEFT, "prompt": "red"}, prompt="blue")
    with pytest.raises(UsageError, match="'anagram' and 'inpaint' both say what is asked"):
        list(sample(exact_model(PICTURES), tricks=[Anagram(prompts=["red", "blue"]), part(LEFT, "red", image=photo)]))
    with pytest.raises(UsageError, match="'anagram' and 'anagram' both say what is asked"):
        list(sample(exact_model(PICTURES), tricks=[Anagram(prompts=["red", "blue"]) for _ in range(2)]))


def test_masks_and_prompts_pair_on_the_command_line(tiny: Path, photo: str, tmp_path: Path) -> None:
    how = ["-m", tiny, "--steps", 2, "--seed", 1, "--guidance", 1, "--json"]
    said = ["--mask", LEFT, "-p", "red", "--mask", RIGHT, "-p", "blue", "--feather", 1]
    short = run("inpaint", photo, *said, *how, "-o", tmp_path / "1.png").json
    chain = ["inpaint", photo, "--mask", LEFT, "--prompt", "red", "--feather", 1]
    chain += ["inpaint", "--mask", RIGHT, "--prompt", "blue", "--feather", 1]
    long = run("make", *how, "-o", tmp_path / "2.png", *chain).json
    assert Image.open(short["path"]).tobytes() == Image.open(long["path"]).tobytes()
    assert (short["changed_outside"], short["rows_per_step"], len(short["parts"])) == (0, 2, 2)
    assert Image.open(short["path"]).info["parameters"].startswith("red | blue\n")
    one = run("inpaint", photo, "red", "--mask", LEFT, "--mask", RIGHT, *how, "-o", tmp_path / "3.png").json
    assert (one["mask_pixels"], one["rows_per_step"]) == (short["mask_pixels"], 1)
    several = run("inpaint", photo, "--mask", LEFT, "-p", "red", "-p", "blue", *how, "-o", tmp_path / "4.png")
    assert len(several.lines) == 2  # one picture for each, as ever
    refused = run("inpaint", photo, *said, "-p", "green", *how, "-o", tmp_path / "5.png")
    assert refused.code == 2
    assert "2 times --mask and 3 prompts do not pair; give one prompt for all, or one for each --mask" in refused.err
    again = run("rerun", short["path"], "-m", tiny, "-o", tmp_path / "6.png")
    assert again.code == 0, again.err
    assert Image.open(tmp_path / "6.png").tobytes() == Image.open(short["path"]).tobytes()


def test_a_learned_variance_is_that_of_each_part(photo: str) -> None:
    """Of DeepFloyd IF: where a part's prompt says all of the noise, its variance is the scheduler's too."""
    model, latents = load_model(tiny_pipeline("if"), device="cpu"), torch.zeros(1, 3, 16, 16)
    tricks = [part("box:0,0,16,32", "a", image=photo, blend="off"), part("box:16,0,32,32", "b", blend="off")]

    def variance(**request: Any) -> torch.Tensor:
        found = next(iter(sample(model, latents=latents, steps=3, **request))).estimate.variance
        assert found is not None
        return found

    left, right, both = variance(prompt="a"), variance(prompt="b"), variance(tricks=tricks)
    assert not torch.allclose(left, right, atol=1e-4)
    torch.testing.assert_close(both, torch.cat([left[..., :8], right[..., 8:]], -1), rtol=0, atol=1e-5)
