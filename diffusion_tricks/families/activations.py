"""How much a gradient through a network keeps: its activations, counted on shapes alone, without weights or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from diffusion_tricks.types import Parts

TEXTS = 77  # tokens of a prompt
ADDED = 6  # numbers of SDXL's time_ids


def activations(parts: Parts, rows: int, size: tuple[int, int]) -> int | None:
    """Bytes that autograd keeps for a gradient through a UNet with respect to `rows` latents of `size`, in float32.

    parts: the configuration of each component. size: (height, width) of the latents. None where the configuration does
    not say all of a UNet's layers, and for other networks. It is the sum of the storages that a forward call saves on
    the meta device, where nothing is computed; half of it in 16 bit. Attention is counted as of a fused kernel, which
    keeps what it is given and what it gives (FlashAttention, arXiv:2205.14135), and not the matrix between the two.
    """
    config = parts.get("unet", {})
    if config.get("_class_name") != "UNet2DConditionModel" or "block_out_channels" not in config:
        return None
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        network = UNet2DConditionModel.from_config(dict(config)).eval().requires_grad_(False)
        x = torch.empty(rows, network.config["in_channels"], *size, requires_grad=True)
        asked = _asked(network.config, rows)
        weights = {_storage(weight) for weight in network.parameters()}
        kept: dict[int, Tensor] = {}  # held, so that no storage takes the place of another

        def note(saved: Tensor) -> Tensor:
            if _storage(saved) not in weights:
                kept[_storage(saved)] = saved
            return saved

        with FusedAttention(), torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            network(x, torch.zeros(()), **asked)
    return sum(saved.untyped_storage().nbytes() for saved in kept.values())


class FusedAttention(TorchFunctionMode):
    """Inside, attention keeps what a fused kernel keeps: on the meta device torch has none."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Puts the stand-in in the place of torch's own."""
        if function is not scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        told = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        return _Fused.apply(told["query"], told["key"], told["value"])  # type: ignore[no-untyped-call]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, value, made := query.new_empty(*query.shape[:-1], value.shape[-1]))
        return made


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _asked(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """What else the UNet is told: a text, SDXL's sizes, a class."""
    asked: dict[str, Any] = {
        "encoder_hidden_states": torch.empty(rows, TEXTS, config["encoder_hid_dim"] or config["cross_attention_dim"])
    }
    if config["addition_embed_type"] == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - ADDED * config["addition_time_embed_dim"]
        asked["added_cond_kwargs"] = {
            "text_embeds": torch.empty(rows, pooled), "time_ids": torch.empty(rows, ADDED),
        }  # fmt: skip
    if config["class_embed_type"] or config["num_class_embeds"]:
        asked["class_labels"] = torch.zeros(rows, dtype=torch.long)
    return asked
