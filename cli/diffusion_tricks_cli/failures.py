"""How a failure is said: a line on stderr, and with `--json` one object on stdout. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags


def wants(flag: str, words: Sequence[str]) -> bool:
    """Whether a flag is among the options; the words may be too wrong to be parsed."""
    return flag in takewhile(lambda word: word != "--", words)


def say_error(error: DiffusionTricksError, as_json: bool) -> None:
    """One of the project's errors, with the path and the seed of the picture where they are known."""
    message = in_flags(str(error))
    echo(f"Error: {message}", err=True)
    if as_json:
        say_failure(message, error.about)


def say_failure(message: str, about: Mapping[str, object] | None = None) -> None:
    """A failure as JSON on stdout."""
    echo(json.dumps({"error": message, **(about or {})}, ensure_ascii=False))
