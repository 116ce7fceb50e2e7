"""The options that every command that makes pictures takes, and what they mean. No torch here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import takewhile
from typing import Any

import click

from diffusion_tricks.errors import UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks.types import MEMORY, QUANTIZE
from diffusion_tricks_cli.chain import check_values, flags
from diffusion_tricks_cli.values import Name, Seeds, Size

DTYPES = ("auto", "float32", "float16", "bfloat16")
MEMORY_HELP = "auto; low: models wait off the device; lowest: every layer, slow.  [default: auto]"
WITHOUT_MODEL = {
    "dry_run", "quiet", "json", "output", "force", "no_metadata", "save_recipe", "bundle", "keep_gps", "quality",
    "sweeps", "resume", "on_error", "manifest",
}  # fmt: skip
ON_ERROR = ("continue", "stop")
SHOWN = ("noisy", "clean", "both")  # of a step
COMMON_TITLE = "Common options, which may stand anywhere"


@dataclass(frozen=True)
class Settings:
    """What a command line says beside the recipe: where to compute, where the pictures go, what to say of them."""

    device: str = "auto"
    dtype: str = "auto"
    max_rows: int | None = None
    memory: str = "auto"
    quantize: str | None = None
    compile: bool = False
    scorer: str | None = None
    output: str | None = None
    force: bool = False
    json: bool = False
    quiet: bool = False
    dry_run: bool = False
    no_metadata: bool = False
    no_provenance: bool = False
    keep_gps: bool = False
    quality: int | None = None
    steps_out: str | None = None
    show: str | None = None
    every: int | None = None
    save_recipe: str | None = None
    bundle: bool = False
    masks: str | None = None
    sweeps: Sequence[str] = ()
    resume: bool = False
    on_error: str | None = None
    manifest: str | None = None


def common_options(with_model: bool = True) -> list[click.Option]:
    """Fresh Click options; those that a recipe holds have its names, all others those of `Settings`.

    with_model: False hides, in the help alone, what only a model needs.
    """
    options = [*_recipe_options(), *_running_options(), *_output_options(), *_many_options()]
    for option in options:
        option.hidden = not with_model and option.name not in WITHOUT_MODEL
    return options


def _recipe_options() -> list[click.Option]:
    return [
        click.Option(["-p", "--prompt"], multiple=True, help="What to make; several are one per picture."),
        click.Option(["-m", "--model"], help="Name, directory, file or owner/name[@revision].  [default: emoji]"),
        click.Option(["--lora"], multiple=True, metavar="FILE[:WEIGHT]", help="LoRA weights; may repeat."),
        click.Option(
            ["--seed"], type=Seeds(), metavar="N", help="Of the first picture, else drawn; or of all, as 1-8,20."
        ),
        click.Option(["--count"], type=click.IntRange(1), metavar="N", help="Pictures; seeds count up.  [default: 1]"),
        click.Option(
            ["--best-of"],
            type=click.IntRange(1, 1000),
            metavar="N",
            help="Make N, keep the best scored; names say the first one's seed, the record the best one's.",
        ),
        click.Option(["--steps"], type=click.IntRange(1), metavar="N", help="Of the schedule.  [default: model's]"),
        click.Option(["--stride"], type=click.IntRange(1), metavar="N", help="Every N-th training step, not --steps."),
        click.Option(["--scheduler"], type=Name("scheduler", _schedulers), help="ddim, dpm++2m, unipc, euler, ..."),
        click.Option(["--guidance"], type=click.FloatRange(0), metavar="X", help="Scale; 1: off.  [default: model's]"),
        click.Option(
            ["--distilled-guidance"],
            type=click.FloatRange(0),
            metavar="X",
            help="Scale a distilled model takes as an input (FLUX dev, LCM).  [default: model's]",
        ),
        click.Option(["--negative"], help="What to move away from."),
        click.Option(["--size"], type=Size(), help="Pixels, 64 or 64x48; may be upscaled.  [default: model's]"),
        click.Option(
            ["--upscaler"],
            multiple=True,
            metavar="NAME",
            help="Makes what is larger: x4, if-ii, directory or owner/name[@revision]; may repeat.",
        ),
        click.Option(["--upscale-steps"], type=click.IntRange(1), metavar="N", help="Of each later stage, if any."),
        click.Option(["--upscale-guidance"], type=click.FloatRange(0), metavar="X", help="Their scale; 1: off."),
        click.Option(["--upscale-scheduler"], type=Name("scheduler", _schedulers), help="Their scheduler."),
        click.Option(
            ["--noise-level"], type=click.IntRange(0), metavar="N", help="0: upscale faithfully; up to 999: freely."
        ),
        click.Option(["--enlarge"], type=click.IntRange(1, 64), metavar="N", help="Factor.  [default: 1]"),
    ]


def _running_options() -> list[click.Option]:
    return [
        click.Option(["--device"], help="auto, cpu, cuda, cuda:N or mps.  [default: auto]"),
        click.Option(["--dtype"], type=Name("dtype", lambda: DTYPES), help=f"{', '.join(DTYPES)}.  [default: auto]"),
        click.Option(["--max-rows"], type=click.IntRange(1), metavar="N", help="Rows in one call, to save memory."),
        click.Option(["--memory"], type=Name("memory", lambda: MEMORY), help=MEMORY_HELP),
        click.Option(["--quantize"], type=Name("quantize", lambda: QUANTIZE), help="int8 or nf4 weights; CUDA only."),
        click.Option(["--compile"], is_flag=True, help="Compile the denoiser; pays for many pictures of one size."),
        click.Option(["--scorer"], help="CLIP model that scores for --best-of.  [default: the one inside]"),
        click.Option(["--dry-run"], is_flag=True, help="Check all, print the plan and the recipe, make nothing."),
        click.Option(["--quiet"], is_flag=True, help="No progress and no remarks."),
        click.Option(["--json"], is_flag=True, help="Print one JSON object per picture."),
    ]


def _output_options() -> list[click.Option]:
    return [
        click.Option(
            ["-o", "--output"], type=click.Path(),
            help="Name, may hold {seed} and {index} (from 0); -: stdout.  [default: COMMAND-SEED, as the picture]",
        ),
        click.Option(["--force"], is_flag=True, help="Overwrite files that exist; never an input."),
        click.Option(["--no-metadata"], is_flag=True, help="Keep no record in the picture."),
        click.Option(["--no-provenance"], is_flag=True, help="Do not mark the picture as made by a model."),
        click.Option(["--keep-gps"], is_flag=True, help="Keep where the photo was taken, which else is left out."),
        click.Option(["--quality"], type=click.IntRange(1, 100), metavar="N", help="Of JPEG, WebP and AVIF."),
        click.Option(["--steps-out"], type=click.Path(), help="Show the denoising: film.gif or strip.png."),
        click.Option(["--show"], type=click.Choice(SHOWN), help="What --steps-out shows.  [default: clean]"),
        click.Option(["--every"], type=click.IntRange(1), metavar="N", help="--steps-out shows every N-th step."),
        click.Option(["--save-recipe"], type=click.Path(), help="Write the recipe: name.toml or name.json."),
        click.Option(["--bundle"], is_flag=True, help="Copy what that recipe reads to a folder beside it."),
    ]  # fmt: skip


def _many_options() -> list[click.Option]:
    return [
        click.Option(["--masks"], type=click.Path(), metavar="FOLDER", help="For each picture the mask of its name."),
        click.Option(
            ["--sweep", "--sweep-over", "sweeps"], multiple=True, metavar="NAME=VALUES",
            help="A picture for each value, in a labelled grid: strength=0.2:0.9:0.1, guidance=3,5,7; may repeat.",
        ),
        click.Option(["--resume"], is_flag=True, help="Go on: make what is missing, or not as it was asked for."),
        click.Option(["--on-error"], type=click.Choice(ON_ERROR), help="Of many pictures.  [default: continue]"),
        click.Option(["--manifest"], type=click.Path(), help="Of what is done.  [default: manifest.jsonl, with them]"),
    ]  # fmt: skip


def program_options() -> list[click.Option]:
    """`--plugin`, `--no-plugin` and `--debug`, of the program."""
    return [
        click.Option(
            ["--plugin"], type=click.Path(), multiple=True, metavar="FILE", help="Load a plugin from a Python file."
        ),
        click.Option(
            ["--no-plugin"],
            multiple=True,
            metavar="NAME",
            help="Leave a plugin out, unloaded; its name or distribution.",
        ),
        click.Option(["--debug"], is_flag=True, help="Say of an error where in the code it came from."),
    ]


def picture_option() -> click.Option:
    """`--picture`, for a chain that only finishes a picture that exists."""
    return click.Option(["--picture"], type=click.Path(), help="Finish this picture instead of making one; no model.")


def _schedulers() -> Iterable[str]:
    return host().entries("scheduler")


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The part of the given values that is not the recipe's."""
    names = {f.name for f in fields(Settings)}
    return Settings(**{name: value for name, value in values.items() if name in names})


def with_common(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with what the command line says put in its place. Raises UsageError for what does not fit together."""
    told = {name: value for name, value in values.items() if name in Recipe.model_fields}
    if prompts := told.pop("prompt", None):
        told["prompt"] = prompts[0] if len(prompts) == 1 else prompts
        if len(prompts) > 1:  # the recipe's count was that of its own prompts
            told.setdefault("count", len(prompts))
    kept = recipe.data()
    if isinstance(told.get("seed"), list):  # the recipe's count was that of its own seeds
        kept.pop("count", None)
    for one, other in (("steps", "stride"), ("stride", "steps")):  # of a recipe, whichever of them it had
        if one in told:
            kept.pop(other, None)
    return recipe_from(kept | told, "command line")


def one_prompt(words: Iterable[str | None], values: dict[str, Any]) -> dict[str, Any]:
    """The values with a prompt that was given as an argument. Raises UsageError if it was given twice."""
    said = [word for word in words if word is not None]
    if said and "prompt" in values:
        raise UsageError(f"the prompt is given twice: as the argument {said[0]!r} and with --prompt; leave one out")
    return values | {"prompt": said} if said else values


class Once(click.Command):
    """A command that refuses an option which is given again, where the first value would be dropped in silence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError for such an option; a flag that says the same twice is none."""
        if not ctx.resilient_parsing:
            self._check_values(ctx, args)
            _, _, said = self.make_parser(ctx).parse_args(args=list(args))
            for param in said:
                if isinstance(param, click.Option) and said.count(param) > 1 and _takes_one(param):
                    times = f"{'/'.join([*param.opts[-1:], *param.secondary_opts])} is given {said.count(param)} times"
                    raise UsageError(f"{times}, and holds for all; give it once")
        return super().parse_args(ctx, args)

    def _check_values(self, ctx: click.Context, args: list[str]) -> None:
        known = flags(self, ctx)
        rest = list(takewhile(lambda word: word != "--", args))
        while rest:
            option = known.get(word := rest.pop(0))
            values = 0 if option is None or option.is_flag or option.count else option.nargs
            check_values(word, rest[:values], known)
            del rest[:values]


def _takes_one(option: click.Option) -> bool:
    """Whether a second value would take the place of the first."""
    plain = option.is_flag and not option.secondary_opts
    return not (plain or option.multiple or option.count or option.is_eager)


class Sectioned(Once):
    """A command whose help shows its own options before the common ones, and its arguments with their notes."""

    def __init__(self, *arguments: Any, common: Iterable[click.Option] = (), **settings: Any):
        super().__init__(*arguments, **settings)
        taken = {name for p in self.params for name in (*p.opts, p.name)}
        self.common = [o for o in map(partial(_spelt, taken=taken), common) if o.opts and o.name not in taken]
        self.own = list(self.params)
        self.params = [*self.params, *self.common]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError also for many pictures that a shell has put in the place of a pattern."""
        files = [word for word in args if os.path.isfile(word)]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" not in error.message or len(files) < 2:
                raise
            several = f"expected one picture, got {files[0]} and {files[1]}"
            raise UsageError(f"{several}; for many put a pattern in quotes, as 'in/*.jpg', or give a folder") from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Arguments, own options, common options."""
        notes = [(p.make_metavar(ctx), str(getattr(p, "note", ""))) for p in self.own if isinstance(p, click.Argument)]
        help_option = self.get_help_option(ctx)
        own = [p for p in self.own if isinstance(p, click.Option)] + ([help_option] if help_option else [])
        sections = {"Arguments": notes, "Options": _records(own, ctx), COMMON_TITLE: _records(self.common, ctx)}
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _spelt(option: click.Option, taken: Collection[str | None]) -> click.Option:
    """A common option without the spellings that a command uses for one of its own."""
    option.opts = [one for one in option.opts if one not in taken]
    return option


def _records(options: Iterable[click.Option], ctx: click.Context) -> list[tuple[str, str]]:
    return [record for option in options if (record := option.get_help_record(ctx)) is not None]


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "Example:\n\n\b\n" + "\n".join(f"  diffusion-tricks {line}" for line in lines)
