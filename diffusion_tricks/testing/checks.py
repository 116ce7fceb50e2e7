"""What every view and every trick must hold, as checks that a plugin author calls from a test."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.families.base import Family
from diffusion_tricks.generate.finish import finish
from diffusion_tricks.generate.outline import stand_in_for
from diffusion_tricks.hookspecs import Asking, hookimpl
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.model.cascade import needs_upscaling
from diffusion_tricks.model.model import Model
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.registry.view import View, orthogonality_error, view_named
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.types import Row, Size

ORTHOGONAL = 1e-9  # in float64
INVERSE = 1e-5  # in float32; permutations are exact
SMOOTH = 0.05  # of a view that interpolates, on a picture of waves between -1 and 1
BATCHED = 1e-4  # convolutions of several rows may round otherwise than of one


def check_view(view: View | str, shape: tuple[int, int, int] = (3, 64, 64)) -> None:
    """Raises AssertionError unless a view is an orthogonal map with the right inverse, on pixels and on latents.

    One that says `orthogonal = False` must have the right inverse where the viewer sees a smooth picture. What stands
    beside the latents, as in a second stage, must be seen through it with them.
    view: the view, or its name with parameters. shape: (c h w); four channels of that height and width are tried too.
    """
    view = view_named(view) if isinstance(view, str) else view
    _hold(view.orthogonal or not view.latent, f"{view!r} says latent, which only a view that is orthogonal can be")
    for c, h, w in (shape, (4, *shape[1:])):
        x = torch.randn(2, c, h, w, generator=torch.Generator().manual_seed(0))
        for name in ("apply", "invert", "invert_variance"):
            _check_map(view, name, x)
        (_check_orthogonal if view.orthogonal else _check_smooth)(view, x)
        _check_stages(view, x)


def _check_stages(view: View, x: Tensor) -> None:
    """A question about x (b c h w) as a first stage asks it, and as a later one does, with a picture beside it."""
    new = x.new_ones(len(x), 1, *x.shape[-2:])
    seen = view.apply_mask(new)
    _hold(
        seen.shape == new.shape,
        f"{view!r}.apply_mask gave the shape {tuple(seen.shape)}, expected {tuple(new.shape)}",
    )
    picture = x.flip(0)
    for condition in (None, Condition(picture, new)):
        ask = view.through(Ask(x, "a test", condition), prompt="seen through it")
        _hold(torch.equal(ask.x, view.apply(x)), f"{view!r}.through shows other latents than its apply")
        if condition is None:
            continue
        same = ask.condition is not None and torch.equal(ask.condition.picture, view.apply(picture))
        _hold(same, f"{view!r}.through leaves the picture beside a question as it is; give `ask.through(self)`")


def _check_orthogonal(view: View, x: Tensor) -> None:
    """On noise (b c h w): invert undoes apply exactly, and the noise stays what it was."""
    shape = x.shape[1], x.shape[2], x.shape[3]
    _hold(_close(view.invert(view.apply(x)), x), f"{view!r}: invert(apply(x)) is not x on {shape}")
    _hold(_close(view.apply(view.invert(x)), x), f"{view!r}: apply(invert(x)) is not x on {shape}")
    error = orthogonality_error(view, shape)
    _hold(error <= ORTHOGONAL, f"{view!r} is not orthogonal on {shape}: error {error:.1e}; say `orthogonal = False`")


def _check_smooth(view: View, x: Tensor) -> None:
    """On waves of the shape of x (b c h w): invert undoes apply wherever the viewer sees the picture."""
    waves = _waves(x)
    for name in ("seen", "filled"):
        share = getattr(view, name)(waves)
        expected = (1, 1, *x.shape[-2:])
        _hold(share.shape == expected, f"{view!r}.{name} gave the shape {tuple(share.shape)}, expected {expected}")
        _hold(bool(((share >= 0) & (share <= 1)).all()), f"{view!r}.{name} gave values that are not between 0 and 1")
    there, back = view.invert(view.apply(waves)) - waves, view.apply(view.invert(waves)) - waves
    for error, share, what in ((there, view.seen(waves), "invert(apply"), (back, view.filled(waves), "apply(invert")):
        worst = float((error.abs() * (share == 1)).max())
        _hold(worst <= SMOOTH, f"{view!r}: {what}(x)) is {worst:.2f} off x where it is seen, on smooth pictures")


def _waves(x: Tensor) -> Tensor:
    """Smooth pictures of the shape of x (b c h w) in -1..1: waves, each channel with its own phase."""
    _, channels, height, width = x.shape
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    pages = [torch.sin(2 * down + 3 * across + i) for i in range(channels)]
    return torch.stack(pages).expand(x.shape).to(x.dtype)


def _check_map(view: View, name: str, x: Tensor) -> None:
    """Shape and dtype kept, the input untouched, and every picture of a batch mapped alike."""
    method, before = getattr(view, name), x.clone()
    for dtype in (torch.float32, torch.float16):
        out = method(x.to(dtype))
        _hold(out.shape == x.shape, f"{view!r}.{name} gave the shape {tuple(out.shape)}, expected {tuple(x.shape)}")
        _hold(out.dtype == dtype, f"{view!r}.{name} gave {out.dtype}, expected {dtype}")
    _hold(torch.equal(x, before), f"{view!r}.{name} wrote into its input")
    rows = torch.cat([method(row[None]) for row in x])
    _hold(_close(method(x), rows), f"{view!r}.{name} maps a batch otherwise than its pictures one by one")


def check_trick(trick: Trick[Any], model: Model | None = None, **sample_args: Any) -> None:
    """Raises AssertionError unless a trick holds what every trick must.

    The same seed gives the same picture, alone and in a batch; latents, answers and finished pictures that the trick
    is handed are left untouched; every prompt that it asks is named; its options survive a recipe as JSON and as TOML;
    it is rehearsed without a network.
    model: to run with; None is a tiny DeepFloyd IF of random weights. sample_args: as `sample` takes them.
    """
    _check_options(trick)
    model = own = model or _tiny_model()
    watching = Watching(model.family)
    watch = Watch(watching)
    model = replace(model, opened=cast("Family", watching))
    request = {"steps": 3, "seed": 5, **({} if trick.brings_prompts else {"prompt": "a test"}), **sample_args}
    request["tricks"] = [watch, trick, *request.get("tricks", ())]
    both = _sampled(model, count=2, **request)
    single = [_sampled(model, **{**request, "seed": request["seed"] + i}) for i in (0, 1)]
    again = _sampled(model, **request)
    name = trick.label()
    late = ", ".join(map(repr, watching.late))
    _hold(not late, f"trick {name!r} asks {late}, which its hook `prompts` does not name; name every prompt it asks")
    same = torch.equal(_latents(again), _latents(single[0]))
    _hold(same, f"trick {name!r}: the same seed gave another picture; draw from run.noise alone")
    for i, alone in enumerate(single):
        error = float((_latents(both)[i] - _latents(alone)[0]).abs().max())
        _hold(error <= BATCHED, f"trick {name!r}: picture {i} of a batch is {error:.1e} off the same seed alone")
    _hold(watch.untouched, f"trick {name!r} wrote into the latents it asked about; make new ones")
    _hold(watching.untouched, f"trick {name!r} wrote into an estimate it was sent; combine estimates into a new one")
    _check_finish(trick, single[0])
    _check_rehearsal(trick, own, {**request, "tricks": request["tricks"][2:]})


def _check_options(trick: Trick[Any]) -> None:
    """The options survive a recipe, in both of its forms."""
    entry = TrickEntry(trick=trick.label(), **trick.options.model_dump(mode="json", exclude_none=True))
    recipe = Recipe(seed=0, tricks=[entry])
    for form, data in (("JSON", json.loads(recipe.to_json())), ("TOML", tomllib.loads(recipe.to_toml()))):
        options = recipe_from(data).tricks[0].options
        try:
            back = type(trick)(**options).options
        except TypeError as error:
            raise AssertionError(
                f"trick {trick.label()!r} is not made from its options alone, as a recipe makes it: {error}; put what"
                " it is told into `Options`"
            ) from error
        _hold(back == trick.options, f"trick {trick.label()!r}: {form} turns {trick.options!r} into {back!r}")


def _check_rehearsal(trick: Trick[Any], model: Model, request: dict[str, Any]) -> None:
    """Before weights are read a run is rehearsed on a stand-in, whose `run.network` is None: it may refuse no more."""
    others = request.pop("tricks", ())
    if needs_upscaling(model, request.get("size")) or request.pop("latents", None) is not None:
        return
    try:
        run = begin(stand_in_for(model), Sampling(**{"steps": 3, **request}), [*others, trick], rehearsal=True)
        for _ in denoise(run):
            pass
        finish(run, [trick], Image.new("RGB", run.size), 0)
    except DiffusionTricksError as error:
        raise AssertionError(
            f"trick {trick.label()!r}: its rehearsal fails, where `run.network` is None: {error}"
        ) from error


def _check_finish(trick: Trick[Any], run: Run) -> None:
    """`finish_image` and `views_of` leave the picture they are handed as it was."""
    image = to_images(run.model.family.decode(_latents(run)))[0]
    before = image.tobytes()
    finish(run, [trick], image, 0)
    _hold(image.tobytes() == before, f"trick {trick.label()!r}: finish_image wrote into the picture; work on a copy")
    trick.views_of(image)
    _hold(image.tobytes() == before, f"trick {trick.label()!r}: views_of wrote into the picture; work on a copy")


def _sampled(model: Model, *, tricks: Sequence[Trick[Any]], **request: Any) -> Run:
    run = begin(model, Sampling(**request), tricks)
    for _ in denoise(run):
        pass
    return run.stages[-1]


def _latents(run: Run) -> Tensor:
    if run.latents is None:
        raise AssertionError("the run made no step")
    return run.latents


def _tiny_model() -> Model:
    from diffusion_tricks.testing.pipelines import tiny_pipeline

    return load_model(tiny_pipeline("if"), device="cpu")


def _close(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) <= INVERSE


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


class Watch(Trick[Any]):
    """The outermost trick of a check: sees that nothing inside writes into the latents."""

    name = "watch"
    untouched = True

    def __init__(self, watching: Watching):
        super().__init__()
        self.watching = watching

    @hookimpl
    def before_step(self, step: Step) -> None:
        """From the first step on all prompts are encoded."""
        self.watching.encoded = True

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer as it is."""
        before = ask.x.clone()
        answers = yield [ask]
        self.untouched = self.untouched and torch.equal(ask.x, before)
        return answers[0]


class Watching:
    """A family that keeps a copy of every answer, to see whether a trick writes into one.

    encoded: whether a run has encoded what its tricks name. late: prompts that were encoded after that.
    """

    def __init__(self, family: Family):
        self.family = family
        self.encoded = False
        self.late: list[str | None] = []
        self.answers: list[tuple[Tensor, Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.family, name)

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """The family's own rows."""
        if self.encoded:
            self.late.extend(prompts)
        return self.family.record(prompts, size, distilled)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The family's own answer."""
        output = self.family.predict(x, t, rows, **more)
        self.answers.append((output, output.clone()))
        return output

    @property
    def untouched(self) -> bool:
        """Whether every answer is still what it was."""
        return all(torch.equal(now, then) for now, then in self.answers)


__all__ = ["check_trick", "check_view"]
