"""Recorded rows: the denoiser's arguments for one prompt each, taken apart and put together to batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.types import Row


def row_of(arguments: Row, i: int, n: int) -> Row:
    """Row i of every tensor and list with n rows; all else as it is."""
    return {key: _picked(value, i, n) for key, value in arguments.items()}


def _picked(value: Any, i: int, n: int) -> Any:
    if isinstance(value, Tensor) and value.ndim and len(value) == n:
        return value[i : i + 1]
    if isinstance(value, list) and len(value) == n:
        return value[i : i + 1]
    if isinstance(value, dict):
        return row_of(value, i, n)
    return value


class Rows(Sequence[Row]):
    """Recorded rows that are asked again in every step: what is made of them is made once."""

    def __init__(self, rows: Iterable[Row]):
        self._rows = tuple(rows)
        self._parts: dict[tuple[int, ...], Rows] = {}
        self._stacked: dict[frozenset[str], Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]

    def at(self, places: Sequence[int]) -> Rows:
        """Some of the rows, in that order."""
        key = tuple(places)
        if key == tuple(range(len(self))):
            return self
        if key not in self._parts:
            self._parts[key] = Rows(self._rows[i] for i in key)
        return self._parts[key]

    @cached_property
    def kinds(self) -> list[list[int]]:
        """The places of rows whose tensors have the same shapes, and so go into one call; a list for each kind."""
        found: dict[Any, list[int]] = {}
        for i, row in enumerate(self._rows):
            found.setdefault(_kind(row), []).append(i)
        return list(found.values())

    def stacked(self, without: frozenset[str]) -> Row:
        """The rows as one batch; its dictionaries and lists are the caller's own, as networks take from them."""
        if without not in self._stacked:
            self._stacked[without] = _stacked(self._rows, without)
        own: Row = _own(self._stacked[without])
        return own


def stacked(rows: Sequence[Row], without: frozenset[str] = frozenset()) -> Row:
    """Rows back to one batch, without the arguments of those names."""
    return rows.stacked(without) if isinstance(rows, Rows) else _stacked(rows, without)


def _stacked(rows: Sequence[Row], without: frozenset[str] = frozenset()) -> Row:
    return {key: _joined([row[key] for row in rows]) for key in rows[0] if key not in without}


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values) if values[0].ndim and len(values) > 1 else values[0]
    if isinstance(values[0], list):
        return [one for value in values for one in value]
    if isinstance(values[0], dict):
        return _stacked(values)
    return values[0]


def _own(value: Any) -> Any:
    """The same tensors in dictionaries and lists of their own."""
    if isinstance(value, dict):
        return {key: _own(one) for key, one in value.items()}
    return list(value) if isinstance(value, list) else value


def _kind(row: Row) -> Any:
    """Equal for rows whose tensors have the same shapes, and so can be stacked."""
    return tuple((key, _shape(value)) for key, value in row.items())


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape
    return _kind(value) if isinstance(value, dict) else None
