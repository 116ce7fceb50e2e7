"""How fast the loop is, as ratios of two ways to the same picture, measured in turns within one run.

    python benchmarks/speed.py                                     the tiny model: seconds, and mostly overhead
    python benchmarks/speed.py --model emoji --steps 20 --repeats 7 --json speed.json

A ratio is the median over the repeats of (ours / theirs); each repeat runs both, in alternating order. On a
machine that does other work too, `--clock cpu` with OMP_NUM_THREADS=1 is the fairer measure.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import peers
from diffusion_tricks import Model, Trick, load_model, sample
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid

SCALE = 4.0
PAIR = ("a rabbit", "a duck")
Way = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """Two ways to do the same. goal: the ratio aimed at; same: whether both ways end in the same picture."""

    name: str
    ours: Way
    theirs: Way
    goal: float | None = None
    same: bool = True


def opened(name: str, device: str) -> Model:
    """The model by name, or `tiny`, with its pipeline's own scheduler, so that all ways use the same."""
    model = load_model(tiny_pipeline("if") if name == "tiny" else name, device=device)
    return replace(model, defaults=Defaults())


def finished(model: Model, **request: Any) -> Tensor:
    """The last latents of our loop (b c h w)."""
    return deque(sample(model, **request), maxlen=1)[0].x


def cases(model: Model, steps: int) -> Iterator[Case]:
    """Everything that is compared; what can be prepared is prepared, so that only the loops are measured."""
    texts = peers.embeddings(model.pipe, PAIR)
    pipe = without_text_encoder(model.pipe)
    guidance = Guidance(scale=SCALE)

    def ours(*tricks: Trick[Any], prompt: str | None = None, **request: Any) -> Tensor:
        return finished(model, prompt=prompt, tricks=[*tricks, guidance], steps=steps, **request)

    def plain(seed: int = 0, **request: Any) -> Tensor:
        return ours(prompt=PAIR[0], seed=seed, **request)

    hybrid = Hybrid(far=PAIR[0], near=PAIR[1])
    anagram = Anagram(views=list(zip(("identity", "rotate_cw"), PAIR, strict=True)))
    views = [(lambda x: x, lambda x: x), (lambda x: x.rot90(-1, (-2, -1)), lambda x: x.rot90(1, (-2, -1)))]

    def paper_anagram() -> Tensor:
        return peers.anagram(pipe, texts, views, scale=SCALE, steps=steps, seed=0)

    def plain_hybrid() -> Tensor:
        return peers.hybrid(pipe, texts, scale=SCALE, steps=steps, seed=0)

    def eight_runs() -> Tensor:
        return torch.cat([plain(seed) for seed in range(8)])

    yield Case("our loop / bare denoiser calls", plain, lambda: bare(model, texts, steps), same=False)
    yield Case("plain / diffusers' pipeline", plain, lambda: diffusers_own(pipe, texts, steps), goal=1.0)
    yield Case("anagram / paper's sampler", lambda: ours(anagram), paper_anagram)
    yield Case("hybrid / plain sampler, 4 rows", lambda: ours(hybrid), plain_hybrid, goal=0.8)
    yield Case("8 at once / 8 runs", lambda: plain(count=8), eight_runs, goal=0.9)


def without_text_encoder(pipe: Any) -> Any:
    """A pipeline of its own with the same denoiser; the text encoder may leave the device while our loop runs."""
    parts = {**pipe.components, "text_encoder": None, "tokenizer": None, "scheduler": copy.deepcopy(pipe.scheduler)}
    alone = type(pipe)(**parts, requires_safety_checker=False)
    alone.set_progress_bar_config(disable=True)
    return alone


@torch.no_grad()
def bare(model: Model, texts: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """Nothing but the denoiser, two rows a step."""
    unet, config = model.pipe.unet, model.pipe.unet.config
    x = torch.zeros(2, config.in_channels, config.sample_size, config.sample_size).to(unet.device, unet.dtype)
    encoded = torch.cat([texts[1][:1], texts[0][:1]])
    for t in torch.linspace(999, 0, steps).long().to(unet.device):
        output = unet(x, t, encoder_hidden_states=encoded, return_dict=False)[0]
    answer: Tensor = output[:1, : config.in_channels]
    return answer


def diffusers_own(pipe: Any, texts: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """The pipeline's own call, spared the encoding of the prompt."""
    embeds = {"prompt_embeds": texts[0][:1], "negative_prompt_embeds": texts[1][:1]}
    generator = torch.Generator().manual_seed(0)
    done = pipe(**embeds, num_inference_steps=steps, guidance_scale=SCALE, generator=generator, output_type="pt")
    images: Tensor = done.images
    return images


def timed(way: Way, device: torch.device, clock: str) -> float:
    """Seconds by the wall, or of all threads of this process, with all work of the device done."""
    now = time.perf_counter if clock == "wall" else time.process_time
    settle(device)
    began = now()
    way()
    settle(device)
    return now() - began


def settle(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(case: Case, repeats: int, device: torch.device, clock: str) -> dict[str, Any]:
    """The row of one case; the first run of each way is not measured, but its pictures are compared."""
    difference = float((case.ours() - case.theirs()).abs().max()) if case.same else None
    seconds = []
    for i in range(repeats):
        order = [case.ours, case.theirs][:: 1 if i % 2 == 0 else -1]
        pair = [timed(way, device, clock) for way in order]
        seconds.append(pair if i % 2 == 0 else pair[::-1])
    ours, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(a / b for a, b in seconds)
    row = {"case": case.name, "ours_ms": 1000 * ours, "theirs_ms": 1000 * theirs, "ratio": ratio}
    return row | {"goal": case.goal, "difference": difference}


def measure(model_name: str, device: str, steps: int, repeats: int, clock: str = "wall") -> dict[str, Any]:
    """All cases on one device."""
    model = opened(model_name, device)
    rows = [measured(case, repeats, model.device, clock) for case in cases(model, steps)]
    facts = {"model": model_name, "device": device, "dtype": str(model.dtype), "steps": steps, "repeats": repeats}
    facts["clock"] = clock
    return facts | {"torch": torch.__version__, "threads": torch.get_num_threads(), "cases": rows}


def table(report: dict[str, Any]) -> str:
    """The report to read."""
    head = "{model} on {device} ({dtype}, {threads} threads), {steps} steps, {repeats} repeats, {clock} clock"
    columns = f"{'case':34} {'ours ms':>9} {'theirs ms':>9} {'ratio':>6} {'goal':>5} {'max |a-b|':>9}"
    lines = [head.format_map(report), columns]
    for row in report["cases"]:
        goal, difference = row["goal"], row["difference"]
        numbers = f"{row['ours_ms']:9.1f} {row['theirs_ms']:9.1f} {row['ratio']:6.3f}"
        rest = f"{'' if goal is None else goal:>5} {'' if difference is None else f'{difference:.1e}':>9}"
        lines.append(f"{row['case']:34} {numbers} {rest}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, a known name, a directory (DeepFloyd IF's first stage)")
    parser.add_argument("--device", action="append", help="default: cpu, and cuda where there is one")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: seconds of the processor, for a busy machine"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args()
    devices = given.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    reports = []
    for device in devices:
        reports.append(measure(given.model, device, given.steps, given.repeats, given.clock))
        print(table(reports[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(reports, indent=2) + "\n")


if __name__ == "__main__":
    main()
