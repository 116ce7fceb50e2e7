"""A look inside a network: its attention as it is computed, and layers that are left out, for some asks alone.

    softmax(q k^T / sqrt(d)) v        arXiv:1706.03762, of every attention, by name

An ask names what is done inside (`Ask.inside`); it holds for the rows of that ask and for no other, and nothing stays
on the network: it is hung on for one call and taken off after, whatever ends it. Attention is met where it is computed,
in torch's `scaled_dot_product_attention`, so that one way serves UNets and transformers, whatever their processors.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffusion_tricks.errors import UsageError

TEXT_FIRST = ("Flux", "Qwen", "AddedKV")  # processors that put the text's tokens before the picture's; others behind
UNKNOWN = ("ZSingleStream",)  # that mix text and picture in an order that is not told
BLOCKS = ("transformer_blocks", "blocks", "layers")  # where transformers have their layers


@dataclass(frozen=True)
class Attended:
    """One attention, as it is computed.

    name: of its module in the network. kind: "self", of the picture with itself; "cross", of the picture with the text;
    "joint", with both. query (n heads q d), key and value (n heads k d). picture, text: which keys are of
    either; seeing: which queries are of the picture. shape: (h w) of the picture's tokens. rows: which rows of what was
    asked these n are. mask: as torch takes it.
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    query: Tensor
    key: Tensor
    value: Tensor
    picture: slice
    text: slice
    seeing: slice
    shape: tuple[int, int]
    rows: tuple[int, ...]
    mask: Tensor | None = None
    scale: float | None = None

    @property
    def weights(self) -> Tensor:
        """softmax(q k^T / sqrt(d)), how much each query takes of each key (n heads q k); each row adds up to 1."""
        scale = 1 / math.sqrt(self.query.shape[-1]) if self.scale is None else self.scale
        return torch.softmax(self.query @ self.key.transpose(-1, -2) * scale + self._bias(), dim=-1)

    def of(self, weights: Tensor) -> Tensor:
        """What the attention gives with other weights (n heads q k): the values they take (n heads q d)."""
        return weights.to(self.value.dtype) @ self.value

    def computed(self, query: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """What the attention gives (n heads q d); with another query, or with a mask (q k) added to the logits."""
        bias = self.mask if mask is None else self._bias() + mask
        return F.scaled_dot_product_attention(
            self.query if query is None else query, self.key, self.value, attn_mask=bias, scale=self.scale
        )

    def _bias(self) -> Tensor:
        if self.mask is None:
            return self.query.new_zeros(())
        if self.mask.dtype == torch.bool:
            return torch.zeros_like(self.mask, dtype=self.query.dtype).masked_fill(~self.mask, -torch.inf)
        return self.mask


Change = Callable[[Attended], "Tensor | None"]  # what the attention gives instead (n heads q d); None leaves it


@dataclass(eq=False)
class Attention:
    """Lets `change` see every attention, and give what it is to give instead.

        ask.but(inside=Attention(lambda seen: seen.value if seen.kind == "self" else None))

    only: parts of names; attention whose name holds none of them is left alone; () is all of it. seen: the names of
    those that were met so far, and what kind each is.
    """

    change: Change
    only: Collection[str] = ()
    seen: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def on(self, network: torch.nn.Module, rows: Sequence[int], shape: tuple[int, int]) -> Iterator[None]:
        """The network, with its attention seen by this thread for the rows of one call, on latents of (h w)."""
        stack: list[_Place] = []
        here = threading.get_ident()

        def begin(place: _Place, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if threading.get_ident() == here:
                place.note(arguments, named)
                stack.append(place)

        def end(*_: Any) -> None:
            if threading.get_ident() == here:
                stack.pop()

        with contextlib.ExitStack() as off:
            for name, module in attentions(network).items():
                if self.only and not any(part in name for part in self.only):
                    continue
                place = _Place(name, type(module.processor).__name__, shape)
                pre = module.register_forward_pre_hook(
                    lambda _, arguments, named, place=place: begin(place, arguments, named), with_kwargs=True
                )
                off.callback(pre.remove)
                off.callback(module.register_forward_hook(end, always_call=True).remove)
            off.enter_context(_Seeing(stack, self._given, tuple(rows)))
            yield

    def _given(self, seen: Attended) -> Tensor | None:
        self.seen[seen.name] = seen.kind
        return self.change(seen)


def attentions(network: torch.nn.Module) -> dict[str, Any]:
    """The attention modules of a network that can be seen, by name."""
    found = {name: module for name, module in network.named_modules() if hasattr(module, "set_processor")
             and getattr(module, "processor", None) is not None}  # fmt: skip
    return {name: one for name, one in found.items() if not type(one.processor).__name__.startswith(UNKNOWN)}


class _Place:
    """One attention module in one call: how many tokens of picture and text it was given."""

    def __init__(self, name: str, processor: str, latents: tuple[int, int]):
        self.name, self.processor, self.latents = name, processor, latents
        self.picture, self.text, self.shape = 0, 0, (0, 0)

    def note(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = arguments[0] if arguments else named["hidden_states"]
        text = named.get("encoder_hidden_states", arguments[1] if len(arguments) > 1 else None)
        self.shape = tuple(hidden.shape[2:]) if hidden.ndim == 4 else _sides(hidden.shape[1], *self.latents)
        self.picture = math.prod(self.shape) if hidden.ndim == 4 else hidden.shape[1]
        self.text = 0 if text is None else text.shape[1]

    def parts(self, queries: int, keys: int) -> tuple[Any, slice, slice, slice]:
        """The kind, and which keys are of picture and text, and which queries of the picture."""
        if keys == self.picture and not self.text:
            return "self", slice(0, keys), slice(0, 0), slice(0, queries)
        if keys == self.text and queries == self.picture:
            return "cross", slice(0, 0), slice(0, keys), slice(0, queries)
        first = any(part in self.processor for part in TEXT_FIRST)
        picture = slice(self.text, keys) if first else slice(0, self.picture)
        text = slice(0, self.text) if first else slice(self.picture, keys)
        return "joint", picture, text, slice(0, queries) if queries == self.picture else picture


def _sides(tokens: int, height: int, width: int) -> tuple[int, int]:
    """The sides of as many tokens, in the shape of latents; one row where they make no such picture."""
    h = round(math.sqrt(tokens * height / width))
    return (h, tokens // h) if h and tokens % h == 0 else (1, tokens)


class _Seeing(TorchFunctionMode):
    """Asks what torch's attention is to give, where one of the modules of the stack computes it."""

    def __init__(self, stack: list[_Place], given: Change, rows: tuple[int, ...]):
        super().__init__()
        self.stack, self.given, self.rows = stack, given, rows
        self.joint: _Place | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or not self.stack:
            return func(*args, **kwargs)
        seen = self._seen(*args, **kwargs)
        instead = None if seen is None else self.given(seen)
        return func(*args, **kwargs) if instead is None else instead

    def _seen(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, **_: Any,
    ) -> Attended | None:  # fmt: skip
        place = self.stack[-1]
        if place.text:
            self.joint = place
        elif self.joint is not None and place.picture == self.joint.picture + self.joint.text:
            place.picture, place.text, place.shape = self.joint.picture, self.joint.text, self.joint.shape  # one stream
        if place.text and key.shape[2] not in (place.text, place.text + place.picture):
            return None  # of another kind than text and picture
        kind, picture, text, seeing = place.parts(query.shape[2], key.shape[2])
        return Attended(
            place.name, kind, query, key, value, picture, text, seeing, place.shape, self.rows, attn_mask, scale
        )  # fmt: skip


@dataclass(eq=False)
class Without:
    """Leaves layers of a transformer out: what goes into each comes out of it.      Stability AI, with SD3.5

    layers: their numbers, from 0. Raises UsageError where the network has none of such a number, or is no transformer.
    """

    layers: Sequence[int]

    @contextlib.contextmanager
    def on(self, network: torch.nn.Module, rows: Sequence[int], shape: tuple[int, int]) -> Iterator[None]:
        """The network without the layers, for this thread."""
        blocks = layers_of(network)
        if wrong := [layer for layer in self.layers if not 0 <= layer < len(blocks)]:
            raise UsageError(f"layers are 0 to {len(blocks) - 1} in this network, got {wrong[0]}")
        with contextlib.ExitStack() as off:
            for layer in dict.fromkeys(self.layers):
                off.enter_context(_passed(blocks[layer]))
            yield


def layers_of(network: torch.nn.Module) -> torch.nn.ModuleList:
    """The layers of a transformer. Raises UsageError for networks without such layers, as UNets are."""
    found = (blocks for name in BLOCKS if isinstance(blocks := getattr(network, name, None), torch.nn.ModuleList))
    blocks = next(found, None)
    if blocks is None:
        raise UsageError(f"{type(network).__name__} has no layers that can be left out; only transformers have")
    return blocks


@contextlib.contextmanager
def _passed(block: torch.nn.Module) -> Iterator[None]:
    """A block that gives what it is given, in this thread; put back after."""
    own, plain, here = vars(block).get("forward"), block.forward, threading.get_ident()
    order = _outputs(block)

    def forward(*arguments: Any, **named: Any) -> Any:
        if threading.get_ident() != here:
            return plain(*arguments, **named)
        given = dict(zip(("hidden_states", "encoder_hidden_states"), arguments, strict=False)) | named
        return given["hidden_states"] if order is None else tuple(given.get(name) for name in order)

    block.forward = forward
    try:
        yield
    finally:
        vars(block).pop("forward", None)
        if own is not None:
            block.forward = own


def _outputs(block: torch.nn.Module) -> tuple[str, str] | None:
    """The order in which a block gives picture and text; None for the picture alone. Raises UsageError."""
    if type(block).__name__ == "JointTransformerBlock":
        return "encoder_hidden_states", "hidden_states"
    from diffusers.hooks._helpers import TransformerBlockRegistry

    try:
        known = TransformerBlockRegistry.get(type(block))
    except ValueError:
        raise UsageError(f"layers of the kind {type(block).__name__} cannot be left out") from None
    text = known.return_encoder_hidden_states_index
    if text is None:
        return None
    return ("encoder_hidden_states", "hidden_states") if text == 0 else ("hidden_states", "encoder_hidden_states")
