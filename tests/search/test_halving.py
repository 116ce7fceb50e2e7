"""Where the budget goes, as arithmetic, and what is asked and read."""

from __future__ import annotations

import io
import sys
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffusion_tricks import UsageError
from diffusion_tricks_search.asked import Asked, asked_from, budget_of, runs, seeds_of, size_of
from diffusion_tricks_search.halving import Round, beginning, better, chosen, timetable
from diffusion_tricks_search.pairs import from_lines, pairs_of, sets


@pytest.mark.parametrize(
    ("arms", "budget", "seeds", "expected"),
    [
        (160, 500, 8, [Round(160, 1), Round(80, 2), Round(40, 4)]),
        (4005, 90, 8, [Round(30, 1), Round(15, 2), Round(8, 3)]),  # as many begin as three rounds reach for
        (8, 96, 99, [Round(8, 4), Round(4, 8), Round(2, 16)]),  # Karnin's: log2 8 rounds of 96 / 3 pictures
        (3, 100, 8, [Round(3, 8)]),  # all there are
        (1, 5, 99, [Round(1, 5)]),
        (7, 1, 3, [Round(1, 1)]),
        (8, 60, 8, [Round(8, 2), Round(4, 5), Round(2, 1)]),  # until the seeds are used up
    ],
)
def test_the_timetable(arms: int, budget: int, seeds: int, expected: list[Round]) -> None:
    assert timetable(arms, budget, seeds) == expected


@pytest.mark.parametrize("arms", [1, 2, 3, 7, 40, 333])
@pytest.mark.parametrize("budget", [1, 2, 9, 100, 512])
@pytest.mark.parametrize("seeds", [1, 3, 64])
def test_what_every_timetable_keeps(arms: int, budget: int, seeds: int) -> None:
    """Neither budget nor seeds are exceeded, the arms are halved, and what remains could not be spent on another round
    of the last arms, unless their seeds are used up."""
    rounds = timetable(arms, budget, seeds)
    spent, used = sum(one.pictures for one in rounds), sum(one.each for one in rounds)
    assert rounds
    assert spent <= budget
    assert used <= seeds
    assert all(after.arms == -(-before.arms // 2) for before, after in pairwise(rounds))
    assert budget - spent < rounds[-1].arms or used == seeds or len(rounds) > 1


def test_what_begins_and_what_goes_on() -> None:
    arms = list("abcdefgh")
    assert beginning(arms, 8, shuffle=5) == arms
    assert beginning(arms, 3, shuffle=5) == beginning(arms, 3, shuffle=5) != beginning(arms, 3, shuffle=6)
    worth = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 3.0}
    assert better(list("abcd"), worth, 2) == ["b", "d"]
    assert better(list("abcd"), worth, 3) == ["b", "c", "d"]
    assert better(list("dcba"), dict.fromkeys("abcd", 0.0), 2) == ["d", "c"]


def test_what_is_kept_is_of_many_pairs() -> None:
    tried = [("a", 9), ("a", 8), ("b", 5), ("a", 7), ("c", 1)]
    assert chosen(tried, lambda one: one[0], lambda one: one[1], 2) == [("a", 9), ("b", 5)]
    assert chosen(tried, lambda one: one[0], lambda one: one[1], 4) == [("a", 9), ("a", 8), ("b", 5), ("c", 1)]
    assert len(chosen(tried, lambda one: one[0], lambda one: one[1], 99)) == 5


def test_seeds_budgets_and_sizes() -> None:
    assert seeds_of("0-3,9") == [0, 1, 2, 3, 9]
    assert [budget_of(text) for text in ("500", "90s", "20m", "1.5h")] == [
        (500, None),
        (None, 90),
        (None, 1200),
        (None, 5400),
    ]
    assert (size_of("256"), size_of("64x48")) == ((256, 256), (64, 48))
    assert runs([0, 1, 2, 3, 7, 8, 5], 3) == [range(3), range(3, 4), range(7, 9), range(5, 6)]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (seeds_of, "3-1", r"`seeds` are such as 0-7 or 1,5,9, at most 100,000 of them, got '3-1'"),
        (seeds_of, "0-100000", "at most 100,000"),
        (seeds_of, "1,1", "`seeds` name one twice"),
        (seeds_of, "", "`seeds` are such as"),
        (budget_of, "0", "`budget` is at least 1 picture, or a time, as 90s, 20m or 2h, got '0'"),
        (budget_of, "0m", "got '0m'"),
        (budget_of, "soon", "`budget` is a number of pictures, as 500, or a time, as 90s, 20m or 2h, got 'soon'"),
        (size_of, "0", "`size` is such as 256 or 256x192, in pixels, got '0'"),
    ],
)
def test_what_cannot_be_meant_is_refused(read: Any, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pairs": ()}, "at least one pair and one view"),
        ({"views": ("flip", "flip")}, "the view 'flip' is given twice"),
        ({"by": "beauty"}, "`by` is one of alignment, joint, concealment, sep_min, got 'beauty'"),
        ({"keep": 0}, "`keep` must be at least 1"),
    ],
)
def test_a_question_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Asked(**({"pairs": (("a", "b"),)} | given))


def test_a_question_is_the_same_after_it_was_data() -> None:
    asked = Asked(pairs=(("a", "b"), ("ü", "c")), views=("flip", "jigsaw:4"), size=(64, 48), steps=3, fid=True)
    assert asked_from(asked.data()) == asked
    assert asked.hash == asked_from(asked.data()).hash != Asked(pairs=(("a", "b"),)).hash
    with pytest.raises(UsageError, match="is damaged"):
        asked_from({"pairs": 3})


def test_pairs_of_files_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [("a rabbit", "a duck"), ("an owl, old", "a cat")]
    texts = {
        "a.txt": "# two\n\na rabbit | a duck\nan owl, old | a cat\na rabbit|a duck\n",
        "a.csv": 'a rabbit, a duck\n"an owl, old", a cat\n',
        "a.toml": 'pairs = [["a rabbit", "a duck"], ["an owl, old", "a cat"]]\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert pairs_of(str(tmp_path / name)) == expected
    monkeypatch.setattr(sys, "stdin", io.StringIO(texts["a.txt"]))
    assert pairs_of("-") == expected


def test_pairs_that_ship() -> None:
    assert sets() == ["easy", "paper"]
    assert len(pairs_of("pairs:easy")) >= 45
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert [tuple(text.split()[-1] for text in pair) for pair in pairs_of("pairs:paper")] == [*combinations(classes, 2)]


def test_the_easy_pairs_are_what_the_model_inside_was_taught() -> None:
    from diffusion_tricks import load_model

    words = load_model("emoji").vocabulary
    assert words is not None
    assert words.unknown(text for pair in pairs_of("pairs:easy") for text in pair) == {}


def test_pairs_of_a_vocabulary() -> None:
    model: Any = SimpleNamespace(name="m", vocabulary=SimpleNamespace(captions={"a": ["x"], "b": [], "c": []}))
    assert pairs_of("vocabulary", model) == [("a", "b"), ("a", "c"), ("b", "c")]
    with pytest.raises(UsageError, match="the model 'm' does not say what it was taught"):
        pairs_of("vocabulary", SimpleNamespace(name="m", vocabulary=None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a | b", "", "only one"], 'line 3 of here: expected two prompts a line, as in "a rabbit | a duck"'),
        (["a | b | c"], "line 1 of here"),
        (["a | "], "line 1 of here"),
        (["# nothing"], "here holds no pairs"),
    ],
)
def test_lines_that_are_no_pairs_are_named(lines: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("|", r"\|")):
        from_lines(lines, "here")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pairs:eazy", "unknown set of pairs 'eazy'; did you mean 'easy'?"),
        ("gone.txt", "pairs cannot be read from 'gone.txt': No such file or directory; expected a file, pairs:easy"),
    ],
)
def test_sources_that_are_not_there(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        pairs_of(source)
