"""How fast this is on CUDA, beside others, at the true sizes of models; weights are random, nothing is downloaded.

    python benchmarks/cuda.py                                   runs this; torch looks for a package called cuda

Ratios are medians over the repeats of ours / theirs, both run in turns in this one process (`speed`). Without a GPU it
runs small, and the table says that nothing was measured. Models: Stable Diffusion 1.5 and DeepFloyd IF-I-M by size.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import peers
import plots
import speed
from diffusion_tricks import Model, load_model
from diffusion_tricks.devices.compile import Compiled, channels_last
from diffusion_tricks.devices.peak import forget_peak, peak_memory_mb
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.loading.compiling import compiled
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid
from true_sizes import of_true_size

UNMEASURED = "not measured on CUDA"
SCALE = 7.5
QUARTER = [(lambda x: x, lambda x: x), (lambda x: x.rot90(-1, (-2, -1)), lambda x: x.rot90(1, (-2, -1)))]
TOGETHER = 8  # anagrams made at once
MOST = 128  # pictures at once in the curve


@dataclass(frozen=True)
class Setting:
    """What is measured with. small: tiny weights on the CPU. steps: of Stable Diffusion; those of IF are two thirds."""

    device: torch.device
    dtype: torch.dtype
    small: bool
    steps: int = 30
    repeats: int = 5
    curve: Path = Path("pictures_per_second.png")

    @property
    def pixel_steps(self) -> int:
        """Of DeepFloyd IF."""
        return max(1, 2 * self.steps // 3)


class Bench:
    """The models, made when they are first asked for; ours and theirs have weights of their own, but the same."""

    def __init__(self, setting: Setting):
        self.setting = setting

    @cached_property
    def latent_pipe(self) -> Any:
        """Stable Diffusion 1.5, as it stands."""
        return self._made("sd")

    @cached_property
    def pixel_pipe(self) -> Any:
        """DeepFloyd IF-I-M, as it stands."""
        return self._made("if")

    @cached_property
    def latents(self) -> Model:
        """Our Stable Diffusion 1.5."""
        return self.opened(self.latent_pipe)

    @cached_property
    def pixels(self) -> Model:
        """Our DeepFloyd IF-I-M."""
        return self.opened(self.pixel_pipe)

    def compiled(self) -> Model:
        """A further Stable Diffusion 1.5 of ours, its denoiser compiled."""
        model = self.opened(self.latent_pipe)
        if not self.setting.small:
            return compiled(model)
        model.compiled = Compiled(model.family.denoiser, backend="eager")  # without a compiler: the way there is run
        return model

    def opened(self, pipe: Any) -> Model:
        """A copy of the pipeline as `load_model` would have laid it out, run as the pipeline itself says."""
        own = copy.deepcopy(pipe)
        if self.setting.device.type == "cuda":
            channels_last(own)
        model = load_model(own, device=str(self.setting.device))
        model.defaults = Defaults()
        return model

    def _made(self, name: str) -> Any:
        if self.setting.small:
            return tiny_pipeline(name)
        return of_true_size(name, str(self.setting.device), self.setting.dtype)

    def row(self, case: speed.Case, share: int = 1) -> dict[str, Any]:
        """The measured row of a case; share: pictures that ours makes for each of theirs."""
        row = speed.measured(case, self.setting.repeats, self.setting.device, "wall")
        return row | {"ours_ms": row["ours_ms"] / share, "ratio": row["ratio"] / share}


def eager(bench: Bench) -> dict[str, Any]:
    """Ours / the pipeline's own call: prompts encoded before, decoded to pixels."""
    return bench.row(_against_the_pipeline(bench, bench.latents, "SD 1.5, 512 px, guidance: ours / pipeline", 1.0))


def with_compile(bench: Bench) -> dict[str, Any]:
    """Ours compiled / the pipeline's own call, eager."""
    case = _against_the_pipeline(bench, bench.compiled(), "the same, ours with --compile / pipeline eager", 0.75)
    return bench.row(case)


def _against_the_pipeline(bench: Bench, model: Model, name: str, goal: float) -> speed.Case:
    pipe, steps = bench.latent_pipe, bench.setting.steps
    embeds = dict(zip(("prompt_embeds", "negative_prompt_embeds"), _texts(pipe), strict=True))

    def ours() -> Tensor:
        x = speed.finished(model, prompt=peers_prompt, tricks=[Guidance(scale=SCALE)], steps=steps, seed=0)
        return (model.decode(x).float() / 2 + 0.5).clamp(0, 1)

    def theirs() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        call = {"num_inference_steps": steps, "guidance_scale": SCALE, "generator": generator, "output_type": "pt"}
        images: Tensor = pipe(**embeds, **call).images
        return images.float()

    peers_prompt = speed.PAIR[0]
    return speed.Case(name, ours, theirs, goal)


def _texts(pipe: Any) -> tuple[Tensor, Tensor]:
    """Stable Diffusion's embeddings of the first prompt and of the empty one."""
    device = next(pipe.unet.parameters()).device
    encoded: tuple[Tensor, Tensor] = pipe.encode_prompt(speed.PAIR[0], device, 1, True)
    return encoded


def anagrams(bench: Bench) -> dict[str, Any]:
    """Eight two-view anagrams at once, per picture / one by the paper's sampler."""
    model, pipe, steps = bench.pixels, bench.pixel_pipe, bench.setting.pixel_steps
    texts = peers.embeddings(pipe, speed.PAIR)
    tricks = [Anagram(views=list(zip(("identity", "rotate_cw"), speed.PAIR, strict=True))), Guidance(scale=SCALE)]
    case = speed.Case(
        f"IF-M, 2-view anagram, {TOGETHER} at once, per picture: ours / paper's",
        lambda: speed.finished(model, tricks=tricks, steps=steps, seed=0, count=TOGETHER),
        lambda: peers.anagram(pipe, texts, QUARTER, scale=SCALE, steps=steps, seed=0), 0.35, same=False,
    )  # fmt: skip
    return bench.row(case, share=TOGETHER)


def hybrids(bench: Bench) -> dict[str, Any]:
    """One hybrid with guidance, three rows a step / the four of a plain sampler."""
    model, pipe, steps = bench.pixels, bench.pixel_pipe, bench.setting.pixel_steps
    texts, tricks = peers.embeddings(pipe, speed.PAIR), [Hybrid(far=speed.PAIR[0], near=speed.PAIR[1])]
    case = speed.Case(
        "IF-M, hybrid with guidance, one: ours / paper's",
        lambda: speed.finished(model, tricks=[*tricks, Guidance(scale=SCALE)], steps=steps, seed=0),
        lambda: peers.hybrid(pipe, texts, scale=SCALE, steps=steps, seed=0), 0.80,
    )  # fmt: skip
    return bench.row(case)


def overhead(bench: Bench) -> dict[str, Any]:
    """Our loop with guidance, and the scheduler in it / as many calls of the denoiser with as many rows."""
    model, steps = bench.latents, bench.setting.steps
    tricks = [Guidance(scale=SCALE)]
    texts = _texts(bench.latent_pipe)

    def ours() -> Tensor:
        return speed.finished(model, prompt=speed.PAIR[0], tricks=tricks, steps=steps, seed=0, scheduler="ddim")

    case = speed.Case(
        "SD 1.5, loop with scheduler / bare denoiser calls", ours, lambda: speed.bare(model, texts, steps), 1.02,
        same=False,
    )  # fmt: skip
    return bench.row(case)


def batches(bench: Bench) -> dict[str, Any]:
    """Pictures per second against how many are made at once, until memory or MOST ends it; drawn as a picture."""
    model, setting = bench.latents, bench.setting
    points, peaks = list[tuple[int, float]](), list[float]()
    count = 1
    while count <= (4 if setting.small else MOST):
        seconds, peak = _seconds(model, setting, count)
        if count > 1 and model.memory.told()[1] is not None:  # cut down for memory: from here on not so many at once
            break
        points.append((count, count / seconds))
        peaks.append(peak)
        count *= 2
    device = torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else "tiny weights on the CPU"
    title = f"Stable Diffusion 1.5 by size, {setting.steps} steps with guidance: {device}"
    plots.curve(points, setting.curve, title=title, across="pictures at once", up="pictures per second")
    return {"case": "pictures per second", "points": points, "peaks_mb": peaks, "picture": str(setting.curve)}


def _seconds(model: Model, setting: Setting, count: int) -> tuple[float, float]:
    """Of one batch with decoding, after one that is not measured, and its peak memory in MB."""

    def run() -> None:
        request = {"prompt": speed.PAIR[0], "tricks": [Guidance(scale=SCALE)], "steps": setting.steps}
        model.decode(speed.finished(model, **request, count=count))

    run()
    forget_peak(setting.device)
    speed.settle(setting.device)
    began = time.perf_counter()
    run()
    speed.settle(setting.device)
    return time.perf_counter() - began, peak_memory_mb(setting.device)


MEASURES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "eager": eager, "compiled": with_compile, "anagrams": anagrams, "hybrids": hybrids, "overhead": overhead,
    "batches": batches,
}  # fmt: skip


def measured(setting: Setting, only: list[str] | None = None) -> dict[str, Any]:
    """Every measure, or only some, and where they were taken."""
    bench, rows = Bench(setting), []
    for name in only or MEASURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows.append(MEASURES[name](bench))
    name = torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else "CPU"
    facts = {"device": name, "dtype": str(setting.dtype).removeprefix("torch."), "small": setting.small}
    return facts | {"steps": setting.steps, "repeats": setting.repeats, "torch": torch.__version__, "rows": rows}


def table(report: dict[str, Any]) -> str:
    """The report to read, as a table in Markdown; what was not measured on CUDA is not given as found."""
    real = not report["small"] and report["device"] != "CPU"
    head = "{device}, {dtype}, {steps} steps, {repeats} repeats, torch {torch}".format_map(report)
    lines = [head + ("" if real else f"; {UNMEASURED}: the ratios beside it are of this computer"), ""]
    lines += ["| measure | goal | found | met | |", "|---|---|---|---|---|"]
    return "\n".join(lines + [_line(row, real) for row in report["rows"]])


def _line(row: dict[str, Any], real: bool) -> str:
    if "points" in row:
        rate, count = max((rate, count) for count, rate in row["points"])
        best = f"{rate:.2f}, {count} at once" if real else UNMEASURED
        return f"| {row['case']}, the most | curve | {best} | | {row['picture']} |"
    found, met = f"{row['ratio']:.3f}", "yes" if row["ratio"] <= row["goal"] else "no"
    aside = f"{row['ours_ms']:.1f} / {row['theirs_ms']:.1f} ms"
    if row["difference"] is not None:
        aside += f", pictures differ by {row['difference']:.1e}"
    if not real:
        found, met, aside = UNMEASURED, "", f"{found} here"
    return f"| {row['case']} | <= {row['goal']:.2f} | {found} | {met} | {aside} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny weights on the CPU; the default without CUDA")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--steps", type=int, help="of Stable Diffusion  [default: 30, small 3]")
    parser.add_argument("--repeats", type=int, help="[default: 5, small 1]")
    parser.add_argument("--only", choices=MEASURES, action="append", help="repeatable; default: all")
    parser.add_argument("--picture", type=Path, default=Setting.curve, help="where the curve goes, a PNG")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args(arguments)
    small = given.small or not torch.cuda.is_available()
    where, dtype = ("cpu", "float32") if small else (given.device, given.dtype)
    setting = Setting(
        torch.device(where), getattr(torch, dtype), small, given.steps or (3 if small else 30),
        given.repeats or (1 if small else 5), given.picture,
    )  # fmt: skip
    report = measured(setting, given.only)
    print(table(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
