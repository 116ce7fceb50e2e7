"""`score`: how well pictures show what they should, by their own views or by those named here. No torch here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.io.journal import Line
from diffusion_tricks_cli.common import ON_ERROR, Once, example
from diffusion_tricks_cli.failures import say_error
from diffusion_tricks_cli.many.failures import failure, tell
from diffusion_tricks_cli.many.inputs import is_many, pictures_of
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags

if TYPE_CHECKING:
    from diffusion_tricks.generate.score import Score

Views = Sequence[tuple[str, str]]


@click.command(cls=Once, epilog=example("score out.png", 'score out.png --view flip "a duck" --json'))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(), metavar="PICTURE...")
@click.option("-p", "--prompt", "prompts", multiple=True, help="What a picture should show as it is.")
@click.option(
    "--view", "views", multiple=True, type=(str, str), metavar="VIEW TEXT",
    help="What it should show through a view; see views. Once per view.",
)  # fmt: skip
@click.option(
    "--scorer", help="A registered scorer, or a CLIP model: directory or hub name.  [default: the one inside]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture.")
@click.option("--on-error", type=click.Choice(ON_ERROR), help="Of many pictures.  [default: continue]")
def score(
    pictures: tuple[str, ...], prompts: tuple[str, ...], views: Views, scorer: str | None, as_json: bool,
    on_error: str | None,
) -> None:  # fmt: skip
    """Print how well pictures show what they should: as the record inside them says, or as you say here.

    Alignment is the cosine of picture and text by CLIP, of the worst view; concealment, 0 to 1, says how well each view
    hides what the others show; sep_min, -1 to 1, by how much the text is ahead of all others in the weakest view; the
    rank is the text's place among the names of all emoji. What the scorer knows nothing like is told.
    """
    from diffusion_tricks.generate.scorers import scorer_named
    from diffusion_tricks.generate.shown import shown_in

    said = [*(("identity", prompt) for prompt in prompts), *views]
    found = [pictures_of(said) for said in pictures]
    for note in (note for one in found for note in one.notes):
        echo(f"Note: {note}", err=True)
    paths = list(dict.fromkeys(one.path for many in found for one in many.pictures))
    judge, scores, failures = scorer_named(scorer), dict[str, Any](), list[Line]()
    for picture in paths:
        if failures and on_error == "stop":
            break
        try:
            scores[picture] = judge.score(shown_in(picture, said)[1])
        except DiffusionTricksError as error:
            if not any(map(is_many, pictures)) and len(paths) == 1:
                raise
            error.about = {"path": picture}
            say_error(error, as_json)
            failures.append(failure(picture, error))
    _print(scores, as_json)
    tell(failures if any(map(is_many, pictures)) else [], len(paths))
    if failures:
        click.get_current_context().exit(1)


def _print(scores: dict[str, Score], as_json: bool) -> None:
    """One object a picture in the order given, or a table, the best first, and what it says little of."""
    from diffusion_tricks.generate.best import outside_notes

    if as_json:
        for path, one in scores.items():
            echo(json.dumps({"path": path, **one.data()}, ensure_ascii=False))
        return
    width = max(map(len, [*scores, "picture"]))
    if scores:
        echo(f"{'picture':<{width}}  sep_min  alignment  concealment  views: margin, alignment, rank")
    for path, one in sorted(scores.items(), key=lambda row: row[1].order, reverse=True):
        views = "; ".join(f"{v.name} {v.prompt!r} {v.margin:.2f}, {v.alignment:.2f}, {v.rank}" for v in one.views)
        hides = f"{one.concealment:.2f}" if len(one.views) > 1 else "-"  # a single text has none to be hidden from
        echo(f"{path:<{width}}  {one.sep_min:7.3f}  {one.alignment:9.3f}  {hides:>11}  {views}")
    for note in dict.fromkeys(note for one in scores.values() for note in outside_notes(one)):
        echo(f"Note: {in_flags(note)}", err=True)
