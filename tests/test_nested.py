"""Tricks in the place of prompts, against exact denoisers; and prompts that would never be heard."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Branch, Recipe, TrickEntry, UsageError, make, sample
from diffusion_tricks.plugin import Prompted, Trick, TrickOptions, option
from diffusion_tricks.recipes.paths import mapped, paths
from diffusion_tricks.registry.branch import options_in_full, outline
from diffusion_tricks.testing import exact_model, registered, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid
from diffusion_tricks_plugins.filters import blur

SIDE = 16


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


A, B, C, NONE = map(picture, range(4))
low = blur(2.0, 33, SIDE)
HYBRID = {"trick": "hybrid", "far": "a", "near": "b"}
SEEN: list[tuple[Any, Tensor]] = [
    (
        {"trick": "anagram", "views": [("identity", HYBRID), ("flip", "c")]},
        (low(A) + B - low(B) + C.flip(2)) / 2,
    ),
    (
        {"trick": "hybrid", "far": {"trick": "anagram", "prompts": ["a", "b"]}, "near": "c"},
        low((A + B.flip(2)) / 2) + C - low(C),
    ),
    (
        {"trick": "anagram", "views": [("identity", {"prompt": "a", "tricks": [{"trick": "guidance", "scale": 3}]}),
                                       ("flip", "b")]},
        (NONE + 3 * (A - NONE) + B.flip(2)) / 2,
    ),
    (
        {"trick": "anagram", "views": [
            ("mirror", {"trick": "hybrid", "far": "a", "near": {"trick": "anagram", "prompts": ["b", "c"]}}),
            ("identity", {"tricks": [{"trick": "hybrid", "far": "c", "near": "b"}, {"trick": "guidance", "scale": 2}]}),
        ]},
        ((low(A) + (B + C.flip(2)) / 2 - low((B + C.flip(2)) / 2)).flip(3)
         + NONE + 2 * (low(C) + B - low(B) - NONE)) / 2,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "expected"), SEEN)
def test_what_is_nested_ends_where_its_formula_says(entry: Any, expected: Tensor) -> None:
    model = exact_model({"a": A, "b": B, "c": C, None: NONE})
    *_, last = sample(model, tricks=[TrickEntry(**entry).build()], steps=10, seed=3)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=2e-4)


def test_a_guidance_of_its_own_takes_the_place_of_the_runs() -> None:
    own = Anagram(views=[("identity", {"prompt": "a", "tricks": [{"trick": "guidance", "scale": 1}]}), ("flip", "b")])
    model = exact_model({"a": A, "b": B, None: NONE})
    *_, last = sample(model, tricks=[own, Guidance(scale=3)], steps=10)
    torch.testing.assert_close(last.x, (A + (NONE + 3 * (B - NONE)).flip(2)) / 2, rtol=0, atol=2e-4)
    assert last.rows == 3, "a alone, b and what b moves away from"


def test_all_that_is_pending_goes_through_the_model_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusion_tricks.sampling import loop

    calls: list[int] = []
    answer = loop.answer_together
    monkeypatch.setattr(
        loop, "answer_together", lambda *given: (calls.extend(len(one.asks) for one in given[1]), answer(*given))[1]
    )
    nested = Anagram(views=[("identity", HYBRID), ("flip", "c"), ("mirror", "a")])
    list(sample(exact_model({"a": A, "b": B, "c": C, None: NONE}), tricks=[nested, Guidance(scale=2)], steps=2))
    assert calls == [7, 7], "far, near, and one unconditional; two of each other view"


def test_equal_to_the_same_tricks_on_the_model_inside() -> None:
    """An anagram in which each view is the same hybrid equals, through identity alone, that hybrid."""
    plain = sample(tiny("if"), tricks=[Hybrid(far="a", near="b"), Guidance(scale=2)], steps=3, seed=1)
    twice = Anagram(views=[("identity", HYBRID), ("identity", HYBRID)])
    nested = sample(tiny("if"), tricks=[twice, Guidance(scale=2)], steps=3, seed=1)
    for one, other in zip(plain, nested, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=0, atol=1e-5)


def tiny(kind: str) -> Any:
    from diffusion_tricks import load_model

    return load_model(tiny_pipeline(kind), device="cpu")


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([("identity", {"trick": "overlay", "title": "x"}), ("flip", "b")], "overlay.*does more than shape one answer"),
        ([("identity", {"trick": "sdedit", "image": "x.png"}), ("flip", "b")], "sdedit.*does more than shape one"),
        ([("identity", {"trick": "guidance", "scale": 2}), ("flip", "b")], "says none"),
        ([("identity", {"prompt": "a", "tricks": [HYBRID]}), ("flip", "b")], "'a' is not asked beside 'hybrid'"),
        ([("identity", {"tricks": [HYBRID, HYBRID]}), ("flip", "b")], "both say what is asked"),
        ([("identity", {"trick": "hybird", "far": "a", "near": "b"}), ("flip", "b")], "did you mean 'hybrid'"),
        ([("identity", {"tricks": []}), ("flip", "b")], "at least 1"),
    ],
)
def test_what_cannot_stand_in_the_place_of_a_prompt_is_refused(views: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Anagram(views=views)


def test_two_that_say_what_is_asked_show_the_two_ways_to_nest_them() -> None:
    with pytest.raises(UsageError, match=r"anagram with \[hybrid \.\.\.\] or hybrid with \[anagram \.\.\.\]"):
        list(sample(tiny("if"), tricks=[Anagram(prompts=["a", "b"]), Hybrid(far="a", near="b")], steps=2))


def test_the_outline_names_each_place() -> None:
    drawn = outline(TrickEntry(**SEEN[3][0]).build())
    assert drawn == [
        "anagram", "  mirror:", "    hybrid", "      far: a", "      near:", "        anagram",
        "          identity: b", "          flip: c", "  identity:", "    hybrid", "      far: c", "      near: b",
        "    guidance",
    ]  # fmt: skip


def test_scores_look_through_both() -> None:
    shown = TrickEntry(**SEEN[0][0]).build().views_of(Image.new("RGB", (32, 32), "red"))
    assert [(view.name, view.prompt) for view in shown] == [
        ("identity > far", "a"), ("identity > near", "b"), ("flip", "c"),
    ]  # fmt: skip


def test_brackets_say_the_same_as_the_recipe(tmp_path: Path) -> None:
    words = ("--view", "identity", "[", "hybrid", "--far", "a skull", "--near", "[", "anagram", "x", "a y", "]", "]")
    rest = ("--view", "flip", "[", "a duck", "guidance", "--scale", "2", "]", "--seed", "1", "--steps", "2")
    made = run("anagram", *words, *rest, "-o", tmp_path / "a.png", "--save-recipe", tmp_path / "a.toml")
    assert made.code == 0, made.err
    line = made.err.split("same as: diffusion-tricks ")[1].splitlines()[0]
    again = shlex.split(line.replace("a.png", "b.png").replace("a.toml", "b.toml"))
    assert run(*again).code == 0
    assert run("run", tmp_path / "a.toml", "-o", tmp_path / "c.png").code == 0
    assert run("rerun", tmp_path / "a.png", "-o", tmp_path / "d.png").code == 0
    first, *others = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abcd")
    assert all((first == other).all() for other in others)
    assert (tmp_path / "a.toml").read_text() == (tmp_path / "b.toml").read_text()


def test_a_plan_draws_the_tree() -> None:
    planned = run("plan", "hybrid", "--far", "[", "anagram", "a", "b", "]", "--near", "c")
    assert planned.code == 0
    drawn = planned.out.split("nesting:")[1].split("tricks:")[0]
    assert [line.strip() for line in drawn.splitlines() if line.strip()] == [
        "hybrid", "far:", "anagram", "identity: a", "flip: b", "near: c", "guidance", "model",
    ]  # fmt: skip
    assert "rows per step: 5" in planned.out, "the unconditional of x itself is shared"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hybrid", "--far", "[", "anagram", "a", "b", "--near", "c"), "is never closed"),
        (("hybrid", "--far", "a", "]", "--near", "c"), "']' closes nothing"),
        (("hybrid", "--far", "[", "]", "--near", "c"), "hold nothing"),
        (("hybrid", "--far", "[", "a", "]", "--near", "c"), "a prompt alone needs no brackets"),
        (("hybrid", "--far", "[", "anagram", "a", "]", "--near", "c"), "expected two prompts"),
        (("hybrid", "--far", "[", "anagram", "a", "b", "--nonsense", "]", "--near", "c"), "no option '--nonsense'"),
    ],
)
def test_brackets_that_are_wrong_are_told_of(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    refused = run(*words, "-o", tmp_path / "x.png")
    assert refused.code == 2, refused.err
    assert message in refused.err
    assert not list(tmp_path.iterdir())


def test_paths_within_are_paths_of_the_recipe() -> None:
    inner = {"prompt": "a", "tricks": [{"trick": "controlnet", "image": "spiral.png", "network": "o/n"}]}
    recipe = Recipe(tricks=[TrickEntry(trick="anagram", views=[["identity", inner], ["flip", "b"]])])
    assert paths(recipe) == [Path("spiral.png")]
    moved = mapped(recipe, lambda path: f"deep/{path}")
    assert moved.tricks[0].options["views"][0][1]["tricks"][0]["image"] == "deep/spiral.png"
    assert Branch.model_validate(inner).prompt == "a"


def prompts_in(entry: dict[str, Any]) -> dict[str, Callable[[str], dict[str, Any]]]:
    """For each prompt of an entry, how the entry is made with another."""
    made: dict[str, Callable[[str], dict[str, Any]]] = {}
    for key in {"far", "near", "negative"} & entry.keys():
        made[key] = lambda text, key=key: entry | {key: text}  # type: ignore[misc]
    for key in {"prompts", "parts"} & entry.keys():
        for i in range(len(entry[key])):
            made[f"{key} {i}"] = lambda text, key=key, i=i: (  # type: ignore[misc]
                entry | {key: [text if j == i else old for j, old in enumerate(entry[key])]}
            )
    if "regions" in entry:
        ((where, _),) = entry["regions"]
        made["region"] = lambda text: entry | {"regions": [[where, text]]}
    return made


ENTRIES: dict[str, dict[str, Any]] = {
    "sdedit": {"image": "{picture}", "strength": 0.9},
    "inpaint": {"image": "{picture}", "mask": "box:2,2,14,14"},
    "outpaint": {"image": "{picture}", "extend": "left=4,bottom=4"},
    "anagram": {"prompts": ["aa", "bbb"]},
    "hybrid": {"far": "cccc", "near": "ddddd"},
    "components": {"parts": ["ggg", "hh"], "split": "lab"},
    "picture": {"image": "{picture}"},
    "phase": {"image": "{picture}"},
    "dps": {"image": "{picture}"},
    "guidance": {"scale": 3.0, "negative": "eeeeee"},
    "clip-guidance": {"scale": 3.0},
    "overlay": {"text": "words"},
    "exact": {"pictures": ["{picture}"]},
    "regions": {"regions": [["box:0,0,50%,100%", "iiii"]]},
    "panorama": {"wrap": True},
    "time-travel": {"repeat": 2},
    "cache": {},
}


def test_every_trick_is_in_the_pairs() -> None:
    from diffusion_tricks.hosting.host import host

    assert {*ENTRIES, "controlnet"} == set(host().entries("trick")), "one that asks prompts must be tried with all"


@pytest.mark.parametrize("pair", list(permutations(ENTRIES, 2)), ids=" ".join)
@pytest.mark.parametrize("said", [None, "ffffffff"], ids=["", "prompt"])
def test_each_prompt_of_a_pair_of_tricks_changes_the_picture_or_is_refused(
    tmp_path: Path, pair: tuple[str, str], said: str | None, model: Any
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray((np.random.default_rng(0).random((16, 16, 3)) * 255).astype("uint8")).save(photo)
    entries = [
        {"trick": name, **json.loads(json.dumps(ENTRIES[name]).replace("{picture}", str(photo)))} for name in pair
    ]

    def picture_of(entries: list[dict[str, Any]], said: str | None) -> Any:
        recipe = Recipe(prompt=said, seed=1, steps=3, tricks=[TrickEntry(**one) for one in entries])
        (result,) = make(recipe, model=model)
        return np.asarray(result.image)

    try:
        plain = picture_of(entries, said)
    except UsageError:
        return
    others = {} if said is None else {"prompt": picture_of(entries, "another prompt")}
    for i, entry in enumerate(entries):
        for name, changed in prompts_in(entry).items():
            others[f"{entry['trick']} {name}"] = picture_of([*entries[:i], changed("other"), *entries[i + 1 :]], said)
    assert not [name for name, other in others.items() if (other == plain).all()], "never heard"


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny("if")


def test_one_branch_in_two_places_is_refused_as_a_trick_would_be() -> None:
    shared = Branch(tricks=[TrickEntry(**HYBRID)])
    anagram = Anagram(views=[("identity", shared), ("flip", shared)])
    with pytest.raises(UsageError, match="the same trick object is given twice; make a new one for each place"):
        sample(exact_model({"a": A, "b": B}), tricks=[anagram], steps=2)


class LateOptions(TrickOptions):
    """Options of a type that its module names behind them."""

    said: Late = option(help="what is asked")


class LateTrick(Trick[LateOptions]):
    """Asks something."""

    name = "late"


Late = Prompted


def test_what_stands_for_a_prompt_is_told_also_where_its_type_is_named_later() -> None:
    with registered(LateTrick):
        entry = TrickEntry(trick="late", said="picture:photo.png")
        assert options_in_full(entry) == {"said": {"trick": "picture", "image": "photo.png"}}
