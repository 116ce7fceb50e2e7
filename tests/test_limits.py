"""What no one can mean is refused with a sentence, at once, before memory or time is spent on it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from command_line import run
from diffusion_tricks import Recipe
from diffusion_tricks.errors import RecipeError, UsageError
from diffusion_tricks.io.fallback import Run, Stack
from diffusion_tricks.io.fonts import find_typeface
from diffusion_tricks.io.pixels import MOST_PIXELS, enlarged_size
from diffusion_tricks.model.vocabulary import TOLD, Vocabulary
from diffusion_tricks.recipes.reading import read_recipe
from diffusion_tricks.recipes.recipe import recipe_from
from diffusion_tricks.registry.options import MAX_TEXT
from diffusion_tricks_plugins import Anagram, Overlay
from diffusion_tricks_plugins.text import typesetting

LONG = "a" * (MAX_TEXT + 1)
SAID = "expected texts of at most 10,000 characters, got one of 10,001 that begins 'aaaaaaaaaaaaaaaaaaaa'; shorten it"


@pytest.mark.parametrize(
    "data", [{"prompt": LONG}, {"prompt": ["b", LONG]}, {"negative": LONG}, {"tricks": [{"trick": "x", "y": [[LONG]]}]}]
)
def test_a_text_of_a_recipe(data: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as refused:
        recipe_from(data)
    assert str(refused.value) == f"recipe: {SAID}"


def test_a_text_of_a_trick() -> None:
    for make in (lambda: Overlay(title=LONG), lambda: Anagram(views=[("flip", LONG)])):
        with pytest.raises(UsageError, match="expected texts of at most 10,000 characters, got one of 10,001"):
            make()


def test_as_long_as_a_text_may_be() -> None:
    assert Recipe(prompt=LONG[1:]).prompt == LONG[1:]


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(RecipeError) as refused:
        recipe_from({"size": list(range(50_000))})
    assert len(str(refused.value)) < 400


def test_a_huge_recipe_costs_little(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f'prompt = "{"a" * 34_000_000}"')
    tracemalloc.start()
    with pytest.raises(RecipeError, match="holds more than"):
        read_recipe(tmp_path / "a.toml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_words_that_were_not_taught_are_told_up_to_a_number() -> None:
    prompt = " ".join(f"word{i}" for i in range(4 * TOLD))
    told = Vocabulary({"rabbit": []}).unknown([prompt])
    assert list(told) == [f"word{i}" for i in range(TOLD)]


def test_an_enlarged_picture(tmp_path: Path) -> None:
    assert enlarged_size((256, 256), 54) == (13_824, 13_824)  # 191 megapixels
    with pytest.raises(
        UsageError, match="are 32768 x 32768, more than the 400,000,000 that are made; `enlarge` may be"
    ):
        enlarged_size((512, 512), 64)
    most = 39
    assert (512 * most) ** 2 <= MOST_PIXELS < (512 * (most + 1)) ** 2
    tracemalloc.start()
    refused = run("generate", "a", "--size", 512, "--enlarge", 64, "--dry-run")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (refused.code, f"; --enlarge may be up to {most} at this size" in refused.err) == (2, True)
    assert peak < 2**28


class HasAll(Stack):
    """A stack that sets all signs in its first font, those that it lacks too."""

    def runs(self, text: str) -> list[Run]:
        return [Run(text, self.first)]


@pytest.mark.parametrize(
    "text", ["a", "Wide words, narrow box", "x" * 300, "word " * 80, "兎" * 60, "\"'." * 40, "سلام " * 30]
)
def test_what_is_called_hopeless_never_fits(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, hopeless = HasAll((find_typeface(None),)), typesetting.hopeless
    monkeypatch.setattr(typesetting, "hopeless", lambda *_: False)
    for box in ((40, 400), (120, 60), (400, 40), (300, 300)):
        for size in range(5, 90, 4):
            set_in = typesetting.Face(stack, size)
            fits = typesetting.set_block(text.strip(), set_in, box) is not None
            assert not (fits and hopeless(text.strip(), set_in, box))
