r"""How prompts are written: weights, schedules, breaks, several in one; as in AUTOMATIC1111's web UI. No torch here.

    (rabbit) (rabbit:1.5) [rabbit]      a weight: 1.1, 1.5, 1 / 1.1; nested ones are multiplied
    [a rabbit:a duck:0.4] [duck:0.4]    the first until 0.4 of the steps and then the second; from 0.4 on
    [rabbit|duck]                       in turn, step by step
    a rabbit BREAK a duck               the rest begins a chunk of its own, for text encoders that read in chunks
    a rabbit AND a duck :1.2            two prompts, each with a weight; guidance composes their estimates
    \( \) \[ \] \\ \BREAK \AND          the characters and words themselves

https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features. A bracket without its other stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

EMPHASIS = 1.1
PAIRS = {")": "(", "]": "["}
ESCAPED = re.compile(r"\\([()\[\]\\]|AND\b|BREAK\b)")
TOKEN = re.compile(r"\\(?:[()\[\]\\]|AND\b|BREAK\b)|.", re.DOTALL)
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
WEIGHT = re.compile(rf"(.*):\s*({NUMBER})\s*", re.DOTALL)
BREAK, AND = re.compile(r"\s*(?<!\\)\bBREAK\b\s*"), re.compile(r"\s*(?<!\\)\bAND\b\s*")


class Piece(NamedTuple):
    """A part of a prompt and its weight; 1 is neutral."""

    text: str
    weight: float


class Group(NamedTuple):
    """What stands between two brackets, and which they are: "(" or "[". start, end: of it with them, in the text."""

    bracket: str
    start: int
    end: int


def has_grammar(prompt: str) -> bool:
    """Whether anything in a prompt may be read as more than its words."""
    return any(c in prompt for c in "()[]\\") or bool(BREAK.search(prompt) or AND.search(prompt))


def composed(prompt: str) -> list[Piece]:
    """The prompts that AND parts a prompt into, with their weights; the prompt itself where there is none."""
    parts = AND.split(prompt)
    if len(parts) == 1:
        return [Piece(prompt, 1.0)]
    found = [(WEIGHT.fullmatch(part), part) for part in parts]
    return [Piece(m[1].rstrip(), float(m[2])) if m else Piece(part, 1.0) for m, part in found]


def at_step(prompt: str, step: int, steps: int) -> str:
    """The prompt as it is asked in a step, 0 to steps - 1: schedules and turns taken, all else as it stands."""
    if "[" not in prompt:
        return prompt
    said, end = [], 0
    for group in _groups(prompt):
        inside = prompt[group.start + 1 : group.end - 1]
        chosen = _chosen(inside, step, steps) if group.bracket == "[" else None
        if chosen is None:
            inside = at_step(inside, step, steps)
            chosen = f"({inside})" if group.bracket == "(" else f"[{inside}]"
        else:
            chosen = at_step(chosen, step, steps)
        said += [prompt[end : group.start], chosen]
        end = group.end
    return "".join([*said, prompt[end:]])


def spoken(prompt: str, steps: int) -> list[str]:
    """Every text that a prompt stands for in `steps` steps, each once, in the order in which they come."""
    parts = [part.text for part in composed(prompt)]
    return list(dict.fromkeys(at_step(part, step, steps) for part in parts for step in range(max(steps, 1))))


def switches(prompt: str, steps: int) -> list[tuple[int, str]]:
    """The text of each step that differs from the one before it, with the step's number; the first is of step 0."""
    said = [at_step(prompt, step, steps) for step in range(max(steps, 1))]
    return [(step, text) for step, text in enumerate(said) if step == 0 or text != said[step - 1]]


def weighted(prompt: str) -> list[list[Piece]]:
    """The pieces of each chunk that BREAK begins, each piece with its weight; the texts together are the plain words.

    Schedules must have been taken, by `at_step`.
    """
    chunks: list[list[Piece]] = [[]]
    for text, weight in _weighted(prompt, 1.0):
        first, *others = BREAK.split(text)
        chunks[-1].append(Piece(_literal(first), weight))
        chunks += [[Piece(_literal(other), weight)] for other in others]
    return [[piece for piece in chunk if piece.text] for chunk in chunks]


def asks_weights(prompt: str) -> bool:
    """Whether a prompt says a weight by its number, or begins a chunk, which no plain text does."""
    inside = [(group.bracket, prompt[group.start + 1 : group.end - 1]) for group in _groups(prompt)]
    return bool(BREAK.search(prompt)) or any(
        (bracket == "(" and WEIGHT.fullmatch(text) is not None) or asks_weights(text) for bracket, text in inside
    )


def plain(prompt: str) -> str:
    """The words of a prompt alone, of schedules those of the end: for whatever reads it as a person would."""
    if not has_grammar(prompt):
        return prompt
    chunks = [chunk for part in composed(prompt) for chunk in weighted(at_step(part.text, 10**6, 10**6))]
    return " ".join(text for chunk in chunks if (text := "".join(piece.text for piece in chunk).strip()))


def _literal(text: str) -> str:
    return ESCAPED.sub(r"\1", text)


def _groups(text: str) -> Iterator[Group]:
    """The outermost brackets that close, in order."""
    opened: list[tuple[str, int]] = []
    found: list[Group] = []
    for token in TOKEN.finditer(text):
        sign, place = token[0], token.start()
        if sign in PAIRS.values():
            opened.append((sign, place))
        elif sign in PAIRS and any(bracket == PAIRS[sign] for bracket, _ in opened):
            while (bracket := opened.pop())[0] != PAIRS[sign]:
                pass
            found = [*(one for one in found if one.start < bracket[1]), Group(*bracket, place + 1)]
    yield from found


def _weighted(text: str, weight: float) -> Iterator[Piece]:
    end = 0
    for group in _groups(text):
        yield Piece(text[end : group.start], weight)
        inside, factor = text[group.start + 1 : group.end - 1], EMPHASIS
        said = WEIGHT.fullmatch(inside) if group.bracket == "(" else None
        if said:
            inside, factor = said[1], float(said[2])
        yield from _weighted(inside, weight * factor if group.bracket == "(" else weight / factor)
        end = group.end
    yield Piece(text[end:], weight)


def _chosen(inside: str, step: int, steps: int) -> str | None:
    """What a schedule between brackets says in a step; None for what is none, but a weight."""
    turns = _split(inside, "|")
    if len(turns) > 1:
        return turns[step % len(turns)]
    *texts, when = _split(inside, ":")
    if not 1 <= len(texts) <= 2 or not re.fullmatch(rf"\s*{NUMBER}\s*", when):
        return None
    before, after = texts if len(texts) == 2 else ("", texts[0])
    share = float(when)
    return before if step < int(share * steps if share < 1 else share) else after


def _split(text: str, sign: str) -> list[str]:
    """The text parted at a sign, where it stands in no bracket within."""
    inside = [(group.start, group.end) for group in _groups(text)]
    cuts = [t.start() for t in TOKEN.finditer(text)
            if t[0] == sign and not any(a <= t.start() < b for a, b in inside)]  # fmt: skip
    return [text[a:b] for a, b in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(text)], strict=True)]
