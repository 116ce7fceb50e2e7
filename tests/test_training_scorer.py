"""The scorer's training against transformers' own loss and formulas in NumPy; and a run of a moment, to its end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.training import clip, scorer
from diffusion_tricks.training.data import Batch
from diffusion_tricks.training.data.rough import blurred, roughened
from test_hybrid import numpy_blur
from test_scoring import picture


def units(seed: int, count: int = 6, width: int = 8) -> torch.Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_loss_is_that_of_clip_where_nothing_is_there_twice() -> None:
    pictures, texts, scale = units(0), units(1), torch.tensor(20.0)
    loss = scorer.contrastive(pictures, texts, scale, torch.eye(6, dtype=torch.bool))
    torch.testing.assert_close(loss, image_text_contrastive_loss(scale * texts @ pictures.T))


def test_what_belongs_together_is_not_pulled_apart() -> None:
    """Two pictures of one thing, whose captions embed alike, cost what is least: the entropy of two equal answers."""
    batch = Batch(torch.zeros(4, 3, 2, 2), ["a bug", "a beetle", "x", "x"], torch.tensor([5, 5, 6, 7]))
    same = scorer.alike(batch)
    blocks = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    assert torch.equal(same, blocks)
    corners = torch.eye(2, 8)[[0, 0, 1, 1]]
    loss = scorer.contrastive(corners, corners, torch.tensor(100.0), same)
    assert float(loss) == pytest.approx(np.log(2), abs=1e-6)


def test_roughening_of_strength_0_changes_nothing_and_1_stays_in_range() -> None:
    x = torch.rand(40, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = x.clone()
    assert torch.equal(roughened(x, 0.0, np.random.default_rng(0)), x)
    rough = [roughened(x, 1.0, np.random.default_rng(1)) for _ in range(2)]
    assert torch.equal(*rough)
    assert not torch.equal(rough[0], x)
    assert float(rough[0].abs().max()) <= 1
    assert torch.equal(x, before)


def test_the_blur_is_numpys() -> None:
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    expected = numpy_blur(x[0].double().numpy(), 1.5, 11)
    torch.testing.assert_close(blurred(x, 1.5)[0], torch.from_numpy(expected).float(), atol=1e-5, rtol=0)


def test_principal_patches_are_told_apart_from_the_start() -> None:
    """Over the pictures it was set from, the patch embedding's outputs are uncorrelated and equally spread."""
    torch.manual_seed(0)
    model = clip.clip(600, width=32, layers=1, text_width=32, text_layers=1)
    soft = blurred(torch.randn(200, 3, clip.SIZE, clip.SIZE), 2.0)
    clip.start_from_principal_patches(model, soft)
    patches = model.vision_model.embeddings.patch_embedding(soft).detach()
    rows = patches.flatten(2).transpose(1, 2).flatten(0, 1).double()
    covariance = torch.cov(rows.T)
    spread = covariance.diagonal().sqrt()
    assert float((covariance - torch.diag(covariance.diagonal())).abs().max()) < 1e-4
    assert 0.1 < float(spread.min()) <= float(spread.max()) <= 0.2 + 1e-6


def test_groups_hold_neighbours() -> None:
    class Numbers:
        channels, size, classes = 1, 1, ()

        def __len__(self) -> int:
            return 12

        def draw(self, indices: list[int], random: np.random.Generator) -> Batch:
            return Batch(torch.zeros(len(indices), 1, 1, 1), [""] * len(indices), torch.tensor(indices))

    groups = scorer.Neighbours(Numbers())
    assert len(groups) == 3
    drawn = groups.draw([2, 0], np.random.default_rng(0)).classes.reshape(2, scorer.GROUP)
    assert torch.equal((drawn - drawn[:, :1]) % 12, torch.arange(scorer.GROUP).expand(2, -1))


def test_a_short_training_leaves_a_scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not scorer_data_is_there():
        pytest.skip("the emoji font or CLDR's names are not installed")
    words = ["scorer", "--out", tmp_path / "clip", "--minutes", 0.02, "--width", 32, "--layers", 1, "--batch", 8]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    scorer.main()
    assert (tmp_path / "clip-training.pt").is_file()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip", "clip-training.pt"]
    assert len(json.loads((tmp_path / "clip" / "captions.json").read_text())) > 1500
    assert Scorer(tmp_path / "clip").similarity([picture(0)], ["a rabbit"]).isfinite().all()


def scorer_data_is_there() -> bool:
    from diffusion_tricks.training.data.emoji import CLDR, FONT

    return FONT.exists() and CLDR.exists()
