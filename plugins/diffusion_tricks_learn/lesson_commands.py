"""The command of each lesson: its own options, those that all lessons have, and the line that repeats it. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from diffusion_tricks_learn.course import Lesson
from diffusion_tricks_learn.numbers import Numbers

THINGS = "A thing to draw, of two or more that are told apart.  [default: the model's classes, or ten things]"
COMMON = ("out", "seed", "full", "quick", "model", "device", "force", "quiet")


def common() -> list[click.Parameter]:
    """The options that every lesson has."""
    return [
        click.Option(["--out"], metavar="DIR", required=True, help="The folder for figure, numbers and report."),
        click.Option(["--seed"], type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
                     help="Of all chance; one for each student, say."),
        click.Option(["--quick/--full"], default=True, help="A quick look, or as thorough as the course.  "
                     "[default: quick]"),
        click.Option(["-m", "--model"], help="Another model: name, directory or hub name."),
        click.Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda."),
        click.Option(["--force"], is_flag=True, help="Replace what an earlier run left in the folder."),
        click.Option(["--quiet"], is_flag=True, help="Say nothing on the way."),
    ]  # fmt: skip


def picture(required: bool = True, several: bool = False) -> click.Argument:
    """The argument for a picture's file."""
    count = -1 if several else 1
    return click.Argument(["pictures" if several else "picture"], type=click.Path(), required=required, nargs=count,
                          metavar="PIC..." if several else "PIC")  # fmt: skip


def prompt(help: str) -> click.Option:
    """The option for one prompt."""
    return click.Option(["-p", "--prompt"], help=help)


def prompts(help: str) -> click.Option:
    """The option for several prompts, each with a flag of its own."""
    return click.Option(["-p", "--prompt", "prompts"], multiple=True, help=f"{help} May be given several times.")


def count(least: int) -> click.Option:
    """The option for how many pictures are drawn."""
    return click.Option(["--count"], type=click.IntRange(least, 64), default=5, show_default=True,
                        help="Pictures, each from noise of its own.")  # fmt: skip


def numbers(flag: str, default: Sequence[float], help: str, whole: bool = True) -> click.Option:
    """An option that takes numbers with commas."""
    return click.Option([flag], type=Numbers(whole), default=",".join(f"{n:g}" for n in default), show_default=True,
                        help=help)  # fmt: skip


def side() -> click.Option:
    """The option for the side of training pictures."""
    return click.Option(["--size"], type=click.IntRange(8, 256), help="Side of the pictures in pixels.")


def steps() -> click.Option:
    """The option for the length of a training."""
    return click.Option(["--steps"], type=click.IntRange(min=1), help="Of each training, instead of the lesson's own.")


def pictures_each(default: str) -> click.Option:
    """The option for how many pictures each class has."""
    return click.Option(["--count"], type=click.IntRange(1, 1000), help=f"Pictures of each.  [default: {default}]")


# lesson: its own parameters
PARAMETERS: dict[str, Callable[[], list[click.Parameter]]] = {
    "forward": lambda: [
        picture(),
        numbers("--t", (250, 500, 750), "Timesteps, of the training's."),
    ],
    "denoise": lambda: [
        picture(),
        click.Option(
            ["--i-start"], type=click.IntRange(0, 33), default=10, show_default=True, help="Begin at t = 990 - 30 i."
        ),
        prompt("What the picture shows.  [default: nothing is said]"),
    ],
    "steps": lambda: [
        numbers("--steps", (5, 10, 100), "Steps to compare."),
        prompts("What to draw.  [default: three things]"),
        click.Option(
            ["--scheduler"],
            multiple=True,
            metavar="NAME",
            help="One to compare, such as ddpm or dpm++2m. May be given several times.  [default: ddpm and dpm++2m]",
        ),
    ],
    "sample": lambda: [prompt("What to draw.  [default: a fox]"), count(1)],
    "guidance": lambda: [
        prompt("What to draw.  [default: a fox]"),
        numbers("--scales", (1, 7), "Scales of guidance to compare; 1 is none.", whole=False),
        count(2),
    ],
    "edit": lambda: [
        picture(required=False, several=True),
        click.Option(
            ["--draw"],
            type=click.Path(),
            metavar="FILE",
            help="A drawing as text, one form a line: circle "
            "x y r colour, line x1 y1 x2 y2 width colour, polygon x1 y1 x2 y2 ... colour, background colour; "
            "lengths are percent.",
        ),
        prompt("What to edit towards.  [default: a rocket]"),
        numbers("--i-start", (1, 3, 5, 7, 10, 20), "Begin at t = 990 - 30 i, of 0 to 33."),
    ],
    "inpaint": lambda: [
        picture(),
        click.Option(
            ["--mask"],
            default="box:25%,0%,75%,40%",
            show_default=True,
            help="What to make new: a file (white = new), alpha, box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1.",
        ),
        prompt("What to put there.  [default: a top hat]"),
    ],
    "illusions": lambda: [
        click.Option(
            ["--pairs"],
            type=click.Choice(["auto", "course", "own"]),
            default="auto",
            show_default=True,
            help="Those of the course, or those that the model inside can draw; auto: the course's, where the model "
            "was taught its words.",
        ),
        click.Option(
            ["--kernel"],
            type=click.IntRange(1),
            default=33,
            show_default=True,
            help="Of the blur that stands for distance, in pixels of a picture of 64.",
        ),
        click.Option(
            ["--sigma"],
            type=click.FloatRange(0, min_open=True),
            default=2.0,
            show_default=True,
            help="Of that blur, and of what tells far from near, in the same pixels.",
        ),
    ],
    "cover": lambda: [
        prompts("What to draw.  [default: five things]"),
        click.Option(["--title"], default="The Whispering Woods", show_default=True, help="Above."),
        click.Option(["--author"], default="A. Writer", show_default=True, help="Below the title."),
        click.Option(["--title-size"], type=click.IntRange(1), default=60, show_default=True, help="Pixels."),
        click.Option(["--author-size"], type=click.IntRange(1), default=40, show_default=True, help="Pixels."),
        click.Option(["--title-color"], default="#f6d743", show_default=True, help="A name or #rrggbb."),
        click.Option(["--author-color"], default="#ffffff", show_default=True, help="A name or #rrggbb."),
        click.Option(["--font"], help="A font's file or an installed family.  [default: a built-in one]"),
        click.Option(["--font-fallback"], is_flag=True, help="Where that font cannot be had, use the built-in one."),
    ],
    "basic": list,
    "invert": list,
    "toy": lambda: [
        click.Option(
            ["--data"],
            type=click.Choice(["moons", "roll"]),
            default="moons",
            show_default=True,
            help="Two moons, or a swiss roll.",
        ),
    ],
    "data": lambda: [
        click.Argument(["source"], required=False, default="digits", metavar="[DATA]"),
        side(),
    ],
    "train-digits": lambda: [
        click.Option(
            ["--kind"],
            type=click.Choice(["denoiser", "time", "class", "flow"]),
            default="denoiser",
            show_default=True,
            help="What the network learns.",
        ),
        click.Option(["--data"], default="digits", show_default=True, help="Digits, or a folder with MNIST's files."),
        steps(),
    ],
    "ablate": lambda: [
        click.Option(["--data"], default="shapes", show_default=True, help="shapes, digits, a folder, ..."),
        side(),
        steps(),
    ],
    "recognise": lambda: [prompts(THINGS), pictures_each("2, in full 10")],
    "scores": lambda: [prompts(THINGS), pictures_each("2, in full 8")],
    "clip-guidance": lambda: [
        prompt("What to draw.  [default: a strawberry]"),
        click.Option(
            ["--temperature"],
            type=click.FloatRange(0, min_open=True),
            help="How far apart two scores are a clear choice.  [default: CLIP's own]",
        ),
        click.Option(["--scale"], type=click.FloatRange(0), default=7.0, show_default=True, help="Of both guidances."),
    ],
    "samplers": lambda: [
        prompts(THINGS),
        pictures_each("2, in full 10"),
        click.Option(["--guidance"], type=click.FloatRange(0), default=1.0, show_default=True, help="1 is none."),
    ],
    "compare": lambda: [
        click.Option(
            ["--with", "others"],
            multiple=True,
            metavar="MODEL",
            help="One more, beside that of --model. May be given several times.",
        ),
        pictures_each("1, in full 5"),
    ],
}


def lesson_command(one: Lesson) -> click.Command:
    """The command of a lesson."""
    from diffusion_tricks_learn.report import measured_times

    quick, full = measured_times(one)
    text = f"{one.summary[:1].upper()}{one.summary[1:]}.\n\n{one.exercise}\n\n{quick}, {full}."
    params = [*PARAMETERS[one.name](), *common()]
    return click.Command(one.name, callback=_taught, params=params, help=text, short_help=one.summary)


def _taught(**values: Any) -> None:
    """Does a lesson, and leaves its files."""
    from diffusion_tricks_learn.teach import teach

    ctx = click.get_current_context()
    shared = {name: values.pop(name) for name in COMMON if name in values}
    reports = teach(str(ctx.info_name), values, shared, command_line(ctx))
    click.echo(str(reports))


def command_line(ctx: click.Context) -> str:
    """The line that repeats the command: what was given, as a shell reads it."""
    words = ["diffusion-tricks", "learn", str(ctx.info_name)]
    for param in ctx.command.params:
        if ctx.get_parameter_source(str(param.name)) is not click.core.ParameterSource.COMMANDLINE:
            continue
        words += _words(param, ctx.params[str(param.name)])
    return shlex.join(words)


def _words(param: click.Parameter, value: Any) -> list[str]:
    values = [str(one) for one in value] if isinstance(value, tuple | list) else [str(value)]
    if isinstance(param, click.Argument):
        return values
    flag = next((name for name in param.opts if name.startswith("--")), param.opts[0])
    if getattr(param, "is_flag", False):
        return [flag if value else param.secondary_opts[0]]
    if isinstance(param.type, Numbers):
        return [flag, ",".join(f"{number:g}" for number in value)]
    return [word for one in values for word in (flag, one)]
