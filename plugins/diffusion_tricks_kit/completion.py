"""The script by which a shell asks the program what may come next, and how it is switched on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from diffusion_tricks.plugin import OutputError, UsageError, atomic_write

MARK = "# completion of diffusion-tricks"
COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n"


@dataclass(frozen=True)
class Place:
    """Where a shell looks: the script, and the file that must load it, where the shell does not by itself."""

    script: str
    loaded_by: str | None = None


PLACES: Mapping[str, Place] = {
    "bash": Place(".local/share/diffusion-tricks/completion.bash", ".bashrc"),
    "zsh": Place(".local/share/diffusion-tricks/completion.zsh", ".zshrc"),
    "fish": Place(".config/fish/completions/diffusion-tricks.fish"),
}


def script(shell: str, program: click.Command, name: str) -> str:
    """The text that a shell loads.

    program: the whole command line. name: what it is called.
    Raises UsageError for a shell that is not known or too old.
    """
    kind = get_completion_class(shell)
    if kind is None or shell not in PLACES:
        raise UsageError(f"expected a shell among {', '.join(PLACES)}, got {shell!r}")
    try:
        text = kind(program, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source()
    except RuntimeError as error:  # of a bash before 4.4
        raise UsageError(str(error)) from None
    return (COMPINIT if shell == "zsh" else "") + text


def install(shell: str, text: str, home: Path) -> list[Path]:
    """Puts a shell's script in its place, and one line that loads it where that is needed; gives the files it wrote.

    Done again it brings the script up to date and adds no line. Raises OutputError for what cannot be written.
    """
    place = PLACES[shell]
    file = home / place.script
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, text.encode(), force=True, inputs=())
        written = [file]
        if place.loaded_by is not None and _added(
            home / place.loaded_by, f'. "$HOME/{place.script}" 2> /dev/null  {MARK}'
        ):
            written.append(home / place.loaded_by)
    except OSError as error:
        raise OutputError(f"{error.filename or file} cannot be written: {error.strerror or error}") from None
    return written


def _added(file: Path, line: str) -> bool:
    """Whether a line was added at the end, as none with the mark was there."""
    before = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
    if MARK in before:
        return False
    with file.open("a", encoding="utf-8") as more:
        more.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
    return True


def shell_here() -> str:
    """The name of the shell of the one who is logged in. Raises UsageError where that is not known."""
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in PLACES:
        raise UsageError(f"which shell is meant is not known here; name it: {', '.join(PLACES)}")
    return shell
