"""The group `learn`: its lessons, and what goes over all of them. No torch here."""

from __future__ import annotations

import json
from typing import Any

import click

from diffusion_tricks_learn.course import lesson, lessons
from diffusion_tricks_learn.lesson_commands import PARAMETERS, common, lesson_command


class Course(click.Group):
    """The group: its commands are built when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The lessons, in the course's order, and what goes over all of them."""
        return [*(name for name in lessons() if name in PARAMETERS), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A lesson's command, or one of the course's own."""
        if cmd_name in PARAMETERS:
            return lesson_command(lesson(cmd_name))
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Names the nearest lesson for one that is unknown."""
        if args[0] not in self.list_commands(ctx) and not ctx.resilient_parsing:
            lesson(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lessons and their lines, of which none is built for it."""
        rows = [(name, one.summary) for name, one in lessons().items() if name in PARAMETERS]
        with formatter.section("Lessons"):
            formatter.write_dl(rows)
        with formatter.section("The course"):
            formatter.write_dl([(name, command.get_short_help_str()) for name, command in self.commands.items()])


@click.group(cls=Course, short_help="a course on diffusion, one experiment each")
def learn() -> None:
    """Every experiment of a course on diffusion, one command each.

    Each leaves figure.png, numbers.json and report.html in a folder. All work offline with the models inside.
    """


@learn.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per lesson.")
def listed(as_json: bool) -> None:
    """Every lesson in one line, and the time it takes."""
    from diffusion_tricks_learn.session import duration

    if as_json:
        for one in lessons().values():
            row = {"name": one.name, "summary": one.summary, "quick_seconds": one.quick, "full_seconds": one.full}
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    click.echo(f"{'lesson':<14}  {'quick':>7}  {'full':>7}")
    for one in lessons().values():
        click.echo(f"{one.name:<14}  {duration(one.quick):>7}  {duration(one.full):>7}  {one.summary}")


@learn.command("all")
@click.argument("picture", type=click.Path(), metavar="[PIC]", required=False)
def every(picture: str | None, **shared: Any) -> None:
    """The whole course, each lesson in a folder of its own, with an index page.

    PIC is the picture for those that need one; without it, the model inside draws one. What stands complete in the
    folder stays as it is, so that an interrupted course goes on where it was.
    """
    from diffusion_tricks_learn.syllabus import whole_course

    click.echo(str(whole_course(picture, shared)))


@learn.command()
@click.argument("name", metavar="NAME")
@click.option("-o", "--output", type=click.Path(), help="The notebook to write.  [default: NAME.ipynb]")
@click.option("--force", is_flag=True, help="Replace an older one.")
def notebook(name: str, output: str | None, force: bool) -> None:
    """A Jupyter notebook that does a lesson through the Python API."""
    from diffusion_tricks_learn.notebook import write_notebook

    click.echo(str(write_notebook(name, output or f"{name}.ipynb", force=force)))


every.params += common()
