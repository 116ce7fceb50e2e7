"""Time travel against closed forms: identity at one, the levels it returns to, and where exact denoisers end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import PNDMScheduler

from diffusion_tricks import PluginError, Trick, UsageError, hookimpl, load_model, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Anagram, SDEdit, TimeTravel

PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Notes(Trick[Any]):
    """Notes the steps that are made, and the noise that is in their latents, of a picture that is known."""

    name = "notes"

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.spreads: list[float] = []

    @hookimpl
    def before_step(self, step: Step) -> None:
        self.steps.append(step.index)
        self.spreads.append(float(((step.x - step.alpha * PICTURE) / step.sigma).std()))


def steps_of(*tricks: Trick[Any], **request: Any) -> list[Step]:
    return list(sample(exact_model(PICTURE), tricks=tricks, **{"prompt": "a", "steps": 10, "seed": 1} | request))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9]),
        ({"repeat": 3, "since": 0.8, "until": 1}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 9, 9, 9]),
        ({"jump": 4, "since": 0.2, "until": 0.8}, [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9]),
        ({"jump": 20, "since": 0, "until": 0.3}, [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
    ids=str,
)
def test_the_steps_between_are_made_so_often(options: dict[str, Any], expected: list[int]) -> None:
    notes = Notes()
    steps_of(notes, TimeTravel(**options))
    assert notes.steps == expected


@pytest.mark.parametrize("steps", range(3, 12))
def test_pndm_goes_back_where_it_can(steps: int) -> None:
    """It begins behind its second try, so a jump that ends there is none."""
    notes = Notes()
    (*_, last) = steps_of(notes, TimeTravel(since=0, until=1), scheduler="pndm", steps=steps)
    assert last.last
    assert notes.steps == [0, 0, 1, *(step for step in range(2, steps + 1) for _ in range(2))]


@pytest.mark.parametrize("scheduler", [None, "heun", "unipc"])
def test_made_once_it_is_plain_sampling_to_the_bit(scheduler: str | None) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    plain, once = (
        list(sample(model, prompt="a", tricks=tricks, steps=4, seed=2, scheduler=scheduler))[-1].x
        for tricks in ([], [TimeTravel(repeat=1)])
    )
    assert torch.equal(plain, once)


@pytest.mark.parametrize("jump", [1, 3])
@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_every_scheduler_finds_the_level_it_goes_back_to_and_ends_in_the_known_picture(
    scheduler: str, jump: int
) -> None:
    """x = alpha x0 + sigma eps at every step, eps of spread 1: 16 pictures of 192 values are within 5 %.

    The last step, which is not repeated, is left out: Karras's lies so near to no noise that its timestep is rounded.
    """
    notes = Notes()
    steps = steps_of(notes, TimeTravel(repeat=3, jump=jump), count=16, scheduler=scheduler)
    assert max(step.repeated for step in steps) == 2
    assert all(abs(spread - 1) < 0.05 for spread in notes.spreads[:-1]), notes.spreads
    end = steps[-1].next_level
    assert float((steps[-1].x - end.alpha * PICTURE).abs().max()) <= 1e-4 + 6 * end.sigma


def test_a_second_order_step_is_repeated_as_a_whole() -> None:
    notes = Notes()
    steps_of(notes, TimeTravel(since=0.4, until=0.6), scheduler="heun", steps=5)
    assert notes.steps == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8]


def test_the_scheduler_begins_anew_where_it_goes_back_to() -> None:
    """With the latents put back by hand, going back to the first step of all is the run from the start, to the bit."""

    class PutBack(Trick[Any]):
        @hookimpl
        def before_step(self, step: Step) -> None:
            step.x = step.run.state(self).setdefault(step.index, step.x) if step.repeated else step.x
            step.run.state(self)[step.index] = step.x

    model = load_model(tiny_pipeline("if"), device="cpu")
    for scheduler in ("dpm++2m", "unipc", "pndm", "lms", "heun", "ddim"):
        ask: dict[str, Any] = {"prompt": "a", "steps": 5, "scheduler": scheduler}
        travels = sample(model, tricks=[PutBack(), TimeTravel(since=0, until=1, jump=9)], **ask)
        assert torch.equal(list(travels)[-1].x, list(sample(model, **ask))[-1].x), scheduler


def test_an_edit_goes_back_no_further_than_it_began(tmp_path: Any) -> None:
    from diffusion_tricks.plugin import to_images

    to_images(PICTURE)[0].save(tmp_path / "a.png")
    notes = Notes()
    steps_of(SDEdit(image=tmp_path / "a.png", strength=0.5), notes, TimeTravel(since=0.2, until=0.9, jump=5))
    assert notes.steps == [5, 6, 5, 6, 7, 8, 7, 8, 9]


@pytest.mark.parametrize("scheduler", ["ddim", "heun"])
def test_views_with_latents_of_their_own_go_back_too(scheduler: str) -> None:
    """In pixel space a turned view keeps noisy latents itself; their noise has spread 1 whenever they are asked."""
    spreads: list[float] = []

    class Listens(Trick[Any]):
        @hookimpl
        def estimate_noise(self, ask: Any, step: Step) -> Any:
            (answer,) = yield [ask]
            if ask.prompt == "b":
                spreads.append(float(((ask.x - step.alpha * turned) / step.sigma).std()))
            return answer

    from diffusion_tricks.registry.view import view_named

    x = torch.linspace(-1, 1, 48)
    smooth = (torch.sin(3 * x)[:, None] * torch.cos(2 * x)).expand(1, 3, 48, 48)
    turned = view_named("rotate:135").apply(smooth)
    trick = Anagram(views=[("identity", "a"), ("rotate:135", "b")])
    model = exact_model({"a": smooth, "b": turned})
    steps = list(sample(model, tricks=[trick, TimeTravel(jump=2), Listens()], steps=8, scheduler=scheduler))
    assert max(step.repeated for step in steps) == 1
    assert all(abs(spread - 1) < 0.06 for spread in spreads), spreads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat": 0}, "repeat: .*1"),
        ({"jump": 0}, "jump: .*1"),
        ({"since": 0.8, "until": 0.2}, "must begin before it ends, got `since` 0.8 and `until` 0.2"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TimeTravel(**options)


def test_what_cannot_be_is_refused_before_the_first_step() -> None:
    with pytest.raises(UsageError, match="none of 2 steps lies between `since` and `until`; give more `steps`"):
        steps_of(TimeTravel(since=0.6, until=0.9), steps=2)
    kutta = exact_model(PICTURE, PNDMScheduler(skip_prk_steps=False))
    with pytest.raises(UsageError, match="begins with steps that others remember"):
        list(sample(kutta, prompt="a", steps=10, tricks=[TimeTravel()]))

    class Wrong(Trick[Any]):
        @hookimpl
        def after_step(self, step: Step) -> None:
            step.go_back(step.index + 1)

    with pytest.raises(PluginError, match="a run goes back to a step from 0 to 0, got 1"):
        steps_of(Wrong())


def test_it_holds_what_a_trick_must() -> None:
    check_trick(TimeTravel())
