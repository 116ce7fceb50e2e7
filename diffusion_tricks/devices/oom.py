"""Whether an error says that memory is full, and what becomes of those that do not. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusion_tricks.errors import DiffusionTricksError

FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of the CPU, of CUDA and MPS, of CUDA's libraries


def memory_is_full(error: Exception) -> bool:
    """Whether an error says so; torch's class is known by name here, and on the CPU it has none."""
    by_class = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_class or (isinstance(error, RuntimeError) and any(words in str(error) for words in FULL))


@contextmanager
def explained(by: Callable[[Exception], DiffusionTricksError]) -> Iterator[None]:
    """What is raised inside, of whatever kind, becomes what `by` makes of it; our own errors and a full memory pass."""
    try:
        yield
    except DiffusionTricksError:
        raise
    except Exception as error:
        if memory_is_full(error):
            raise
        raise by(error) from error
