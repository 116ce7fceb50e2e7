"""The loop: what steps tell, what hooks may do, and that it leaves nothing behind."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import diffusion_tricks
from diffusion_tricks import Ask, Model, Run, Start, Step, Trick, hookimpl, load_model, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.generate.finish import finish
from diffusion_tricks.hookspecs import Asking
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing import exact_model
from diffusion_tricks.testing.pipelines import tiny_pipeline

PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
CORE = Path(diffusion_tricks.__file__).parent


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


@pytest.fixture
def exact() -> Model:
    return exact_model(PICTURE)


def last_of(steps: Iterator[Step]) -> Step:
    *_, last = steps
    return last


class Hooks(Trick[Any]):
    """A trick made of functions: `Hooks(before_step=lambda step: ...)`; it notes what it was called with."""

    name = "hooks"

    def __init__(self, **functions: Any):
        super().__init__()
        self.functions = functions

    def _do(self, name: str, *arguments: Any) -> Any:
        return self.functions[name](*arguments) if name in self.functions else None

    @hookimpl
    def prepare(self, run: Run) -> None:
        self._do("prepare", run)

    @hookimpl
    def prompts(self, run: Run) -> Any:
        return self._do("prompts", run)

    @hookimpl
    def start(self, run: Run) -> Any:
        return self._do("start", run)

    @hookimpl
    def before_step(self, step: Step) -> None:
        self._do("before_step", step)

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Any:
        return self._do("estimate_noise", ask, step)

    @hookimpl
    def after_step(self, step: Step) -> None:
        self._do("after_step", step)

    @hookimpl
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Any:
        return self._do("finish_image", run, image, index)


def test_a_step_tells_where_it_is_and_what_the_model_said(exact: Model) -> None:
    steps = list(sample(exact, prompt="a", seed=3, steps=5, scheduler="ddim"))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert [int(step.t) for step in steps] == [800, 600, 400, 200, 0]
    assert [step.fraction for step in steps] == [0, 0.2, 0.4, 0.6, 0.8]
    assert [step.last for step in steps] == [False] * 4 + [True]
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    for step in steps:
        bar = float(step.run.scheduler.alphas_cumprod[int(step.t)])
        assert (step.alpha**2, step.sigma**2) == pytest.approx((bar, 1 - bar))
        torch.testing.assert_close(step.estimate.clean, PICTURE, rtol=0, atol=1e-5)
        torch.testing.assert_close(step.estimate.noise, (x - step.alpha * PICTURE) / step.sigma)
        x = step.next_level.alpha * PICTURE + step.next_level.sigma * step.estimate.noise  # DDIM, written out
        torch.testing.assert_close(step.x, x)
        assert step.rows == 1
        x = step.x
    assert steps[0].run.rows == 5


def test_the_estimate_is_not_there_before_the_model_was_asked(exact: Model) -> None:
    trick = Hooks(before_step=lambda step: step.estimate)
    with pytest.raises(
        PluginError, match=r"step 0: trick 'hooks' failed in before_step: .*step.estimate is known once"
    ):
        last_of(sample(exact, prompt="a", steps=2, tricks=[trick]))


def test_latents_replace_the_seeds_noise(model: Model) -> None:
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    before = noise.clone()
    alone = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    for scheduler in ("ddim", "euler"):  # Euler scales them by its first sigma
        drawn = last_of(sample(model, prompt="a", seeds=[9], steps=2, scheduler=scheduler))
        given = last_of(sample(model, prompt="a", latents=alone, steps=2, scheduler=scheduler))
        assert torch.equal(given.x, drawn.x)
        assert len(last_of(sample(model, prompt="a", latents=noise, steps=2, scheduler=scheduler)).x) == 2
    assert torch.equal(noise, before)


def test_each_picture_may_have_its_own_prompt(model: Model) -> None:
    prompts = ["a rabbit", None, "a rabbit"]
    last = last_of(sample(model, prompt=prompts, seeds=[1, 1, 2], steps=2, scheduler="ddim"))
    for i, (prompt, seed) in enumerate(zip(prompts, (1, 1, 2), strict=True)):
        alone = last_of(sample(model, prompt=prompt, seed=seed, steps=2, scheduler="ddim"))
        torch.testing.assert_close(last.x[i], alone.x[0], rtol=0, atol=1e-5)  # a batch may round otherwise
    assert (last.x[0] - last.x[1]).abs().max() > 0.01


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_rows_are_computed_in_chunks_of_any_size(model: Model, rows: int) -> None:
    whole = last_of(sample(model, prompt="a", count=3, steps=2))
    seen: list[int] = []
    parts = load_model(tiny_pipeline("if"), device="cpu")
    predict = parts.family.predict
    parts.family.predict = lambda x, t, given: seen.append(len(x)) or predict(x, t, given)  # type: ignore[method-assign, func-returns-value]
    last = last_of(sample(parts, prompt="a", count=3, steps=2, max_rows=rows))
    torch.testing.assert_close(last.x, whole.x, rtol=0, atol=1e-5)  # a batch may round otherwise
    assert seen == {1: [1] * 6, 2: [2, 1] * 2}.get(rows, [3, 3])
    assert last.rows == 3


def test_hooks_are_called_in_command_order_and_may_change_x(exact: Model) -> None:
    calls: list[str] = []

    def shifted(name: str, by: float) -> Hooks:
        def change(step: Step) -> None:
            calls.append(f"{name} {step.index}")
            step.x = step.x * 2 + by

        return Hooks(before_step=change)

    tricks = [shifted("first", 1.0), shifted("second", 3.0)]
    first = next(sample(exact, prompt="a", steps=2, seed=1, tricks=tricks, scheduler="ddim"))
    assert calls == ["first 0", "second 0"]
    noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first.estimate.x, (noise * 2 + 1) * 2 + 3)
    after = Hooks(after_step=lambda step: setattr(step, "x", torch.full_like(step.x, 0.25)))
    last = last_of(sample(exact, prompt="a", steps=2, tricks=[after]))
    assert torch.equal(last.x, torch.full_like(last.x, 0.25))
    assert last.run.latents is last.x


def test_estimates_are_shaped_outermost_first(exact: Model) -> None:
    depth: list[str] = []

    def noting(name: str) -> Hooks:
        def estimate(ask: Ask, step: Step) -> Asking:
            depth.append(name)
            answers = yield [ask]
            return answers[0]

        return Hooks(estimate_noise=estimate)

    last_of(sample(exact, prompt="a", steps=1, tricks=[noting("outer"), noting("inner")]))
    assert depth == ["outer", "inner"]


def test_a_run_keeps_notes_for_each_trick_and_a_trick_serves_many_runs(exact: Model) -> None:
    def count(step: Step) -> None:
        notes = step.run.state(trick)
        notes["steps"] = notes.get("steps", 0) + 1

    trick, other = Hooks(after_step=count), Hooks()
    runs = [last_of(sample(exact, prompt="a", steps=n, tricks=[trick, other])).run for n in (2, 3)]
    assert [run.state(trick) for run in runs] == [{"steps": 2}, {"steps": 3}]
    assert runs[0].state(other) == {}


@dataclass
class Seen:
    steps: int = 0


def test_a_trick_names_the_type_of_its_notes(exact: Model) -> None:
    def count(step: Step) -> None:
        step.run.state(trick, Seen).steps += 1

    trick = Hooks(after_step=count)
    run = last_of(sample(exact, prompt="a", steps=3, tricks=[trick])).run
    assert run.state(trick, Seen) == Seen(3)
    with pytest.raises(PluginError, match=r"^trick 'hooks' keeps its notes as a Seen, not a dict; use one$"):
        run.state(trick)


@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_repeating_a_step_restores_the_scheduler(exact: Model, scheduler: str) -> None:
    """The repeated run must reach the picture that the exact model knows, from re-noised latents of the right level."""
    spread: list[tuple[float, float]] = []

    def twice(step: Step) -> None:
        if step.repeated < 2 and step.index % 2 == 0:
            step.repeat()

    def note(step: Step) -> None:
        noise = (step.x - step.alpha * PICTURE) / step.sigma
        spread.append((float(noise.mean()), float(noise.std())))

    tricks = [Hooks(before_step=note, after_step=twice)]
    steps = list(sample(exact, prompt="a", count=16, steps=4, scheduler=scheduler, tricks=tricks))
    once = [step for step in steps if not step.again]
    assert [step.index for step in once] == list(range(len(steps[0].run.timesteps)))
    assert [step.repeated for step in steps[:4]] == [0, 1, 2, 0]
    if scheduler in {"pndm", "lms"}:  # they extrapolate the noise, which is a new one after each repeat
        return
    assert all(abs(mean) < 0.1 and abs(std - 1) < 0.1 for mean, std in spread)
    end = steps[-1].next_level
    assert float((steps[-1].x - end.alpha * PICTURE).abs().max()) <= 1e-5 + 6 * end.sigma


def test_a_repeated_step_leaves_multistep_history_as_if_it_were_the_first(exact: Model) -> None:
    """With the re-noised latents put back by hand, a repeated run equals the plain one to the last bit."""
    before: dict[int, Tensor] = {}

    def remember(step: Step) -> None:
        step.x = before.setdefault(step.index, step.x.clone())

    tiny = load_model(tiny_pipeline("if"), device="cpu")
    for scheduler in ("dpm++2m", "unipc", "pndm", "lms", "heun", "ddim"):
        before.clear()
        again = Hooks(before_step=remember, after_step=lambda step: step.repeat() if step.repeated < 1 else None)
        repeated = last_of(sample(tiny, prompt="a", steps=5, scheduler=scheduler, tricks=[again]))
        plain = last_of(sample(tiny, prompt="a", steps=5, scheduler=scheduler))
        assert torch.equal(repeated.x, plain.x), scheduler


def test_stopping_early_leaves_the_pipeline_untouched(model: Model) -> None:
    unet, scheduler = dict(vars(model.pipe.unet)), copy.deepcopy(model.pipe.scheduler.__dict__)
    for step in sample(model, prompt="a rabbit", steps=5):
        if step.index == 1:
            break
    assert vars(model.pipe.unet) == unet
    assert model.pipe.scheduler.num_inference_steps == scheduler["num_inference_steps"]
    picture = model.pipe("a rabbit", num_inference_steps=2, output_type="pt", clean_caption=False).images
    assert picture.shape == (1, 3, 16, 16)


def test_a_failing_trick_leaves_the_model_usable(model: Model) -> None:
    expected = last_of(sample(model, prompt="a", steps=2)).x
    with pytest.raises(PluginError):
        last_of(sample(model, prompt="a", steps=2, tricks=[Hooks(before_step=lambda step: 1 / 0)]))
    assert torch.equal(last_of(sample(model, prompt="a", steps=2)).x, expected)


def test_a_start_takes_the_place_of_pure_noise(exact: Model) -> None:
    start = torch.full((1, 3, 8, 8), 0.5)
    first = next(sample(exact, prompt="a", steps=5, tricks=[Hooks(start=lambda run: Start(start, 3))]))
    assert (first.index, first.run.first) == (3, 3)
    assert torch.equal(first.estimate.x, start)
    run = begin(exact, Sampling(prompt="a", steps=5), tricks=[Hooks(start=lambda run: Start(start, 5))])
    assert list(denoise(run)) == []  # nothing is left to do
    assert torch.equal(run.pixels(), start)


def failing(*arguments: Any) -> Any:
    raise KeyError("mask")


@pytest.mark.parametrize("hook", ["prepare", "prompts", "start", "before_step", "estimate_noise", "after_step"])
def test_a_plugin_that_fails_is_named_with_the_hook_and_the_step(exact: Model, hook: str) -> None:
    def late(subject: Any, step: Any = None) -> Any:
        step = step or subject
        return failing() if isinstance(step, Run) or step.index == 2 else None

    at = "step 2: " if hook in {"before_step", "estimate_noise", "after_step"} else ""
    with pytest.raises(PluginError, match=f"^{at}trick 'hooks' failed in {hook}: KeyError: 'mask'$") as caught:
        last_of(sample(exact, prompt="a", steps=4, tricks=[Hooks(**{hook: late})]))
    causes = [caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
    assert any(isinstance(cause, KeyError) for cause in causes)  # the traceback of the plugin is kept


def test_a_plugin_that_fails_in_finish_image_is_named() -> None:
    image = Image.new("RGB", (8, 8))
    with pytest.raises(PluginError, match="trick 'hooks' failed in finish_image: KeyError: 'mask'"):
        finish(None, [Hooks(finish_image=failing)], image, 0)
    inverted = Hooks(finish_image=lambda run, image, index: image.point(lambda p: 255 - p))
    assert finish(None, [Hooks(), inverted], image, 0).getpixel((0, 0)) == (255, 255, 255)


def test_prompts_may_be_named_by_a_generator_that_fails(exact: Model) -> None:
    def named(run: Run) -> Iterator[str]:
        yield "a"
        raise KeyError("mask")

    with pytest.raises(PluginError, match="trick 'hooks' failed in prompts: KeyError: 'mask'"):
        last_of(sample(exact, prompt="a", tricks=[Hooks(prompts=named)]))


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            {"prompts": lambda run: "a rabbit"},
            "failed in prompts: it must give a list of prompts, and gave the text 'a r",
        ),
        ({"start": lambda run: 7}, "failed in start: it must give a Start or None, and gave a int"),
        (
            {"start": lambda run: Start(torch.zeros(1, 3, 4, 4))},
            r"failed in start: its latents must be of shape \(1, 3, 8, 8\), and are \(1, 3, 4, 4\)",
        ),
        ({"start": lambda run: Start(PICTURE, 6)}, "failed in start: its index must be between 0 and 5, and is 6"),
    ],
)
def test_an_answer_that_is_no_use_is_named(exact: Model, functions: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=f"trick 'hooks' {message}"):
        last_of(sample(exact, prompt="a", steps=5, tricks=[Hooks(**functions)]))


def test_wrappers_are_refused(exact: Model) -> None:
    class Wrapping(Trick[Any]):
        name = "wrapping"

        @hookimpl(wrapper=True)
        def before_step(self, step: Step) -> Any:
            yield

    with pytest.raises(PluginError, match="trick 'wrapping': before_step must be a plain @hookimpl, not a wrapper"):
        last_of(sample(exact, prompt="a", tricks=[Wrapping()]))


def test_a_hook_may_take_fewer_arguments_but_no_unknown_ones(exact: Model) -> None:
    class Fewer(Trick[Any]):
        name = "fewer"

        @hookimpl
        def prompts(self) -> list[str]:
            return ["b"]

    class Odd(Trick[Any]):
        name = "odd"

        @hookimpl
        def before_step(self, steps: Step) -> None:
            """`steps` for `step`."""

    assert begin(exact, Sampling(prompt="a"), tricks=[Fewer()]).prompts() == ["a", "b"]
    with pytest.raises(PluginError, match=r"trick 'odd': .*Argument\(s\) {'steps'} are declared in the hookimpl but"):
        begin(exact, Sampling(prompt="a"), tricks=[Odd()])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": -2}, "count must be at least 1, got -2"),
        ({"max_rows": 0}, "max_rows must be at least 1, got 0"),
        ({"steps": 0}, "steps must be between 1 and 1000"),
        ({"prompt": ["a", "b", "c"], "count": 2}, "expected one prompt, or one for each of 2 pictures, got 3"),
        ({"size": (20, 15)}, "multiple of 2 in both directions, got 20x15; the nearest are 20x14 and 20x16"),
        ({"size": (0, 16)}, "size must be a multiple of 2 in both directions, got 0x16; the nearest is 2x16"),
        ({"latents": torch.zeros(1, 3, 8, 8)}, r"latents must be of shape \(1, 3, 16, 16\), got \(1, 3, 8, 8\)"),
        ({"latents": torch.zeros(2, 3, 16, 16), "count": 3}, r"latents must be of shape \(3, 3, 16, 16\), got \(2, 3"),
        ({"latents": PICTURE, "tricks": [Hooks(start=lambda run: Start(run.noise.draw(run.latent_shape)))]},
         "trick 'hooks' says where the run starts; leave out latents"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met(model: Model, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        last_of(sample(model, **({"prompt": "a", "steps": 2} | request_)))


def test_a_size_may_be_any_pair(model: Model) -> None:
    assert begin(model, Sampling(prompt="a", size=[20, 12])).latent_shape == (3, 12, 20)  # type: ignore[arg-type]


def test_pixels_are_there_once_the_run_has_started(exact: Model) -> None:
    run = begin(exact, Sampling(prompt="a"))
    with pytest.raises(AttributeError, match=r"run\.latents are known once the run has started"):
        run.pixels()


def test_nothing_in_the_loop_makes_a_gpu_wait() -> None:
    """Reading a value of a tensor waits for the GPU; the files that a step runs through never do."""
    waiting = {"item", "cpu", "tolist", "numpy", "nonzero", "synchronize"}
    allowed = {"_with_training_of"}  # once a run, of a tensor that is on the CPU
    # the first is looked at below, the second is for pictures that have failed, the third for files, before the loop
    apart = ("schedulers.py", "blame.py", "row_files.py")
    rooms = ("diffusion", "model", "sampling")
    files = [file for room in rooms for file in (CORE / room).glob("*.py") if file.name not in apart]
    for name in (*files, CORE / "registry" / "calls.py"):
        tree = ast.parse(name.read_text())
        assert not waiting & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}, name
    tree = ast.parse((CORE / "diffusion" / "schedulers.py").read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name not in allowed):
        assert not waiting & {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}, (
            function.name
        )


@pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
def test_a_run_reads_no_value_of_a_latent(scheduler: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU nothing waits, but what would is seen: no tensor of the latents' size is made a number."""
    model = load_model(tiny_pipeline("sd"), device="cpu")
    run = begin(model, Sampling(prompt="a", steps=3, scheduler=scheduler))
    steps = denoise(run)
    next(steps)

    def refuse(self: Tensor, *arguments: Any) -> Any:
        raise AssertionError("a tensor of the run was read")

    for name in ("item", "cpu", "numpy", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, guard(name, refuse))
    assert len(list(steps)) == len(run.timesteps) - 1


def guard(name: str, refuse: Any) -> Any:
    own = getattr(torch.Tensor, name)

    def checked(self: Tensor, *arguments: Any) -> Any:
        return refuse(self) if self.numel() > 1 and self.ndim == 4 else own(self, *arguments)

    return checked
