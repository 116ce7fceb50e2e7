"""What could not be done of many, told at the end. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from diffusion_tricks.io.journal import Line
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags

LISTED = 20  # failures that are told again at the end


def failure(name: str, error: Exception) -> Line:
    """A failure as data: the file, its kind and why."""
    return {"file": name, "kind": type(error).__name__, "message": in_flags(str(error))}


def tell(failures: Sequence[Line], of: int, where: str = "") -> None:
    """The failures on stderr, a line each, as far as they are not too many. where: the file that holds them all."""
    if not failures:
        return
    echo(f"{len(failures)} of {of} failed{f', as listed in {where}' if where else ''}:", err=True)
    for line in failures[:LISTED]:
        echo(f"  {line['file']}  {line['kind']}: {line['message']}", err=True)
    if len(failures) > LISTED:
        echo(f"  and {len(failures) - LISTED} more", err=True)
