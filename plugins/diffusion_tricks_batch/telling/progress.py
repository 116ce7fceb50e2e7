"""What is told while a batch runs: on a terminal, lines that are drawn anew; elsewhere, a line a minute. No torch here.

Rates are of late; what was kept from an earlier run does not count as speed.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Self

from diffusion_tricks_batch.telling.pace import Pace, clock, seconds_left

if TYPE_CHECKING:
    from diffusion_tricks_batch.outcome import Outcome
    from diffusion_tricks_batch.plan import Ready

MINUTE, BLINK = 60.0, 0.5  # seconds from line to line: in a file, on a terminal
Tell = Callable[["Outcome"], None]
Begin = Callable[["Ready"], Tell]
METER = "[{bar:24}] {desc}"
UP, ANEW = "\x1b[{}A", "\r\x1b[J"  # so many lines; and what empties the rest of the screen


class Progress:
    """Tells on a stream how a batch goes on, until it is closed; a context.

    Its `begin` is what `batch` asks for. shown: whether it tells at all. now: the time in seconds, which only grows.
    """

    def __init__(self, stream: IO[str], *, shown: bool = True, now: Callable[[], float] = time.monotonic):
        self.stream, self.shown, self.now = stream, shown, now
        self.board = Board(stream) if shown and stream.isatty() else None
        self.state: State | None = None
        self._lock, self._over = threading.Lock(), threading.Event()
        self._beat = threading.Thread(target=self._told, daemon=True)

    def begin(self, ready: Ready) -> Tell:
        """Takes note of what there is to do, and begins to tell; gives what takes an outcome."""
        self.state = State(ready, self.now())
        if self.shown:
            self._beat.start()
        return self.take

    def beside(self, begin: Begin) -> Begin:
        """What `batch` asks for, where something else tells of each outcome too: that is printed above the lines."""

        def begun(ready: Ready) -> Tell:
            tell, take = begin(ready), self.begin(ready)

            def told(outcome: Outcome) -> None:
                with self.aside():
                    tell(outcome)
                take(outcome)

            return told

        return begun

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """While it lasts, the lines are empty, for something else to be printed."""
        with self._lock:
            if self.board:
                self.board.clear()
            yield

    def take(self, outcome: Outcome) -> None:
        """Counts what came of a job."""
        with self._lock:
            if self.state:
                self.state.take(outcome, self.now())

    def _told(self) -> None:
        while not self._over.wait(BLINK if self.board else MINUTE):
            with self._lock:
                self.show()

    def show(self) -> None:
        """Tells how it stands now."""
        if self.state is None:
            return
        if self.board:
            self.board.show(self.state.lines())
        else:
            print(self.state.line(), file=self.stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._beat.is_alive():
            self._beat.join()
        if self.board:
            self.board.clear()


class State:
    """How a batch stands. now: when it began, in seconds."""

    def __init__(self, ready: Ready, now: float):
        self.began = now
        making = {key for key, verdict in ready.verdicts.items() if not verdict.kept}
        self.pictures = {key: len(item.paths) for key, item in ready.items.items() if key in making}
        self.jobs, self.done, self.failed = len(ready.jobs), ready.kept, 0
        self.pace = Pace(now)
        self.workers: dict[str, Pace] = {}

    def take(self, outcome: Outcome, now: float) -> None:
        """Counts what came of a job at this time."""
        pictures = self.pictures.pop(outcome.key, 0)
        if outcome.failure:
            self.failed += 1
            return
        self.done += 1
        for pace in (self.pace, self.workers.setdefault(outcome.worker, Pace(self.began))):
            pace.add(now, pictures)

    def line(self) -> str:
        """All that counts, and what each of several workers has made, in a line."""
        return "; ".join([self.total(), *self.each()])

    def total(self) -> str:
        """All that counts, of all workers."""
        left = seconds_left(sum(self.pictures.values()), self.pace.rate)
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done}/{self.jobs} jobs{failed}, {speed(self.pace)}, {clock(left)} left"

    def each(self) -> list[str]:
        """What each worker has made, where there are several."""
        several = sorted(self.workers.items()) if len(self.workers) > 1 else ()
        return [f"{name}: {pace.pictures} made, {speed(pace)}" for name, pace in several]

    def lines(self) -> list[str]:
        """A bar, and where there are several workers, a line for each."""
        from tqdm import tqdm

        ended = min(self.done + self.failed, self.jobs)
        bar = tqdm.format_meter(ended, self.jobs or 1, 0, ascii=" #", bar_format=METER, prefix=self.total())
        return [bar, *(f"  {one}" for one in self.each())]


def speed(pace: Pace) -> str:
    """As 2.31 pictures/s."""
    return f"{'?' if pace.rate is None else format(pace.rate, '.3g')} pictures/s"


class Board:
    """The last lines of a terminal, in whose place others are written."""

    def __init__(self, stream: IO[str]):
        self.stream, self.shown = stream, 1

    def show(self, lines: Sequence[str]) -> None:
        """Puts lines in the place of what was shown before, as many and as much of each as the terminal holds."""
        wide, high = shutil.get_terminal_size()
        lines = [line[: wide - 1] for line in lines[: max(1, high - 1)]]
        up = UP.format(self.shown - 1) if self.shown > 1 else ""
        self.stream.write(up + ANEW + "\n".join(lines))
        self.stream.flush()
        self.shown = max(1, len(lines))

    def clear(self) -> None:
        """Leaves the lines empty, for something else to be printed in them."""
        self.show([])
