"""The commands `status` and `report`. No torch here."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from diffusion_tricks.plugin import atomic_write, check_place

Gallery = Callable[[Path, Path, bool], None]
MINUTE = 60.0  # seconds
ENDS = "Ends with 0 where all is made and nothing failed, with 1 where something failed or is left."
FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


def _example(*lines: str, more: str = "") -> str:
    said = "\n".join(f"  diffusion-tricks {line}" for line in lines)
    return f"Examples:\n\n\b\n{said}\n\n{more}"


@click.command("status", epilog=_example("status out", "status out --follow --json", more=ENDS),
               short_help="how a batch stands")  # fmt: skip
@FOLDER
@click.option("--follow", is_flag=True, help="Go on telling until it ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --follow one a line for all that happens.")
@click.pass_context
def status(ctx: click.Context, /, folder: Path, follow: bool, as_json: bool) -> None:
    """How the batch in DIR stands: jobs, failures, workers, how fast it goes, the time left.

    It is read from the ledger, in any process and on any host that sees DIR, while the batch runs and after.
    """
    from diffusion_tricks_batch.say import in_flags
    from diffusion_tricks_batch.telling.standing import Standing
    from diffusion_tricks_batch.telling.status import all_done, events, told
    from diffusion_tricks_batch.telling.status import status as stands

    standing = Standing(folder)
    happens = events(standing) if follow else iter([stands(standing, time.time())])
    data = _as_lines(happens) if as_json else _shown(happens)
    if not as_json:
        root = ctx.find_root().command
        batch = root.get_command(ctx, "batch") if isinstance(root, click.Group) else None
        click.echo(in_flags(told(data), batch))
    if not all_done(data):
        ctx.exit(1)


def _as_lines(happens: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Prints each; gives the last."""
    data: dict[str, Any] = {}
    for data in happens:
        click.echo(json.dumps(data, ensure_ascii=False))
    return data


def _shown(happens: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Tells how it stands, on a terminal in one place, else once a minute; gives the last."""
    from diffusion_tricks_batch.telling.progress import Board
    from diffusion_tricks_batch.telling.status import sentence

    board = Board(sys.stdout) if sys.stdout.isatty() else None
    told, data = time.monotonic(), dict[str, Any]()
    for data in happens:
        if data.get("event") != "status":
            continue
        if board:
            board.show([sentence(data)])
        elif time.monotonic() - told >= MINUTE:
            click.echo(sentence(data))
            told = time.monotonic()
    if board:
        board.clear()
    return data


@click.command("report", epilog=_example("report out --by view", "report out --by guidance --by seed -o report.html"),
               short_help="the scores of a batch by field, and its speed")  # fmt: skip
@FOLDER
@click.option("--by", multiple=True, metavar="FIELD", help="Of the jobs, as guidance or anagram.views; or seed, view.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="A page .html, or .md or .txt.")
@click.option("--force", is_flag=True, help="Replace an older FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all numbers.")
@click.pass_context
def report(
    ctx: click.Context, /, folder: Path, by: tuple[str, ...], output: Path | None, force: bool, as_json: bool
) -> None:  # fmt: skip
    """What the batch in DIR shows: mean scores with 95 % intervals, of all and by FIELD, failures, and speed.

    Pairs of jobs that are alike but for FIELD say what it makes of the scores. All is read from the ledger; the table
    scores.csv, the contact sheets and the gallery in DIR are made again where they are missing or old.
    """
    from diffusion_tricks_batch.results.report import report as reported
    from diffusion_tricks_batch.results.report_page import as_text, writer_for
    from diffusion_tricks_batch.telling.standing import Standing

    write = writer_for(output) if output else as_text
    if output:
        check_place(output, force=force)
    data = reported(Standing(folder), tuple(dict.fromkeys(by)))
    if output:
        atomic_write(output, write(data).encode(), force=force)
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, default=str))
    else:
        click.echo(str(output) if output else write(data))
    write_after(ctx, folder, say=partial(click.echo, err=True))


def write_after(ctx: click.Context, folder: Path, *, say: Callable[[str], None], others: bool = True) -> None:
    """Makes what is made of the pictures of a batch, and says what was not. others: who may still be at work."""
    from diffusion_tricks_batch.results.after import after
    from diffusion_tricks_batch.telling.standing import Standing

    for note in after(Standing(folder), gallery_of(ctx), others=others).notes:
        say(f"Note: {note}")


def gallery_of(ctx: click.Context) -> Gallery | None:
    """What makes a gallery: the command of that name, where a plugin brings it."""
    program: Any = ctx.find_root().command
    command: Any = program.get_command(ctx, "gallery") if isinstance(program, click.Group) else None

    def made(folder: Path, index: Path, recursive: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ctx.invoke(command, folder=folder, output=index, recursive=recursive, scores=False, force=False)

    return made if command else None
