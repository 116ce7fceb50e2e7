"""The grammar of masks: from a text to what can be drawn.

    mask     one form, or a mask in brackets
    rim      mask grow:8 | shrink:4 | feather:12 | blur:3 | holes     binds most, and may be repeated
    not      ! mask
    and      mask & mask
    xor      mask ^ mask
    or       mask + mask,  mask - mask                                binds least; from left to right

`+` and `-` have a space before and after them, as numbers and names hold them, too. A name that holds a bracket or a
sign stands in double quotes; a text that is, as a whole, the name of a file is that file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from diffusion_tricks.plugin import UsageError, host
from diffusion_tricks_plugins.masks.colours import Alpha
from diffusion_tricks_plugins.masks.edges import EDGES
from diffusion_tricks_plugins.masks.expressions import JOINS, Complement, Edge, Join
from diffusion_tricks_plugins.masks.files import MaskFile
from diffusion_tricks_plugins.masks.mask import Drawn
from diffusion_tricks_plugins.masks.numbers import Length, Malformed, length
from diffusion_tricks_plugins.masks.saliency import Saliency

FORMS = (
    "expected a picture file, alpha, box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1, in pixels or percent, for example"
    " box:25%,0%,75%,40%; or circle:x,y,r, poly:x,y,x,y,x,y, alpha:FILE, color:#0f0~12, luma:>70%, words:TEXT, saliency"
)
OTHERS = ("alpha", "saliency")  # forms that may have nothing behind a colon, or a file
RIM = re.compile(rf"\s*({'|'.join(EDGES)})\b\s*")
SIGN = re.compile(r"\s*(?:([&^])|(?<=[\s)\"])([+-])(?=[\s(!\"]|$))\s*")
BREAK = rf"[+-](?=[\s(!\"]|$)|(?:{'|'.join(EDGES)})(?=:|\s|\)|$)"
FORM = re.compile(r"(\w{2,}):(.*)", re.DOTALL)  # one letter is a Windows drive
AMOUNT = re.compile(r":\s*([^\s()&^]+)")
MOST = 200  # brackets and signs in one mask
NEEDS_QUOTES = re.compile(r"[\s()&^!\"]")


def forms() -> list[str]:
    """Every form that there is, those of plugins too."""
    return sorted({*host().entries("mask"), *OTHERS})


def _operand() -> re.Pattern[str]:
    """A form with what stands behind its colon, up to what begins another part of the mask."""
    named = "|".join(map(re.escape, forms()))
    return re.compile(rf"(?:\"[^\"]*\"|[^\s()&^\"]|\s+(?!{BREAK}|(?:{named}):|[\s()&^]|$))+")


@dataclass(frozen=True)
class Span:
    """A file named in a mask, and where in its text it stands."""

    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Parsed:
    """A mask that was read: what is drawn, and the files it names."""

    text: str
    drawn: Drawn
    files: tuple[Span, ...]

    def but(self, change: Callable[[str], str]) -> str:
        """The text with `change` applied to the name of every file in it."""
        text = self.text
        for span in reversed(self.files):
            text = text[: span.start] + _quoted(change(span.path)) + text[span.end :]
        return text


def parsed(text: str) -> Parsed:
    """What a mask's text says. Raises UsageError that points at the place where it goes wrong."""
    if os.path.isfile(text):  # False for a text that is too long for a name
        return Parsed(text, MaskFile(text, text), (Span(text, 0, len(text)),))
    return _Reader(text).whole()


def _quoted(path: str) -> str:
    return f'"{path}"' if NEEDS_QUOTES.search(path) else path


def _meant(left: str) -> str:
    """What may be meant by what cannot stand behind a mask."""
    if left[0] in "+-":
        return "; + and - need a space after them"
    word = re.match(r"\w*", left)
    near = difflib.get_close_matches(word[0], EDGES, n=1) if word else []
    return f"; did you mean {near[0]}?" if near else ""


class _Reader:
    """Goes over a text from left to right; `at` is where it is."""

    def __init__(self, text: str):
        self.text, self.at, self.signs = text, 0, 0
        self.files: list[Span] = []

    def whole(self) -> Parsed:
        self._skip()
        drawn = self.joined(0)
        if self.at < len(self.text):
            left = self.text[self.at :]
            self._fail(f"expected one of {' '.join(JOINS)} or the end, got {left!r}{_meant(left)}", self.at)
        return Parsed(self.text, drawn, tuple(self.files))

    def joined(self, least: int) -> Drawn:
        """Masks with signs between them that bind more than `least`: precedence climbing."""
        left = self.rimmed_or_not()
        while (found := SIGN.match(self.text, self.at)) and JOINS[sign := found[1] or found[2]][0] > least:
            self._sign(found.end())
            left = Join(sign, left, self.joined(JOINS[sign][0]))
        return left

    def rimmed_or_not(self) -> Drawn:
        if self.text.startswith("!", self.at):
            self._sign(self.at + 1)
            self._skip()
            return Complement(self.rimmed_or_not())
        drawn = self.single()
        while found := RIM.match(self.text, self.at):
            self._sign(found.end())
            drawn = Edge(drawn, found[1], self._amount(found))
        self._skip()
        return drawn

    def single(self) -> Drawn:
        """A form, or a mask in brackets."""
        if not self.text.startswith("(", self.at):
            return self.form()
        opened = self.at
        self._sign(self.at + 1)
        self._skip()
        drawn = self.joined(0)
        if self.at == len(self.text):
            self._fail("this bracket is never closed; expected a )", opened)
        if self.text[self.at] != ")":
            self._fail(f"expected one of {' '.join(JOINS)} or a ), got {self.text[self.at :]!r}", self.at)
        self.at += 1
        return drawn

    def form(self) -> Drawn:
        found = _operand().match(self.text, self.at)
        if found is None:
            came = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            self._fail(f"expected a mask, got {came}", self.at)
        start, said = self.at, found[0]
        self.at = found.end()
        name, value = said.partition(":")[::2] if FORM.fullmatch(said) else (said, "")
        if said == "saliency":
            return Saliency(said)
        if name == "alpha":
            return Alpha(said, self._file(value, start + 6)) if value else Alpha(said)
        if name in host().entries("mask"):
            return self._formed(said, name, value, start)
        if FORM.fullmatch(said) and not os.path.exists(said):
            near = difflib.get_close_matches(name, forms(), n=1)
            self._fail(f"unknown form {name!r}; {FORMS}{f'; did you mean {near[0]}:?' if near else ''}", start)
        return MaskFile(said, self._file(said, start))

    def _formed(self, said: str, name: str, value: str, start: int) -> Drawn:
        try:
            drawn: Drawn = host().find("mask", name).load()(said, value)
            return drawn
        except Malformed as error:
            malformed = "is malformed: " if said == self.text else f"{said!r} is malformed: "
            behind = re.search(r"\s([+-]?[a-z]\w+)", value)
            self._fail(f"{malformed}{error}{_meant(behind[1]) if behind else ''}", start + len(name) + 1 + error.at)

    def _file(self, said: str, start: int) -> str:
        path = said[1:-1] if said.startswith('"') and said.endswith('"') and len(said) > 1 else said
        self.files.append(Span(path, start, start + len(said)))
        return path

    def _amount(self, found: re.Match[str]) -> Length:
        """What stands behind the name of what is done to a rim."""
        name = found[1]
        if not EDGES[name][1]:
            return Length(0)
        amount = AMOUNT.match(self.text, self.at)
        if amount is None:
            self._fail(f"expected a length, as {name}:8 or {name}:2%", self.at)
        try:
            said = length(amount[1])
        except Malformed as error:
            self._fail(f"{name}: {error}", amount.start(1))
        if not 0 <= said.value <= 4096:
            self._fail(f"{name}: expected 0 to 4096, got {amount[1]}", amount.start(1))
        self.at = amount.end()
        return said

    def _sign(self, end: int) -> None:
        """Goes past a bracket, a sign, or what is done to a rim; each holds another mask within it."""
        self.signs += 1
        if self.signs > MOST:
            self._fail(f"expected at most {MOST} brackets and signs; paint so much in a file", self.at)
        self.at = end

    def _skip(self) -> None:
        self.at += len(self.text) - self.at - len(self.text[self.at :].lstrip())

    def _fail(self, problem: str, at: int) -> NoReturn:
        raise UsageError(
            f"mask {self.text!r}{'' if problem.startswith('is ') else ':'} {problem}\n{pointed(self.text, at)}"
        )


def pointed(text: str, at: int) -> str:
    """The text, and below it a caret under the character number `at`."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", text)
    return f"  {line}\n  {' ' * at}^"
