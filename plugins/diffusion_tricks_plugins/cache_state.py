"""The step caches of diffusers for one run: what they keep is kept apart for all rows that are asked.

They were made for loops that ask the same rows in every step. Here rows change: guidance has an interval, views take
turns, memory cuts a call in parts. So every set of rows has a state of its own, and starts anew where it was not asked
in the step before. A fresh state computes all: so the true answer is always to be had, and other runs are left alone.

First-block arXiv:2411.19108; faster arXiv:2410.19355; pyramid arXiv:2408.12588.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from weakref import WeakSet

import torch
from torch import Tensor

from diffusion_tricks.plugin import Step
from diffusion_tricks_plugins.cache_hooks import CacheHooks

Method = Literal["first-block", "faster", "pyramid"]
METHODS: tuple[Method, ...] = get_args(Method)
TOLD = ("encoder_hidden_states", "cap_feats", "class_labels")  # arguments that say which rows are asked
MAY_SKIP, MUST_NOT, RANGE = 1, 3, (0, 2)  # stand for timesteps: whether to skip is decided here
ATTENTION = "attention evaluations"
_claimed: WeakSet[torch.nn.Module] = WeakSet()  # networks of runs with a cache that go on


@dataclass(frozen=True)
class Kind:
    """A cache of diffusers: the functions that hang it on a network, what it saves, and when it acts unless told.

    per_picture: it decides by what it sees, so a call must hold one row.
    """

    apply: str
    config: str
    saves: str
    start: float
    stop: float
    per_picture: bool = False


KINDS: dict[str, Kind] = {
    "first-block": Kind("apply_first_block_cache", "FirstBlockCacheConfig", "block evaluations", 0.0, 1.0, True),
    "faster": Kind("apply_faster_cache", "FasterCacheConfig", ATTENTION, 0.32, 1.0),
    "pyramid": Kind("apply_pyramid_attention_broadcast", "PyramidAttentionBroadcastConfig", ATTENTION, 0.2, 0.9),
}


@dataclass
class Kept:
    """What is kept for one set of rows: states of the hooks, the last input, and the step that was in (0: none)."""

    states: list[Any]
    x: Tensor
    told: list[Tensor]
    turn: int = 0


@dataclass
class Caches:
    """A cache on a network: `with caches(step):` around what is asked of it, and `take_off()` at the end.

    threshold: of first-block. every: of the others. interval: shares of the schedule in which it acts. targets: shares
    of the schedule after each of which one step is measured against the true answer. saved of evaluations: so far.
    errors: relative RMS of the network's answers, one for each step measured. finished: the last step was asked.

    It is callable, which also keeps it out of what is noted of a step to take it again; that starts anew here.
    """

    network: torch.nn.Module
    method: Method
    threshold: float
    every: int
    interval: tuple[float, float]
    targets: list[float]
    evaluations: int = 0
    saved: int = 0
    errors: list[Tensor] = field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        self._hooks: CacheHooks | None = None
        self._handles: list[Any] = []
        self._known: dict[Any, Kept] = {}
        self._asked: dict[Any, int] = {}
        self._measured: list[tuple[Tensor, Tensor]] = []
        self._turn, self._at = 0, (-1, -1, -1)
        self._active = self._within = self._probing = self._may_skip = False

    @contextlib.contextmanager
    def __call__(self, step: Step) -> Iterator[None]:
        """In here the network's answers may come from the cache."""
        self._hooks = self._hooks or self._put_on()
        if (now := (step.index, step.repeated, step.tries)) != self._at:
            self._begun(step, now)
        self._active = True
        try:
            yield
        finally:
            self._active = False

    def _begun(self, step: Step, now: tuple[int, int, int]) -> None:
        self.settle()
        tried_before, self._at = now[:2] == self._at[:2], now
        self._turn, self._asked = self._turn + 1, {}
        lately = {key: kept for key, kept in self._known.items() if kept.turn >= self._turn - 1}
        self._known = {} if tried_before else lately
        self._within = self.interval[0] <= step.fraction < self.interval[1]
        self._probing = bool(self.targets) and step.fraction >= self.targets[0]
        self.finished = step.last

    def settle(self) -> None:
        """Notes the error of the step that was measured last."""
        if self._measured:
            squares, truths = (torch.stack([pair[i] for pair in self._measured]).sum() for i in (0, 1))
            self.errors.append((squares / truths).sqrt())
            self._measured, self.targets = [], self.targets[1:]

    def _put_on(self) -> CacheHooks:
        hooks = CacheHooks(self.network, self.apply)
        self._handles = [
            self.network.register_forward_pre_hook(self._before_call, with_kwargs=True),
            self.network.register_forward_hook(self._after_call, with_kwargs=True, always_call=True),
        ]
        return hooks

    def apply(self, network: torch.nn.Module) -> None:
        """Hangs the cache of diffusers on a network."""
        from diffusers import hooks

        kind = KINDS[self.method]
        getattr(hooks, kind.apply)(network, getattr(hooks, kind.config)(**self._settings()))

    def _settings(self) -> dict[str, Any]:
        if self.method == "first-block":
            return {"threshold": self.threshold}
        spatial = {"spatial_attention_block_skip_range": self.every, "spatial_attention_timestep_skip_range": RANGE,
                   "current_timestep_callback": lambda: MAY_SKIP if self._may_skip else MUST_NOT}  # fmt: skip
        if self.method == "faster":  # its rule for unconditional rows is for calls of two halves, which are rare here
            return spatial | {"is_guidance_distilled": True, "attention_weight_callback": lambda _: 0.5}
        return spatial | {"cross_attention_block_skip_range": self.every, "cross_attention_timestep_skip_range": RANGE}

    def claim(self) -> None:
        """Keeps other runs from hanging a cache on the network, until `take_off`."""
        _claimed.add(self.network)

    def take_off(self) -> None:
        """The network as it was."""
        _claimed.discard(self.network)
        for handle in self._handles:
            handle.remove()
        if self._hooks:
            self._hooks.take_off()
        self._hooks, self._handles, self._known = None, [], {}

    def _before_call(self, network: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        assert self._hooks is not None
        kept = self._kept_for(args, named) if self._active and self._within else None
        self._may_skip, self._hooks.computed = kept is not None and kept.turn > 0, 0
        self._hooks.use(kept.states if kept else self._hooks.fresh())
        if kept:
            kept.turn = self._turn

    def _after_call(self, network: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        assert self._hooks is not None
        if output is None:  # it failed, and left its states as they happen to be
            self._known.clear()
        elif self._active:
            skipped = self._hooks.parts - self._hooks.computed
            self.evaluations += self._hooks.parts
            self.saved += skipped
            if skipped and self._probing:
                answer, truth = (_joined(one[0]).float() for one in (output, self._true_output(args, named)))
                self._measured.append(((answer - truth).square().sum(), truth.square().sum()))

    def _true_output(self, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What the network gives with all computed; it touches no state but its own."""
        assert self._hooks is not None
        self._may_skip = False
        self._hooks.use(self._hooks.fresh())
        with torch.no_grad():
            return self.network.forward(*args, **named)

    def _kept_for(self, args: tuple[Any, ...], named: dict[str, Any]) -> Kept:
        """What is kept for the rows that are asked; where nothing fits, fresh states."""
        assert self._hooks is not None
        x, told = _joined(named.get("hidden_states", args[0] if args else None)), _tensors([named.get(k) for k in TOLD])
        rows = (*map(id, told), x.shape)  # what is kept keeps them alive, so that no other tensor gets their id
        self._asked[rows] = self._asked.get(rows, 0) + 1
        key = (rows, self._asked[rows])  # the same rows may be asked several times in a step
        kept = self._known.get(key)
        if kept is None or self._moved(kept.x, x):
            kept = self._known[key] = Kept(self._hooks.fresh(), x, told)
        kept.x = x
        return kept

    def _moved(self, before: Tensor, x: Tensor) -> bool:
        """Whether the input is no longer that of the step before, but another view of it, or new noise.

        It waits for a number from the device; first-block finds that out by itself, by such a number.
        """
        return self.method != "first-block" and bool((x - before).norm() > before.norm())


def can_cache(network: torch.nn.Module, method: Method) -> str | None:
    """Why a cache cannot be hung on a network, and which others can; None where it can."""
    if network in _claimed:
        return "another run has a cache on it; let that end first, or load the model anew"
    if getattr(network, "is_cache_enabled", False):
        return "its pipeline came with a cache that is on; turn that off, with disable_cache"
    why = _unfit(network, method)
    if why is None:
        return None
    others = [f'`method="{other}"`' for other in METHODS if other != method and _unfit(network, other) is None]
    return f"{why}; " + (f"it takes {' or '.join(others)}" if others else "no other method fits it, so leave it out")


def _unfit(network: torch.nn.Module, method: Method) -> str | None:
    """Why a method does not fit a network, found by trying it, or None."""
    if method != "pyramid" and not hasattr(network, "enable_cache"):
        return "diffusers has that cache for transformers such as those of FLUX and Qwen-Image"
    try:
        hooks = CacheHooks(network, Caches(network, method, threshold=0, every=2, interval=(0, 1), targets=[]).apply)
    except IndexError:  # of its blocks, first-block takes the first away and then the last
        return "it needs two blocks at least, and the network has one"
    hooks.take_off()
    return None if hooks.parts else f"it finds nothing in a {type(network).__name__} that it could save"


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [tensor for one in inside for tensor in _tensors(one)]


def _joined(value: Any) -> Tensor:
    """A batch; of a list of single rows, these in one."""
    return value if isinstance(value, Tensor) else torch.stack(list(value))


__all__ = ["KINDS", "Caches", "Method", "can_cache"]
