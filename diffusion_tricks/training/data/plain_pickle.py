"""Pickles that hold nothing but plain data and arrays of bytes, read without running what they say.

A pickle is a program: it may name any function and call it. Here only the operations that build plain data are
allowed, and the three names with which NumPy writes an array stand for harmless stand-ins of ours.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np

from diffusion_tricks.errors import UsageError

PLAIN = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
    "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM",
    "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE",
    "BUILD",
}  # fmt: skip
MEMO = {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}  # operations whose number takes memory


class Bytes:
    """Stands in for a NumPy array while a pickle is read; only one of unsigned bytes is one."""

    def __init__(self, *ignored: object):
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, column_major, data = state
        flat = np.frombuffer(data, kind.kind)
        self.array = flat.reshape(tuple(shape), order="F" if column_major else "C").copy()


class Kind:
    """Stands in for NumPy's dtype."""

    def __init__(self, kind: Any, *ignored: object):
        name = kind.decode() if isinstance(kind, bytes) else kind
        if name not in {"u1", "|u1"}:
            raise pickle.UnpicklingError(f"an array of {name!r}")
        self.kind = "u1"

    def __setstate__(self, state: object) -> None:
        """What is said of the order of bytes means nothing for one byte."""


def _array(*ignored: object) -> Bytes:
    return Bytes()


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding not in {"latin1", b"latin1"}:
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): Kind,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return STAND_INS[module, name]


def plain_pickle(data: bytes, where: object) -> dict[str, Any]:
    """The dictionary that a pickle holds: numbers, texts, bytes, lists, and arrays of bytes; its keys as text.

    data: the pickle.  where: what it is called in messages. Nothing that it names is imported, nothing it says is run.
    Raises UsageError for one that is damaged, or holds anything else.
    """
    try:
        _check(data)
        held = _Reader(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle may fail in as many ways as a program
        raise UsageError(
            f"{where} is no plain pickle of pictures, it has {error}; nothing in it was run, get another copy of it"
        ) from None
    if not isinstance(held, dict):
        raise UsageError(f"{where}: expected a pickled dictionary, got {type(held).__name__}")
    return {_text(key): value.array if isinstance(value, Bytes) else value for key, value in held.items()}


def _check(data: bytes) -> None:
    """Raises UnpicklingError for an operation that plain data has no need of."""
    for operation, argument, _ in pickletools.genops(data):
        if operation.name not in PLAIN:
            raise pickle.UnpicklingError(f"the operation {operation.name}")
        if operation.name in MEMO and not 0 <= int(argument or 0) <= len(data):
            raise pickle.UnpicklingError(f"a memo numbered {argument}")


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
