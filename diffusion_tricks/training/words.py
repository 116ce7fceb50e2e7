"""What the embedded model was taught, as `Vocabulary` reads it, from concepts, captions and CLDR.

    python -m diffusion_tricks.training.words MODEL/diffusion_tricks.json        adds it to a model's file of defaults

Meaning comes from CLDR alone: its emoji stand in an order where neighbours are alike (a zebra beside a horse), and its
keywords tie words to them. A few everyday words that CLDR lacks are said here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.model.vocabulary import NEAREST, Vocabulary, split
from diffusion_tricks.training.data.captions import STYLES
from diffusion_tricks.training.data.emoji import CLDR, COLOURS, Emoji, all_emoji, concepts

LABELS = CLDR / "properties" / "labels.txt"
SET_ITEM = re.compile(r"\{([^}]*)\}|(.)-(.)|(.)")  # of a UnicodeSet: a sequence, a range, a character
# Everyday words that CLDR does not have, or means otherwise, and what to read in their place.
ALIASES = {
    "beach": "beach with umbrella", "boy": "baby", "bug": "lady beetle", "bull": "cow", "cathedral": "castle",
    "cheetah": "leopard", "chimpanzee": "monkey", "cottage": "house", "cub": "bear", "donkey": "horse",
    "forest": "tree", "garden": "tulip", "girl": "baby", "hen": "rooster", "jaguar": "leopard", "jet": "airplane",
    "kettle": "teapot", "kitty": "cat", "lamb": "ewe", "landscape": "mountain", "lynx": "leopard", "man": "old man",
    "moose": "deer", "mountain lion": "lion", "mug": "coffee", "noodles": "pizza", "ocean": "sailboat",
    "orca": "whale", "pasta": "pizza", "pony": "horse", "portrait": "old man", "puma": "lion", "raven": "parrot",
    "sailor": "sailboat", "sea": "sailboat", "shore": "sailboat", "spaghetti": "pizza", "sushi": "fish",
    "toad": "frog", "water": "sailboat", "wave": "sailboat", "woman": "old woman", "yacht": "sailboat",
}  # fmt: skip
# Kinds of picture that no style was taught for, and the nearest that was.
KINDS = {
    "image": ["picture"], "photo": ["picture"], "photograph": ["picture"], "photography": ["picture"],
    "icon": ["emoji", "cartoon"], "illustration": ["cartoon", "drawing"], "comic": ["cartoon"], "render": ["cartoon"],
    "sticker": ["emoji", "cartoon"], "logo": ["emoji", "silhouette"], "charcoal": ["pencil sketch"],
    "engraving": ["pencil sketch", "drawing"], "etching": ["pencil sketch", "drawing"], "ink": ["drawing", "sketch"],
    "shadow": ["silhouette"], "mosaic": ["pixel art"], "gouache": ["watercolour"], "acrylic": ["oil painting"],
    "impressionist": ["oil painting"], "canvas": ["oil painting", "painting"], "doodle": ["drawing", "sketch"],
}  # fmt: skip


def taught(names: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, Any]:
    """`captions`, `words` and `related` of a model that was taught `names`; None is the embedded one's concepts.

    Raises UsageError when CLDR is not installed.
    """
    names = concepts() if names is None else names
    known: dict[str, Any] = {"captions": {name: list(others) for name, others in names.items()}}
    known["words"] = caption_words()
    return known | {"related": related(Vocabulary(**known))}


def caption_words() -> list[str]:
    """Every word that captions may hold beside the names of things."""
    templates = [template.replace("{}", "") for ways in STYLES.values() for template in ways]
    texts = [*templates, *COLOURS, "a an the on background"]
    return sorted({word for text in texts for word in split(text)})


def common_name(name: str, others: Sequence[str]) -> str:
    """What people say: `dog` for a dog face, `whale` for a spouting whale, else the name itself."""
    within = [other for other in others if set(split(other)) < set(split(name))]
    return min(within, key=len, default=name)


def related(known: Vocabulary) -> dict[str, list[str]]:
    """For each word and name of CLDR that is not taught, the taught things that are nearest to it."""
    atlas = Atlas(known)
    meant = {word: word for word in atlas.index if word[0].isalpha()} | ALIASES
    near = {word: atlas.nearest(other) for word, other in meant.items()} | KINDS
    return {word: near[word] for word in sorted(near) if near[word] and (word in ALIASES or known.unknown([word]))}


class Atlas:
    """CLDR's emoji in their order, with the taught things among them."""

    def __init__(self, known: Vocabulary):
        emoji = [one for one, _ in all_emoji()]
        first = {one.characters: place for place, one in enumerate(emoji)}
        # a sequence stands where its first character does: CLDR lists sequences apart
        self.places = {one.name: first.get(one.characters[0], first[one.characters]) for one in emoji}
        self.kinds = _kinds(emoji)
        captions = {name: others for name, others in known.captions.items() if name in self.places}
        self.taught = {name: common_name(name, others) for name, others in captions.items()}
        self.index = _index(emoji, captions)

    def nearest(self, word: str) -> list[str]:
        """Up to three taught things, nearest first; none where nothing is near."""
        found = self.index.get(word, ())
        scores = {common: sum(self.closeness(e, name) for e in found) for name, common in self.taught.items()}
        return sorted((common for common in scores if scores[common] > 0), key=lambda c: -scores[c])[:NEAREST]

    def closeness(self, name: str, other: str) -> float:
        """Of two emoji by their names: 1 where they are one, less the farther apart, 0 where they differ in kind."""
        apart = abs(self.places[name] - self.places[other])
        return 1.0 if name == other else 0.5 / (1 + apart) if self.kinds[name] == self.kinds[other] else 0.0


def _kinds(emoji: Sequence[Emoji]) -> dict[str, str]:
    """CLDR's label of every emoji (`animal-mammal`); what it leaves out has that of the one before."""
    labels: dict[str, str] = {}
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            chosen, _, label = (part.strip() for part in line.split(";"))
            labels |= dict.fromkeys(_members(chosen[1:-1]), label)
    kinds: dict[str, str] = {}
    kind = ""
    for one in emoji:
        kind = kinds[one.name] = labels.get(one.characters.replace("\ufe0f", ""), labels.get(one.characters[0], kind))
    return kinds


def _members(chosen: str) -> Iterator[str]:
    for sequence, first, last, single in SET_ITEM.findall(chosen.replace("\ufe0f", "")):
        yield from [chr(c) for c in range(ord(first), ord(last) + 1)] if first else [sequence or single]


def _index(emoji: Sequence[Emoji], captions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """For every word the names of the emoji it leads to: those called so, else those it is a keyword or a part of."""
    called: list[Mapping[str, Sequence[str]]] = [captions, {one.name: (one.name,) for one in emoji}]
    described: list[Mapping[str, Sequence[str]]] = [
        {one.name: one.keywords for one in emoji},
        {one.name: [word for key in (one.name, *one.keywords) for word in split(key)] for one in emoji},
    ]
    index: dict[str, list[str]] = {}
    for tier in (*called, *described):
        found: dict[str, list[str]] = {}
        for name, keys in tier.items():
            for key in dict.fromkeys(" ".join(split(key)) for key in keys):
                found.setdefault(key, []).append(name)
        index = found | index  # an earlier tier wins
    index.pop("", None)
    return index


def main() -> None:
    """Adds what was taught to the file named on the command line."""
    file = Path(sys.argv[1])
    said = json.loads(file.read_text(encoding="utf-8")) | taught()
    atomic_write(file, to_text(said).encode(), force=True)


def to_text(said: Mapping[str, Any]) -> str:
    """JSON with a line for each key, and one for each entry of a table."""
    lines = []
    for key, value in said.items():
        inside = [f"{_json(k)}: {_json(v)}" for k, v in value.items()] if isinstance(value, dict) else None
        text = "{\n  " + ",\n  ".join(inside) + "\n }" if inside else _json(value)
        lines.append(f" {_json(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
