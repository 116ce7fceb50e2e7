"""Kills and full disks at every write: a file is what it was, or what it should become, and nothing else."""

from __future__ import annotations

import errno
import random
import resource
import shutil
import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack, chdir
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from unittest import mock

from PIL import Image

from command_line import Outcome, run
from faults.harness import FAILED, OK, Case, Harness, in_a_fork, judged
from faults.models import tiny
from faults.touches import killed, places

KILLS = Harness(
    "kills", "a file that was being written when all ended is as before, or whole", 40, 1000, lambda rng: _kills(rng)
)
FULL = Harness(
    "full disk", "where a file cannot be written it is as before, with a sentence, exit 1", 12, 120,
    lambda rng: _full(rng),
)  # fmt: skip
COVER = ["cover", "in.png", "--title", "x", "--seed", "1", "-o"]
FILM = "a film"
COMMANDS: dict[str, list[str]] = {
    "a new PNG": [*COVER, "new.png"],
    "a JPEG with its side-car": [*COVER, "old.jpg", "--force"],
    "a PNG in the place of another": [*COVER, "old.png", "--force"],
    "a recipe": [*COVER, "new.webp", "--save-recipe", "r.toml"],
    FILM: ["generate", "a", "--seed", "1", "--steps", "2", "-o", "new.png", "--steps-out", "new.gif"],
}
FORCED = ["--force"]
LINK, RENAME = "os.link", "diffusion_tricks.io.publish._renamed_exclusively"
LACKING = {"": [], " without hard links": [LINK], " without hard links or exclusive renames": [LINK, RENAME]}
Files = dict[str, bytes]


def _kills(rng: random.Random) -> Iterator[Case]:
    cases = [
        (f"{command}{name}, at {place}", partial(wrong_after_a_kill, command, lacking, place))
        for command in COMMANDS
        for name, lacking in LACKING.items()
        if not lacking or "--force" not in COMMANDS[command]
        for place in places_of(command, lacking)
    ]
    rng.shuffle(cases)
    yield from cases


def _full(rng: random.Random) -> Iterator[Case]:
    while True:
        command, room = rng.choice(list(COMMANDS)), rng.choice((0, 1, 50, 200))
        yield f"{command}, {room} bytes", partial(_refused, command, room)


@cache
def before() -> Path:
    """A folder with a picture to work on, and outputs that are there already; from then on there is a model, too."""
    tiny()
    folder = Path(mkdtemp())
    with chdir(folder):
        Image.linear_gradient("L").resize((48, 48)).convert("RGB").save("in.png")
        for name in ("old.png", "old.jpg"):
            run("cover", "in.png", "--title", "before", "--seed", "1", "-o", name)
    return folder


@cache
def after(command: str) -> Files:
    """What the files become where nothing happens."""
    folder = shutil.copytree(before(), Path(mkdtemp()) / "after")
    with chdir(folder):
        _made(command)
    return held(folder)


def held(folder: Path) -> Files:
    """What stands in each file that a user sees."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def _made(command: str, lacking: Collection[str] = (), more: Collection[str] = ()) -> Outcome:
    """Runs a command, where the file system lacks something."""
    with ExitStack() as patched:
        for name in lacking:
            patched.enter_context(mock.patch(name, side_effect=OSError(errno.EPERM, "Operation not permitted")))
        return run(*COMMANDS[command], *(["-m", tiny()] if command == FILM else []), *more)


def places_of(command: str, lacking: Collection[str]) -> range:
    """Where a command can be killed."""
    with chdir(shutil.copytree(before(), Path(mkdtemp()) / "counted")):
        return range(places(partial(_made, command, lacking)))


def wrong_after_a_kill(command: str, lacking: Collection[str], at: int) -> str | None:
    """What is wrong, in an empty folder, when a command was killed at a place and given again."""
    whole = after(command)
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    if wrong := killed(partial(_made, command, lacking), at) or _partial(whole):
        return wrong
    return judged(_made(command, lacking, FORCED), [OK])


def _partial(whole: Files) -> str | None:
    """What of the files is neither as before nor as it should become."""
    was, is_now = held(before()), held(Path())
    if odd := [name for name, data in is_now.items() if data not in (was.get(name), whole.get(name))]:
        return f"neither as before nor whole: {', '.join(odd)}"
    lost = was.keys() - is_now.keys()
    return f"lost: {', '.join(lost)}" if lost else None


def _refused(command: str, room: int) -> str | None:
    whole = after(command)
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    code, wrong = in_a_fork(partial(_in_little_room, command, room))
    return wrong or (f"it ended with {code}" if code else _partial(whole))


def _in_little_room(command: str, room: int) -> str:
    """What is wrong with how a command ends that can write so many bytes to a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    return judged(_made(command), [FAILED]) or ""
