"""Commands that write no picture of their own, called for each of many: `verify`, `mask`. No torch here."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.io.journal import Line
from diffusion_tricks_cli.common import ON_ERROR
from diffusion_tricks_cli.failures import say_error
from diffusion_tricks_cli.many.failures import failure, tell
from diffusion_tricks_cli.many.inputs import Input, is_many, pictures_of
from diffusion_tricks_cli.many.names import check_places, filled, is_folder, mirrored
from diffusion_tricks_cli.many.pairs import Pairs, paired
from diffusion_tricks_cli.printable import echo

FIRST = {"picture", "image", "before"}  # what commands call a picture that they take first
FOLDER = "mask_folder"
OUTPUT = "output"


def repeated(command: click.Command) -> click.Command:
    """The command, called for each picture that its first argument stands for; another command as it is.

    So are `--masks` and `--on-error` its options, the first where it has a `--mask`.
    """
    first = next((one for one in command.params if isinstance(one, click.Argument)), None)
    if first is None or first.name not in FIRST or first.nargs != 1 or not isinstance(first.type, click.Path):
        return command
    command.params = [copy.copy(one) for one in command.params]
    masks = next((one for one in command.params if "--mask" in one.opts), None)
    needed = masks is not None and masks.required
    if masks is not None:
        masks.required = False
        command.params.append(click.Option(["--masks", FOLDER], type=click.Path(), metavar="FOLDER",
                                           help="For each picture the mask of its name."))  # fmt: skip
    command.params.append(
        click.Option(["--on-error"], type=click.Choice(ON_ERROR), help="Of many pictures.  [default: continue]")
    )
    own = command.invoke

    def invoke(ctx: click.Context) -> Any:
        folder, on_error = ctx.params.pop(FOLDER, None), ctx.params.pop("on_error")
        if masks is not None and needed and folder is None and not ctx.params[str(masks.name)]:
            raise click.MissingParameter(ctx=ctx, param=masks)
        said = ctx.params[str(first.name)]
        if folder is None and not is_many(said):
            return _single(own, ctx, on_error)
        each = _each(ctx, pictures_of(said).pictures, str(first.name), masks, folder)
        return _many(own, ctx, each, on_error == "stop")

    command.invoke = invoke  # type: ignore[method-assign]
    return command


def _single(own: Callable[[click.Context], Any], ctx: click.Context, on_error: str | None) -> Any:
    if on_error is not None:
        raise UsageError("`on_error` is for many pictures, as of a folder, 'in/*.jpg' or @list.txt; leave it out")
    return own(ctx)


Call = tuple[Input, dict[str, Any] | UsageError]  # what a command is called with for a picture, or why it cannot be


def _each(
    ctx: click.Context, pictures: Sequence[Input], first: str, masks: click.Parameter | None, folder: str | None
) -> list[Call]:
    """The parameters of each call. Raises UsageError for names and folders that do not fit together."""
    others = {
        str(one.name): str(ctx.params[str(one.name)])
        for one in ctx.command.params
        if isinstance(one.type, click.Path) and one.name in ctx.params and one.name != first
        and isinstance(ctx.params[one.name], str)
    }  # fmt: skip
    for said in others.values():
        check_places(said)
    found = {name: paired(pictures, said) for name, said in others.items() if os.path.isdir(said) and name != OUTPUT}
    found |= {FOLDER: paired(pictures, folder)} if folder is not None else {}
    calls = [(one, _call(ctx.params, one, first, others, found, masks)) for one in pictures]
    _check_outputs(calls)
    return calls


def _call(
    params: dict[str, Any], picture: Input, first: str, others: dict[str, str], found: dict[str, Pairs],
    masks: click.Parameter | None,
) -> dict[str, Any] | UsageError:  # fmt: skip
    call = params | {first: picture.path}
    for name, said in others.items():
        if name in found:
            call[name] = str(found[name].found.get(picture.path, ""))
        else:
            call[name] = filled(mirrored(os.path.join(said, "{stem}.png") if is_folder(said) else said), picture)
    lacking = [name for name, pairs in found.items() if picture.path not in pairs.found]
    if lacking:
        what = "mask" if lacking[0] == FOLDER else f"partner in {others[lacking[0]]}"
        return UsageError(f"{picture.path} has no {what} of its name")
    if FOLDER in found and masks is not None:
        call[str(masks.name)] = (*call[str(masks.name)], str(found[FOLDER].found[picture.path]))
    return call


def _check_outputs(calls: Sequence[Call]) -> None:
    """Raises UsageError for a file that would be written twice; makes the folders of the others."""
    seen: dict[str, str] = {}
    for picture, call in calls:
        if not isinstance(call, dict) or not isinstance(output := call.get(OUTPUT), str):
            continue
        if other := seen.get(output):
            both = f"{other} and {picture.path} would both be written to {output}"
            raise UsageError(f"{both}; put {{stem}} into the name")
        seen[output] = picture.path
        Path(output).parent.mkdir(parents=True, exist_ok=True)


def _many(own: Callable[[click.Context], Any], ctx: click.Context, each: Sequence[Call], stop: bool) -> None:
    """Calls the command for each picture. Ends with exit code 1 if one failed."""
    failures: list[Line] = []
    as_json = bool(ctx.params.get("as_json"))
    for picture, call in each:
        if failures and stop:
            break
        if not as_json:
            echo(f"{picture.path}:")
        try:
            if isinstance(call, UsageError):
                raise call
            ctx.params = call
            own(ctx)
        except click.exceptions.Exit as end:
            if end.exit_code:
                failures.append({"file": picture.path, "kind": "Exit", "message": f"exit code {end.exit_code}"})
        except DiffusionTricksError as error:
            error.about = {"path": picture.path}
            say_error(error, as_json)
            failures.append(failure(picture.path, error))
    tell(failures, len(each))
    if failures:
        ctx.exit(1)
