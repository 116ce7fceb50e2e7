"""What came of a job, as plain data that crosses from process to process. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffusion_tricks.plugin import OutOfMemory, OutputFailed

OF_NETWORKS = {"ConnectionError", "ConnectError", "Timeout", "TimeoutError", "TimeoutException"}  # whichever library's
BUSY = {429, 500, 502, 503, 504}  # what a server answers that may do better later


@dataclass(frozen=True)
class Failure:
    """Why a job could not be done. kind: name of the error."""

    kind: str
    message: str

    def data(self) -> dict[str, Any]:
        """As a line of the ledger says it."""
        return {"kind": self.kind, "message": self.message}


@dataclass(frozen=True)
class Outcome:
    """What came of one job.

    key: its id. worker: who worked on it. line: of the ledger, `done` or `failed`. failure: None where it was done.
    seconds: of denoising that it took. files: what is to be written here, by path, where its worker does not write.
    """

    key: str
    worker: str
    line: Mapping[str, Any]
    failure: Failure | None = None
    seconds: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def facts(self) -> Sequence[Mapping[str, Any]]:
        """Of each picture that was made."""
        facts: Sequence[Mapping[str, Any]] = self.line.get("facts", ())
        return facts


def failure_of(error: BaseException) -> Failure:
    """An error as data."""
    return Failure(type(error).__name__, str(error) or type(error).__name__)


def passes(error: BaseException) -> bool:
    """Whether another try may mend what an error, or one that it came from, says: of memory, disk or network."""
    return any(isinstance(one, OutOfMemory | OutputFailed) or _of_a_network(one) for one in _causes(error))


def _of_a_network(error: BaseException) -> bool:
    named = {kind.__name__ for kind in type(error).__mro__}
    return bool(named & OF_NETWORKS) or getattr(getattr(error, "response", None), "status_code", None) in BUSY


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
