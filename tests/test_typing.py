"""What type checkers say of a trick: nothing of a sound one, and each hook that gives the wrong thing."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

from diffusion_tricks.registry import hook_types
from diffusion_tricks.sampling.run_hooks import RunHooks

HEAD = """
from typing import Any
from collections.abc import Iterable
from PIL.Image import Image
from torch import Tensor
from diffusion_tricks.plugin import Ask, Asking, Estimate, Run, Start, Step, Trick, TrickOptions, hookimpl, mean, option
"""
SOUND = """
class DimOptions(TrickOptions):
    by: float = option(0.5, "how much", ge=0, le=1)

class Dim(Trick[DimOptions]):
    @hookimpl
    def prompts(self, run: Run) -> Iterable[str | None]:
        return ["a skull"]

    @hookimpl
    def start(self, run: Run) -> Start | None:
        return Start(run.noise.draw(run.latent_shape))

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        rose, skull = yield [ask, ask.but(prompt="a skull")]
        mask: Tensor = ask.x.abs().clamp(0, 1)
        both = rose * mask + (1 - mask) * skull
        return mean([both, rose, 2 * skull], [mask, 1 - mask, self.options.by])

    @hookimpl
    def after_step(self, step: Step) -> None:
        step.x = step.x * self.options.by

    @hookimpl
    def finish_image(self, image: Image) -> Image:
        return image.convert("L")
"""
WRONG = {
    "estimate_noise": "def estimate_noise(self, ask: Ask, step: Step) -> Estimate:\n        return step.estimate",
    "start": "def start(self, run: Run) -> int:\n        return 3",
    "before_step": "def before_step(self, step: Step) -> float:\n        return step.sigma",
    "prompts": "def prompts(self, run: Run) -> list[int]:\n        return [3]",
    "finish_image": "def finish_image(self, image: Image) -> bytes:\n        return image.tobytes()",
}


CONFIGURATION = """
[mypy]
strict = true
plugins = pydantic.mypy
[mypy-torch.*,diffusers.*,transformers.*,numpy.*,scipy.*]
follow_imports = skip
ignore_missing_imports = true
"""  # the large libraries take longer to read than all else
FOLDER = Path(__file__).parents[1] / ".mypy_cache" / "of_tests"  # kept, as what mypy has read is


def written(folder: Path) -> Path:
    file = folder / "dim.py"
    broken = "".join(
        f"\nclass Wrong{i}(Trick[Any]):\n    @hookimpl\n    {code}\n" for i, code in enumerate(WRONG.values())
    )
    asked = "\nclass Asks(Trick[Any]):\n    @hookimpl\n    def estimate_noise(self, ask: Ask, step: Step) -> Asking:\n"
    file.write_text(HEAD + SOUND + broken + asked + "        yield [ask]\n        return ask\n")
    return file


def test_mypy_finds_every_hook_that_gives_the_wrong_thing() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = written(FOLDER)
    (FOLDER / "mypy.ini").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", file.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    for name in WRONG:
        assert [line for line in errors if f'Signature of "{name}" incompatible with supertype' in line], done.stdout
    assert [line for line in errors if 'Incompatible return value type (got "Ask", expected "Estimate")' in line]
    assert len(errors) == len(WRONG) + 1, done.stdout


def test_every_hook_has_its_type() -> None:
    (kind,) = (
        n for n in ast.walk(ast.parse(Path(hook_types.__file__).read_text())) if getattr(n, "name", "") == "HookTypes"
    )
    typed = {node.name for node in ast.walk(kind) if isinstance(node, ast.FunctionDef)}
    assert typed == {name for name, _ in inspect.getmembers(RunHooks, inspect.isfunction)}
    assert not typed & set(dir(hook_types.HookTypes))
