"""A Ray cluster: connected to, and shared out among workers. No torch here."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import current_thread
from typing import Any, TextIO
from urllib.parse import urlsplit

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_batch.how import How

# it would call home, and tell of every call that a dead worker does not answer
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
LOCAL, AUTO = "local", "auto"  # addresses: Ray on this machine alone; the cluster that this machine is part of
ADDRESS = "RAY_ADDRESS"  # the environment variable that Ray heeds, where no address is given, or auto
SCHEMES = ("", "ray")  # of addresses of a host and a port; others are those of Ray's plugins
REACH = 5.0  # seconds that a cluster has to answer in; Ray waits for two minutes, and then ends the process
CPUS = 4  # that one worker makes good use of, where there are no GPUs
STORE = 128 * 1024**2  # bytes of shared memory, on this machine alone: nothing but records is kept in it


@dataclass(frozen=True)
class Share:
    """What each worker asks for, and how many workers there are."""

    cpus: int
    gpus: int
    workers: int


def library() -> Any:
    """Ray. Raises UsageError where it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError("the engine ray needs Ray, which is not here: pip install 'diffusion-tricks[ray]'") from None
    return ray


def address_of(said: str | None) -> str | None:
    """The address of a cluster: in the place of none, and of auto, what `RAY_ADDRESS` says, as Ray takes it."""
    return os.environ.get(ADDRESS) or said if said in (None, AUTO) else said


def check_address(address: str) -> None:
    """Raises UsageError for what is no address of a cluster, and for one where nobody answers."""
    scheme, _, rest = address.rpartition("://")
    if address in (AUTO, LOCAL) or scheme not in (*SCHEMES, "http", "https"):
        return
    place = _place(rest)
    if place is None or scheme not in SCHEMES:
        raise UsageError(f"expected an `address` as auto, HOST:PORT or ray://HOST:PORT, got {address!r}"
                         f"{_said_by(address)}")  # fmt: skip
    try:
        socket.create_connection(place, REACH).close()
    except OSError as error:
        raise _nobody(address, error.strerror or error) from None


def _place(text: str) -> tuple[str, int] | None:
    """The host and the port of an address; None for what is none."""
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname, parts.port) if parts.hostname and parts.port else None
    except ValueError:
        return None


def _nobody(address: str, why: object) -> UsageError:
    return UsageError(
        f"no Ray cluster answers at `address={address!r}`{_said_by(address)}: {why}; give auto, HOST:PORT or "
        "ray://HOST:PORT of one that runs, or leave it away for this machine alone"
    )


def _said_by(address: str) -> str:
    return f", as {ADDRESS} says" if address == os.environ.get(ADDRESS) else ""


@contextlib.contextmanager
def connected(ray: Any, address: str | None) -> Iterator[None]:
    """While it lasts, this process is connected to a cluster; where it was before, it is so afterwards.

    address: None is this machine alone. Raises UsageError where there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    address = address or LOCAL
    alone = {"include_dashboard": False, "object_store_memory": STORE} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (ConnectionError, ValueError, ImportError, SystemExit) as error:
        raise _nobody(address, error) from None
    try:
        with contextlib.redirect_stdout(Own(sys.stdout)):
            yield
    finally:
        ray.shutdown()


class Own:
    """Standard output without what Ray's own threads say there, which is results only; Ray's logs have it as well."""

    def __init__(self, out: TextIO):
        self._out = out

    def write(self, text: str) -> int:
        """As the stream does, unless Ray says it."""
        return len(text) if current_thread().name.startswith("ray_") else self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def share_of(nodes: Sequence[Mapping[str, float]], how: How, workers: int | None) -> Share:
    """How a cluster is shared out: a GPU to each worker where there are any, else CPUs.

    nodes: what each has, as `CPU` and `GPU`. workers: how many; None is as many as there is room for.
    """
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus and how.device in ("auto", "cuda"):
        spare = all(node.get("CPU", 0) >= node.get("GPU", 0) for node in nodes)
        return Share(int(spare), 1, workers or gpus)
    have = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    if workers is None:
        each = min(CPUS, *have)
        return Share(each, 0, sum(cpus // each for cpus in have))
    room = (each for each in range(max(have), 0, -1) if sum(cpus // each for cpus in have) >= workers)
    return Share(next(room, 1), 0, workers)
