"""The doubles and checks for plugin authors: exact models end in their picture, and faulty tricks are found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from command_line import run
from diffusion_tricks import Ask, Estimate, Trick, TrickOptions, UsageError, hookimpl, option, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model

IMAGE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
REFUSE_SAMPLE = {"euler-a", "pndm"}  # these schedulers of diffusers take no prediction of x0


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_ends_in_the_picture_of_an_exact_model(name: str, prediction: str) -> None:
    if prediction == "sample" and name in REFUSE_SAMPLE:
        pytest.skip("this scheduler of diffusers takes no prediction of x0")
    model = exact_model(IMAGE, prediction=prediction)
    step = list(sample(model, prompt="a", scheduler=name, steps=7))[-1]
    torch.testing.assert_close(step.estimate.clean, IMAGE, atol=1e-5, rtol=0)
    if name == "tcd":  # it ends at the level of t = 0, in the noise that the model sees
        torch.testing.assert_close(
            (step.x - step.next_level.sigma * step.estimate.noise) / step.next_level.alpha, IMAGE
        )
    elif name != "pndm":  # its last step mixes in three earlier ones
        torch.testing.assert_close(step.x, IMAGE, atol=1e-5, rtol=0)


def test_an_exact_model_knows_fractional_timesteps() -> None:
    """Euler's spacing lies between the training timesteps; every estimate is exact all the same."""
    model = exact_model(IMAGE, EulerDiscreteScheduler())
    steps = list(sample(model, prompt="a", steps=7))
    assert any(float(step.t) % 1 for step in steps)
    for step in steps:
        torch.testing.assert_close(step.estimate.clean, IMAGE, atol=1e-4 * max(1, step.sigma), rtol=0)


def test_an_exact_model_with_variance_has_six_channels() -> None:
    step = next(iter(sample(exact_model(IMAGE, variance=0.5), prompt="a", steps=2)))
    assert torch.equal(step.estimate.variance, torch.full_like(IMAGE, 0.5))


def test_an_exact_model_says_what_it_does_not_know() -> None:
    model = exact_model({"duck": IMAGE})
    with pytest.raises(UsageError, match=r"knows the prompts \['duck'\], was asked 'rabbit'"):
        list(sample(model, prompt="rabbit", steps=2))
    with pytest.raises(UsageError, match=r"knows pictures of size \(8, 8\), got \(16, 8\)"):
        list(sample(model, prompt="duck", steps=2, size=(16, 8)))


class NeedsANetwork(Trick[Any]):
    """Refuses what it cannot know before the weights are read."""

    @hookimpl
    def prepare(self, run: Run) -> None:
        if run.network is None:
            raise UsageError("needs a UNet")


class AsksInTheRun(NeedsANetwork):
    """The same, at the right time."""

    @hookimpl
    def prepare(self, run: Run) -> None:
        if not run.rehearsal:
            super().prepare(run)


class ScribblesOnAnswers(Trick[Any]):
    """Writes into the estimate it was sent."""

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers: list[Estimate] = yield [ask]
        answers[0].value.mul_(0.5)
        return answers[0]


class ScribblesOnLatents(Trick[Any]):
    """Writes into the latents it asks about."""

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        ask.x.mul_(0.5)
        answers: list[Estimate] = yield [ask]
        return answers[0]


class DrawsFreely(Trick[Any]):
    """Draws from the global random state."""

    @hookimpl
    def before_step(self, step: Step) -> None:
        step.x = step.x + 0.1 * torch.randn_like(step.x)


class MixesTheBatch(Trick[Any]):
    """Lets one picture see the others."""

    @hookimpl
    def before_step(self, step: Step) -> None:
        step.x = step.x - step.x.mean(0, keepdim=True) * 0.5


class Remembers(Trick[Any]):
    """Keeps state of one run for the next."""

    runs = 0

    @hookimpl
    def prepare(self, run: Run) -> None:
        self.runs += 1

    @hookimpl
    def before_step(self, step: Step) -> None:
        step.x = step.x * (1 - 0.1 * self.runs)


class PaintsOver(Trick[Any]):
    """Writes into the finished picture."""

    @hookimpl
    def finish_image(self, run: Run | None, image: Any, index: int) -> Any:
        image.paste((255, 0, 0), (0, 0, 4, 4))
        return image


class PaintsViews(Trick[Any]):
    """Writes into the finished picture when it is asked for its views."""

    def views_of(self, image: Any) -> Any:
        image.paste((255, 0, 0), (0, 0, 4, 4))
        return []


class AsksUnnamed(Trick[Any]):
    """Asks what it has not named."""

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        answers: list[Estimate] = yield [ask.but(prompt="out of the blue")]
        return answers[0]


class SetOptions(TrickOptions):
    """A set has no order, nor a place in TOML that brings it back."""

    pair: Any = option(None, "anything")


class LosesOptions(Trick[SetOptions]):
    """Its option does not come back from a recipe as it went in."""

    Options = SetOptions


class Told(Trick[Any]):
    """A recipe cannot make it, as it does not know what it was told."""

    def __init__(self, strength: float):
        super().__init__()
        self.strength = strength


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        (ScribblesOnAnswers(), "wrote into an estimate"),
        (ScribblesOnLatents(), "wrote into the latents"),
        (DrawsFreely(), "the same seed gave another picture"),
        (MixesTheBatch(), "picture 0 of a batch is .* off the same seed alone"),
        (Remembers(), "the same seed gave another picture"),
        (PaintsOver(), "finish_image wrote into the picture"),
        (AsksUnnamed(), "asks 'out of the blue', which its hook `prompts` does not name"),
        (PaintsViews(), "views_of wrote into the picture"),
        (LosesOptions(pair=(1, 2)), "JSON turns .* into"),
        (Told(1.0), "is not made from its options alone, as a recipe makes it: .*'strength'; put what it is told"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_faulty_trick_is_found_out(trick: Trick[Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_trick(trick)


def test_a_trick_that_refuses_its_rehearsal_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"its rehearsal fails, where `run.network` is None: needs a UNet"):
        check_trick(NeedsANetwork())
    check_trick(AsksInTheRun())


LISTENS = """
from pathlib import Path
from diffusion_tricks.plugin import Trick, hookimpl

def heard(word):
    with Path("heard").open("a") as file:
        file.write(word + "\\n")

class Listens(Trick):
    name = "listens"

    @hookimpl
    def prepare(self, run):
        heard(f"prepare {run.rehearsal} {run.network is None}")

    @hookimpl
    def after_step(self, step):
        heard("step")

    @hookimpl
    def close(self, run):
        heard("close")

    @hookimpl
    def finish_image(self, run, image, index):
        heard("finish")

@hookimpl
def register_tricks(register):
    register("listens", "listens:Listens")
"""


def test_a_rehearsal_is_played_in_the_order_of_the_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("listens.py").write_text(LISTENS)
    line = ["make", "-m", tiny, "-p", "a", "--steps", 3, "--guidance", 1, "-o", "out.png", "listens"]
    assert run("--plugin", "listens.py", *line).code == 0
    once = ["step", "step", "close", "finish"]
    assert Path("heard").read_text().splitlines() == [
        "prepare True True", *once, "prepare False False", "step", *once
    ]  # fmt: skip


def test_a_trick_that_does_nothing_passes() -> None:
    check_trick(Trick())
