"""The command `search`. No torch here."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_search.asked import MEASURES, Asked, size_of
from diffusion_tricks_search.log import FILE

Tell = Callable[[str], None]
VIEWS = ("rotate_cw", "flip")
RUNNING = ("output", "device", "max_rows", "resume", "finish", "json", "quiet")  # what decides nothing
EXAMPLES = (
    "Examples:\n\n\b\n"
    "  diffusion-tricks search pairs:easy --view rotate_cw --view flip --budget 20m -o found\n"
    '  diffusion-tricks search --pair "a rabbit" "a duck" --seeds 0-31 --budget 32 -o found\n'
    "  diffusion-tricks search --resume -o found"
)


@click.command("search", epilog=EXAMPLES, short_help="the best illusions among pairs, views and seeds")
@click.argument("pairs", nargs=-1, metavar="[PAIRS]...")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A folder that is empty or new, or with --resume that of a search.")  # fmt: skip
@click.option("--pair", "named", multiple=True, type=(str, str), metavar="TEXT TEXT", help="A pair; may repeat.")
@click.option("--view", "views", multiple=True, metavar="VIEW",
              help="What the second is seen through, see views; may repeat.  [default: rotate_cw, flip]")  # fmt: skip
@click.option("--seeds", default="0-7", show_default=True, metavar="N-N", help="Or 1,5,9; tried in that order.")
@click.option("--budget", default="500", show_default=True, metavar="N|TIME",
              help="Pictures to try, or about how long all may take: 90s, 20m, 2h.")  # fmt: skip
@click.option("--keep", type=click.IntRange(1, 1000), default=12, show_default=True, metavar="N",
              help="Pictures that are made in full.")  # fmt: skip
@click.option("--by", type=click.Choice(MEASURES), default="alignment", show_default=True, help="What decides.")
@click.option("-m", "--model", default="emoji", show_default=True, help="Name, directory or owner/name.")
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Of what is tried.  [default: a third of the model's]"
)
@click.option("--final-steps", type=click.IntRange(1), metavar="N", help="Of what is kept.  [default: model's]")
@click.option("--size", metavar="WxH", help="Of what is kept, in pixels.  [default: as its upscaler makes them]")
@click.option("--guidance", type=click.FloatRange(0), metavar="X", help="Scale; 1: off.  [default: model's]")
@click.option("--scheduler", help="ddim, dpm++2m, ...  [default: model's]")
@click.option("--balance", type=click.Choice(["off", "score", "variance"]), default="off", show_default=True,
              help="As of anagram.")  # fmt: skip
@click.option("--fid", is_flag=True, help="Compare with ordinary pictures, by features of the scorer.")
@click.option("--scorer", help="A CLIP model: directory or hub name.  [default: the one inside]")
@click.option("--shuffle", type=click.IntRange(0), default=0, show_default=True, metavar="N",
              help="Seed of the draw of what is tried, where the budget does not reach for all.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Rows in one call, to save memory.")
@click.option("--resume", is_flag=True, help="Go on with the search in the folder.")
@click.option("--finish", is_flag=True, help="With --resume: try no more, make the best so far in full.")
@click.option("--json", is_flag=True, help="Print one JSON object with all numbers.")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
@click.pass_context
def search(ctx: click.Context, /, pairs: tuple[str, ...], named: tuple[tuple[str, str], ...], **options: Any) -> None:
    """Try pairs of prompts through views from many seeds in few steps, and make the best in full.

    PAIRS are pairs:easy (things the model inside knows), pairs:paper (the classes of CIFAR-10), files with a line
    "a rabbit | a duck" for each, CSV or TOML, - for the standard input, or vocabulary: all pairs of what the model was
    taught. The budget goes where the scorer sees promise, the better half from round to round. Ctrl-C keeps all that
    was found; --resume goes on.
    """
    running = {name: options.pop(name) for name in RUNNING}
    if running["finish"] and not running["resume"]:
        raise UsageError("`finish` is of a search that was begun; give `resume` too")
    home: Path = running.pop("output")
    if running["resume"]:
        said = {name: value for name, value in options.items() if _was_given(ctx, name)}
        asked = _asked_again(home, pairs, named, said, running["device"])
    else:
        asked = _asked(pairs, named, options, running["device"])
    _carry_out(ctx, asked, home, running.pop("json"), running.pop("quiet"), running)


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _asked_again(
    home: Path, pairs: Sequence[str], named: Sequence[tuple[str, str]], said: dict[str, Any], device: str
) -> Asked:  # fmt: skip
    """What a search was asked, but for what is said now, which is then found to be the same or not."""
    from diffusion_tricks_search.log import found

    begun = found(home).asked
    every = _pairs(pairs, named, begun.model, device) if pairs or named else begun.pairs
    return replace(begun, pairs=every, **_values(said))


def _values(said: dict[str, Any]) -> dict[str, Any]:
    """The values of options as they are asked."""
    sized = {"size": size_of(said["size"])} if said.get("size") is not None else {}
    return said | sized | ({"views": tuple(said["views"])} if "views" in said else {})


def _asked(pairs: Sequence[str], named: Sequence[tuple[str, str]], options: dict[str, Any], device: str) -> Asked:
    every = _pairs(pairs, named, options["model"], device)
    if not every:
        raise UsageError('name pairs: pairs:easy, a file, vocabulary, or `named=[("a rabbit", "a duck")]`')
    return Asked(pairs=every, **_values(options | {"views": options["views"] or VIEWS}))


def _pairs(
    sources: Sequence[str], named: Sequence[tuple[str, str]], model: str, device: str
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    from diffusion_tricks_search.pairs import VOCABULARY, pairs_of

    loaded = None
    if VOCABULARY in sources:
        from diffusion_tricks import load_model

        loaded = load_model(model, device=device)
    every = [*named, *(pair for source in dict.fromkeys(sources) for pair in pairs_of(source, loaded))]
    return tuple(dict.fromkeys(every))


def _carry_out(
    ctx: click.Context, asked: Asked, home: Path, as_json: bool, quiet: bool, running: dict[str, Any]
) -> None:  # fmt: skip
    from diffusion_tricks_search.search import search as searched

    tell = _progress if sys.stderr.isatty() and not quiet else _silent
    try:
        found = searched(asked, home, tell=tell, note=_silent if quiet else _note, **running)
    except KeyboardInterrupt:
        tell("")
        if (home / FILE).exists():
            again = shlex.join(["diffusion-tricks", "search", "--resume", "-o", str(home)])
            click.echo(f"All that was found is kept in {home}. This goes on: {again}", err=True)
        raise
    tell("")
    if as_json:
        click.echo(json.dumps(found.data | {"pictures": [str(path) for path in found.pictures]}, ensure_ascii=False))
    for path in () if as_json else (*found.pictures, *found.others):
        click.echo(str(path))
    _gallery(ctx, home, _silent if as_json else click.echo, _silent if quiet else _note)


def _gallery(ctx: click.Context, home: Path, say: Tell, note: Tell) -> None:
    """The gallery of the folder, by the command of that name, where a plugin brings it."""
    program: Any = ctx.find_root().command
    command = program.get_command(ctx, "gallery")
    if command is None:
        note("no command `gallery` is here, so no page of the pictures was made")
        return
    index = home / "index.html"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ctx.invoke(command, folder=home, output=index, scores=False, force=index.exists())
    say(str(index))


def _progress(said: str) -> None:
    click.echo(f"\r\x1b[K{said}", nl=False, err=True)


def _note(said: str) -> None:
    click.echo(f"Note: {said}", err=True)


def _silent(said: str) -> None:
    pass
