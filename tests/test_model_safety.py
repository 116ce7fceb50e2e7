"""What may not be in a model: pickles, whatever they are called, and code, wherever it is asked for.

Each is tried in a directory and in a snapshot of the hub's cache. Every pickle and every module here would leave a file
behind when read, so it is seen that none was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from command_line import run
from diffusion_tricks import load_model
from diffusion_tricks.errors import ModelError
from diffusion_tricks.loading.checks import check_directory
from diffusion_tricks.testing.pipelines import tiny_pipeline
from fake_hub import laid_out

NAME = "owner/name"
UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"
Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("safety") / "tiny"
    tiny_pipeline("if").save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


_heard: list[list[str]] = []
sys.addaudithook(lambda event, values: [heard.append(os.fsdecode(values[0])) for heard in _heard]
                 if event == "open" and isinstance(values[0], str | bytes) else None)  # fmt: skip


@contextlib.contextmanager
def all_opened() -> Iterator[list[str]]:
    """The paths of the files that Python opens meanwhile; a hook, once added, stays."""
    _heard.append(heard := [])
    try:
        yield heard
    finally:
        _heard.remove(heard)


class Leaves:
    """A pickle of this makes a file called `ran` when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("ran", "w")


def pickle_to(folder: Path, name: str) -> None:
    torch.save({"weight": Leaves()}, folder / name)


def module_to(folder: Path, name: str) -> None:
    (folder / name).write_text("open('ran', 'w')\nclass Mine: ...\n")


def change(folder: Path, name: str, **values: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def pickled(old: str, *new: str) -> Damage:
    """Pickles in the place of weights."""

    def damage(folder: Path) -> None:
        (folder / f"{old}.safetensors").unlink()
        for name in new:
            pickle_to(folder, name)

    return damage


def sharded(old: str, *parts: str, index: str | None = None) -> Damage:
    """An index that names pickles as the parts of the weights."""

    def damage(folder: Path) -> None:
        for name in parts:
            pickle_to(folder / Path(old).parent, name)
        entries = {"metadata": {"total_size": 4}, "weight_map": {"weight": parts[0]}}
        (folder / f"{index or old}.safetensors.index.json").write_text(json.dumps(entries))

    return damage


def settings(name: str, **values: Any) -> Damage:
    return lambda folder: change(folder, name, **values)


def with_module(name: str, damage: Damage) -> Damage:
    return lambda folder: (module_to(folder, name), damage(folder))


def lfs_pointer(folder: Path) -> None:
    (folder / f"{UNET}.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def adapter(folder: Path) -> None:
    pickle_to(folder, "text_encoder/adapter_model.bin")
    settings_file = {"peft_type": "LORA", "base_model_name_or_path": "owner/another"}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(settings_file))


def nested(class_name: str, depth: int = 1, library: str = "diffusers") -> Damage:
    """A pipeline of pickles as a component of a component of ... a pipeline."""

    def damage(folder: Path) -> None:
        inner = Path(shutil.copytree(folder, folder.parent / "inner"))
        pickled(UNET, f"{UNET}.bin")(inner)
        for _ in range(depth):
            outer = Path(shutil.copytree(folder, folder.parent / "outer"))
            change(outer, "model_index.json", safety_checker=[library, class_name])
            inner.rename(outer / "safety_checker")
            shutil.copy(outer / f"{UNET}.safetensors", outer / "safety_checker" / "model.safetensors")  # looks right
            outer.rename(inner)
        shutil.rmtree(folder)
        inner.rename(folder)

    return damage


EXPECTED = "expected weights as .safetensors; "
PICKLE = "which may run code when read"
RENAMED = f"it is a pickle under another name, {PICKLE}"
ITSELF = "its safety_checker is itself a pipeline"
NONE = "text_encoder has none"
IN_A_SNAPSHOT = {NONE: "text_encoder/*.safetensors is missing"}  # the hub may have them
AUTO = {"AutoModel": "modeling_mine.Mine"}
CASES: dict[str, tuple[Damage, str]] = {
    "a pickle called .safetensors": (
        pickled(UNET, f"{UNET}.safetensors"), f"{UNET}.safetensors: {EXPECTED}{RENAMED}"),
    "one in the text encoder": (
        pickled(TEXT, f"{TEXT}.safetensors"), f"{TEXT}.safetensors: {EXPECTED}{RENAMED}"),
    "a part that is a pickle called .safetensors": (
        sharded(TEXT, "model-00001-of-00001.safetensors"),
        f"text_encoder/model-00001-of-00001.safetensors: {EXPECTED}{RENAMED}"),
    "pytorch_model.bin": (
        pickled(TEXT, "text_encoder/pytorch_model.bin"), f"{EXPECTED}found text_encoder/pytorch_model.bin, {PICKLE}"),
    "model.pt": (pickled(TEXT, "text_encoder/model.pt"), f"{EXPECTED}found text_encoder/model.pt, {PICKLE}"),
    "model.pth": (pickled(UNET, f"{UNET}.pth"), f"{EXPECTED}found {UNET}.pth, {PICKLE}"),
    "model.pkl": (pickled(TEXT, "text_encoder/model.pkl"), f"{EXPECTED}found text_encoder/model.pkl, {PICKLE}"),
    "diffusion_pytorch_model.bin": (pickled(UNET, f"{UNET}.bin"), f"{EXPECTED}found {UNET}.bin, {PICKLE}"),
    "half a pickle": (pickled(UNET, f"{UNET}.fp16.bin"), f"{EXPECTED}found {UNET}.fp16.bin, {PICKLE}"),
    "parts of pickles with their index": (
        pickled(TEXT, "text_encoder/pytorch_model-00001-of-00001.bin", "text_encoder/pytorch_model.bin.index.json"),
        f"{EXPECTED}found text_encoder/pytorch_model-00001-of-00001.bin, {PICKLE}"),
    "a pickle of a name of its own": (pickled(TEXT, "text_encoder/weights"), f"{EXPECTED}{NONE}"),
    "an index that names pickles": (
        sharded(UNET, "diffusion_pytorch_model-00001-of-00001.bin"),
        f"{EXPECTED}found diffusion_pytorch_model-00001-of-00001.bin, {PICKLE}"),
    "one of transformers": (
        sharded(TEXT, "model-00001-of-00001.bin"), f"{EXPECTED}found model-00001-of-00001.bin, {PICKLE}"),
    "one for half precision": (
        sharded(TEXT, "part.dat", index="text_encoder/model.fp16"), f"{EXPECTED}found part.dat, {PICKLE}"),
    "settings that name a pickle": (
        lambda folder: (
            pickle_to(folder, "text_encoder/adapter_model.bin"),
            change(folder, "text_encoder/config.json", transformers_weights="adapter_model.bin")),
        f"{EXPECTED}found adapter_model.bin, {PICKLE}"),
    "an adapter": (adapter, "text_encoder holds an adapter (adapter_config.json); merge it into the model first"),
    "a file that is elsewhere": (lfs_pointer, "only stands for a file that git-lfs keeps; run `git lfs pull`"),
    "a pipeline's class in a file": (
        with_module("pipeline.py", settings("model_index.json", _class_name=["pipeline", "Mine"])), "(_class_name)"),
    "a component's class beside the index": (
        with_module("mine.py", settings("model_index.json", unet=["mine", "Mine"])), "(unet)"),
    "a component's class in its folder": (
        with_module("unet/mine.py", settings("model_index.json", unet=["mine", "Mine"])), "(unet)"),
    "a scheduler's": (
        with_module("scheduler/mine.py", settings("model_index.json", scheduler=["mine", "Mine"])), "(scheduler)"),
    "a component's class elsewhere": (settings("model_index.json", unet=["os", "PathLike"]), "(unet)"),
    "one above": (
        with_module("../mine.py", settings("model_index.json", unet=["../mine", "Mine"])), "(unet)"),
    "one of the remote code's cache": (
        settings("model_index.json", unet=["diffusers_modules.local.mine", "Mine"]), "(unet)"),
    "trust asked for in the index": (
        settings("model_index.json", trust_remote_code=True), "(trust_remote_code in model_index.json)"),
    "a custom pipeline asked for": (
        settings("model_index.json", custom_pipeline="owner/code"), "(custom_pipeline in model_index.json)"),
    "trust asked for by a component": (
        settings("unet/config.json", trust_remote_code=True), "(trust_remote_code in unet/config.json)"),
    "an auto map": (
        with_module("text_encoder/modeling_mine.py", settings("text_encoder/config.json", auto_map=AUTO)),
        "(auto_map in text_encoder/config.json)"),
    "one of a tokenizer, loaded by its Auto class": (
        with_module("tokenizer/modeling_mine.py", lambda folder: (
            change(folder, "model_index.json", tokenizer=["transformers", "AutoTokenizer"]),
            change(folder, "tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling_mine.Mine", None]}),
        )), "(auto_map in tokenizer/tokenizer_config.json)"),
    "one deep within": (
        settings("text_encoder/config.json", text_config={"list": [{"auto_map": AUTO}]}),
        "(auto_map in text_encoder/config.json)"),
    "attention fetched from the hub": (
        settings("text_encoder/config.json", attn_implementation="owner/kernel"),
        "(attn_implementation in text_encoder/config.json)"),
    "attention that may be": (
        settings("text_encoder/config.json", _attn_implementation="flash_attention_2"),
        "(_attn_implementation in text_encoder/config.json)"),
    "a pipeline in a pipeline": (nested("IFPipeline"), ITSELF),
    "one of whatever class": (nested("DiffusionPipeline"), ITSELF),
    "one whose name does not say so": (nested("SanaWMLTX2Refiner"), ITSELF),
    "one of a module of pipelines": (nested("IFPipeline", library="deepfloyd_if"), ITSELF),
    "one three deep": (nested("AutoPipelineForText2Image", depth=3), ITSELF),
    "several networks in one": (
        settings("model_index.json", unet=["diffusers", "MultiControlNetModel"]), "its unet is several networks in"),
    "other models named in a README": (
        settings("model_index.json", _class_name="KandinskyCombinedPipeline"), "loads other models that it names"),
    "settings too deep": (
        lambda folder: (folder / "unet/config.json").write_text("[" * 100_000), "unet/config.json is not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("place", ["directory", "snapshot"])
@pytest.mark.parametrize("case", CASES)
def test_pickles_and_code_are_refused(copied: Path, cache: Path, case: str, place: str) -> None:
    damage, message = CASES[case]
    damage(copied)
    if place == "snapshot":
        laid_out(cache, NAME, copied)
        message = message.removeprefix(EXPECTED)
        message = IN_A_SNAPSHOT.get(message, message)
    with pytest.raises(ModelError) as caught:
        load_model(copied if place == "directory" else NAME, device="cpu")
    assert message in str(caught.value)
    if message.startswith("("):
        assert f"wants to run code of its own {message}; such models are refused" in str(caught.value)
    assert not Path("ran").exists()


@pytest.mark.parametrize("case", ["a pipeline in a pipeline", "one of a module of pipelines", "one three deep"])
def test_no_pickle_is_opened_whatever_the_nesting(copied: Path, case: str) -> None:
    CASES[case][0](copied)
    pickles = {str(file.resolve()) for file in copied.rglob("*.bin")}
    assert pickles
    with all_opened() as opened, pytest.raises(ModelError):
        load_model(copied, device="cpu")
    assert opened  # the hook hears
    assert pickles.isdisjoint(str(Path(path).resolve()) for path in opened)


@pytest.mark.parametrize(
    "harmless",
    [
        settings("text_encoder/config.json", auto_map={}, trust_remote_code=False, attn_implementation="sdpa"),
        settings("text_encoder/config.json", _attn_implementation_autoset=True),
        lambda folder: module_to(folder, "unet/mine.py"),
        lambda folder: pickle_to(folder, f"{UNET}.bin"),
        lambda folder: pickle_to(folder, "model.ckpt"),
    ],
)
def test_what_is_not_asked_for_is_not_read(copied: Path, harmless: Damage) -> None:
    harmless(copied)
    assert load_model(copied, device="cpu").name == "tiny"
    assert not Path("ran").exists()


def test_a_plan_refuses_what_a_run_would(copied: Path, cache: Path) -> None:
    settings("text_encoder/config.json", auto_map=AUTO)(copied)
    laid_out(cache, NAME, copied)
    for model in (copied, NAME):
        planned = run("plan", "-p", "a", "-m", model)
        assert (planned.code, planned.out) == (3, "")
        assert "wants to run code of its own (auto_map in text_encoder/config.json)" in planned.err


def test_a_component_that_lies_beside_the_index_is_missing(copied: Path) -> None:
    """diffusers would load it from there, where nothing was looked at."""
    for file in (copied / "text_encoder").iterdir():
        file.rename(copied / file.name)
    (copied / "text_encoder").rmdir()
    with pytest.raises(ModelError, match="tiny lacks text_encoder; expected a directory written by `save_pretrained`"):
        load_model(copied, device="cpu")


def test_settings_may_lie_with_pickles_where_no_weights_are_read(copied: Path) -> None:
    pickled(UNET, f"{UNET}.bin")(copied)
    check_directory(copied, weights=False)
    check_directory(copied, without=["unet"])
    with pytest.raises(ModelError, match="expected weights"):
        check_directory(copied)


def test_remote_code_is_off_in_diffusers_itself(copied: Path) -> None:
    """Whatever the environment says, and even where our own look at the directory is left out."""
    with_module("unet/mine.py", settings("model_index.json", unet=["mine", "Mine"]))(copied)
    script = (
        "import sys, diffusion_tricks\n"
        "from diffusion_tricks.loading import download, load\n"
        "load.check_directory = download.check_directory = lambda *_, **__: None\n"
        "try: diffusion_tricks.load_model(sys.argv[1], device='cpu')\n"
        "except diffusion_tricks.errors.ModelError as error: print(error)\n"
        "from diffusers.utils.constants import DIFFUSERS_DISABLE_REMOTE_CODE as off\n"
        "print('off:', off)\n"
    )
    environment = os.environ | {"DIFFUSERS_DISABLE_REMOTE_CODE": "0"}
    done = subprocess.run([sys.executable, "-c", script, copied], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "off: True", done.stderr
    assert "remote code is disabled" in done.stdout
    assert not Path("ran").exists()


def test_nothing_that_would_let_code_in_is_ever_passed(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    passed: dict[str, Any] = {}
    load = DiffusionPipeline.from_pretrained

    def noted(*arguments: Any, **named: Any) -> Any:
        passed.update(named)
        return load(*arguments, **named)

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", noted)
    load_model(saved, device="cpu")
    assert (passed["use_safetensors"], passed["local_files_only"]) == (True, True)
    assert not {"trust_remote_code", "custom_pipeline", "custom_revision"} & set(passed)
