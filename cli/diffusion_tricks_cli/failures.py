"""How a failure is said: a line on stderr, and with `--json` one object on stdout. No torch here."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from itertools import takewhile

import click

from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.io.foreign import NO_NAME
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags


def wants(flag: str, words: Sequence[str]) -> bool:
    """Whether a flag is among the options; the words may be too wrong to be parsed."""
    return flag in takewhile(lambda word: word != "--", words)


def check_words(words: Sequence[str]) -> None:
    """Raises UsageError for a word that is neither text nor the name of a file."""
    if odd := next((word for word in words if NO_NAME.search(word)), None):
        raise UsageError(f"expected words that are text, got {odd[:40]!a}; write it in UTF-8")


def of_a_name(error: OSError) -> UsageError | None:
    """What to say where a file system knows no such names, wherever one was looked for; None for any other error."""
    if error.errno != errno.ENAMETOOLONG:
        return None
    name = str(error.filename or "")
    return UsageError(
        f"the name {name[:40]}... is too long for a file ({len(os.fsencode(name))} bytes); choose another"
    )


def say_error(error: DiffusionTricksError, as_json: bool, command: click.Command | None = None) -> None:
    """One of the project's errors of a command, with the path and the seed of the picture where they are known."""
    message = in_flags(str(error), command)
    echo(f"Error: {message}", err=True)
    if as_json:
        say_failure(message, error.about)


def say_failure(message: str, about: Mapping[str, object] | None = None) -> None:
    """A failure as JSON on stdout."""
    echo(json.dumps({"error": message, **(about or {})}, ensure_ascii=False))
