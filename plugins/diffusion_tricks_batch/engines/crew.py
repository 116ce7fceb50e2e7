"""Actors of Ray that are workers: begun, given groups, asked, and dismissed. Ray's errors end here. No torch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from diffusion_tricks.plugin import DiffusionTricksError
from diffusion_tricks_batch.engines.away import Away, Orders
from diffusion_tricks_batch.engines.cluster import Share
from diffusion_tricks_batch.groups import Group

GOODBYE = 2.0  # seconds that workers have to remove what they wrote for themselves
AT_ONCE = 3  # calls of one worker: one waits for outcomes, the others bring groups and fetch them back

DEAD, GUESSES, LONGEST = "The actor is dead because", " Some common causes", 300  # in Ray's words, and letters of them


class Lost(Exception):
    """A worker is no more; says why."""


class Crew:
    """Workers on a cluster. Each answer is something to be waited for, then told; what is told raises Lost.

    ray: the library, connected. share: that each worker asks for. orders: that each is given.
    """

    def __init__(self, ray: Any, share: Share, orders: Orders):
        self.ray = ray
        self._orders = ray.put(orders)
        self._kind = ray.remote(Away).options(
            num_cpus=share.cpus, num_gpus=share.gpus, max_concurrency=AT_ONCE, scheduling_strategy="SPREAD"
        )

    def begin(self, number: int) -> tuple[Any, Any]:
        """A worker, and the answer that tells its name once there is room for it."""
        actor = self._kind.remote(self._orders)
        return actor, actor.ready.remote(number)

    def sees(self, actor: Any, path: str, mark: str) -> bool:
        """See `Away.sees`. Raises Lost."""
        return bool(self.told(actor.sees.remote(path, mark)))

    def give(self, actor: Any, group: Group) -> None:
        """A group; should it not arrive, nor will what is asked next."""
        actor.take.remote(group)

    def back(self, actor: Any, number: int) -> bool:
        """See `Away.back`. Raises Lost."""
        return bool(self.told(actor.back.remote(number)))

    def ask(self, actor: Any) -> Any:
        """The answer that tells outcomes once there are any."""
        return actor.more.remote()

    def answered(self, answers: Sequence[Any], seconds: float) -> list[Any]:
        """Those that are there; waits so long for the first."""
        self.ray.wait(list(answers), num_returns=1, timeout=seconds)
        return list(self.ray.wait(list(answers), num_returns=len(answers), timeout=0)[0])

    def told(self, answer: Any) -> Any:
        """What a worker answers. Raises Lost, and what the project's own code on it raises."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(answer)
        except errors.RayTaskError as error:
            if isinstance(error.cause, DiffusionTricksError):
                raise error.cause from None
            raise Lost(f"{type(error.cause).__name__}: {error.cause}") from error
        except errors.RayError as error:
            raise Lost(in_short(str(error))) from error

    def dismiss(self, actors: Sequence[Any]) -> None:
        """Ends workers, whatever they do."""
        if actors:
            goodbyes = [actor.leave.remote() for actor in actors]
            self.ray.wait(goodbyes, num_returns=len(goodbyes), timeout=GOODBYE)
        for actor in actors:
            self.kill(actor)

    def kill(self, actor: Any) -> None:
        """Ends a worker, if there still is one."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(actor)


def in_short(text: str) -> str:
    """Of what Ray says about a death, why it was."""
    text = " ".join(text.split())
    return text[max(text.find(DEAD), 0) :].partition(GUESSES)[0][:LONGEST].rstrip(" .")
