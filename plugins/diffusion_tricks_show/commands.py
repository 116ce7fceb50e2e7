"""The commands `film`, `page` and `gallery`. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

Views = Sequence[tuple[str, str]]
VIEWS = click.Option(
    ["--view", "views"], multiple=True, type=(str, str), metavar="VIEW TEXT",
    help="What it shows through a view, instead of what its record says; see views. Once per view.",
)  # fmt: skip
FORCE = click.Option(["--force"], is_flag=True, help="Replace an older one.")


def _example(line: str) -> str:
    return f"Example:\n\n\b\n  diffusion-tricks {line}"


def output(what: str, default: str | None = None) -> click.Option:
    """`-o`."""
    return click.Option(
        ["-o", "--output"], type=click.Path(path_type=Path), help=what, required=default is None, default=default,
        show_default=default is not None,
    )  # fmt: skip


def picture() -> click.Argument:
    """What all begins with."""
    return click.Argument(["picture"], type=click.Path(path_type=Path))


def _film(picture: Path, output: Path, views: Views, force: bool, **pace: Any) -> None:
    from diffusion_tricks_show.film import Pace
    from diffusion_tricks_show.make import make_film

    make_film(picture, output, Pace(**pace), views, force=force)
    click.echo(str(output))


def _page(picture: Path, output: Path, views: Views, force: bool) -> None:
    from diffusion_tricks_show.make import make_page

    make_page(picture, output, views, force=force)
    click.echo(str(output))


def _gallery(folder: Path, output: Path, recursive: bool, scores: bool, force: bool) -> None:
    from diffusion_tricks_show.gallery import make_gallery

    for note in make_gallery(folder, output, recursive=recursive, scores=scores, force=force):
        click.echo(f"Note: {note}", err=True)
    click.echo(str(output))


film = click.Command(
    "film", callback=_film, epilog=_example("film duck.png -o duck.gif --seconds 6"),
    short_help="a picture's views as a film",
    help="A film of a picture that goes from view to view, each in its own way: a turn turns, a flip turns over, pieces"
    " fly, a hybrid shrinks and grows. What it shows stands in the record inside it.",
    params=[
        picture(),
        output("The film: .gif, .webp, .apng or .mp4."),
        VIEWS,
        click.Option(["--fps"], type=click.IntRange(1, 60), default=25, show_default=True, help="Frames a second."),
        click.Option(
            ["--seconds"], type=click.FloatRange(0, 600, min_open=True),
            help="Of the whole film.  [default: as the views need]",
        ),
        click.Option(
            ["--hold"], type=click.FloatRange(0, 60), default=1.2, show_default=True, help="Seconds that a view rests."
        ),
        click.Option(
            ["--size"], type=click.IntRange(16, 4096),
            help="Width of the picture in it, in pixels.  [default: its own, 256 or more]",
        ),
        click.Option(
            ["--easing"], type=click.Choice(["smooth", "linear"]), default="smooth", show_default=True,
            help="Whether what moves starts and ends gently.",
        ),
        click.Option(
            ["--boomerang/--no-boomerang"], default=True, show_default=True, help="Go back the way it came."
        ),
        click.Option(
            ["--captions/--no-captions"], default=True, show_default=True, help="Say below what each view shows."
        ),
        FORCE,
    ],
)  # fmt: skip

page = click.Command(
    "page", callback=_page, epilog=_example("page duck.png -o illusion.html"),
    short_help="a picture to turn, flip and solve in a browser",
    help="One page that needs no network, for a screen or a phone: turn and flip the picture by hand or keys, go away"
    " from it, put its pieces together; what it shows is told when you ask.",
    params=[picture(), output("The page.", "illusion.html"), VIEWS, FORCE],
)  # fmt: skip

gallery = click.Command(
    "gallery", callback=_gallery, epilog=_example("gallery pictures -o index.html"),
    short_help="all pictures of a folder in a browser",
    help="All pictures of a folder that have a record: what they show, their recipes and scores, to be filtered, each"
    " with its page, in a folder beside the index.",
    params=[
        click.Argument(["folder"], type=click.Path(path_type=Path), metavar="DIR"),
        output("The index.", "index.html"),
        click.Option(["--recursive"], is_flag=True, help="Of the folders below DIR as well."),
        click.Option(
            ["--scores/--no-scores"], default=True, show_default=True,
            help="Score pictures whose record has no score, by the CLIP inside.",
        ),
        FORCE,
    ],
)  # fmt: skip
