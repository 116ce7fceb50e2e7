"""What Click says of words that it cannot parse, in the house's words: what was expected, what came, what to do."""

from __future__ import annotations

import re

import click

from diffusion_tricks_cli.hints import hint

NO_NUMBER = re.compile(r"'(?P<came>.*)' is not a valid (?P<kind>integer|float)(?: range)?\.?", re.S)
OUT_OF_RANGE = re.compile(r"(?P<came>\S+) is not in the range \S+\.?")
NO_CHOICE = re.compile(r"'(?P<came>.*)' is not one of (?P<choices>.*?)\.?", re.S)
NUMBERS = {"integer": "a whole number", "float": "a number"}


def in_plain_words(error: click.ClickException) -> click.ClickException:
    """The same failure with another message, where Click's own is for programmers."""
    if isinstance(error, click.NoSuchOption):
        advice = hint(error.option_name, _options_of(error.ctx))
        return click.UsageError(f"no option {error.option_name!r}{advice}", error.ctx)
    if isinstance(error, click.BadOptionUsage) and error.message.endswith(("an argument.", "arguments.")):
        said = f"{error.option_name} is without its value; give it, or leave {error.option_name} out"
        return click.UsageError(said, error.ctx)
    if isinstance(error, click.MissingParameter):
        meant = getattr(error.param, "help", None)
        return click.UsageError(f"{error.format_message().rstrip('.')}: {meant}", error.ctx) if meant else error
    if isinstance(error, click.BadParameter):
        return click.BadParameter(_plain(error), error.ctx, error.param, error.param_hint)
    return error


def _options_of(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    options = [param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option)]
    return [name for option in options for name in (*option.opts, *option.secondary_opts)]


def _plain(error: click.BadParameter) -> str:
    message = error.message
    kind = getattr(error.param, "type", None)
    if found := NO_NUMBER.fullmatch(message):
        return f"expected {NUMBERS[found['kind']]}{limits(kind)}, got {found['came']!r}"
    if found := OUT_OF_RANGE.fullmatch(message):
        number = NUMBERS["integer" if isinstance(kind, click.IntRange) else "float"]
        return f"expected {number}{limits(kind)}, got {found['came'].removesuffix('.0')}"
    if found := NO_CHOICE.fullmatch(message):
        choices = re.findall(r"'(.*?)'", found["choices"])
        return f"expected {_either(choices)}, got {found['came']!r}"
    return message


def _either(choices: list[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else "".join(choices)


def limits(kind: object) -> str:
    """Which numbers a range of Click's holds, in words, as " of at least 1"."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    low = None if kind.min is None else f"{'above' if kind.min_open else 'of at least'} {kind.min:g}"
    high = None if kind.max is None else f"{'below' if kind.max_open else 'at most'} {kind.max:g}"
    if low and high and not kind.min_open and not kind.max_open:
        return f" from {kind.min:g} to {kind.max:g}"
    return "".join(f" {part}" for part in (low, "and" if low and high else None, high) if part)
