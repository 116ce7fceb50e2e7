"""A line on a terminal in whose place the next is written: a bar, what is being done, and the time left.

tqdm draws it; no bar of tqdm's is kept open, as those of downloads would give way to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import IO

METER = "[{bar:24}] {desc}  {remaining} left"


class Line:
    """The last line of a stream, which is a terminal."""

    def __init__(self, stream: IO[str]):
        self.stream = stream
        self._print: Callable[[str], None] | None = None

    def show(self, text: str) -> None:
        """Puts `text` in the place of what was shown before, as much of it as the terminal is wide."""
        from tqdm import tqdm  # here, as most runs of a command show nothing

        self._print = self._print or tqdm.status_printer(self.stream)
        self._print(text[: shutil.get_terminal_size().columns - 1])

    def clear(self) -> None:
        """Leaves the line empty, for something else to be printed in it."""
        if self._print:
            self.show("")
            self.stream.write("\r")
            self.stream.flush()


def meter(share: float, seconds: float, text: str) -> str:
    """A bar with `text` and the time left. share: of the work that is done, 0 to 1; seconds: since it began.

    >>> meter(0.25, 2.0, "step 5/20  rows 4")
    '[######                  ] step 5/20  rows 4  00:06 left'
    """
    from tqdm import tqdm

    line: str = tqdm.format_meter(min(share, 1.0), 1, seconds, ascii=" #", bar_format=METER, prefix=text)
    return line
