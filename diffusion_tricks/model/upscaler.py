"""The stage that may stand behind a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from diffusion_tricks.devices.memory import Memory
from diffusion_tricks.types import Pipeline

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults
    from diffusion_tricks.model.model import Model, Second


@dataclass
class Upscaler:
    """The stage that a model may have behind it; its weights are loaded when they are first asked for.

    name: of the model it is. load: gives its pipeline, on the base model's device, where memory is saved as it is told.
    defaults: of its runs. follows: gives what may stand behind it in turn. revision: the commit it is of, where it was
    loaded from the hub.
    """

    name: str
    load: Callable[[Memory], Pipeline]
    defaults: Defaults
    follows: Callable[[], Second | None] = field(default=lambda: None, repr=False)
    revision: str | None = None
    _pipe: Pipeline = field(default=None, repr=False)
    _memory: Memory | None = field(default=None, repr=False)
    _behind: WeakValueDictionary[Any, Model] = field(default_factory=WeakValueDictionary, repr=False, compare=False)

    @cached_property
    def second(self) -> Second | None:
        """The stage behind this one, not yet loaded."""
        return self.follows()

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The upscaler as the model that follows `base`; runs at a time share it.

        Raises ModelError for a pipeline that cannot be one.
        """
        level = self.defaults.noise_level if noise_level is None else noise_level
        key = id(base), level  # the model keeps its base alive, so none is another's
        model = self._behind.get(key)
        if model is None:
            model = self._behind[key] = self._opened(base, level)
        return model

    def _opened(self, base: Model, level: int | None) -> Model:
        from diffusion_tricks.families.base import parts_of
        from diffusion_tricks.families.lookup import upscaler_described
        from diffusion_tricks.families.open import opened
        from diffusion_tricks.model.model import Model

        if self._pipe is None or self._memory is None:
            self._memory = Memory(base.memory.mode, channels_last=base.memory.channels_last)
            self._pipe = self.load(self._memory)
        row = upscaler_described(self.name, type(self._pipe).__name__, parts_of(self._pipe))
        family = opened(row)(self._pipe, base, level)  # type: ignore[call-arg]
        return Model(
            self._pipe, self.name, base.device, base.dtype, self.defaults, self.revision, self.second,
            memory=self._memory, opened=family,
        )  # fmt: skip
