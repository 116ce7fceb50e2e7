"""The emoji the embedded model learns from: captions, looks and styles, and batches that a position settles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.vocabulary import split
from diffusion_tricks.training.data import Stream
from diffusion_tricks.training.data.captions import STYLES, caption, with_article
from diffusion_tricks.training.data.emoji import (
    COLOURS,
    FONT,
    EmojiSource,
    Look,
    Variety,
    all_emoji,
    caption_texts,
    code_points,
    concepts,
    placed,
)
from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.styles import RENDER, kuwahara, luma, styled

needs_font = pytest.mark.skipif(not FONT.exists(), reason="no colour emoji font is installed")
PLAIN = Look((1.0, 1.0, 1.0), None, "", 1.0, 0.0, (0.0, 0.0), False, (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rabbit", "a rabbit"),
        ("owl", "an owl"),
        ("unicorn", "a unicorn"),
        ("ufo", "a ufo"),
        ("hourglass", "an hourglass"),
        ("cherries", "cherries"),
        ("two cherries", "two cherries"),
        ("octopus", "an octopus"),
        ("Santa Claus", "Santa Claus"),
    ],
)
def test_articles_are_as_people_write_them(name: str, text: str) -> None:
    assert with_article(name) == text


def test_a_caption_names_thing_background_and_style() -> None:
    random = np.random.default_rng(0)
    texts = [caption(("rabbit", "bunny"), "orange", "oil painting", random) for _ in range(50)]
    assert all("on an orange background" in text and "painting" in text for text in texts)
    assert {("bunny" in text, "rabbit" in text) for text in texts} == {(True, False), (False, True)}
    assert caption(("rabbit",), None, "", random).endswith("rabbit")


@pytest.fixture
def picture() -> tuple[Tensor, Tensor]:
    """A smooth colour picture (3 64 64) and a disc's coverage (1 64 64), in 0..1."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    cover = (((x - 0.5) ** 2 + (y - 0.5) ** 2).sqrt() < 0.3).float()[None]
    return cover * torch.stack([x, y, 1 - x]) + (1 - cover), cover


@pytest.mark.parametrize("style", RENDER)
def test_a_style_keeps_range_and_shape_and_leaves_its_input_alone(style: str, picture: tuple[Tensor, Tensor]) -> None:
    x, cover = picture
    before = x.clone()
    result = styled(x, cover, style, np.random.default_rng(1))
    assert result.shape == x.shape
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1
    assert torch.equal(x, before)
    assert (result - x).abs().mean() > 0.01
    torch.testing.assert_close(result, styled(x, cover, style, np.random.default_rng(1)))


def test_what_each_style_promises(picture: tuple[Tensor, Tensor]) -> None:
    x, cover = picture
    random = np.random.default_rng(2)
    assert set(STYLES) == {"", *RENDER}
    assert torch.equal(styled(x, cover, "", random), x)
    silhouette = styled(x, cover, "silhouette", random)
    torch.testing.assert_close(silhouette, (1 - 0.94 * cover).expand(3, 64, 64))
    sketch = styled(x, cover, "pencil sketch", random)
    assert torch.equal(sketch[0], sketch[2])
    blocks = styled(x, cover, "pixel art", random)
    assert len(blocks.flatten(1).unique(dim=1).T) <= 22 * 22
    torch.testing.assert_close(blocks * 5, (blocks * 5).round(), atol=1e-5, rtol=0)
    oil = styled(x, cover, "oil painting", random)
    assert (oil - 1).abs()[:, :8, :8].mean() > 0.02  # the plain paper is painted over


def test_kuwahara_keeps_a_straight_edge_and_flattens_noise() -> None:
    edge = torch.zeros(1, 16, 16)
    edge[:, :, 8:] = 1
    torch.testing.assert_close(kuwahara(edge, 2), edge)
    noisy = edge + 0.1 * torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (kuwahara(noisy, 2) - edge).std() < 0.7 * (noisy - edge).std()


def test_brightness_is_that_of_bt_601() -> None:
    x = torch.rand(3, 4, 4)
    expected = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
    torch.testing.assert_close(luma(x)[0], expected)


def test_a_plain_look_changes_nothing_and_a_mirrored_one_mirrors() -> None:
    source = torch.rand(2, 4, 16, 16)
    source[:, :3] *= source[:, 3:]
    torch.testing.assert_close(placed(source, [PLAIN, PLAIN]), source, atol=1e-5, rtol=0)
    mirrored = Look(**{**PLAIN.__dict__, "mirrored": True})
    torch.testing.assert_close(placed(source, [mirrored, PLAIN])[0], source[0].flip(-1), atol=1e-5, rtol=0)
    right = Look(**{**PLAIN.__dict__, "shift": (0.25, 0.0)})
    moved = placed(source[:1], [right])[0]
    torch.testing.assert_close(moved[:, :, 4:], source[0, :, :, :-4], atol=1e-5, rtol=0)


@needs_font
def test_concepts_are_names_of_the_font_and_captions_are_not_shared() -> None:
    names = {emoji.name for emoji, _ in all_emoji()}
    known = concepts()
    assert set(known) <= names
    captions = [caption for name, others in known.items() for caption in {name, *others}]
    assert len(captions) == len(set(captions))
    assert len(caption_texts()) > len(names)
    assert code_points("\u2764\ufe0f") == "2764"


@needs_font
def test_emoji_are_what_the_model_inside_knows_and_all_emoji_are_all() -> None:
    known, every = (open_source(name, size=8) for name in ("emoji", "all-emoji"))
    assert known.classes == tuple(concepts())
    assert every.classes == tuple(emoji.name for emoji, _ in all_emoji())


@needs_font
def test_its_texts_hold_every_word_of_its_captions_and_the_name_of_every_emoji() -> None:
    source = EmojiSource({"rabbit": ("bunny", "rabbit face"), "duck": ()}, size=8)
    texts = source.texts()
    assert texts == source.texts()
    words = {word for text in texts for word in split(text)}
    drawn = {word for text in source.draw(range(600), np.random.default_rng(0)).captions for word in split(text)}
    assert drawn <= words
    assert {word for emoji, _ in all_emoji() for word in split(emoji.name)} <= words
    keywords = {word for emoji, _ in all_emoji() for key in emoji.keywords for word in split(key)}
    assert not keywords <= words  # those belong to captions of others


@needs_font
def test_a_draw_depends_on_its_arguments_alone() -> None:
    source = EmojiSource({"rabbit": ("bunny",), "duck": ()}, size=32, looks=3)
    assert len(source) == 6
    assert source.classes == ("rabbit", "duck")
    first, again = (source.draw([0, 1, 2, 5], np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert first.captions == again.captions
    assert first.classes.tolist() == [0, 1, 0, 1]
    assert first.pictures.shape == (4, 3, 32, 32)
    assert first.pictures.abs().max() <= 1
    assert not torch.equal(first.pictures, source.draw([0, 1, 2, 5], np.random.default_rng(8)).pictures)


@needs_font
def test_a_named_background_is_behind_the_thing() -> None:
    still = Variety(zoom=(0.6, 0.6), angle=0.0, gain=0.0, mirrored=0.0, styled=0.0, named_ground=1.0, other_ground=0.0)
    drawn = EmojiSource({"rabbit": ()}, size=32, variety=still).draw(range(8), np.random.default_rng(0))
    for picture, text in zip(drawn.pictures, drawn.captions, strict=True):
        word = max((colour for colour in COLOURS if f" {colour} background" in text), key=len)
        corner = (picture[:, 0, 0] + 1) / 2
        assert (corner - torch.tensor(COLOURS[word]) / 255).abs().max() < 0.05


@needs_font
def test_a_folder_of_drawings_takes_the_font_s_place(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGBA", (128, 128), (255, 0, 0, 255)).save(tmp_path / f"{code_points('🐇')}.png")
    still = Variety((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    drawn = EmojiSource({"rabbit": ()}, 32, variety=still, drawings=tmp_path).draw([0], np.random.default_rng(0))
    inside = (drawn.pictures[0, :, 8:24, 8:24] + 1) / 2
    assert (inside - torch.tensor([1.0, 0.0, 0.0])[:, None, None]).abs().max() < 0.01


@needs_font
def test_a_name_that_is_no_emoji_is_refused() -> None:
    with pytest.raises(UsageError, match="not names of the font's pictures: no such thing"):
        EmojiSource({"no such thing": ()})


def test_an_absent_font_says_what_to_install() -> None:
    with pytest.raises(UsageError, match="fonts-noto-color-emoji"):
        all_emoji(Path("/absent.ttf"))


@needs_font
def test_a_stream_goes_on_from_its_position_and_shows_everything_once_an_epoch() -> None:
    source = EmojiSource({"rabbit": (), "duck": (), "skull": ()}, size=16, looks=4)
    whole = Stream(source, 3, seed=5)
    batches = [whole.next() for _ in range(4)]
    assert whole.epoch == 1.0
    resumed = Stream(source, 3, seed=5, position=2)
    assert torch.equal(resumed.next().pictures, batches[2].pictures)
    assert torch.cat([batch.classes for batch in batches]).bincount().tolist() == [4, 4, 4]
    two = [Stream(source, 3, seed=5, rank=rank, world=2).next() for rank in (0, 1)]
    assert torch.cat([batch.classes for batch in two]).tolist() == torch.cat([b.classes for b in batches[:2]]).tolist()
