"""The engine that works in this process. No torch here until it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.outcome import Outcome


class Inline:
    """One worker, here."""

    def __init__(self, site: Site):
        self.site = site
        self.groups = deque[Group]()

    def submit(self, group: Group) -> None:
        """Puts it behind the others."""
        self.groups.append(group)

    def results(self) -> Iterator[Outcome]:
        """As the worker finishes them."""
        from diffusion_tricks_batch.work import Worker

        yield from Worker(self.site.how, self.site.ledger, "here").outcomes(self._waiting())

    def _waiting(self) -> Iterator[Group]:
        while self.groups:
            yield self.groups.popleft()

    def close(self) -> None:
        """Forgets what waits."""
        self.groups.clear()
