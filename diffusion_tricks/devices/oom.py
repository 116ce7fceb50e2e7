"""Whether an error says that memory is full. No torch here."""

from __future__ import annotations

FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of the CPU, of CUDA and MPS, of CUDA's libraries


def memory_is_full(error: Exception) -> bool:
    """Whether an error says so; torch's class is known by name here, and on the CPU it has none."""
    by_class = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_class or (isinstance(error, RuntimeError) and any(words in str(error) for words in FULL))
