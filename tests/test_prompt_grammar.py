"""The grammar of prompts: its rules one by one, as AUTOMATIC1111's web UI has them."""

from __future__ import annotations

import pytest

from diffusion_tricks.diffusion.prompt_grammar import composed, has_grammar, plain, spoken, switches, weighted


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a (rabbit:1.5) x", [("a ", 1), ("rabbit", 1.5), (" x", 1)]),
        ("((a))", [("a", 1.21)]),
        ("[a]", [("a", 1 / 1.1)]),
        ("(a [b]:2)", [("a ", 2), ("b", 2 / 1.1)]),
        ("(a (b:3):2)", [("a ", 2), ("b", 6)]),
        (r"a \(b\) \[c\] \\", [(r"a (b) [c] " + "\\", 1)]),
        ("a :) face", [("a :) face", 1)]),
        ("(a", [("(a", 1)]),
        ("(a [b)", [("a [b", 1.1)]),
        ("a\\b", [("a\\b", 1)]),
        ("[a:b]", [("a:b", 1 / 1.1)]),
        ("(a:b)", [("a:b", 1.1)]),
    ],
)
def test_weights(prompt: str, pieces: list[tuple[str, float]]) -> None:
    (chunk,) = weighted(prompt)
    assert [(piece.text, pytest.approx(piece.weight)) for piece in chunk] == pieces


def test_breaks() -> None:
    chunks = weighted("a BREAK (b BREAK c:2)")
    assert chunks == [[("a", 1.0)], [("b", 2.0)], [("c", 2.0)]]
    assert weighted("a BREAKING news") == [[("a BREAKING news", 1.0)]]
    assert weighted(r"a \BREAK b") == [[("a BREAK b", 1.0)]]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("[a:b:0.4] c", [(0, "a c"), (4, "b c")]),
        ("[(x:1.2):0.4]", [(0, ""), (4, "(x:1.2)")]),
        ("[a::0.5] z", [(0, "a z"), (5, " z")]),
        ("[a:[b:c:0.8]:0.4]", [(0, "a"), (4, "b"), (8, "c")]),
        ("([a:b:3]:1.3)", [(0, "(a:1.3)"), (3, "(b:1.3)")]),
        ("a:b:0.4", [(0, "a:b:0.4")]),
        (r"\[a:b:0.4\]", [(0, r"\[a:b:0.4\]")]),
        ("[a]", [(0, "[a]")]),
    ],
)
def test_schedules(prompt: str, said: list[tuple[int, str]]) -> None:
    assert switches(prompt, 10) == said


def test_turns() -> None:
    assert [text for _, text in switches("a [b|c]", 4)] == ["a b", "a c", "a b", "a c"]


def test_several_in_one() -> None:
    assert composed("a rabbit AND a duck :1.2 AND (fog:2):-1") == [("a rabbit", 1), ("a duck", 1.2), ("(fog:2)", -1)]
    assert composed("a:2") == [("a:2", 1)]
    assert composed(r"rock \AND roll") == [(r"rock \AND roll", 1)]
    assert spoken("a AND [b:c:0.5]", 4) == ["a", "b", "c"]


def test_what_is_left_are_the_words() -> None:
    assert plain("a (big:1.5) [cat:dog:0.5] BREAK x AND y :2") == "a big dog x y"
    assert plain(r"rock \AND roll \(live\)") == "rock AND roll (live)"
    assert plain("a  plain, prompt") == "a  plain, prompt"
    assert not has_grammar("a plain prompt: 1.5 of it, AND1 and BREAKs")
