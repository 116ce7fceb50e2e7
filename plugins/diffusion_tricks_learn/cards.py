"""What model cards say of limits, bias, provenance and energy, and what they leave out."""

from __future__ import annotations

import re
from collections.abc import Iterator

# topic: words that a heading, or the beginning of a paragraph, has for it
TOPICS = {
    "limits": ("cannot", "limit", "out of scope", "does not"),
    "bias": ("bias", "fairness", "ethic"),
    "provenance": ("data", "provenance", "licen"),
    "energy": ("energy", "kwh", "carbon", "co2", "environmental"),
}
LONGEST = 240  # characters that are quoted


def told(card: str | None) -> dict[str, str | None]:
    """For each topic what the card says first, in at most `LONGEST` characters; None where it says nothing."""
    parts = list(paragraphs(card or ""))
    return {topic: _first(parts, words) for topic, words in TOPICS.items()}


def paragraphs(card: str) -> Iterator[tuple[str, str]]:
    """Each paragraph or point of a text in Markdown with the heading above it, tables and code left out."""
    heading = ""
    card = re.sub(r"\A---\n.*?\n---\n|^```.*?^```", "", card, flags=re.S | re.M)
    for block in re.split(r"\n\s*\n|\n(?=[-*] )|\n(?=#)|(?<=\S)(?=\n#)", card):
        block = block.strip("\n")
        if block.startswith("#"):
            line, _, block = block.partition("\n")
            heading = line.strip("# ").strip()
        if block.strip() and not block.startswith(("|", "    ")):
            yield heading, plain(block)


def plain(text: str) -> str:
    """Markdown without its marks, on one line."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"^[-*] |[`*]", "", text).split())


def _first(parts: list[tuple[str, str]], words: tuple[str, ...]) -> str | None:
    """The first paragraph under a heading that has a word, else the first sentence that begins with one or has one."""
    sentences = [sentence for _, text in parts for sentence in re.split(r"(?<=[.!?]) ", text)]
    under = (text for heading, text in parts if any(word in heading.lower() for word in words))
    begun = (sentence for sentence in sentences if sentence.lower().startswith(words))
    within = (sentence for sentence in sentences if any(word in sentence.lower() for word in words))
    found = next(under, None) or next(begun, None) or next(within, None)
    return found if found is None or len(found) <= LONGEST else found[: LONGEST - 1].rsplit(" ", 1)[0] + " …"
