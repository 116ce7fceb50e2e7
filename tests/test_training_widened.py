"""Wider networks that begin as the narrow ones were (`training/widened.py`)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks import UsageError
from diffusion_tricks.training.network import unet
from diffusion_tricks.training.widened import widened

NARROW, WIDE = (8, 16, 32), (16, 24, 32)


@pytest.fixture
def narrow() -> Any:
    torch.manual_seed(0)
    network = unet(16, NARROW, text_width=32).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # no bias is 0, no norm the identity
    return network


def answer(network: Any) -> Tensor:
    torch.manual_seed(1)
    x, text = torch.randn(3, 3, 16, 16), torch.randn(3, 5, 32)
    with torch.no_grad():
        out: Tensor = network(x, torch.tensor([3, 400, 990]), encoder_hidden_states=text)[0]
    return out


def without_statistics(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """What a group norm does but for its means and deviations, kept from growing without bounds."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    return torch.tanh(x) * weight.view(shape) + bias.view(shape)


@pytest.mark.parametrize("widths", [WIDE, (8, 24, 32), (24, 16, 32), NARROW])
def test_all_but_the_statistics_of_norms_is_as_it_was(
    narrow: Any, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(F, "group_norm", without_statistics)
    wide = widened(narrow, widths)
    assert wide.config["block_out_channels"] == widths
    torch.testing.assert_close(answer(wide), answer(narrow), rtol=1e-4, atol=1e-5)


def test_with_norms_it_is_nearly_as_it_was(narrow: Any) -> None:
    before, after = answer(narrow), answer(widened(narrow, WIDE))
    torch.manual_seed(2)
    other = answer(unet(16, WIDE, text_width=32).eval())
    assert 2 * (after - before).std() < (other - before).std()


def test_what_is_repeated_is_read_unevenly_so_that_it_learns_apart(narrow: Any) -> None:
    wide = widened(narrow, WIDE)
    wide.conv_in.weight.grad = None
    out = wide(torch.randn(2, 3, 16, 16), 500, encoder_hidden_states=torch.randn(2, 5, 32))[0]
    out.square().mean().backward()
    weight, slope = wide.conv_in.weight, wide.conv_in.weight.grad
    assert torch.equal(weight[0], weight[1])
    assert slope is not None
    assert not torch.allclose(slope[0], slope[1], rtol=0.01)


def test_seeds_draw_how_uneven(narrow: Any) -> None:
    one, same, other = (widened(narrow, WIDE, seed).conv_out.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("widths", [(16, 32), (4, 16, 32), (8, 16, 64), (12, 16, 32)])
def test_widths_that_cannot_be_had_are_refused(narrow: Any, widths: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="expected 3 widths, none below"):
        widened(narrow, widths)


def test_levels_that_become_alike_are_refused_as_nothing_joins_them_then(narrow: Any) -> None:
    with pytest.raises(UsageError, match="are alike where those of"):
        widened(narrow, (16, 32, 32))
