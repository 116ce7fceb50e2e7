"""Pages in headless Chromium: what is seen there is the view, by screenshots; by keys, by hand, and on a phone."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.generate.shown import seen_through
from diffusion_tricks_show.subject import subject_of
from show.illusions import HYBRID, SIDE, TURNED, made, pattern

CLOSE, FAR = 3.0, 8.0  # mean difference in steps of 8 bits, of what is the same and of what is not


def opened(phone: Any, path: Path, *words: object) -> None:
    """The page of a picture."""
    outcome = run("page", path, "-o", path.with_suffix(".html"), *words)
    assert outcome.code == 0, outcome.err
    phone.goto(path.with_suffix(".html").as_uri())
    phone.wait_for_function("document.getElementById('picture').complete")


def shot(phone: Any, selector: str) -> Image.Image:
    """What is seen of an element."""
    phone.wait_for_timeout(50)
    return Image.open(io.BytesIO(phone.locator(selector).screenshot())).convert("RGB")


def off(phone: Any, selector: str, expected: Image.Image, margin: int = 4) -> float:
    """How far what is seen of an element is from a picture, in steps of 8 bits; its edge is left out."""
    return apart(shot(phone, selector), expected, margin)


def apart(seen: Image.Image, expected: Image.Image, margin: int = 4) -> float:
    """The mean difference, in steps of 8 bits."""
    seen = seen.crop((0, 0, seen.width, round(seen.width * expected.height / expected.width)))
    wanted = expected.resize(seen.size, Image.Resampling.BILINEAR)
    inner = np.s_[margin:-margin, margin:-margin]
    return float(np.abs(np.asarray(seen, float)[inner] - np.asarray(wanted, float)[inner]).mean())


TURNS = {
    "identity": [], "rotate_cw": ["ArrowRight"], "rotate_ccw": ["ArrowLeft"], "flip": ["ArrowUp"], "mirror": ["m"],
    "rotate_180": ["ArrowRight", "ArrowRight"], "negate": ["n"],
}  # fmt: skip


@pytest.mark.parametrize("name", TURNS)
def test_keys_and_the_list_show_the_view(phone: Any, tmp_path: Path, name: str) -> None:
    image = pattern(SIDE)
    opened(phone, made(tmp_path / "a.png", [], image), "--view", "flip", "a", "--view", name, "b")
    seen = seen_through(name, image)
    for key in TURNS[name]:
        phone.keyboard.press(key)
    on_screen = shot(phone, "#stage")
    assert apart(on_screen, seen) < CLOSE
    assert all(apart(on_screen, seen_through(other, image)) > FAR for other in TURNS if other != name)
    current = phone.locator("#views [aria-current=true] .how")
    assert current.count() == 1
    phone.locator("#views button").nth(0).tap()
    phone.locator("#views button .says", has_text="b").locator("..").tap()
    assert off(phone, "#stage", seen) < CLOSE


def test_flips_and_turns_follow_one_another(phone: Any, tmp_path: Path) -> None:
    """Each acts on what is seen then: the mirror of a turned picture is mirrored left to right."""
    image = pattern(SIDE)
    opened(phone, made(tmp_path / "a.png", TURNED, image))
    seen = image
    for key, name in (("ArrowRight", "rotate_cw"), ("m", "mirror"), ("ArrowRight", "rotate_cw"), ("ArrowUp", "flip")):
        phone.keyboard.press(key)
        seen = seen_through(name, seen)
        assert off(phone, "#stage", seen) < CLOSE, name


def test_a_drag_turns_it_and_it_comes_to_rest(phone: Any, tmp_path: Path) -> None:
    image = pattern(SIDE)
    opened(phone, made(tmp_path / "a.png", TURNED, image))
    box = phone.locator("#stage").bounding_box()
    at = [
        (box["x"] + box["width"] * (0.5 + 0.4 * math.cos(a)), box["y"] + box["height"] * (0.5 + 0.4 * math.sin(a)))
        for a in np.linspace(-math.pi / 2, -0.1, 8)
    ]
    phone.mouse.move(*at[0])
    phone.mouse.down()
    for place in at[1:]:
        phone.mouse.move(*place)
    assert off(phone, "#stage", image) > FAR
    phone.mouse.up()
    assert off(phone, "#stage", seen_through("rotate_cw", image)) < CLOSE


def test_distance_shrinks_and_blurs_as_the_far_view_does(phone: Any, tmp_path: Path) -> None:
    image = pattern(SIDE)
    path = made(tmp_path / "a.png", HYBRID, image)
    opened(phone, path)
    far = next(view.picture for view in subject_of(path).views if view.name == "far")
    slide = "([share, large]) => { const far = document.querySelector('#far input'); far.value = share;"
    slide += " far.dispatchEvent(new Event('input')); document.querySelector('#large input').checked = large;"
    slide += " document.querySelector('#large input').dispatchEvent(new Event('change')); }"
    phone.evaluate(slide, [1, True])
    assert off(phone, "#stage", far, margin=40) < CLOSE
    assert off(phone, "#stage", image, margin=40) > 2 * CLOSE
    phone.evaluate(slide, [1, False])
    box, stage = (phone.locator(name).bounding_box() for name in ("#picture", "#stage"))
    assert box["width"] == pytest.approx(stage["width"] / 5, rel=0.01)
    phone.evaluate(slide, [0, False])
    assert off(phone, "#stage", image) < CLOSE


@pytest.mark.parametrize("name", ["skew", "jigsaw:4,seed=3"])
def test_other_views_are_played_to_their_end(phone: Any, tmp_path: Path, name: str) -> None:
    image = pattern(SIDE)
    opened(phone, made(tmp_path / "a.png", [], image), "--view", "identity", "a", "--view", name, "b")
    phone.keyboard.press("2")
    phone.wait_for_function("state.share === 1")
    assert off(phone, "#stage", seen_through(name, image)) < CLOSE
    phone.keyboard.press("1")
    assert off(phone, "#stage", image) < CLOSE


@pytest.mark.parametrize("name", ["patches:3,seed=3", "jigsaw:3,seed=2"])
def test_a_puzzle_is_solved_by_hand(phone: Any, tmp_path: Path, name: str) -> None:
    """Shuffled, each piece is tapped until it is upright and dragged to its place; then the view is seen."""
    image = pattern(SIDE)
    opened(phone, made(tmp_path / "a.png", [], image), "--view", "identity", "a", "--view", name, "b")
    table = phone.locator("#table")
    phone.wait_for_function("!document.getElementById('puzzle').hidden")
    assert off(phone, "#table", image) < CLOSE
    phone.locator("[data-do=second]").tap()
    phone.wait_for_function("document.getElementById('table').dataset.solved === '1'")
    assert off(phone, "#table", seen_through(name, image)) < CLOSE
    phone.locator("[data-do=shuffle]").tap()
    phone.wait_for_function("document.getElementById('table').dataset.solved === ''")
    assert off(phone, "#table", image) > FAR
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    for _ in range(150):
        lying = json.loads(phone.evaluate("JSON.stringify(document.getElementById('table').lying())"))
        loose = [one for one in lying if one["at"] != 1]
        if not loose:
            break
        one = loose[-1]  # the topmost
        scale = box["width"] / phone.evaluate("document.getElementById('table').width")
        grip, goal = ([box["x"] + p[0] * scale, box["y"] + p[1] * scale] for p in (one["grip"], one["goal"]))
        phone.mouse.move(*grip)
        phone.mouse.down()
        if one["angle"] == one["wanted"]:
            middle = [box["x"] + one["x"] * scale, box["y"] + one["y"] * scale]
            phone.mouse.move(goal[0] + grip[0] - middle[0], goal[1] + grip[1] - middle[1], steps=3)
        phone.mouse.up()
    assert table.get_attribute("data-solved") == "1"
    assert off(phone, "#table", seen_through(name, image)) < CLOSE


def test_it_tells_nothing_until_it_is_asked(phone: Any, tmp_path: Path) -> None:
    opened(phone, made(tmp_path / "a.png", TURNED, pattern(SIDE)))
    says = phone.locator("#views .says")
    assert [says.nth(i).is_visible() for i in range(2)] == [False, False]
    assert "rabbit" not in phone.title()
    phone.locator("#reveal").tap()
    assert says.all_inner_texts() == ["a rabbit", "a duck"]
    assert [says.nth(i).is_visible() for i in range(2)] == [True, True]
    phone.locator("#reveal").tap()
    assert not says.nth(0).is_visible()


def test_it_fits_a_phone_and_a_screen(phone: Any, tmp_path: Path) -> None:
    long = "an unbelievably long-winded description of Donaudampfschifffahrtsgesellschaftskapitäne " * 2
    path = made(tmp_path / "a.png", [], pattern(96, 64))
    opened(phone, path, "--view", "identity", long, "--view", "patches:4", "b")
    phone.locator("#reveal").tap()
    for size in ((390, 844), (320, 568), (1400, 900)):
        phone.set_viewport_size({"width": size[0], "height": size[1]})
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), size
        box = phone.locator("#stage").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(1.5, rel=0.01)
    small = "[...document.querySelectorAll('button')].filter(b => b.offsetHeight && b.offsetHeight < 40).length"
    assert phone.evaluate(small) == 0, "large enough for a thumb"


def test_words_cannot_break_out_of_the_page(phone: Any, tmp_path: Path) -> None:
    evil = '</script><script>document.title="broken"</script><b>"&'
    opened(phone, made(tmp_path / "a.png", [], pattern()), "--view", "identity", evil, "--view", "flip", "b")
    assert phone.title() == "What do you see?"
    assert phone.locator("#views .says").all_text_contents()[0] == evil
