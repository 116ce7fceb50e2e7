"""What a gradient keeps, counted without numbers, against what autograd keeps of a network that computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffusion_tricks.families.activations import activations
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.testing import tiny_pipeline


def kept_by(network: Any, x: torch.Tensor, **asked: Any) -> int:
    """Bytes of all storages that a forward call on the CPU saves, but for the weights."""
    weights = {weight.data_ptr() for weight in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(saved: torch.Tensor) -> torch.Tensor:
        kept[saved.untyped_storage().data_ptr()] = saved
        return saved

    with differentiable(network, x), torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        network(x, torch.zeros(()), **asked)
    return sum(each.untyped_storage().nbytes() for place, each in kept.items() if place not in weights)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["if", "sd", "sdxl"])
def test_what_is_counted_on_shapes_is_what_a_network_keeps(kind: str, rows: int) -> None:
    unet = tiny_pipeline(kind).unet
    config, size = unet.config, (16, 24)
    x = torch.randn(rows, config.in_channels, *size, requires_grad=True)
    texts = torch.randn(rows, 77, config.encoder_hid_dim or config.cross_attention_dim)
    more: dict[str, Any] = {}
    if kind == "sdxl":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        more["added_cond_kwargs"] = {"text_embeds": torch.randn(rows, pooled), "time_ids": torch.randn(rows, 6)}
    parts = {"unet": dict(config) | {"_class_name": "UNet2DConditionModel"}}
    counted = activations(parts, rows, size)
    assert counted == pytest.approx(kept_by(unet, x, encoder_hidden_states=texts, **more), rel=0.05)


def test_what_no_configuration_tells_is_not_guessed() -> None:
    assert activations({"transformer": {"_class_name": "FluxTransformer2DModel"}}, 1, (8, 8)) is None
    assert activations({"unet": {"_class_name": "UNet2DConditionModel", "in_channels": 4}}, 1, (8, 8)) is None
