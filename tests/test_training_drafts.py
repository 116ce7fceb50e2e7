"""What an upscaler learns from: small pictures as the first stage draws them, against DDIM's own steps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diffusion_tricks import load_model
from diffusion_tricks.errors import UsageError
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.training import tasks
from diffusion_tricks.training.data.crops import Crops, enlarged, shrunk
from diffusion_tricks.training.data.drafts import Drafts
from diffusion_tricks.training.options import TrainOptions
from training_data import Stripes


def knowing(picture: Tensor, kind: str) -> Any:
    """A first stage whose every answer is that the clean picture is `picture` (3 h w)."""
    scheduler = DDIMScheduler(prediction_type=kind, beta_schedule="squaredcos_cap_v2")

    def unet(x: Tensor, t: Tensor, **_: Any) -> tuple[Tensor]:
        bars = scheduler.alphas_cumprod[t][:, None, None, None]
        alpha, sigma = bars.sqrt(), (1 - bars).sqrt()
        eps = (x - alpha * picture) / sigma
        said = {"epsilon": eps, "v_prediction": alpha * eps - sigma * picture, "sample": picture.expand_as(x)}[kind]
        return (torch.cat([said, 7 * said], 1),)  # a variance is learnt, too

    def encoder(ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        return (ids,)

    tokenizer = tiny_pipeline("if").tokenizer
    return SimpleNamespace(unet=unet, text_encoder=encoder, tokenizer=tokenizer, scheduler=scheduler)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_first_stage_that_knows_the_picture_draws_it(kind: str) -> None:
    small, picture = torch.rand(40, 3, 8, 8) * 2 - 1, torch.rand(3, 8, 8) * 1.8 - 0.9
    drafts = Drafts(knowing(picture, kind), guidance=3.0)
    made = drafts.of(small, ["a rabbit"] * 40, np.random.default_rng(0))
    drawn = (made - picture).abs().amax((1, 2, 3)) < 1e-3
    kept = (made == small).all(3).all(2).all(1)
    assert torch.equal(drawn, ~kept)
    assert 20 < drawn.sum() < 40  # three quarters of 40
    assert torch.equal(made, drafts.of(small, ["a rabbit"] * 40, np.random.default_rng(0)))
    assert torch.equal(Drafts(drafts.pipe, 3.0, share=0).of(small, [""] * 40, np.random.default_rng(0)), small)


@pytest.mark.parametrize(("below", "last"), [(400, True), (100, False)])
def test_the_refiner_draws_what_is_left_where_little_noise_is(below: int, last: bool) -> None:
    """Three steps from a timestep end with one at a third of it."""
    one, other = torch.rand(2, 3, 8, 8) * 1.8 - 0.9
    refiner = knowing(other, "v_prediction").unet
    drafts = Drafts(knowing(one, "v_prediction"), 3.0, share=1.0, refiner=(refiner, below))
    made = drafts.of(torch.zeros(8, 3, 8, 8), ["a rabbit"] * 8, np.random.default_rng(0))
    assert (made - (other if last else one)).abs().max() < 1e-3


def test_drafts_are_what_ddim_makes_of_noised_pictures() -> None:
    """To 1e-4: from 750, 500 and 250 of 1000 by diffusers' scheduler, on the guided answers of a real network."""
    pipe, captions = tiny_pipeline("if"), ["A Rabbit", "a duck on a blue background"]
    ddim = pipe.scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True)
    ddim.set_timesteps(4)
    x0, eps = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(2, 3, 16, 16)
    mine = Drafts(pipe, guidance=2.0, steps=3)._drawn(x0, eps, torch.tensor([750.0, 750.0]), captions)

    def text(words: list[str]) -> Tensor:
        ids = pipe.tokenizer(words, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        embedded: Tensor = pipe.text_encoder(ids.input_ids, attention_mask=ids.attention_mask)[0]
        return embedded

    told, untold = text([caption.lower() for caption in captions]), text(["", ""])
    x = ddim.add_noise(x0, eps, torch.tensor([750, 750]))
    with torch.no_grad():
        for t in (750, 500, 250):
            one, other = (pipe.unet(x, t, encoder_hidden_states=words).sample[:, :3] for words in (told, untold))
            step = ddim.step(other + 2 * (one - other), t, x, use_clipped_model_output=True)
            x = step.prev_sample
    torch.testing.assert_close(mine, step.pred_original_sample, atol=1e-4, rtol=0)
    assert (mine - x0).abs().mean() > 0.05  # a network that knows nothing draws something else


def test_crops_are_drawn_beside_drafts_of_their_small_selves() -> None:
    whole, picture = Stripes(channels=3, size=32), torch.full((3, 8, 8), 0.5)
    drafts = Drafts(knowing(picture, "v_prediction"), 1.0, share=1.0)
    batch = Crops(whole, 16, 4, drafts).draw(range(8), np.random.default_rng(1))
    plain = Crops(whole, 32, 4).draw(range(8), np.random.default_rng(1))
    assert batch.enlarged is not None
    assert plain.enlarged is not None
    assert (batch.enlarged - 0.5).abs().max() < 1e-3
    assert batch.pictures.abs().min() > 0.2
    torch.testing.assert_close(plain.enlarged, enlarged(shrunk(plain.pictures, 4), 4))


def test_the_first_stage_is_found_by_name_or_refused(tmp_path: Path) -> None:
    found = tasks.seen(Stripes(channels=3, size=256), TrainOptions(task="upscale", first_stage="emoji"))
    assert isinstance(found, Crops)
    assert found.drafts is not None
    assert found.drafts.guidance == 3
    tiny_pipeline("ddpm").save_pretrained(tmp_path / "other")
    asked = TrainOptions(task="upscale", crop=16, first_stage="emoji")
    with pytest.raises(
        UsageError, match=r"`first_stage` emoji: expected an IFPipeline for 8 pixels.*IFPipeline for 64"
    ):
        tasks.seen(Stripes(channels=3, size=32), asked)
    with pytest.raises(UsageError, match=r"expected an IFPipeline for 8 pixels.*got DDPMPipeline$"):
        tasks.seen(Stripes(channels=3, size=32), asked.model_copy(update={"first_stage": str(tmp_path / "other")}))


def test_a_model_draws_them_with_its_refiner() -> None:
    model = load_model("emoji", device="cpu", dtype="float32")
    assert model.refiner is not None
    drafts = Drafts.by(model)
    assert drafts.refiner == (model.refiner.model.pipe.unet, 600)
    x0, eps = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 3, 64, 64)
    made = drafts._drawn(x0, eps, torch.tensor([650.0]), ["a rabbit"])
    alone = Drafts(model.pipe, drafts.guidance)._drawn(x0, eps, torch.tensor([650.0]), ["a rabbit"])
    assert (made - alone).abs().max() > 0.05
