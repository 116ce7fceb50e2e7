"""What a generator draws as data for the scorer: which pairs, which steps, through which view, and what it becomes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tricks import Recipe, Scorer, TrickEntry, load_model, make
from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.model.model import Model
from diffusion_tricks.training import scorer
from diffusion_tricks.training.data import generated
from diffusion_tricks.training.data.generated import Generated, GeneratedSource
from test_training_scorer import scorer_data_is_there

NAMED = {"duck": (), "rabbit": ("bunny",), "castle": ()}


@pytest.fixture(scope="module")
def tiny_model(tiny: Path) -> Model:
    return load_model(tiny)


def held(count: int = 12, side: int = 16) -> Generated:
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Generated(pixels.to(torch.uint8), torch.arange(count) % 2, ("rabbit", "duck"))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    held().write(tmp_path / "some.npz")
    read = Generated.read(tmp_path / "some.npz")
    assert torch.equal(read.pixels, held().pixels)
    assert torch.equal(read.things, held().things)
    assert read.names == held().names
    with pytest.raises(UsageError, match=r"none\.npz holds no generated pictures .*; make it as"):
        Generated.read(tmp_path / "none.npz")


def test_more_comes_after_what_is_there_and_the_last_tenth_is_not_learnt() -> None:
    more = generated.nothing(("duck", "rabbit")).with_more(
        torch.zeros(18, 3, 64, 64, dtype=torch.uint8), ["rabbit"] * 18
    )
    more = more.with_more(torch.ones(2, 3, 64, 64, dtype=torch.uint8), ["duck"] * 2)
    assert more.things.tolist() == [1] * 18 + [0] * 2
    assert torch.equal(generated.learnt(more).pixels, more.pixels[:18])
    assert generated.unseen(more).things.tolist() == [0, 0]


def test_listed_pairs_are_left_out_whichever_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "pairs.toml"
    file.write_text('flip = [["a", "b"]]\nrotate_cw = [["c", "a"]]\n')
    without = generated.listed(file)
    assert without == {frozenset("ab"), frozenset("ac")}
    random = np.random.default_rng(0)
    assert {frozenset(generated.pair_of(list("abc"), without, random)) for _ in range(20)} == {frozenset("bc")}
    assert generated.listed(None) == set()


def test_a_run_is_kept_at_its_steps_and_seen_through_its_views(tiny_model: Model) -> None:
    """The last estimate, through each view, is the picture that the same recipe makes, to a level of 8 bits."""
    entry = TrickEntry(trick="anagram", views=[("identity", "a rabbit"), ("flip", "a duck")])
    recipe = Recipe(seed=3, steps=10, count=2, scheduler="euler", tricks=[entry])
    seen = generated.drawn(tiny_model, recipe, ["identity", "flip"])
    pictures = torch.cat([to_tensor(one.image) for one in make(recipe, tiny_model)])
    assert seen.shape == (2, 8, *pictures.shape[1:])
    assert torch.equal(seen[1], seen[0].flip(-2))
    torch.testing.assert_close(seen[0, -2:].float(), (pictures + 1) * 127.5, atol=1.01, rtol=0)


def test_every_picture_comes_with_what_it_was_asked_to_show(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Recipe] = []

    def numbered(model: Model, recipe: Recipe, views: list[str]) -> torch.Tensor:
        asked.append(recipe)
        return torch.zeros(len(views), 8, 3, 4, 4, dtype=torch.uint8)

    monkeypatch.setattr(generated, "drawn", numbered)
    made = generated.runs(tiny_model, ["rabbit", "duck", "owl"], set(), steps=5, seed=[0])
    for seen, shown in (next(made) for _ in range(12)):
        assert len(seen) == len(shown)
        if asked[-1].tricks:
            prompts = [prompt for _, prompt in asked[-1].tricks[0].options["views"]]
            assert [f"{'an' if name == 'owl' else 'a'} {name}" for name in (shown[0], shown[8])] == prompts
            assert len(set(shown[:8])) == len(set(shown[8:])) == 1
        else:
            assert [f"{'an' if name == 'owl' else 'a'} {name}" for name in shown[:2]] == asked[-1].prompt
            assert shown == shown[:2] * 4
    assert {bool(recipe.tricks) for recipe in asked} == {True, False}


def test_the_source_s_classes_are_those_of_all_names() -> None:
    source = GeneratedSource(held(), NAMED, 12)
    batch = source.draw([0, 1, 2], np.random.default_rng(0))
    assert batch.pictures.shape == (3, 3, 12, 12)
    assert batch.pictures.abs().max() <= 1
    assert batch.classes.tolist() == [1, 0, 1]
    words = [("bunny", "rabbit"), ("duck",), ("bunny", "rabbit")]
    assert all(any(word in text for word in some) for text, some in zip(batch.captions, words, strict=True))
    again = source.draw([0, 1, 2], np.random.default_rng(0))
    assert torch.equal(batch.pictures, again.pictures)
    plain, things = GeneratedSource(held(), NAMED, 16).plain()
    torch.testing.assert_close(plain, held().pixels.float() / 127.5 - 1, atol=1e-6, rtol=0)
    assert things.tolist() == [1, 0] * 6


def test_of_what_is_mixed_half_is_as_it_was_and_the_own_thing_is_the_stronger() -> None:
    x = torch.zeros(400, 3, 8, 8)
    x[::2] = 1
    before = x.clone()
    changed = (generated.mixed(x, np.random.default_rng(1)) - x).abs().amax((1, 2, 3))
    assert torch.equal(x, before)
    assert 0.4 < float((changed > 0).float().mean()) < 0.6
    assert float(changed.max()) < 1  # what is negated differs by 2, what is not by 1, times a share below .45


@pytest.mark.skipif(not scorer_data_is_there(), reason="the emoji font or CLDR's names are not installed")
def test_a_scorer_goes_on_from_its_directory_with_what_was_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its own tokenizer and size; what was held back is measured."""

    def train(out: str, *words: str | Path) -> None:
        said = ["scorer", "--out", tmp_path / out, "--minutes", "0.02", "--batch", "8", *words]
        monkeypatch.setattr(sys, "argv", [str(word) for word in said])
        scorer.main()

    held(40).write(tmp_path / "some.npz")
    train("first", "--width", "32", "--layers", "1")
    assert "drawn_top5" not in capsys.readouterr().out
    train("second", "--from-weights", tmp_path / "first", "--generated", tmp_path / "some.npz", "--peak", "0")
    assert "drawn_top5" in capsys.readouterr().out
    first, second = (Scorer(tmp_path / name) for name in ("first", "second"))
    torch.testing.assert_close(second.texts(["a duck"]), first.texts(["a duck"]), atol=1e-3, rtol=0)
