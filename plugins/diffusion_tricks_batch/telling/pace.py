"""How fast pictures come, of late. No torch here."""

from __future__ import annotations

from collections import deque

WINDOW = 120.0  # seconds that count, and the last change whatever its age


class Pace:
    """Pictures a second over the last `WINDOW` seconds. began: when the first of them was begun, in seconds.

    Pictures of a batch come at once: what counts is the time from the last of one second to the last of another.
    """

    def __init__(self, began: float):
        self.pictures = 0
        self._marks = deque([(began, 0)])

    def add(self, at: float, pictures: int = 1) -> None:
        """Counts pictures that were there at this time, not before those counted already."""
        self.pictures += pictures
        if len(self._marks) > 1 and int(at) == int(self._marks[-1][0]):
            self._marks.pop()
        self._marks.append((at, self.pictures))
        while len(self._marks) > 2 and self._marks[1][0] < at - WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        """Pictures a second; None before there are any."""
        (began, before), (last, after) = self._marks[0], self._marks[-1]
        return (after - before) / (last - began) if after > before and last > began else None


def seconds_left(pictures: float, rate: float | None) -> float | None:
    """That so many pictures take; None where nothing says how long one does."""
    return 0.0 if pictures == 0 else pictures / rate if rate else None


def clock(seconds: float | None) -> str:
    """A time to be read, as 03:25 or 1:03:25; ? where it is not known."""
    from tqdm import tqdm

    return "?" if seconds is None else str(tqdm.format_interval(seconds))
