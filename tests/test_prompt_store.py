"""Encoded prompts on the disk: the same rows to the bit without a text encoder, and never another model's."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import Model, UsageError, load_model, make
from diffusion_tricks.devices import rungs, text_encoders
from diffusion_tricks.devices.memory import Memory, Work
from diffusion_tricks.errors import ModelError
from diffusion_tricks.io import hashes
from diffusion_tricks.loading import kept_prompts
from diffusion_tricks.model import prompt_store
from diffusion_tricks.model.row_files import Encoded, from_bytes, to_bytes
from diffusion_tricks.testing import tiny_pipeline

KINDS = ("sd", "sdxl", "flux", "sd3", "if")
SIZE = (16, 16)
PROMPTS = ["a (rabbit:1.3)", None, ""]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a tiny pipeline of a kind."""
    home = tmp_path_factory.mktemp("saved")

    def folder(kind: str) -> Path:
        if not (home / kind).exists():
            tiny_pipeline(kind).save_pretrained(home / kind)
        return home / kind

    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, in which also small models keep their prompts."""
    monkeypatch.setattr(prompt_store, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.setattr(kept_prompts, "LEAST", 0)
    monkeypatch.setenv(prompt_store.LIMIT, "64")
    return tmp_path / "cache" / "prompts"


def opened(source: Any, **how: Any) -> Model:
    return load_model(source, **{"device": "cpu", "whole": False} | how)


def rows(model: Model, size: tuple[int, int] = SIZE, scale: float | None = None) -> list[Any]:
    found = model.encode_prompts(PROMPTS, size, scale)
    return [found[prompt] for prompt in PROMPTS]


def read(model: Model) -> bool:
    """Whether any of its text encoders has its weights."""
    return not all(weight.is_meta for name in encoders(model) for weight in getattr(model.pipe, name).parameters())


def encoders(model: Model) -> list[str]:
    return [name for name in model.pipe.components if name.startswith("text_encoder")]


def same(one: Any, two: Any) -> bool:
    """Equal to the last bit, and of the same kinds."""
    if isinstance(one, Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_has_the_same_rows_and_reads_no_text_encoder(
    kind: str, saved: Callable[[str], Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as off:
        off.setenv(prompt_store.LIMIT, "0")
        plain = rows(opened(saved(kind)))
    assert not store.exists()
    first = opened(saved(kind))
    assert not read(first)
    assert same(rows(first), plain)
    assert read(first)
    second = opened(saved(kind))
    assert same(rows(second), plain)
    assert not read(second)
    assert second.unread.keys() == {"a (rabbit:1.3)"}


def test_one_prompt_that_is_new_is_encoded_alone(saved: Callable[[str], Path], store: Path) -> None:
    rows(opened(saved("sd")))
    model, asked = opened(saved("sd")), []
    record = model.family.record
    model.family.record = lambda prompts, *more: asked.extend(prompts) or record(prompts, *more)  # type: ignore[method-assign]
    found = model.encode_prompts(["a duck", *PROMPTS], SIZE)
    assert asked == ["a duck"]
    assert same(found["a duck"], opened(tiny_pipeline("sd")).encode_prompts(["a duck"], SIZE)["a duck"])


def test_what_was_left_unread_is_told_again(saved: Callable[[str], Path], store: Path) -> None:
    long = "a rabbit " * 300
    first = opened(saved("flux"))
    first.encode_prompts([long], SIZE)
    second = opened(saved("flux"))
    second.encode_prompts([long], SIZE)
    assert not read(second)
    assert second.unread[long] == first.unread[long] != []


def test_a_run_makes_the_same_picture_with_what_was_kept(
    saved: Callable[[str], Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {"prompt": "a rabbit", "seed": 1, "steps": 2, "size": SIZE, "model": str(saved("sdxl"))}
    first = make(**recipe)[0].image.tobytes()
    monkeypatch.setattr(text_encoders, "_loaded_again", None)
    assert make(**recipe)[0].image.tobytes() == first


def test_a_script_has_its_pipeline_whole_and_may_change_its_weights(saved: Callable[[str], Path], store: Path) -> None:
    model = opened(saved("sd"), whole=True)
    assert read(model)
    for weight in model.pipe.text_encoder.parameters():
        weight.data.mul_(2)
    changed = rows(model)
    assert not store.exists()
    plain = rows(opened(saved("sd")))
    assert not same(plain, changed)
    assert same(rows(model), changed)
    assert same(plain, rows(opened(tiny_pipeline("sd"))))


def changed_weight(folder: Path) -> dict[str, Any]:
    """One number in the middle of the file."""
    file = next((folder / "text_encoder").glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-4:] = b"\0\0\0\0"
    file.write_bytes(data)
    return {}


def changed_words(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer" / "tokenizer_config.json"
    file.write_text(file.read_text().replace("{", '{"added": 1,', 1))
    return {}


def another_dtype(folder: Path) -> dict[str, Any]:
    return {"dtype": "bfloat16"}


@pytest.mark.parametrize("change", [changed_weight, changed_words, another_dtype])
def test_another_model_has_none_of_its_rows(
    change: Callable[[Path], dict[str, Any]], saved: Callable[[str], Path], store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved("sd"), tmp_path / "model"))
    rows(opened(folder))
    model = opened(folder, **change(folder))
    rows(model)
    assert read(model)
    assert len(list(store.iterdir())) == 2 * len(PROMPTS)


def test_other_sizes_and_scales_are_other_rows(saved: Callable[[str], Path], store: Path) -> None:
    rows(opened(saved("flux")), scale=3.0)
    for size, scale in (((32, 16), 3.0), (SIZE, 4.0)):
        model = opened(saved("flux"))
        rows(model, size, scale)
        assert read(model)


def test_a_large_file_is_known_by_samples_of_it_and_when_it_was_written(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(saved("sd"), tmp_path / "model"))
    for module in (kept_prompts, hashes):
        monkeypatch.setattr(module, "WHOLE", 0)
    monkeypatch.setattr(hashes, "PART", 8)
    file, before = folder / "unet" / "diffusion_pytorch_model.safetensors", kept_prompts.fingerprint(folder)
    os.utime(file, ns=(1, 1))
    touched = kept_prompts.fingerprint(folder)
    assert touched != before
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    os.utime(file, ns=(1, 1))
    assert kept_prompts.fingerprint(folder) not in (touched, before)


def test_models_of_callers_are_left_alone(store: Path) -> None:
    model = opened(tiny_pipeline("sd"))
    rows(model)
    assert model.store is None
    assert not store.exists()


def test_a_text_encoder_that_was_put_in_later_has_rows_of_its_own(saved: Callable[[str], Path], store: Path) -> None:
    rows(opened(saved("sd")))
    model, other = opened(saved("sd")), tiny_pipeline("sd", seed=9)
    model.pipe.text_encoder = other.text_encoder
    model.memory.elsewhere.clear()
    assert same(rows(model), rows(opened(other)))
    assert len(list(store.iterdir())) == len(PROMPTS)


def test_lora_on_the_text_encoder_keeps_nothing(saved: Callable[[str], Path], store: Path) -> None:
    from peft import LoraConfig

    rows(opened(saved("sd")))
    model = opened(saved("sd"))
    kept = kept_prompts.store_of(model.pipe, saved("sd"), torch.float32, model.memory)
    assert kept is not None
    model.encode_prompts(["another"], SIZE)
    model.pipe.text_encoder.add_adapter(LoraConfig(target_modules=["q_proj"]))
    assert kept_prompts.store_of(model.pipe, saved("sd"), torch.float32, model.memory) is None
    asked = prompt_store.Asked(SIZE, None, "UNetFamily", torch.device("cpu"))
    assert kept.found([None], model.pipe, asked) == {}


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:-9], lambda data: data[:-9] + b"123456789",
                                  lambda data: b"\xff" * len(data), lambda data: b"[]" + data[2:]])  # fmt: skip
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(
    harm: Callable[[bytes], bytes], saved: Callable[[str], Path], store: Path
) -> None:
    plain = rows(opened(saved("sd")))
    for file in store.iterdir():
        file.write_bytes(harm(file.read_bytes()))
    assert same(rows(opened(saved("sd"))), plain)
    model = opened(saved("sd"))
    assert same(rows(model), plain)
    assert not read(model)


def test_a_disk_that_may_not_be_written_costs_no_run(saved: Callable[[str], Path], store: Path) -> None:
    store.parent.mkdir(parents=True)
    store.write_text("a file where the folder would be")
    assert len(rows(opened(saved("sd")))) == len(PROMPTS)
    assert store.read_text().startswith("a file")


def test_a_full_disk_costs_no_run(saved: Callable[[str], Path], store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusion_tricks.io.atomic._fill", full)
    assert len(rows(opened(saved("sd")))) == len(PROMPTS)
    assert list(store.iterdir()) == []


def test_those_used_least_lately_go_first(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline("sd")
    kept = prompt_store.PromptStore(["m"], pipe)
    asked = prompt_store.Asked(SIZE, None, "f", torch.device("cpu"))
    row = Encoded({"x": torch.zeros(2**16)})  # 256 KB
    monkeypatch.setenv(prompt_store.LIMIT, "2")
    for i in range(7):
        kept.keep({str(i): row}, pipe, asked)
        for age, name in enumerate(reversed(range(i + 1))):
            os.utime(kept._file(str(name), asked), (1000 - age, 1000 - age))
    assert prompt_store.prompts_kept().rows == 7
    kept.found(["0"], pipe, asked)
    kept.keep({"7": row}, pipe, asked)
    assert set(kept.found(list("01234567"), pipe, asked)) == {"0", *"34567"} | {"2"}
    assert prompt_store.prompts_kept().bytes <= prompt_store.prompts_kept().limit == 2 * 2**20
    kept.keep({"huge": Encoded({"x": torch.zeros(2**18)})}, pipe, asked)
    assert kept.found(["huge"], pipe, asked) == {}


def test_it_can_be_switched_off_and_says_what_it_expects(
    saved: Callable[[str], Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prompt_store.LIMIT, "0")
    model = opened(saved("sd"))
    assert read(model)
    rows(model)
    assert not store.exists()
    monkeypatch.setenv(prompt_store.LIMIT, "much")
    with pytest.raises(UsageError, match=r"DIFFUSION_TRICKS_PROMPTS_MB says how many MB .* got 'much'"):
        opened(saved("sd"))


def test_the_model_inside_has_too_small_a_text_encoder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_prompts, "LEAST", 100 * 10**6)
    model = opened("emoji")
    assert model.store is None
    assert read(model)


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, torch\n"
        "from diffusion_tricks.model import prompt_store\n"
        "from diffusion_tricks.model.row_files import Encoded\n"
        "from types import SimpleNamespace\n"
        "prompt_store.user_cache_dir = lambda *_, **__: sys.argv[1]\n"
        "pipe = SimpleNamespace(components={})\n"
        "store = prompt_store.PromptStore(['m'], pipe)\n"
        "asked = prompt_store.Asked((16, 16), None, 'f', torch.device('cpu'))\n"
        "for i in range(20):\n"
        "    row = Encoded({'x': torch.full((2**14,), float(i % 5))})\n"
        "    store.keep({str(i % 5): row}, pipe, asked)\n"
        "    for prompt, one in store.found(list('01234'), pipe, asked).items():\n"
        "        assert (one.row['x'] == float(prompt)).all()\n"
        "assert len(store.found(list('01234'), pipe, asked)) == 5\n"
    )
    environment = {**os.environ, prompt_store.LIMIT: "16"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [(b"", 0)] * 2
    assert len(list((tmp_path / "prompts").iterdir())) == 5


def test_a_row_comes_back_as_it_was() -> None:
    row = {
        "bits": torch.tensor([float("nan"), -0.0, 1e-45]), "half": torch.randn(1, 2, 3).bfloat16(),
        "ids": torch.arange(4)[None], "mask": torch.tensor([[True, False]]), "none": None, "one": torch.tensor(3.0),
        "deep": {"list": [torch.ones(2), 1, "a"], "pair": (True, math.pi)}, "view": torch.arange(12.0).view(3, 4).T,
    }  # fmt: skip
    found = from_bytes(to_bytes(Encoded(row, ["end"])), torch.device("cpu"))
    assert found.unread == ["end"]
    assert torch.equal(found.row["bits"].view(torch.int32), row["bits"].view(torch.int32))
    assert same({k: v for k, v in found.row.items() if k != "bits"}, {k: v for k, v in row.items() if k != "bits"})
    with pytest.raises(TypeError, match="a device cannot be kept"):
        to_bytes(Encoded({"where": torch.device("cpu")}))
    with pytest.raises(ValueError, match="no encoded prompt"):
        from_bytes(b"not safetensors", torch.device("cpu"))


def test_text_encoders_without_weights_are_fetched_before_models_are_offloaded(
    saved: Callable[[str], Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As does a lack of memory on an accelerator."""
    monkeypatch.setattr(rungs, "may_offload", lambda holder: True)
    model = opened(saved("sd"))
    assert not read(model)
    assert rungs.models_offloaded(model, Work())
    assert read(model)
    assert len(rows(model)) == len(PROMPTS)


def test_only_text_encoders_with_weights_leave_an_accelerator(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do also where all prompts were kept, as they came with the pipeline."""
    left: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: left.append(self))
    here, away = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    pipe = SimpleNamespace(components={"text_encoder": here, "text_encoder_2": away}, _all_hooks=[])
    memory = Memory(elsewhere={"text_encoder_2": store})
    text_encoders.leave(SimpleNamespace(pipe=pipe, device=torch.device("cuda"), memory=memory))  # type: ignore[arg-type]
    assert left == [here]


def test_a_text_encoder_that_turns_out_damaged_is_blamed(
    saved: Callable[[str], Path], store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved("sd"), tmp_path / "model"))
    model = opened(folder)
    file = next((folder / "text_encoder").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"the text encoder in .*text_encoder cannot be loaded: .*; fetch it again"):
        rows(model)
