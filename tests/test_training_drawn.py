"""Things in several drawings: what is shown, before what, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data import grounds, sets
from diffusion_tricks.training.data.drawn import PROMPTS, SHARES, Changes, DrawnSource, Pace
from diffusion_tricks.training.data.emoji import Emoji, all_emoji, concepts
from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.stream import Stream
from diffusion_tricks.training.network import train_tokenizer

NAMES = (("rabbit", "bunny"), ("musical note", "note"), ("duck",), ("castle",))
KINDS = ("noto", "ink", "flat", "3d", "twemoji")
STILL = Changes(zoom=(1.0, 1.0), angle=0.0, gain=0.0, mirrored=0.0, styled=0.0)
WHITE = grounds.Grounds(named=0, pastel=0, gradient=0, photograph=0)


def drawings(side: int = 16) -> sets.Drawings:
    """A square of its own brightness for each thing in each set, but for a duck, which has no ink."""
    rows = [(thing, kind) for thing in range(4) for kind in range(5) if (thing, kind) != (2, 1)]
    pixels = torch.zeros(len(rows), 4, side, side, dtype=torch.uint8)
    for place, (thing, kind) in enumerate(rows):
        pixels[place, :3, 4:-4, 4:-4], pixels[place, 3, 4:-4, 4:-4] = 40 * thing + 5 * kind, 255
    things, kinds = (torch.tensor([row[i] for row in rows]) for i in range(2))
    photographs = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).remainder(256).to(torch.uint8)
    return sets.Drawings(pixels, things, kinds, NAMES, KINDS, photographs)


def source(**given: object) -> DrawnSource:
    return DrawnSource(drawings(), **{"size": 8, "looks": 10, "changes": STILL, "grounds": WHITE, **given})


def test_the_same_numbers_give_the_same_batch_in_range():
    made = DrawnSource(drawings(), 8)
    one, two = (made.draw(range(40), np.random.default_rng(3)) for _ in range(2))
    torch.testing.assert_close(one.pictures, two.pictures, rtol=0, atol=0)
    assert one.captions == two.captions
    assert one.pictures.shape == (40, 3, 8, 8)
    assert one.pictures.abs().max() <= 1


def test_a_picture_is_one_of_its_thing_s_drawings():
    batch = source().draw(range(400), np.random.default_rng(0))
    middle = ((batch.pictures[:, 0, 4, 4] + 1) / 2 * 255).round().long()
    assert (middle // 40 == batch.classes).all()
    seen = {(int(c), int(m) % 40 // 5) for c, m in zip(batch.classes, middle, strict=True)}
    shown = {kind for kind, name in enumerate(KINDS) if SHARES[name] > 0}
    assert seen == {(c, k) for c in range(4) for k in shown} - {(2, 1)}  # every drawing of a set with a share
    assert (batch.pictures[:, :, 0, 0] == 1).all()


@pytest.mark.parametrize("taught", [1, 3])
def test_what_is_known_already_is_in_a_third_of_the_pictures(taught: int):
    batch = source(taught=taught).draw(range(3000), np.random.default_rng(0))
    shares = torch.bincount(batch.classes, minlength=4) / 3000
    assert float(shares[:taught].sum()) == pytest.approx(1 / 3, abs=0.03)
    assert shares[:taught].tolist() == pytest.approx([1 / 3 / taught] * taught, abs=0.03)
    assert shares[taught:].tolist() == pytest.approx([2 / 3 / (4 - taught)] * (4 - taught), abs=0.03)
    assert set(source(taught=4).draw(range(80), np.random.default_rng(0)).classes.tolist()) == {0, 1, 2, 3}


def test_words_say_the_drawing():
    batch = source().draw([0] * 300, np.random.default_rng(0))
    kinds = ((batch.pictures[:, 0, 4, 4] + 1) / 2 * 255).round().long() // 5
    said = list(zip(batch.captions, kinds.tolist(), strict=True))
    assert {KINDS[kind] for caption, kind in said if "ink" in caption or "line" in caption} == {"ink"}
    assert {KINDS[kind] for caption, kind in said if "3d" in caption} == {"3d"}
    assert {KINDS[kind] for caption, kind in said if "flat" in caption} == {"flat"}
    plain = [kind for caption, kind in said if not any(word in caption for word in ("ink", "line", "3d", "flat"))]
    assert {KINDS[kind] for kind in plain} == {"noto"}  # what is said nothing of is one drawing
    assert all("rabbit" in caption or "bunny" in caption for caption in batch.captions)


def test_things_come_by_and_by():
    pace = Pace(first=1, wait=100, over=300)
    assert [pace.known(seen, 4) for seen in (0, 100, 200, 300, 400, 10**6)] == [1, 1, 2, 3, 4, 4]
    shown = source(pace=pace)
    stream = Stream(shown, batch=20)
    classes = [set(stream.next().classes.tolist()) for _ in range(25)]
    assert classes[0] == {0}
    assert classes[-1] == {0, 1, 2, 3}
    assert set(Stream(shown, batch=20, before=400).next().classes.tolist()) == {0, 1, 2, 3}
    assert shown.shown == 4  # the source itself is as it was


def test_fewer_things_are_the_first():
    assert source(things=2).classes == ("rabbit", "musical note")
    assert set(source(things=2).draw(range(40), np.random.default_rng(0)).classes.tolist()) == {0, 1}


def test_what_has_a_direction_keeps_it():
    half = drawings()
    half.pixels[:, :, :, 8:] = 0
    shown = DrawnSource(half, 8, changes=replace(STILL, mirrored=1.0), grounds=WHITE)
    pictures = shown.draw([0, 1], np.random.default_rng(0)).pictures
    left = pictures[:, :, :, :4].mean((1, 2, 3)) < pictures[:, :, :, 4:].mean((1, 2, 3))
    assert left.tolist() == [False, True]


def test_every_word_of_a_caption_is_a_piece_of_the_tokenizer():
    shown = DrawnSource(drawings(), 8)
    tokenizer = train_tokenizer(shown.texts())
    captions = shown.draw(range(400), np.random.default_rng(5)).captions
    pieces = {piece for caption in captions for piece in tokenizer.tokenize(caption.lower())}
    words = {f"▁{word}" for caption in captions for word in caption.lower().replace(",", "").split()}
    assert pieces - {","} == words
    assert len(tokenizer.tokenize("a zeppelin")) > 2


def test_grounds_are_named_and_as_often_as_they_are_said_to_be():
    random, photographs = np.random.default_rng(0), drawings().photographs
    kinds = grounds.Grounds(named=0.25, pastel=0.25, gradient=0.2, photograph=0.2, unsaid=0.5)
    words = [grounds.ground(kinds, photographs, 8, random)[0] for _ in range(1000)]
    share = [np.mean([test(word) for word in words]) for test in (lambda w: w == "photo", lambda w: w is None)]
    np.testing.assert_allclose(share, [0.1, 0.25 + 0.1 + 0.1 + 0.1], atol=0.03)
    assert sum(str(word).endswith(" gradient") for word in words) > 50


def test_without_photographs_the_ground_is_white():
    always = grounds.Grounds(named=0, pastel=0, gradient=0, photograph=1, unsaid=0)
    word, made = grounds.ground(always, drawings().photographs[:0], 8, np.random.default_rng(0))
    assert word is None
    assert (made == 1).all()


def test_a_gradient_goes_from_one_colour_to_the_other():
    made = grounds.gradient(np.zeros(3), np.ones(3), 9, np.random.default_rng(0))
    assert made.shape == (3, 9, 9)
    corners = made[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners.min() + corners.max(), torch.tensor(1.0))
    assert corners.min() < 0.1


def test_drawings_are_read_as_they_were_written(tmp_path: Path):
    file = tmp_path / "drawings.npz"
    drawings().write(file)
    again = sets.Drawings.read(file)
    assert (again.names, again.kinds) == (NAMES, KINDS)
    for name in ("pixels", "things", "sets", "photographs"):
        assert torch.equal(getattr(again, name), getattr(drawings(), name))
    opened = open_source(str(file), size=8, things=3)
    assert opened.classes == ("rabbit", "musical note", "duck")
    assert open_source(str(file), held_out=True).draw([0], np.random.default_rng(0)).pictures.shape == (1, 3, 64, 64)
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(UsageError, match="holds no drawings"):
        open_source(str(tmp_path / "other.npz"))


def test_a_drawing_fills_its_square_whatever_its_margins():
    lonely = Image.new("RGBA", (100, 60), (0, 0, 0, 0))
    lonely.paste((255, 0, 0, 255), (10, 20, 30, 30))
    made = sets.fitted(lonely, 50)
    assert made is not None
    covered = made[3] > 0.5
    assert covered.any(0).sum() == round(0.92 * 50)
    assert covered.any(1).sum() == round(0.92 * 25)
    assert made[1].max() == 0
    assert sets.fitted(Image.new("RGBA", (9, 9)), 50) is None


def test_sets_of_icons_and_of_files_are_found_by_code_points(tmp_path: Path):
    pytest.importorskip("resvg_py")
    icons = {"icons": {"note": {"body": '<rect width="4" height="4" fill="#f00"/>'}}, "width": 8, "height": 8}
    (tmp_path / "icons.json").write_text(json.dumps(icons))
    (tmp_path / "chars.json").write_text(json.dumps({"1f3b5-fe0f": "note"}))
    Image.new("RGBA", (6, 6), (0, 255, 0, 255)).save(tmp_path / "1f3b5.webp", lossless=True)
    note, other = (Emoji(characters, "", ()) for characters in ("\U0001f3b5\ufe0f", "x"))
    glyph = Image.new("RGBA", (1, 1))
    drawn, filed = sets.iconify(tmp_path, note, glyph, 16), sets.files(tmp_path, note, glyph, 16)
    assert drawn is not None
    assert drawn.getpixel((4, 4)) == (255, 0, 0, 255)
    assert drawn.getpixel((12, 4))[3] == 0
    assert filed is not None
    assert filed.getpixel((3, 3)) == (0, 255, 0, 255)
    assert sets.iconify(tmp_path, other, glyph, 16) is None
    assert sets.files(tmp_path, other, glyph, 16) is None


def test_sets_that_are_missing_are_named_unless_they_are_not_wanted(tmp_path: Path):
    with pytest.raises(UsageError, match="NotoEmoji_400Regular"):
        sets.sets(tmp_path)
    assert [*sets.sets(tmp_path, wanted=["noto"])] == ["noto"]


def test_a_file_of_some_sets_holds_the_things_that_they_have(tmp_path: Path):
    square = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    draws = {"ink": lambda emoji, glyph, side: square if emoji.name == "rabbit" else None}
    sets.rendered({"duck": (), "rabbit": ("bunny",)}, draws, 8, behind=False).write(tmp_path / "few.npz")
    few = sets.Drawings.read(tmp_path / "few.npz")
    assert (few.names, few.kinds, few.things.tolist()) == ((("rabbit", "bunny"),), ("ink",), [0])
    assert len(few.photographs) == 0
    shown = DrawnSource(few, 8).draw(range(50), np.random.default_rng(0))
    assert not any("photo" in caption for caption in shown.captions)


def test_large_noto_is_drawn_from_its_shapes(tmp_path: Path):
    places = ("@expo-google-fonts/noto-emoji/400Regular/NotoEmoji_400Regular.ttf", "@lobehub/fluent-emoji-3d/assets/a",
              *(f"@iconify-json/{name}/icons.json" for name in ("fluent-emoji-flat", "twemoji")))  # fmt: skip
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    glyph = Image.new("RGBA", (1, 1))
    assert sets.sets(tmp_path)["noto"](Emoji("x", "", ()), glyph, 128) is glyph
    with pytest.raises(UsageError, match=r"@iconify-json/noto is not there"):
        sets.sets(tmp_path, 256)
    shapes = tmp_path / "@iconify-json" / "noto"
    shapes.mkdir()
    (shapes / "icons.json").write_text(json.dumps({"icons": {}, "width": 128, "height": 128}))
    (shapes / "chars.json").write_text("{}")
    assert sets.sets(tmp_path, 256)["noto"](Emoji("x", "", ()), glyph, 256) is None


def test_every_listed_thing_is_an_emoji_and_has_names_of_its_own():
    pytest.importorskip("skimage")
    named = concepts(sets.THINGS)
    said = [name for first, others in named.items() for name in (first, *others)]
    assert len(said) == len(set(said))
    assert len(named) >= 400
    assert set(named) <= {emoji.name for emoji, _ in all_emoji()}
    firsts = set(said[:120])
    assert {"rabbit", "duck", "castle"} <= firsts
    assert len(PROMPTS) == len(set(PROMPTS))
