"""Ctrl-C, told from a KeyboardInterrupt that a plugin raises. No torch here."""

from __future__ import annotations

import dis

RAISE = dis.opmap["RAISE_VARARGS"]


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is Ctrl-C, which comes in at any instruction, and no KeyboardInterrupt that a plugin raises."""
    if not isinstance(error, KeyboardInterrupt) or error.__traceback__ is None:
        return False
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return last.tb_frame.f_code.co_code[last.tb_lasti] != RAISE
