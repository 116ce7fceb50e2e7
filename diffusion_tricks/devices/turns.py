"""Turns: runs in several threads may share a model, and one at a time has its pipeline for itself. No torch here.

Recording patches a pipeline and its denoiser, text encoders move, hooks are hung on: whoever does that, or calls what
it is done to, does so inside `with alone_with(pipe):`.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

DENOISERS = ("unet", "transformer")
_locks: WeakKeyDictionary[Any, AbstractContextManager[Any]] = WeakKeyDictionary()
_others = threading.RLock()  # of what cannot be referred to weakly, as stand-ins for pipelines
_choosing = threading.Lock()


def alone_with(pipe: Any) -> AbstractContextManager[Any]:
    """The lock of a pipeline, which its holder may take again; pipelines that share a denoiser share it.

    A stage that takes its texts from the one before it holds its own lock first, and never the other way round.
    """
    parts = (getattr(pipe, name, None) for name in DENOISERS)
    key = next((part for part in parts if part is not None), pipe)
    with _choosing:
        try:
            return _locks.setdefault(key, threading.RLock())
        except TypeError:
            return _others
