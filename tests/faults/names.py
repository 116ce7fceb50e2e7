"""Names and words that no file system or encoding takes: each is refused with a sentence."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from faults.harness import FAILED, MODEL, OK, USAGE, Case, Harness, spoken

NAMES = Harness(
    "names", "names that are too long, undecodable or no names are taken or refused with a sentence", 60, 500,
    lambda rng: _cases(rng),
)  # fmt: skip
LATIN = os.fsdecode(b"caf\xe9")  # the name of a file that is no UTF-8
ODD = {
    "long": "a" * 300, "long in bytes": "é" * 200, "latin": LATIN, "half a pair": "\ud800", "empty": "", "blank": " ",
    "a point": ".", "two points": "..", "a path that is long": "/".join(["a" * 200] * 30), "nobody's home": "~nobody/x",
    "a NUL": "a\0b", "a line": "a\nb", "an escape": "\x1b[2Ja", "a link in a circle": "loop",
}  # fmt: skip
PLACES: dict[str, list[str]] = {
    "prompt": ["generate", "NAME", "--dry-run"],
    "negative": ["generate", "a", "--negative", "NAME", "--dry-run"],
    "model": ["generate", "a", "-m", "NAME", "--dry-run"],
    "model directory": ["generate", "a", "-m", "./NAME", "--dry-run"],
    "weights": ["generate", "a", "-m", "NAME.safetensors", "--dry-run"],
    "models show": ["models", "show", "NAME"],
    "upscaler": ["generate", "a", "--upscaler", "NAME", "--dry-run"],
    "lora": ["generate", "a", "--lora", "NAME.safetensors", "--dry-run"],
    "output": ["cover", "in.png", "--title", "x", "-o", "NAME.png"],
    "side-car": ["cover", "in.png", "--title", "x", "-o", "NAME.jpg"],
    "recipe": ["cover", "in.png", "--title", "x", "-o", "out.png", "--save-recipe", "NAME.toml"],
    "recipe of it": ["cover", "NAME.png", "--title", "x", "-o", "out.png", "--save-recipe", "r.toml"],
    "recipe of it as JSON": ["cover", "NAME.png", "--title", "x", "-o", "out.png", "--save-recipe", "r.json"],
    "picture": ["edit", "NAME.png", "a", "--dry-run"],
    "mask": ["inpaint", "in.png", "a", "--mask", "NAME.png", "--dry-run"],
    "title": ["cover", "in.png", "--title", "NAME", "-o", "out.png", "--json"],
    "font": ["cover", "in.png", "--title", "x", "--font", "NAME.ttf", "-o", "out.png"],
    "run": ["run", "NAME.toml", "--dry-run"],
    "show": ["show", "NAME.png"],
    "rerun": ["rerun", "NAME.png", "--dry-run"],
    "score": ["score", "NAME.png", "-p", "a"],
    "plugin": ["--plugin", "NAME.py", "generate", "a", "--dry-run"],
    "steps out": ["generate", "a", "--steps-out", "NAME.gif", "--dry-run"],
    "scheduler": ["generate", "a", "--scheduler", "NAME", "--dry-run"],
    "device": ["generate", "a", "--device", "NAME", "--dry-run"],
    "trick": ["make", "-p", "a", "--dry-run", "NAME"],
    "view": ["anagram", "--view", "NAME", "a", "--view", "flip", "b", "--dry-run"],
    "control": ["make", "-p", "a", "--dry-run", "controlnet", "in.png", "--net", "NAME"],
    "training": ["train", "NAME", "-o", "trained", "--dry-run"],
    "training to": ["train", ".", "-o", "NAME", "--dry-run"],
    "resume": ["train", "--resume", "NAME"],
    "command": ["NAME"],
}  # fmt: skip
CODES = (OK, FAILED, USAGE, MODEL)


def _cases(rng: random.Random) -> Iterator[Case]:
    cases = [(place, kind) for place in PLACES for kind in ODD]
    rng.shuffle(cases)
    for place, kind in cases:
        yield f"{place}: {kind}", partial(_named, PLACES[place], ODD[kind])


def _named(words: list[str], name: str) -> str | None:
    Image.new("RGB", (16, 16)).save("in.png")
    Image.new("RGB", (16, 16)).save(f"{LATIN}.png")
    Path("loop").symlink_to("loop")
    return spoken(*(word.replace("NAME", name) for word in words), codes=CODES)
