"""What a model was taught to draw, and which words of a prompt it was not. No torch here.

A model says what it knows in its own file of defaults: `captions`, the things it draws, each with the other names it
was taught for them; `words`, everything else that its captions may hold (articles, colours, styles); and `related`, for
words that it was not taught, the things that come nearest in meaning. `diffusion_tricks.training.words` makes them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Words that name nothing, so that not knowing them changes nothing.
SILENT = frozenset(
    WORD.findall(
        "a about above all and another any are as at be behind below beside between by each for from full her his i in"
        " into is it its like me my near next no not of off on one or other our out over please s some that the their"
        " there this to under up very which who with your"
    )
)
IRREGULAR = {
    "children": "child", "feet": "foot", "geese": "goose", "men": "man", "mice": "mouse", "people": "person",
    "teeth": "tooth", "women": "woman",
}  # fmt: skip
ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))
CLOSE = 0.75  # of difflib's ratio: two words of four letters that share three, or nearer
NEAREST = 3
LISTED = 12  # words; of those in one remark
TOLD = 50  # words; of a prompt that holds more, one need not be told each

Words = tuple[str, ...]


class Vocabulary:
    """The names and words that a model was taught.

    captions: every thing's name with its other names. words: others that captions hold. related: for words or names
    it was not taught, names of things that are near. Raises ValueError for values of other kinds.
    """

    KEYS = ("captions", "words", "related")

    def __init__(
        self,
        captions: Mapping[str, Sequence[str]],
        words: Sequence[str] = (),
        related: Mapping[str, Sequence[str]] | None = None,
    ):
        if not _is_table(captions) or not _is_list(words) or not _is_table(related or {}):
            raise ValueError("captions and related must be tables of lists of words, and words a list of words")
        self.captions, self.words, self.related = captions, words, related or {}

    @classmethod
    def said(cls, data: Mapping[str, Any]) -> Vocabulary | None:
        """The vocabulary in a model's file of defaults, or None where it says nothing of it."""
        given = {key: data[key] for key in cls.KEYS if key in data}
        return cls(**given) if "captions" in given else None

    @cached_property
    def names(self) -> list[str]:
        """Every name of every thing."""
        return [name for first, others in self.captions.items() for name in (first, *others)]

    @cached_property
    def _known(self) -> set[Words]:
        """What is taught as it stands: names of one or more words, and single words."""
        return {split(name) for name in self.names} | {split(word) for word in self.words}

    @cached_property
    def _related(self) -> dict[Words, Sequence[str]]:
        return {split(word): names for word, names in self.related.items()}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, [*self._known, *self._related]), default=1)

    def unknown(self, prompts: Iterable[str | None]) -> dict[str, list[str]]:
        """The first words of the prompts that the model was not taught, with the nearest that it was, nearest first.

        What is longest is looked for first, in singular and plural: `a hot dog` is known, though `hot` may not be.
        """
        found = (words for prompt in prompts if prompt for words in self._unknown(split(prompt)))
        return {" ".join(words): self._nearest(words) for words in islice(dict.fromkeys(found), TOLD)}

    def _unknown(self, prompt: Words) -> Iterator[Words]:
        at = 0
        while at < len(prompt):
            long, taught = self._longest_at(prompt[at : at + self._longest])
            words = prompt[at : at + long]
            if not taught and (long > 1 or words[0] not in SILENT):
                yield words
            at += long

    def _longest_at(self, rest: Words) -> tuple[int, bool]:
        """How many of the words belong together, at least one, and whether they were taught."""
        for long in range(len(rest), 0, -1):
            if any(form in self._known for form in forms(rest[:long])):
                return long, True
            if any(form in self._related for form in forms(rest[:long])):
                return long, False
        return 1, False

    def _nearest(self, words: Words) -> list[str]:
        """Names that hold the word; else those that are near in meaning; else those that are spelt nearly so."""
        if holding := [name for name in self.names if set(forms(words)) & {(word,) for word in split(name)}]:
            return holding[:NEAREST]
        for form in forms(words):
            if form in self._related:
                return list(self._related[form])
        singles = dict.fromkeys(name for name in (*self.names, *self.words) if len(split(name)) == 1)
        return difflib.get_close_matches(" ".join(words), singles, NEAREST, CLOSE)


def split(text: str) -> Words:
    """The words of a text in lower case, without punctuation; a hyphen parts them."""
    return tuple(WORD.findall(text.lower().replace("’", "'").replace("'s ", " ")))


def forms(words: Words) -> list[Words]:
    """The words as they are, and with the last in singular or plural, as it might be."""
    *before, last = words
    ended = [last.removesuffix(ending) + single for ending, single in ENDINGS if last.endswith(ending)]
    lasts = dict.fromkeys([last, *filter(None, [IRREGULAR.get(last)]), *ended, f"{last}s"])
    return [(*before, form) for form in lasts]


def unknown_note(model: str, words: Mapping[str, Sequence[str]]) -> str:
    """The one remark on all words that a model was not taught, each with the nearest that it was."""
    said = f"the model {model!r} was not taught"
    if len(words) == 1:
        ((word, nearest),) = words.items()
        said += f" the word{'s' if ' ' in word else ''} {word!r}"
        return f"{said}; nearest it knows: {', '.join(nearest)}" if nearest else f"{said}, nor one that is near"
    each = [f"{word!r} (nearest: {', '.join(near)})" if near else f"{word!r}" for word, near in words.items()]
    more = [f"{len(each) - LISTED} more"] if len(each) > LISTED else []
    *before, last = [*each[:LISTED], *more]
    return f"{said} {len(words)} of the words asked: {', '.join(before)} and {last}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, str) for v in value)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_list, value.values()))
