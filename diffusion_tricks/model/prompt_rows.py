"""Prompts that were encoded and batches of them, kept up to so many bytes: those used least lately go first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cachetools import LRUCache
from torch import Tensor

from diffusion_tricks.families.rows import Rows
from diffusion_tricks.types import Row

PROMPT_BYTES = 512 * 2**20  # of rows; FLUX has 4 MB of a prompt, SDXL a third of one
BATCH_BYTES = 64 * 2**20  # of batches, which hold their rows and what is put together of them; few are asked again
LEAST = 1024  # bytes that anything counts for
COPIES = 3  # of its rows that a batch may hold: they themselves, all of them as one, and again in parts

Key = tuple[str | None, Any]  # a prompt, and what else its row was recorded for


class PromptRows:
    """The denoiser's arguments for each prompt, and for each batch of prompts.

    latest: the batch that was used last, which is kept whatever its size.
    """

    def __init__(self) -> None:
        self.rows: LRUCache[Key, Row] = LRUCache(PROMPT_BYTES, bytes_of)
        self.batches: LRUCache[tuple[int, ...], Rows] = LRUCache(BATCH_BYTES, batch_bytes)
        self.latest: Rows | None = None

    def found(
        self, prompts: Sequence[str | None], of: Any, record: Callable[[list[str | None]], list[Row]]
    ) -> dict[str | None, Row]:
        """The row of each prompt; `record` gives those that are not known.

        of: what else they are recorded for. The unconditional, which most batches hold, counts as the last one used.
        """
        wanted = sorted(dict.fromkeys(prompts), key=lambda prompt: prompt is None)
        known = {prompt: row for prompt in wanted if (row := self.rows.get((prompt, of))) is not None}
        if missing := [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]:
            new = dict(zip(missing, record(missing), strict=True))
            known |= new
            for prompt in [prompt for prompt in wanted if prompt in new or prompt is None]:
                _keep(self.rows, (prompt, of), known[prompt])
        return {prompt: known[prompt] for prompt in prompts}

    def together(self, rows: Sequence[Row]) -> Rows:
        """Rows as one batch, put together once for all steps."""
        key = tuple(map(id, rows))  # the batch keeps them alive, so none is another's
        if self.latest is not None and tuple(map(id, self.latest)) == key:
            return self.latest
        batch = self.batches.get(key)
        if batch is None:
            batch = Rows(rows)
            _keep(self.batches, key, batch)
        self.latest = batch
        return batch

    def forget(self, least: int = 0) -> int:
        """Lets go of all but the batch that was used last, and gives how many bytes that were; none if less than least.

        What several batches hold counts each time.
        """
        used = set(map(id, self.latest or ()))
        rows = [key for key, row in self.rows.items() if id(row) not in used]
        batches = [key for key, batch in self.batches.items() if batch is not self.latest]
        freed = sum(bytes_of(self.rows[key]) for key in rows) + sum(batch_bytes(self.batches[key]) for key in batches)
        if freed < least:
            return 0
        for old in rows:
            del self.rows[old]
        for each in batches:
            del self.batches[each]
        return freed


def _keep(kept: LRUCache[Any, Any], key: Any, value: Any) -> None:
    with suppress(ValueError):  # larger than all that may be kept
        kept[key] = value


def bytes_of(value: Any) -> int:
    """What recorded arguments hold in memory, at least LEAST; of a slice that is the whole it keeps alive."""
    storages = (tensor.untyped_storage() for tensor in _tensors(value))
    return max(LEAST, sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()))


def batch_bytes(rows: Rows) -> int:
    """What a batch may come to hold; a row that stands in it twice is put together twice."""
    return COPIES * sum(map(bytes_of, rows))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(one)
