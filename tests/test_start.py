"""What a run waits for before its first picture: the model inside takes no library that it does not use."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks import ModelError
from diffusion_tricks.lazy import importing
from diffusion_tricks.loading.classes import import_classes

GENERATE = """
import json, sys
from diffusion_tricks_cli.entry import main
sys.argv = ["diffusion-tricks", "generate", "a rabbit", "--steps", "1", "--quiet", "-o", sys.argv[1]]
try:
    main()
finally:
    import gc
    print(json.dumps({"modules": sorted(sys.modules), "aside": gc.get_freeze_count(), "collects": gc.isenabled()}))
"""
NEVER = (
    "matplotlib", "datasets", "pandas", "pyarrow", "sklearn", "skimage", "torchvision", "cv2", "IPython", "ray",
    "bitsandbytes", "imagecodecs", "tifffile", "fontTools", "uharfbuzz", "fpdf", "imageio_ffmpeg", "pyphen", "uniseg",
    "resvg_py", "tensorboard", "torch._inductor.compile_fx", "diffusers.modular_pipelines",
    "diffusers.pipelines.auto_pipeline", "diffusers.pipelines.stable_diffusion", "diffusers.pipelines.flux",
    "transformers.pipelines", "transformers.trainer", "transformers.models.llama", "transformers.models.qwen2",
    "transformers.models.gemma2", "diffusion_tricks.training.loop", "diffusion_tricks.loading.controlnet",
    "diffusion_tricks.families.flux", "diffusion_tricks.families.qwen",
)  # fmt: skip
PIPELINES = {"ddim", "deepfloyd_if", "pipeline_utils", "pipeline_loading_utils"}  # ddim: of the refiner


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is there at the end of a cold run of the model inside."""
    picture = tmp_path_factory.mktemp("start") / "rabbit.png"
    command = [sys.executable, "-c", GENERATE, str(picture)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert picture.exists()
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_of_the_model_inside_imports_what_it_uses(run: dict[str, Any]) -> None:
    modules = run["modules"]
    assert not [name for name in modules if any(name == one or name.startswith(f"{one}.") for one in NEVER)]
    pipelines = {name.split(".")[2] for name in modules if name.startswith("diffusers.pipelines.")}
    assert pipelines == PIPELINES


def test_the_collector_leaves_imports_alone_and_works_again_after(run: dict[str, Any]) -> None:
    assert run["aside"] > 300_000
    assert run["collects"] is True


def test_a_script_keeps_its_collector_as_it_was() -> None:
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        with importing():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == before
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_garbage_when_an_import_begins_is_not_kept_for_good() -> None:
    """A model that a run is done with, before it imports what another is made of."""
    code = (
        "import gc, weakref\nfrom diffusion_tricks.lazy import importing\n"
        "class Node: pass\ngc.freeze(); one = Node(); one.itself = one; seen = weakref.ref(one); del one\n"
        "with importing(): pass\nassert seen() is None and gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_classes_are_imported_by_name_and_unknown_ones_left_to_the_loading(tmp_path: Path) -> None:
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({"_class_name": "NoPipeline", "unet": ["diffusers", "NoNet"], "a": ["b", "C"]}))
    import_classes(tmp_path)
    index.unlink()
    with pytest.raises(ModelError, match=r"model_index\.json"):
        import_classes(tmp_path)
