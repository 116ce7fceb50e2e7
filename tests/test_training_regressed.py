"""A second stage that asks nothing of the noise: the answers of the network it was made of, at the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion_tricks import load_model, sample
from diffusion_tricks.errors import ModelError
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.training.data.crops import Crops
from diffusion_tricks.training.objectives import training_schedule
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.regressed import main, regressed
from diffusion_tricks.training.upscale import UpscaleTask, enlarged_by
from training_data import Stripes


def upscaler(objective: str = "v") -> Any:
    """One of random weights, in float32."""
    options = TrainOptions(task="upscale", widths="8,16", crop=32, objective=objective)  # type: ignore[arg-type]
    torch.manual_seed(0)
    pipe = UpscaleTask(options, Crops(Stripes(channels=3, size=64), 32, 4)).pipeline(training_schedule(options))
    pipe.unet.float()
    torch.nn.init.normal_(pipe.unet.conv_out.weight, std=0.05)
    torch.nn.init.normal_(pipe.unet.conv_out.bias)
    return pipe


@torch.no_grad()
def answer(pipe: Any, x: torch.Tensor, t: int, beside: torch.Tensor) -> torch.Tensor:
    level = torch.full((len(x),), 30)
    both: torch.Tensor = pipe.unet(torch.cat([x, beside], 1), t, None, class_labels=level).sample
    return both[:, :3]


def test_it_says_what_v_stands_for_at_the_first_step_whatever_noise_and_time_are() -> None:
    pipe = upscaler()
    made, beside = regressed(pipe), torch.rand(2, 3, 32, 32) * 2 - 1
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    clean = -answer(pipe, torch.zeros_like(beside), 999, beside)
    for t in (0, 500, 999):
        torch.testing.assert_close(answer(made, torch.randn_like(beside), t, beside), clean, atol=1e-5, rtol=0)
    assert (answer(made, beside, 0, -beside) - clean).abs().max() > 0.01
    assert (answer(pipe, torch.randn_like(beside), 0, beside) + clean).abs().max() > 0.01
    assert all(torch.equal(weight, before[name]) for name, weight in pipe.unet.state_dict().items())
    assert (made.scheduler.config.prediction_type, pipe.scheduler.config.prediction_type) == ("sample", "v_prediction")
    again = answer(regressed(made), torch.randn_like(beside), 3, beside)
    torch.testing.assert_close(again, clean, atol=1e-5, rtol=0)


def test_its_pictures_are_the_same_after_any_number_of_steps() -> None:
    made, small = regressed(upscaler()), torch.rand(1, 3, 16, 16) * 2 - 1
    one, many = (enlarged_by(made, small, steps, 0).clamp(-1, 1) for steps in (1, 5))
    torch.testing.assert_close(one, many, atol=1e-4, rtol=0)
    assert one.std() > 0.05


def test_the_command_writes_an_upscaler_that_runs_behind_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upscaler().save_pretrained(tmp_path / "trained")
    (tmp_path / "trained" / "diffusion_tricks.json").write_text('{"steps": 15, "guidance": 1.0, "noise_level": 50}')
    assert main([str(tmp_path / "trained"), str(tmp_path / "made")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'made'}\n"
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tmp_path / "made")
    steps = list(sample(model, prompt="a rabbit", size=(64, 64), steps=2))
    assert [step.stage for step in steps] == [1, 1, 2]
    assert str(tmp_path) not in (tmp_path / "made" / "unet" / "config.json").read_text()
    assert main([str(tmp_path / "trained"), str(tmp_path / "made")]) == 2
    assert "is there already; expected a directory that is not" in capsys.readouterr().err


def test_one_that_predicts_noise_is_refused() -> None:
    with pytest.raises(ModelError, match="expected an upscaler that predicts one of v_prediction, sample, got epsilon"):
        regressed(upscaler("epsilon"))
