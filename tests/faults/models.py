"""Directories of models as strangers may write them: each is loaded and run, or refused with a sentence."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

from faults.data import WHOLE, mutated
from faults.harness import MODEL, OK, USAGE, Case, Harness, spoken

MODELS = Harness(
    "models", "a directory of a model is run or refused with a sentence, exit 3", 24, 200, lambda rng: _cases(rng)
)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
HEADS: dict[str, bytes] = {
    "a list": b"[]", "a number": b"7", "nothing": b"{}", "entries that are numbers": b'{"a": 1}',
    "an entry without shape": b'{"a": {}}', "null": b"null", "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "deep": b'{"a":' * 50_000, "no UTF-8": b'{"\xff": {}}', "a shape of texts":
    b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}', "a shape that is none":
    b'{"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 4]}}', "offsets past the end":
    b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}',
}  # fmt: skip
ODD_FILES: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a link to nothing": lambda file: file.symlink_to("nowhere"),
    "a link to itself": lambda file: file.symlink_to(file.name),
    "nothing": Path.touch,
    "null bytes": lambda file: file.write_bytes(bytes(64)),
}


@cache
def tiny() -> Path:
    """A directory with a tiny DeepFloyd IF."""
    from diffusion_tricks.testing import tiny_pipeline

    folder = Path(mkdtemp()) / "tiny"
    tiny_pipeline("if").save_pretrained(folder)
    (folder / "diffusion_tricks.json").write_text(json.dumps({"steps": 2, "guidance": 3.0, "scheduler": "ddim"}))
    return folder


def _cases(rng: random.Random) -> Iterator[Case]:
    settings = sorted(file.relative_to(tiny()).as_posix() for file in tiny().rglob("*.json"))
    fixed = [
        *((f"weights: head is {name}", WEIGHTS, head(data)) for name, data in HEADS.items()),
        *((f"{WEIGHTS}: {name}", WEIGHTS, made) for name, made in ODD_FILES.items()),
        *((f"{file}: {name}", file, put(data)) for file in settings for name, data in WHOLE.items()),
        *((f"{file}: {name}", file, made) for file in settings for name, made in ODD_FILES.items()),
    ]
    rng.shuffle(fixed)
    while True:
        if fixed and rng.random() < 0.5:
            name, file, made = fixed.pop()
            yield name, partial(_with, file, made)
        else:
            file = rng.choice([name for name in settings if not name.startswith("tokenizer/tokenizer.json")])
            how, changed = mutated(rng, json.loads((tiny() / file).read_text()))
            data = json.dumps(changed).encode()
            yield f"{file}: {how}", partial(_with, file, put(data))


def head(data: bytes) -> Callable[[Path], object]:
    """Writes a file of safetensors with that head."""
    return put(len(data).to_bytes(8, "little") + data + bytes(4))


def put(data: bytes) -> Callable[[Path], object]:
    """Writes a file."""
    return lambda file: file.write_bytes(data)


def _with(file: str, made: Callable[[Path], object]) -> str | None:
    model = Path(shutil.copytree(tiny(), "model"))
    (model / file).unlink()
    made(model / file)
    line = ["generate", "a", "-m", "./model", "--seed", 1, "--steps", 2, "-o", "out.png"]
    codes = (OK, USAGE, MODEL)
    return spoken("models", "show", "./model", codes=codes) or spoken(*line, codes=codes)
