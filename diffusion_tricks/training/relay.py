"""A training that goes on for days beside other work: one command starts it or goes on with it, and returns at once.

    python -m diffusion_tricks.training.relay --drawings drawings.npz      starts, or goes on where the last one stopped
    python -m diffusion_tricks.training.relay --status
    python -m diffusion_tricks.training.relay --stop                       saves, and ends; the first command goes on

It runs at the lowest priority, in a session of its own, from a copy of the code, in a folder outside the repository:

HOME/training/      the training (`folder.py`), which any command takes as a model
HOME/relay.log      what it said          HOME/relay.pid, *.lock         which process it is
HOME/code/          the code it runs      HOME/compiled/                 what torch.compile keeps
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.hosting.host import BUILT_IN
from diffusion_tricks.training import checkpoints, folder, replaced
from diffusion_tricks.training.interrupts import Interrupted
from diffusion_tricks.training.options import TrainOptions, check_looked_at, options_from
from diffusion_tricks.training.relay_status import status

HOME = Path.home() / ".diffusion-tricks" / "relay"
PACKAGES = ("diffusion_tricks", *BUILT_IN)
PATIENCE = 600.0  # seconds that a step and its saving get, compiling included
PRESET = "emoji-relay"


class Relay:
    """The long training in a folder."""

    def __init__(self, home: Path):
        self.home, self.training = home, home / "training"
        self.log, self.pid = home / "relay.log", home / "relay.pid"

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(checkpoints.kept(self.training))

    @contextlib.contextmanager
    def lock(self, name: str = "relay.lock") -> Iterator[None]:
        """Held by the process that trains, and by nobody once it is dead. Raises UsageError where another has it."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / name).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(f"the relay in {self.home} is running; see its status, or stop it first") from None
            yield

    @property
    def running(self) -> bool:
        """Whether a process trains now."""
        try:
            with self.lock():
                return False
        except UsageError:
            return True

    def start(self, options: Mapping[str, Any], nice: int) -> int:
        """Starts the process that trains, at this niceness, and gives its number. Raises UsageError if one runs."""
        with self.lock("start.lock"):
            with self.lock():
                code = copied_code(self.home / "code")
            started = self._started(code, options, nice)
            while not self.running:
                if started.poll() is not None:
                    raise UsageError(f"the training ended at once; {self.log} says why")
                time.sleep(0.1)
        return started.pid

    def _started(self, code: Path, options: Mapping[str, Any], nice: int) -> subprocess.Popen[bytes]:
        """The process that trains, of the code in a folder."""
        compiled = str(self.home / "compiled")
        environment = os.environ | {"PYTHONPATH": str(code), "TORCHINDUCTOR_CACHE_DIR": compiled}
        environment.pop("OMP_NUM_THREADS", None)
        work = ["--home", str(self.home), "--nice", str(nice), "--work", json.dumps(dict(options))]
        command = [sys.executable, "-m", "diffusion_tricks.training.relay", *work]
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                command, cwd=self.home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.pid.write_text(str(started.pid))
        return started

    def stop(self) -> bool:
        """Asks the process to save and end, and waits; False where none ran. Raises UsageError if it does not end."""
        if not self.running:
            return False
        os.kill(int(self.pid.read_text()), signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while self.running:
            if time.monotonic() > until:
                raise UsageError(f"the relay still runs after {PATIENCE:.0f} s; see {self.log}")
            time.sleep(0.2)
        return True

    def work(self, options: Mapping[str, Any], nice: int) -> None:
        """Trains, in this process, from the last whole checkpoint or from the start."""
        from diffusion_tricks.training.run import resume, train

        with self.lock():
            give_way(nice)
            for damaged in checkpoints.set_aside_damaged(self.training):
                print(f"{damaged} is damaged, and is left out", flush=True)
            if self.begun:
                resume(self.training, options)
            else:
                fresh = {"out": str(self.training), **options}
                train(options_from(fresh, PRESET), force=(self.training / replaced.OPTIONS).is_file())


def copied_code(place: Path) -> Path:
    """A copy of the packages as they are now, without weights, so that work on them does not touch what runs."""
    shutil.rmtree(place, ignore_errors=True)
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        leave = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(Path(found.origin).parent, place / name, ignore=leave)
    return place


def give_way(nice: int) -> None:
    """Sets how nice this process is, and so its session: Linux weighs sessions by theirs alone, see sched(7)."""
    os.nice(nice - os.nice(0))
    with contextlib.suppress(OSError):  # not everywhere, and not too often
        Path("/proc/self/autogroup").write_text(str(nice))


def cooling(options: TrainOptions, rows: list[dict[str, Any]], hours: float) -> dict[str, Any]:
    """Options with which the rate falls to 0 within so many hours at the last speed, and the training then ends."""
    if not rows:
        raise UsageError("nothing is measured yet from which to tell how long a step takes; cool down later")
    step = int(rows[-1]["step"])
    more = max(1, round(hours * 3600 * rows[-1]["images_per_second"] / options.batch / options.processes))
    return {"steps": step + more, "cool_down": more / (step + more)}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=HOME, help="outside any repository; default: %(default)s")
    parser.add_argument("--drawings", type=Path, help="what `diffusion_tricks.training.data.sets` wrote; to begin with")
    parser.add_argument("--from", dest="start_from", type=Path, help="a model directory whose weights to begin with")
    parser.add_argument("--seen", type=int, help="pictures that those weights have seen")
    parser.add_argument("--pictures", type=int, help="how many it is to see in all; may grow later")
    parser.add_argument("--things", type=int, help="how many things it learns; may grow later")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other option of train")
    parser.add_argument("--nice", type=int, default=19, help="19 gives way to all other work, 0 to none")
    parser.add_argument("--cool-down", type=float, metavar="HOURS", help="end within so many hours, the rate falling")
    parser.add_argument("--status", action="store_true", help="how far it is")
    parser.add_argument("--stop", action="store_true", help="save, and end")
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def changes(given: argparse.Namespace, relay: Relay) -> dict[str, Any]:
    """The options that the command line gives, for a training that begins or goes on. Raises UsageError."""
    asked: dict[str, Any] = {"things": given.things, "seen_before": given.seen}
    asked |= {"data": given.drawings and str(given.drawings.resolve())}
    asked |= {"start_from": given.start_from and str(given.start_from.resolve())}
    known = folder.noted_options(relay.training) if relay.begun else options_from({}, PRESET)
    if given.pictures is not None:
        asked["steps"] = given.pictures // (known.batch * known.processes)
    if given.cool_down is not None:
        asked |= cooling(known, folder.metrics(relay.training), given.cool_down)
    asked |= dict(pair.split("=", 1) for pair in given.set)
    asked = {name: value for name, value in asked.items() if value is not None}
    read = options_from(asked, PRESET)  # what is wrong is said here, not in a log
    asked = {name: getattr(read, name) for name in asked}
    check_looked_at(known.model_copy(update=asked), among=asked)
    return asked


def main(argv: list[str] | None = None) -> int:
    """Starts, goes on, stops or says how far it is."""
    given = arguments(argv)
    relay = Relay(given.home.expanduser().resolve())
    try:
        if given.work is not None:
            relay.work(given.work, given.nice)
        elif given.status:
            print(status(relay.home, relay.running), flush=True)
        elif given.stop:
            print("stopped and saved" if relay.stop() else "it was not running")
        else:
            print(f"process {relay.start(changes(given, relay), given.nice)} trains in {relay.home}")
    except BrokenPipeError:  # who reads the status, as `head` does, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Interrupted as stopped:
        print(stopped)
    except DiffusionTricksError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
