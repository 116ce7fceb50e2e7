"""The engine that works in this process. No torch here until it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from diffusion_tricks_batch.engines.deaths import deaths, died_of
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.groups import Group, but
from diffusion_tricks_batch.outcome import Outcome


class Inline:
    """One worker, here. Groups that an earlier process has ended at come last, each by itself."""

    def __init__(self, site: Site):
        self.site = site
        self.groups = deque[Group]()
        self.feared = deque[Group]()
        self._deaths = deaths(site.ledger)

    def submit(self, group: Group) -> None:
        """Puts it behind the others."""
        feared = any(self._deaths[item.key] for item in group.items if item.make)
        (self.feared if feared else self.groups).append(group)

    def results(self) -> Iterator[Outcome]:
        """As the worker finishes them."""
        from diffusion_tricks_batch.work import Worker

        worker = Worker(self.site.how, self.site.ledger, self.site.name)
        yield from worker.outcomes(self._waiting())
        while self.feared:
            group = self.feared.popleft()
            died = died_of(group, self._deaths, self.site)
            yield from died
            left = but(group, {outcome.key for outcome in died})
            if any(item.make for item in left.items):
                yield from worker.outcomes([left])

    def _waiting(self) -> Iterator[Group]:
        while self.groups:
            yield self.groups.popleft()

    def close(self) -> None:
        """Forgets what waits."""
        self.groups.clear()
        self.feared.clear()
