"""Weights that learn more words (`training/grown.py`): what was known stays to the bit, the new begins in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion_tricks.training import folder, grown
from diffusion_tricks.training.data.sets import Drawings
from diffusion_tricks.training.network import pipeline, text_encoder, train_tokenizer, unet
from diffusion_tricks.training.task import opened_pipeline

KNOWN = ["a rabbit", "a duck on a blue background"]


@pytest.fixture
def pipe() -> Any:
    """A tiny model whose tokenizer reads `rabbit` in pieces, as that of the first generation does."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["the rab bit duck on a blue background gir affe"], vocabulary=60)
    return pipeline(unet(16, (8, 8), text_width=32), text_encoder(len(tokenizer), width=32, layers=1), tokenizer)


def read(pipe: Any, caption: str) -> torch.Tensor:
    ids = pipe.tokenizer(caption, return_tensors="pt").input_ids
    states: torch.Tensor = pipe.text_encoder(ids)[0].detach()
    return states


def test_what_was_taught_is_read_as_before_to_the_bit(pipe: Any) -> None:
    before = {caption: (pipe.tokenizer.tokenize(caption), read(pipe, caption)) for caption in KNOWN}
    grown.grow(pipe, KNOWN, [*KNOWN, "a giraffe"])
    assert len(before["a rabbit"][0]) > 2
    for caption, (pieces, states) in before.items():
        assert pipe.tokenizer.tokenize(caption) == pieces
        assert torch.equal(read(pipe, caption), states)


def test_a_new_word_is_one_piece_that_begins_as_the_mean_of_its_former_pieces(pipe: Any) -> None:
    weights = pipe.text_encoder.get_input_embeddings().weight.detach().clone()
    former = pipe.tokenizer("giraffe", add_special_tokens=False).input_ids
    assert len(former) > 1
    assert grown.grow(pipe, KNOWN, ["a giraffe", "A Giraffe, blue"]) == ["giraffe"]
    (piece,) = pipe.tokenizer("giraffe", add_special_tokens=False).input_ids
    assert piece == len(weights)
    now = pipe.text_encoder.get_input_embeddings().weight
    assert torch.equal(now[piece], weights[former].mean(0))
    assert torch.equal(now[: len(weights)], weights)
    assert pipe.text_encoder.config.vocab_size == len(pipe.tokenizer) == len(weights) + 1


def test_nothing_new_changes_nothing(pipe: Any) -> None:
    before = len(pipe.tokenizer)
    assert grown.grow(pipe, KNOWN, KNOWN) == []
    assert len(pipe.tokenizer) == before == pipe.text_encoder.get_input_embeddings().num_embeddings


def test_the_command_writes_a_model_that_a_training_goes_on_with(tmp_path: Path, pipe: Any, capsys: Any) -> None:
    start, drawings, made = tmp_path / "start", tmp_path / "drawings.npz", tmp_path / "grown"
    start.mkdir()
    folder.save_pipeline(start, pipe, {"captions": {"rabbit": ["bunny"]}})
    pixels = torch.full((1, 4, 8, 8), 255, dtype=torch.uint8)
    zero = torch.zeros(1, dtype=torch.long)
    Drawings(pixels, zero, zero, (("giraffe",),), ("noto",), pixels[:, :3]).write(drawings)
    assert grown.main([str(start), str(drawings), str(made)]) == 0
    assert "words more" in capsys.readouterr().out
    again = opened_pipeline(str(made))
    assert again.tokenizer.tokenize("giraffe") == ["▁giraffe"]
    assert len(again.tokenizer) == again.text_encoder.get_input_embeddings().num_embeddings


def test_a_model_that_names_no_captions_is_refused(tmp_path: Path, pipe: Any, capsys: Any) -> None:
    start = tmp_path / "start"
    start.mkdir()
    folder.save_pipeline(start, pipe, {})
    assert grown.main([str(start), str(tmp_path / "none.npz"), str(tmp_path / "grown")]) == 2
    assert "captions" in capsys.readouterr().err
    assert not (tmp_path / "grown").exists()
