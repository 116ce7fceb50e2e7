"""Notes on words that a model was not taught: which they are, what is near, and where the note goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks import Recipe, load_model, make
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.model.vocabulary import LISTED, Vocabulary, unknown_note
from diffusion_tricks.training import words
from diffusion_tricks.training.data.emoji import CLDR, Emoji

TAUGHT: dict[str, Any] = {
    "captions": {
        "rabbit": ["bunny"],
        "dog face": ["dog", "puppy"],
        "horse face": ["horse"],
        "hot dog": [],
        "jack-o-lantern": ["pumpkin"],
        "maple leaf": ["leaf"],
        "cherries": ["two cherries", "cherry"],
        "mountain": [],
        "lion": [],
        "glasses": [],
        "teddy bear": [],
        "mouse face": ["mouse"],
    },
    "words": ["a", "an", "background", "blue", "of", "oil", "on", "painting", "the", "watercolour"],
    "related": {"zebra": ["horse", "dog"], "moose": ["horse"], "mountain lion": ["lion"], "photo": ["painting"]},
}


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(**TAUGHT)


@pytest.mark.parametrize(
    "prompt",
    [
        "a rabbit", "RABBITS!", "bunnies", "two cherries on a blue background", "an oil painting of a dog's mice",
        "a Jack-o'-lantern", "a jack-o-lantern, watercolour", "leaves", "the hot dogs with my puppy",
        "glasses", "", "teddy bears",
    ],
)  # fmt: skip
def test_what_was_taught_is_known_in_singular_and_plural_any_case_and_with_punctuation(
    vocabulary: Vocabulary, prompt: str
) -> None:
    assert vocabulary.unknown([prompt]) == {}


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a zebra", {"zebra": ["horse", "dog"]}),
        ("two zebras", {"two": ["two cherries"], "zebras": ["horse", "dog"]}),
        ("an oil painting of a rabit", {"rabit": ["rabbit"]}),
        ("rabbbit", {"rabbbit": ["rabbit"]}),
        ("a moose", {"moose": ["horse"]}),  # a word in its own right, though it is spelt almost like a mouse
        ("a mountain lion", {"mountain lion": ["lion"]}),  # not a mountain and a lion
        ("a lion on a mountain", {}),
        ("a hot rabbit", {"hot": ["hot dog"]}),  # taught only as a part of another name
        ("a photo of a dog", {"photo": ["painting"]}),
        ("a xyzzy", {"xyzzy": []}),
    ],
)
def test_what_was_not_taught_is_named_with_the_nearest(
    vocabulary: Vocabulary, prompt: str, found: dict[str, list[str]]
) -> None:
    assert vocabulary.unknown([prompt]) == found


def test_each_word_is_found_once_in_all_prompts(vocabulary: Vocabulary) -> None:
    assert list(vocabulary.unknown([None, "a zebra", "the zebra", "a moose"])) == ["zebra", "moose"]


def test_the_note_names_model_word_and_nearest() -> None:
    note = unknown_note("emoji", {"zebra": ["horse", "tiger", "cow"]})
    assert note == "the model 'emoji' was not taught the word 'zebra'; nearest it knows: horse, tiger, cow"
    assert "the words 'mountain lion'; nearest" in unknown_note("emoji", {"mountain lion": ["lion"]})
    assert "'xyzzy', nor one that is near" in unknown_note("emoji", {"xyzzy": []})


def test_one_note_names_many_words_and_counts_the_rest() -> None:
    note = unknown_note("emoji", {"zebra": ["horse", "dog"], "xyzzy": [], "moose": ["cow"]})
    assert note == (
        "the model 'emoji' was not taught 3 of the words asked: 'zebra' (nearest: horse, dog), 'xyzzy' and "
        "'moose' (nearest: cow)"
    )
    many = unknown_note("emoji", {f"word{i}": [] for i in range(LISTED + 8)})
    assert f"not taught {LISTED + 8} of the words asked: 'word0', " in many
    assert many.endswith(f"'word{LISTED - 1}' and 8 more")


def test_a_model_s_file_may_say_what_it_was_taught_or_not() -> None:
    assert Vocabulary.said({"steps": 20, "words": ["a"]}) is None
    told = Vocabulary.said({"steps": 20, **TAUGHT})
    assert told is not None
    assert told.captions == TAUGHT["captions"]
    with pytest.raises(ValueError, match="lists of words"):
        Vocabulary.said({"captions": {"rabbit": "bunny"}})


@pytest.fixture
def taught(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model, which now says what it was taught, in an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(tiny, tmp_path / "taught"))
    (folder / DEFAULTS_FILE).write_text(json.dumps({"steps": 2, **TAUGHT}))
    return folder


ZEBRA = "Note: the model 'taught' was not taught the word 'zebra'; nearest it knows: horse, dog"


def test_a_note_is_made_once_for_each_word_and_is_in_every_result(taught: Path) -> None:
    outcome = run("generate", "-m", taught, "a zebra and a rabbit", "--count", 2, "--json")
    assert outcome.code == 0
    assert outcome.err.splitlines().count(ZEBRA) == 1
    assert [json.loads(line)["unknown_words"] for line in outcome.lines] == [{"zebra": ["horse", "dog"]}] * 2


def test_a_prompt_of_twelve_unknown_words_and_many_pictures_get_one_note(taught: Path) -> None:
    words = " ".join(f"xyzzy{i}" for i in range(12))
    outcome = run("generate", "-m", taught, "-p", words, "-p", "a zebra", "-o", "{index}.png")
    notes = [line for line in outcome.err.splitlines() if line.startswith("Note: the model")]
    assert outcome.code == 0
    assert len(notes) == 1
    assert "was not taught 13 of the words asked: 'xyzzy0', 'xyzzy1'" in notes[0]


def test_the_prompts_of_tricks_are_looked_at_too(taught: Path) -> None:
    anagram = run("anagram", "-m", taught, "a zebra", "a moose", "--negative", "a rabit", "-o", "anagram.png")
    notes = [line for line in anagram.err.splitlines() if line.startswith("Note: ")]
    assert anagram.code == 0
    assert len(notes) == 1
    assert notes[0].split("'")[3::2] == ["zebra", "moose", "rabit"]
    assert ZEBRA in run("hybrid", "-m", taught, "--far", "a zebra", "--near", "a dog", "-o", "hybrid.png").err


def test_silence_where_all_is_known_or_was_asked_for_or_nothing_is_said_of_what_was_taught(
    taught: Path, tiny: Path
) -> None:
    known = run("generate", "-m", taught, "a rabbit", "--json", "-o", "known.png")
    assert "unknown_words" not in known.json
    assert "Note" not in known.err
    assert run("generate", "-m", taught, "a zebra", "--quiet", "-o", "quiet.png").err == ""
    unsaid = run("generate", "-m", tiny, "--steps", 1, "a zebra", "--json", "-o", "unsaid.png")
    assert "unknown_words" not in unsaid.json


def test_in_a_list_of_prompts_each_picture_has_its_own_words(taught: Path) -> None:
    results = make(Recipe(prompt=["a zebra", "a rabbit", "a moose"], seed=0), model=load_model(str(taught)))
    assert [list(result.facts.get("unknown_words", {})) for result in results] == [["zebra"], [], ["moose"]]


def test_a_list_that_is_none_is_refused(taught: Path) -> None:
    (taught / DEFAULTS_FILE).write_text(json.dumps({"captions": ["rabbit"]}))
    with pytest.raises(ModelError, match="expected what the model was taught"):
        load_model(str(taught))


def test_the_command_line_lists_what_a_model_was_taught(taught: Path, tiny: Path) -> None:
    listed = run("models", taught)
    assert listed.lines[0] == "rabbit, bunny"
    assert listed.lines[-1].endswith("the, watercolour")
    assert run("models", taught, "--json").json["captions"] == TAUGHT["captions"]
    unsaid = run("models", tiny)
    assert (unsaid.code, unsaid.lines) == (0, [f"the model {str(tiny)!r} does not say what it was taught"])
    assert run("models", "emojy").code == 2


def few_emoji() -> tuple[tuple[Emoji, Image.Image], ...]:
    """A corner of CLDR, in its order."""
    rows = [
        ("🐶", "dog face", ("dog", "face", "pet")),
        ("🐺", "wolf", ("face", "wolf")),
        ("🐴", "horse face", ("face", "horse")),
        ("🦓", "zebra", ("stripe", "zebra")),
        ("🐰", "rabbit face", ("bunny", "pet", "rabbit")),
        ("🍕", "pizza", ("cheese", "slice")),
        ("🍝", "spaghetti", ("pasta",)),
        ("🚒", "fire engine", ("engine", "fire", "truck")),
        ("🚗", "automobile", ("car",)),
    ]
    return tuple((Emoji(*row), Image.new("RGBA", (1, 1))) for row in rows)


@pytest.mark.skipif(not CLDR.exists(), reason="the names of CLDR are not installed")
def test_meaning_comes_from_the_order_and_the_keywords_of_cldr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "all_emoji", few_emoji)
    names = {"dog face": ("dog", "puppy"), "horse face": ("horse",), "pizza": (), "automobile": ("car",)}
    told = words.taught(names)
    assert told["captions"] == {name: list(others) for name, others in names.items()}
    related = told["related"]
    assert related["zebra"] == ["horse", "dog"]  # by the distance in the order
    assert related["pet"][0] == "dog"  # a keyword of a thing that was taught
    assert related["pasta"] == ["pizza"]  # said in ALIASES, or by its neighbour: food only
    assert related["fire engine"] == ["automobile"]  # as a whole: nothing is said of fires
    assert not {"dog", "puppy", "the", "blue", "automobile"} & set(related)
    assert Vocabulary(**told).unknown(["a pencil sketch of a puppy on a light blue background, watercolor"]) == {}
    assert json.loads(words.to_text(told)) == told


def test_people_s_name_of_a_thing_is_a_part_of_its_long_one() -> None:
    assert words.common_name("dog face", ["puppy", "dog"]) == "dog"
    assert words.common_name("rabbit", ["bunny", "hare"]) == "rabbit"
