"""The commands that make pictures: `make`, `plan`, and the shortcuts that stand for a `make`. No torch here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffusion_tricks.errors import DiffusionTricksError, PluginError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks_cli.chain import Dealt, Link, deal, flags, mistyped
from diffusion_tricks_cli.common import (
    Sectioned,
    Settings,
    common_options,
    example,
    one_prompt,
    picture_option,
    settings_of,
    with_common,
)
from diffusion_tricks_cli.completion import completing
from diffusion_tricks_cli.from_options import Positional, given, parameters, words
from diffusion_tricks_cli.links import BRANCHES, entry_of, entry_words, link_command
from diffusion_tricks_cli.making import carry_out
from diffusion_tricks_cli.plan_table import show_plan

MASK = "mask"  # the option that `masks` stands for
IDLE_IN_PLAN = tuple(each.name for each in fields(Settings) if each.name != "json")


class Chain(Sectioned):
    """A command that takes tricks after its own options."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Options and tricks."""
        return [*super().collect_usage_pieces(ctx), "[TRICK [OPTIONS]]..."]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The tricks before the options."""
        with formatter.section("Tricks, the first outermost (make TRICK --help says more)"):
            formatter.write_dl([(name, entry.summary) for name, entry in host().entries("trick").items()])
        super().format_options(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Deals the words out, then parses each trick's."""
        if not args and not ctx.resilient_parsing:
            raise click.exceptions.NoArgsIsHelpError(ctx)
        dealt = ctx.meta[__name__] = self._dealt(ctx, args)
        rest = super().parse_args(ctx, dealt.own)
        ctx.params["entries"] = [_checked(link, ctx) for link in dealt.links]
        return rest

    def _dealt(self, ctx: click.Context, args: list[str]) -> Dealt:
        try:
            made = (lambda name: completing(link_command(name))) if ctx.resilient_parsing else link_command
            return deal(args, flags(self, ctx), list(host().entries("trick")), made)
        except (DiffusionTricksError, click.UsageError) as error:
            if ctx.resilient_parsing:
                return Dealt()
            _reveal_missing(args)
            raise error from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options of the last trick and of the command, values of an option, tricks, files."""
        dealt: Dealt = ctx.meta.get(__name__, Dealt())
        if dealt.pending is not None:
            return dealt.pending.shell_complete(ctx, incomplete)
        last = dealt.links[-1] if dealt.links else None
        if incomplete.startswith("-"):
            theirs = flags(last.command, ctx) if last else {}
            found = [CompletionItem(f, help=o.help) for f, o in theirs.items() if f.startswith(incomplete)]
            return [*found, *super().shell_complete(ctx, incomplete)]
        tricks = host().entries("trick").items()
        found = [CompletionItem(name, help=entry.summary) for name, entry in tricks if name.startswith(incomplete)]
        waiting = [p for p in last.command.params if isinstance(p, click.Argument)] if last and last.places else []
        return [*found, *(item for p in waiting[:1] for item in p.shell_complete(ctx, incomplete))]


def _checked(link: Link, ctx: click.Context) -> TrickEntry:
    """The entry of a link, valid; what looks like a mistyped trick among its arguments is pointed out."""
    later = ctx.params.get("masks") is not None and _without_need_of_mask(link.command.params)
    entry = entry_of(link, ctx)
    if not (ctx.resilient_parsing or (later and MASK not in entry.options)):
        try:
            entry.build()
        except UsageError as error:
            raise UsageError(f"{error}{mistyped(link, list(host().entries('trick')))}") from None
    return entry


def _without_need_of_mask(params: Iterable[click.Parameter]) -> list[click.Parameter]:
    """The options that a mask was needed for, and is no more, as each picture may bring one of its own."""
    masks = [option for option in params if option.name == MASK and option.required]
    for option in masks:
        option.required = False
    return masks


def _reveal_missing(args: list[str]) -> None:
    """Raises if a word names a plugin that is broken or left out: its tricks are unknown for that reason."""
    for status in host().statuses:
        if status.error and status.name in args:
            raise PluginError(f"plugin {status.name!r} is broken, so its tricks are missing: {status.error}")
        if status.skipped and status.name in args and status.name not in host().entries("trick"):
            raise UsageError(f"plugin {status.name!r} is skipped, so its tricks are missing: {status.skipped}")


def make_command() -> click.Command:
    """`make`: a chain of tricks."""
    return Chain(
        "make", callback=_make, common=[*common_options(), picture_option()],
        help="Make pictures with any number of tricks, which nest in the order given.",
        epilog=example(
            'make -o duck.png --seed 1 anagram --view identity "a rabbit" --view rotate_cw "a duck" guidance --scale 8'
        ),
    )  # fmt: skip


def plan_command() -> click.Command:
    """`plan`: what a recipe holds of the arguments of `make`; those for computing and writing are refused."""
    common = [*common_options(), picture_option()]
    for option in common:
        option.hidden = option.name in IDLE_IN_PLAN
    return Chain(
        "plan", callback=_plan, common=common,
        help="Print how tricks will nest and what they will cost, without loading a model. Takes what make takes, but "
        "for how to compute and what to write.",
        epilog=example('plan hybrid --far "a skull" --near "a mushroom" guidance --scale 8'),
    )  # fmt: skip


def _recipe_of(ctx: click.Context) -> tuple[Recipe, dict[str, Any]]:
    command: Chain = ctx.command  # type: ignore[assignment]
    values = given(ctx, command.common)
    return with_common(Recipe(tricks=ctx.params["entries"]), values), values


def _make(**_: Any) -> None:
    recipe, values = _recipe_of(click.get_current_context())
    label = recipe.tricks[0].trick if recipe.tricks else "generate"
    carry_out(recipe, settings_of(values), label)


def _plan(**_: Any) -> None:
    recipe, values = _recipe_of(click.get_current_context())
    if idle := " and ".join(f"`{name}`" for name in IDLE_IN_PLAN if name in values):
        raise UsageError(f"`plan` computes and writes no picture, and so does nothing with {idle}; leave it out")
    show_plan(recipe, settings_of(values), recipe_too=False)


@dataclass(frozen=True)
class Shortcut:
    """A command that stands for a `make` with one trick, or none."""

    trick: str | None
    summary: str
    example: str
    prompt: bool = False  # takes the prompt as its last argument
    picture: bool = False  # takes a picture to finish, without a model
    parts: str = ""  # an option that may repeat, each time with a prompt of its own: one trick for each


SHORTCUTS = {
    "generate": Shortcut(None, "A picture from a prompt.", 'generate "a rocket" -o out.png', prompt=True),
    "edit": Shortcut(
        "sdedit", "Redraw a picture after a prompt (SDEdit).",
        'edit photo.png "a rocket" --strength 0.6 -o out.png', prompt=True,
    ),
    "inpaint": Shortcut(
        "inpaint", "Make a part of a picture anew, and not one pixel more.",
        'inpaint photo.png "a top hat" --mask box:25%,0%,75%,40% -o out.png', prompt=True, parts="mask",
    ),
    "outpaint": Shortcut(
        "outpaint", "Go on beyond a picture's edges, and change not one pixel of it.",
        'outpaint photo.png "a lake" --extend left=200,top=10% -o wide.png', prompt=True,
    ),
    "anagram": Shortcut(
        "anagram", "One picture that shows another thing when turned or flipped.",
        'anagram --view identity "a rabbit" --view rotate_cw "a duck" -o out.png',
    ),
    "hybrid": Shortcut(
        "hybrid", "One picture that shows one thing from afar and another from near.",
        'hybrid --far "a skull" --near "a mushroom" -o out.png',
    ),
    "cover": Shortcut(
        "overlay", "Title and author on a picture, as on a book cover; needs no model.",
        'cover picture.png --title "The Whispering Woods" --author "A. Writer" -o out.png', picture=True,
    ),
}  # fmt: skip


def shortcut_command(name: str) -> click.Command:
    """The command of a shortcut; of a trick that cannot be loaded, a command that says so."""
    shortcut = SHORTCUTS[name]
    try:
        own = parameters(host().trick(shortcut.trick).Options, BRANCHES) if shortcut.trick else []
        own = [p for p in own if not (shortcut.prompt and p.name == "prompt")]  # the common one does
    except PluginError as error:
        return _broken_command(name, error)
    arguments = [p for p in own if isinstance(p, click.Argument)]
    for argument in arguments:  # the trick alone may do without the picture, where another one brings it
        argument.required = argument.required or isinstance(argument.type, click.Path)
    lent = _without_need_of_mask(own)
    extra: list[click.Parameter] = []
    if shortcut.prompt:
        extra = [Positional("words", "what to make", required=False, metavar="PROMPT")]
    if shortcut.picture:
        extra = [Positional("picture", "the picture to write on", type=click.Path(), required=True)]
    params = [*arguments, *extra, *(p for p in own if p not in arguments)]
    about = f"{shortcut.summary}\n\nThe same as make{f' with the trick {shortcut.trick}' if shortcut.trick else ''}."
    return Sectioned(
        name, params=params, common=common_options(not shortcut.picture), help=about,
        callback=_shortcut_callback(name, shortcut, own, lent), epilog=example(shortcut.example),
    )  # fmt: skip


def _shortcut_callback(
    name: str, shortcut: Shortcut, own: list[click.Parameter], lent: list[click.Parameter]
) -> Callable[..., None]:  # fmt: skip
    """lent: what a mask is needed for, unless each picture brings one."""

    def callback(**values: Any) -> None:
        ctx = click.get_current_context()
        command: Sectioned = ctx.command  # type: ignore[assignment]
        common = one_prompt([values.get("words")], given(ctx, command.common))
        if lent and not values[MASK] and "masks" not in common:
            raise click.MissingParameter(ctx=ctx, param=lent[0])
        if shortcut.picture:
            common["picture"] = values["picture"]
        entries = _entries(shortcut, given(ctx, own), common)

        def same(recipe: Recipe) -> str:
            seed = {} if recipe.seed is None else {"seed": recipe.seed}
            return f"same as: {make_line(common | seed, entries)}"

        carry_out(with_common(Recipe(tricks=entries), common), settings_of(common), name, said=same)

    return callback


def _entries(shortcut: Shortcut, options: dict[str, Any], common: dict[str, Any]) -> list[TrickEntry]:
    """The shortcut's trick; or, for several prompts, one for each part, which takes its prompt from the common values.

    Raises UsageError for prompts and parts that do not pair.
    """
    if not shortcut.trick:
        return []
    parts, prompts = options.get(shortcut.parts, []), common.get("prompt", [])
    if len(parts) < 2 or len(prompts) < 2:
        return [TrickEntry(trick=shortcut.trick, **options)]
    if len(parts) != len(prompts):
        raise UsageError(
            f"{len(parts)} times `{shortcut.parts}` and {len(prompts)} prompts do not pair; give one prompt for all, or"
            f" one for each `{shortcut.parts}`"
        )
    del common["prompt"]
    pairs = [{shortcut.parts: [part], "prompt": prompt} for part, prompt in zip(parts, prompts, strict=True)]
    return [TrickEntry(trick=shortcut.trick, **(options | pair)) for pair in pairs]


def make_line(common: dict[str, Any], entries: list[TrickEntry]) -> str:
    """The `make` command that says the same, ready for a shell."""
    said = ["diffusion-tricks", "make", *words([*common_options(), picture_option()], common)]
    said += [word for entry in entries for word in entry_words(entry)]
    return shlex.join(said)


def _broken_command(name: str, error: PluginError) -> click.Command:
    def callback(**_: Any) -> None:
        raise error

    ignore = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": True}
    return click.Command(name, callback=callback, help=f"Broken: {error}", context_settings=ignore)
