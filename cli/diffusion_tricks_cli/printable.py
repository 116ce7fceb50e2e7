"""Text of others, made safe for a terminal: records, models and plugins may hold escape sequences. No torch here."""

from __future__ import annotations

import re

import click

# C0 and C1 controls but tab and newline, line separators, reordering of text, halves of characters
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with controls as JSON and TOML escape them, `\u001b`: what is one of these two stays the same data."""
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo(text: str, err: bool = False) -> None:
    """Prints a text made printable, and a newline."""
    click.echo(printable(text), err=err)
