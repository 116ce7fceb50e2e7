"""Grids: exact values, texts that stay texts, lists in files, and every combination in order."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_tricks import UsageError
from diffusion_tricks_batch.lists.grid import MOST, Axis, axis_from, combined, size_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("seed=0-3,9", [0, 1, 2, 3, 9]), ("guidance=3,5,7.5", [3, 5, 7.5]), ("steps=1:3", [1, 2, 3]),
        ("strength=0.2:0.9:0.1", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), ("scale=1:0:-0.5", [1, 0.5, 0]),
        ("size=64,64x48", [[64, 64], [64, 48]]), ("size=[64, 48],[32, 16]", [[64, 48], [32, 16]]),
        ("view=flip,rotate_cw", ["flip", "rotate_cw"]), ("prompt=a rabbit, a duck", ["a rabbit", "a duck"]),
        ('prompt="a rabbit, brown",a duck', ["a rabbit, brown", "a duck"]), ("prompt=a, b|c", ["a, b", "c"]),
        ('view="flip|negate",flip', ["flip|negate", "flip"]), ('prompt="say ""hello""",b', ['say "hello"', "b"]),
        ("prompt=1-3,16:9", ["1-3", "16:9"]), ('year="1-3",4', ["1-3", 4]), ("n=007,7,1e3,0.5", ["007", 7, "1e3", 0.5]),
        ("prompt=[a|b] c", ["[a", "b] c"]), ("prompt=[a:b:0.5]", ["[a:b:0.5]"]), ("best-of=2", [2]),
        ('anagram.views=[["identity", "a"]],[["flip", "b"]]', [[["identity", "a"]], [["flip", "b"]]]),
        ("seed=[1, 2],[3, 4]", [[1, 2], [3, 4]]), ("lora=a.safetensors,b.safetensors:0.5", [["a.safetensors"],
                                                                                        ["b.safetensors:0.5"]]),
        ("prompt=Größe, 兎", ["Größe", "兎"]), ("a = b = c", ["b = c"]),
    ],
)  # fmt: skip
def test_values_are_read_exactly(said: str, values: list[object]) -> None:
    assert list(axis_from(said).values) == values


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("seed", "a grid is such as seed=0-99, guidance=3,5,7 or prompt=@prompts.txt, got 'seed'"), ("=3", "got '=3'"),
        ("seed=", "got 'seed='"), ("guidance=3,,5", "holds an empty value; expected such as 3,5,7"),
        ("guidance=3,5,3", "names 3 twice; name each value once"), ("seed=1-3,2", "names 2 twice"),
        ("scale=0:1:0", "goes from 0 to 1 by 0: that is no way"), ("seed=9-1", "goes from 9 to 1 by 1"),
        ("seed=0-1000000", "no way of at most 1,000,000 steps"), ("id=a,b", "leave the axis `id` out"),
        ("prompt=@none.txt", "@none.txt cannot be read: No such file or directory"),
        ("prompt=@empty.txt", "@empty.txt holds no value of prompt; expected one in each line"),
        ("prompt=@odd.txt", "@odd.txt is no text in UTF-8; expected a value in each line"),
        ("views=@odd.jsonl", "line 2 of @odd.jsonl: expected a value in JSON, got '[nonsense'"),
        ("prompt=@twice.txt", "names a twice"), ("prompt=@\0", "cannot be read: embedded null byte"),
    ],
)  # fmt: skip
def test_what_is_no_axis(said: str, why: str) -> None:
    Path("empty.txt").write_text("\n# nothing\n")
    Path("odd.txt").write_bytes(b"\xff\xfe")
    Path("odd.jsonl").write_text("[1]\n[nonsense\n")
    Path("twice.txt").write_text("a\nb\na\n")
    with pytest.raises(UsageError) as error:
        axis_from(said)
    assert why in str(error.value)


def test_values_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value a line, commas and all; empty lines and # lines say nothing, as in every list of the project."""
    Path("prompts.txt").write_text("\ufeffa rabbit, brown\n\n# no\n 1-3 \r\n", "utf-8")
    assert axis_from("prompt=@prompts.txt") == Axis("prompt", ("a rabbit, brown", "1-3"))
    Path("views.jsonl").write_text('[["identity", "a\u2028b"]]\n"flip"\n{"trick": "hybrid"}\n', "utf-8")
    assert axis_from("anagram.views=@views.jsonl").values == ([["identity", "a\u2028b"]], "flip", {"trick": "hybrid"})
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n"))
    assert axis_from("seed=@-").values == (1, 2)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=9, unique=True))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert list(axis_from(f"seed={','.join(map(str, numbers))}").values) == numbers


JSON: Any = st.recursive(
    st.integers(-99, 99) | st.text(max_size=5), lambda part: st.lists(part, max_size=3), max_leaves=5
)


@given(st.lists(st.lists(JSON, min_size=1, max_size=3), min_size=1, max_size=3, unique_by=json.dumps))
def test_values_in_json_come_back(values: list[Any]) -> None:
    assert list(axis_from(f"tricks={','.join(map(json.dumps, values))}").values) == values


def test_every_combination_the_last_axis_fastest() -> None:
    axes = [axis_from(said) for said in ("seed=0-2", "guidance=3,5", "prompt=a rabbit,b")]
    every = list(combined(axes))
    assert size_of(axes) == len(every) == 12
    assert [tuple(values.values()) for values, _ in every] == list(itertools.product(*(axis.values for axis in axes)))
    assert every[1] == ({"seed": 0, "guidance": 3, "prompt": "b"}, "seed-0-guidance-3-prompt-b")
    assert list(combined([])) == [({}, "")]


def test_what_no_grid_is() -> None:
    with pytest.raises(UsageError, match="two axes 'seed'; put all of its values into one list"):
        size_of([Axis("seed", (1,)), Axis("seed", (2,))])
    axes = [Axis("seed", tuple(range(1001))), Axis("steps", tuple(range(1, 1000))), Axis("guidance", (1, 2))]
    with pytest.raises(UsageError, match=r"has 1,999,998 jobs \(1,001 of seed x 999 of steps x 2 of guidance\)"):
        next(combined(axes))
    assert size_of([Axis("seed", tuple(range(MOST)))]) == MOST


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis("size", ([64, 64], [64, 48])), ["size-64x64", "size-64x48"]),
        (Axis("seed", ([1, 2], 3)), ["seed-1_2", "seed-3"]),
        (Axis("guidance", (3, 7.5)), ["guidance-3", "guidance-7.5"]),
        (Axis("prompt", ("A rabbit!", "a duck")), ["prompt-a-rabbit", "prompt-a-duck"]),
        (Axis("prompt", ("a rabbit", "a rabbit?")), ["prompt-0", "prompt-1"]),  # one slug
        (Axis("prompt", ("a" * 61, "b")), ["prompt-0", "prompt-1"]),
        (Axis("anagram.views", tuple([[["flip", "a"]]] * 11)), [f"anagram_views-{i}" for i in range(11)]),
    ],
)
def test_labels_tell_values_apart(axis: Axis, labels: list[str]) -> None:
    assert axis.labels == labels
