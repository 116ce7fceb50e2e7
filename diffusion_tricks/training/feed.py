"""Batches drawn ahead, in threads, while the network computes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from diffusion_tricks.training.data.stream import Batch, Stream


def batches(stream: Stream, workers: int) -> Iterator[Batch]:
    """The batches of a stream from its position on, the same whatever `workers` is; 0 draws none ahead."""
    if workers == 0:
        yield from stream
        return
    streams = [replace(stream) for _ in range(workers)]  # a batch depends on its position alone

    def drawn(position: int) -> Batch:
        own = streams[position % workers]
        own.position = position
        return own.next()

    with ThreadPoolExecutor(workers) as pool:
        position = stream.position
        pending: list[Future[Batch]] = [pool.submit(drawn, position + i) for i in range(workers)]
        while True:
            batch = pending.pop(0).result()
            pending.append(pool.submit(drawn, position + workers))
            position += 1
            yield batch
