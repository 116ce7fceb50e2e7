"""What encoded prompts that are kept on the disk save: a tiny FLUX with a text encoder of hundreds of megabytes.

    python benchmarks/prompts.py --repeats 5

    not kept   loads the model, text encoders and all, and encodes two prompts
    first      the same, and keeps them
    again      finds them, and reads no text encoder

Each in fresh processes, in turns, files in the disk's cache; seconds of the wall within the process, without imports,
and the ratio to what is not kept. Weights are random.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

WIDTH, LAYERS = 1024, 12  # of the T5: 736 MB in float32
RUN = """
import sys, time
from diffusers import FluxPipeline
from diffusion_tricks import load_model
from diffusion_tricks.model import prompt_store
prompt_store.user_cache_dir = lambda *_, **__: sys.argv[2]
began = time.perf_counter()
model = load_model(sys.argv[1], device="cpu", whole=False)
model.encode_prompts(["a rabbit", "a duck"], (16, 16))
print(time.perf_counter() - began)
"""


def made(folder: Path, width: int, layers: int) -> Path:
    """A directory with a tiny FLUX whose second text encoder is a T5 of that size."""
    from transformers import T5Config, T5EncoderModel

    from diffusion_tricks.testing import tiny_pipeline

    pipe = tiny_pipeline("flux")
    settings = T5Config(d_model=width, d_ff=4 * width, num_layers=layers, num_heads=width // 64, d_kv=64)
    wide = {**pipe.transformer.config, "joint_attention_dim": width}
    pipe.text_encoder_2 = T5EncoderModel(settings).eval()
    pipe.transformer = type(pipe.transformer).from_config(wide)
    pipe.save_pretrained(folder)
    return folder


def seconds(model: Path, cache: Path, megabytes: int) -> float:
    """What a fresh process takes for a model and two prompts, keeping at most so many megabytes."""
    environment = {**os.environ, "DIFFUSION_TRICKS_PROMPTS_MB": str(megabytes)}
    command = [sys.executable, "-c", RUN, str(model), str(cache)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measured(model: Path, cache: Path, repeats: int) -> dict[str, list[float]]:
    """The seconds of each way, in turns, behind one that is not counted, for the disk."""
    found: dict[str, list[float]] = {"not kept": [], "first": [], "again": []}
    seconds(model, cache, 0)
    for _ in range(repeats):
        shutil.rmtree(cache, ignore_errors=True)
        found["not kept"].append(seconds(model, cache, 0))
        found["first"].append(seconds(model, cache, 64))
        found["again"].append(seconds(model, cache, 64))
    return found


def table(found: dict[str, list[float]]) -> str:
    """The medians, in Markdown."""
    lines = ["| way | seconds | ratio |", "|---|---|---|"]
    for name, took in found.items():
        ratio = statistics.median(one / plain for one, plain in zip(took, found["not kept"], strict=True))
        lines.append(f"| {name} | {statistics.median(took):.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args(args).repeats
    with tempfile.TemporaryDirectory() as home:
        print(table(measured(made(Path(home) / "flux", WIDTH, LAYERS), Path(home) / "cache", repeats)))


if __name__ == "__main__":
    main()
