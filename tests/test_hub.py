"""Models of the hub: revisions, what is downloaded, what is recorded, and every way it can fail.

The hub is either one on this machine (`fake_hub`), spoken to by huggingface_hub itself, or its cache laid out by hand.
"""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import DDPMScheduler
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from PIL import Image

from command_line import Outcome, run
from diffusion_tricks import Model, Recipe, TrickEntry, load_model, make, sample
from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.generate.defaults import settings
from diffusion_tricks.hosting.host import Host
from diffusion_tricks.hosting.registration import Found
from diffusion_tricks.loading.download import folder_here, settings_folder
from diffusion_tricks.loading.hub import fetched
from diffusion_tricks.loading.known import GIGABYTES, known_models
from diffusion_tricks.loading.location import HubName, hub_name, location_of, pinned
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing.pipelines import tiny_controlnet, tiny_pipeline, tiny_upscaler
from fake_hub import FIRST, SECOND, FakeHub, Repository, laid_out
from registering import Registering

NAME = "owner/name"
READ = [
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
]  # fmt: skip
BESIDE = [
    "README.md", "model.ckpt", "model.safetensors", "pipeline.py", "unet/my_unet.py", "unet/adapter_config.json",
    "unet/diffusion_pytorch_model.bin", "unet/diffusion_flax_model.msgpack", "unet/model.onnx",
    "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin.index.json",
    "text_encoder/pytorch_model.bin", "text_encoder/model.fp16.safetensors", "vae_1_0/model.safetensors",
]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "first"
    tiny_pipeline("if").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with other weights, for larger pictures."""
    folder = tmp_path_factory.mktemp("hub") / "second"
    tiny_pipeline("if", seed=1).save_pretrained(folder)
    change(folder / "unet" / "config.json", sample_size=24)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    made = FakeHub()
    server, address = made.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()  # it keeps the proxies of before
    yield made
    close_session()
    server.shutdown()
    server.server_close()


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def load(name: str, **more: Any) -> Model:
    return load_model(name, device="cpu", **more)


def final(model: Model) -> torch.Tensor:
    *_, last = sample(model, prompt="a rabbit", steps=2)
    return last.x


def same(one: Model, two: Model) -> bool:
    """Whether two models have the same weights."""
    pairs = zip(one.pipe.unet.parameters(), two.pipe.unet.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def pixels(file: str | Path) -> bytes:
    with Image.open(file) as picture:
        return picture.tobytes()


# Without a network: the cache, laid out as the hub's library does it.


def test_a_cached_model_is_loaded_by_its_name(saved: Path, cache: Path) -> None:
    laid_out(cache, NAME, saved)
    model = load(NAME)
    assert (model.name, model.revision) == (NAME, FIRST)
    assert same(model, load(str(saved)))
    torch.testing.assert_close(final(model), final(load(str(saved))), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "commit"),
    [
        (NAME, SECOND), (f"{NAME}@main", SECOND), (f"{NAME}@v1.0", FIRST), (f"{NAME}@refs/pr/1", FIRST),
        (f"{NAME}@{FIRST}", FIRST), (f"{NAME}@{SECOND}", SECOND),
    ],
)  # fmt: skip
def test_a_revision_is_a_branch_a_tag_or_a_commit(
    saved: Path, other: Path, cache: Path, name: str, commit: str
) -> None:
    laid_out(cache, NAME, saved, FIRST, ("v1.0", "refs/pr/1"))
    laid_out(cache, NAME, other, SECOND)
    model = load(name)
    assert (model.name, model.revision) == (NAME, commit)
    assert same(model, load(str(saved if commit == FIRST else other)))


def test_a_model_that_is_not_here_says_how_to_bring_it() -> None:
    with pytest.raises(ModelError) as caught:
        load(f"{NAME}@v1")
    assert str(caught.value) == (
        "owner/name@v1 is not on this machine; HF_HUB_OFFLINE is set: unset it, or run `hf download owner/name "
        '--revision v1 --include "*.json" --include "*.txt" --include "*.model" --include "*/*.safetensors"` '
        "where that works"
    )
    with pytest.raises(ModelError, match=r"where that works \(7 GB or more\)"):
        load("sdxl")


def test_a_model_that_is_here_in_part_says_what_is_missing(saved: Path, cache: Path, tmp_path: Path) -> None:
    part = Path(shutil.copytree(saved, tmp_path / "part"))
    (part / "text_encoder" / "model.safetensors").unlink()
    shutil.rmtree(part / "tokenizer")
    laid_out(cache, NAME, part)
    message = (
        r"of owner/name only a part is on this machine, text_encoder/\*.safetensors, tokenizer is missing; HF_HUB_"
    )
    with pytest.raises(ModelError, match=message):
        load(NAME)


def test_parts_of_weights_that_are_missing_are_noticed(cache: Path, tmp_path: Path) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    laid_out(cache, NAME, tmp_path / "parts")
    assert same(load(NAME), load(str(tmp_path / "parts")))
    next(cache.glob("models--owner--name/snapshots/*/unet/*-00002-of-*")).unlink()
    with pytest.raises(ModelError, match=r"unet/\*.safetensors is missing"):
        load(NAME)


@pytest.mark.parametrize("size", ["10GB", "20KB"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_half_precision_files_of_a_snapshot_are_read(cache: Path, tmp_path: Path, size: str, dtype: str) -> None:
    half = tiny_pipeline("if").to(torch.float16)
    half.save_pretrained(tmp_path / "half", variant="fp16", max_shard_size=size)
    laid_out(cache, NAME, tmp_path / "half")
    unet = load(NAME, dtype=dtype).pipe.unet
    assert unet.dtype == getattr(torch, dtype)
    for name, weight in half.unet.state_dict().items():
        torch.testing.assert_close(unet.state_dict()[name].half(), weight, rtol=0, atol=0)


# What is recorded, and made again.


@pytest.mark.parametrize("known", [False, True])
def test_the_commit_is_recorded_and_made_again(
    saved: Path, other: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if known:
        monkeypatch.setitem(sys.modules["diffusion_tricks.loading.known"].KNOWN, "mine", (NAME, "of the hub"))
    name = "mine" if known else NAME
    home = laid_out(cache, NAME, saved).parents[1]
    made = run("generate", "a", "-m", name, "--steps", 2, "--seed", 1, "-o", "a.png", "--json")
    assert made.code == 0, made.err
    assert (made.json["model"], made.json["revision"]) == (name, FIRST)
    assert made.json["recipe"]["model"] == f"{name}@{FIRST}"
    record = read_record("a.png")
    assert (record["model"], record["revision"], record["recipe"]["model"]) == (name, FIRST, f"{name}@{FIRST}")
    laid_out(cache, NAME, other, SECOND)
    assert (home / "refs" / "main").read_text() == SECOND
    again = run("rerun", "a.png", "-o", "b.png", "--json")
    assert again.code == 0, again.err
    assert (again.json["revision"], again.json["recipe"]) == (FIRST, made.json["recipe"])
    assert pixels("b.png") == pixels("a.png")
    assert run("generate", "a", "-m", name, "--steps", 2, "-o", "c.png", "--json").json["revision"] == SECOND


def test_a_directory_has_no_commit(saved: Path) -> None:
    (result,) = make(Recipe(model=str(saved), prompt="a", steps=1, seed=0), device="cpu")
    assert "revision" not in result.facts
    assert result.recipe.model == str(saved)


def test_a_model_that_is_handed_over_does_not_pin_the_recipe_s(saved: Path, cache: Path) -> None:
    laid_out(cache, NAME, saved)
    (result,) = make(Recipe(prompt="a", steps=1, seed=0), model=load(NAME))
    assert (result.recipe.model, result.facts["revision"]) == ("emoji", FIRST)


def test_a_recipe_file_may_name_a_revision_with_slashes(saved: Path, cache: Path, tmp_path: Path) -> None:
    laid_out(cache, NAME, saved, FIRST, ("refs/pr/1",))
    (tmp_path / "a.toml").write_text(f'model = "{NAME}@refs/pr/1"\nprompt = "a"\nsteps = 1\n')
    made = run("run", tmp_path / "a.toml", "-o", tmp_path / "a.png", "--json")
    assert made.code == 0, made.err
    assert made.json["revision"] == FIRST


def test_a_plan_knows_the_shape_of_a_cached_revision(saved: Path, other: Path, cache: Path) -> None:
    laid_out(cache, NAME, saved, FIRST, ("v1",))
    laid_out(cache, NAME, other, SECOND)
    for name, size in ((NAME, 24), (f"{NAME}@v1", 16), (f"{NAME}@{SECOND}", 24)):
        planned = run("plan", "-p", "a", "-m", name, "--json").json
        assert (planned["model"], planned["model_known"], planned["size"]) == (NAME, True, [size, size])
    assert run("plan", "-p", "a", "-m", f"{NAME}@v2", "--json").json["model_known"] is False


def test_a_plan_needs_no_weights(saved: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "settings", ignore=shutil.ignore_patterns("*.safetensors"))
    laid_out(cache, NAME, tmp_path / "settings")
    assert run("plan", "-p", "a", "-m", NAME, "--json").json["size"] == [16, 16]


# With a hub to ask.


def test_only_settings_and_safetensors_are_downloaded(saved: Path, hub: FakeHub, tmp_path: Path) -> None:
    full = Path(shutil.copytree(saved, tmp_path / "full"))
    for name in BESIDE:
        (full / name).parent.mkdir(exist_ok=True)
        (full / name).write_text("{}")
    hub.add(NAME, full)
    model = load(NAME)
    assert (sorted(hub.served), model.revision) == (READ, FIRST)
    assert same(model, load(str(saved)))
    assert hub.served.index("unet/config.json") < hub.served.index("unet/diffusion_pytorch_model.safetensors")
    hub.served.clear()
    load(NAME)
    assert hub.served == []


def test_a_revision_is_resolved_once(saved: Path, other: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch moves on while the model is being downloaded."""
    moved = hub.add(NAME, saved)
    hub.add(NAME, other, SECOND, ())
    original = huggingface_hub.hf_hub_download

    def moving(*arguments: Any, **named: Any) -> str:
        moved.refs["main"] = SECOND
        return original(*arguments, **named)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", moving)
    model = load(NAME)
    assert model.revision == FIRST
    assert same(model, load(str(saved)))
    assert hub.asked.count("main") == 1
    assert set(hub.asked) == {"main", FIRST}


def test_what_was_downloaded_is_found_without_a_network(
    saved: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, saved, refs=("main", "v1"))
    for name in (NAME, f"{NAME}@v1"):
        load(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in (NAME, f"{NAME}@main", f"{NAME}@v1", f"{NAME}@{FIRST}"):
        assert load(name).revision == FIRST


def test_a_hub_that_is_gone_leaves_the_cache(saved: Path, other: Path, cache: Path, hub: FakeHub) -> None:
    """A model or a revision that was taken down, or became private, is loaded as long as it is here."""
    laid_out(cache, NAME, saved, refs=("main", "v1"))
    assert load(NAME).revision == FIRST
    hub.add(NAME, other, SECOND)
    assert load(f"{NAME}@v1").revision == FIRST
    assert load(f"{NAME}@{FIRST}").revision == FIRST


@pytest.mark.parametrize(("dtype", "half"), [("float32", False), ("float16", True), ("bfloat16", True)])
def test_of_the_variants_the_nearest_is_downloaded(hub: FakeHub, tmp_path: Path, dtype: str, half: bool) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "both")
    tiny_pipeline("if").to(torch.float16).unet.save_pretrained(tmp_path / "both" / "unet", variant="fp16")
    hub.add(NAME, tmp_path / "both")
    assert load(NAME, dtype=dtype).pipe.unet.dtype == getattr(torch, dtype)
    weights = {name for name in hub.served if name.endswith(".safetensors")}
    unet = f"unet/diffusion_pytorch_model{'.fp16' if half else ''}.safetensors"
    assert weights == {unet, "text_encoder/model.safetensors"}  # of the text encoder there is no other


def test_an_upscaler_comes_without_a_text_encoder_and_its_commit_is_told(hub: FakeHub, tmp_path: Path) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "base")
    tiny_upscaler().save_pretrained(tmp_path / "up")
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(tmp_path / "base" / part, tmp_path / "up" / part)
    change(tmp_path / "up" / "model_index.json", text_encoder=["transformers", "T5EncoderModel"],
           tokenizer=["transformers", "T5Tokenizer"])  # fmt: skip
    hub.add("owner/up", tmp_path / "up", SECOND, ("v2",))
    model = load(str(tmp_path / "base"), upscaler="owner/up@v2")
    assert hub.served == []  # until a size asks for it
    (result,) = make(Recipe(prompt="a", size=(64, 64), steps=1, upscale_steps=1, seed=0), model=model)
    assert [name for name in hub.served if name.endswith(".safetensors")] == [
        "unet/diffusion_pytorch_model.safetensors"
    ]
    stages = result.facts["stages"]
    assert [(stage["model"], stage.get("revision")) for stage in stages] == [("base", None), ("owner/up", SECOND)]


def test_an_upscaler_within_a_model_comes_with_it(hub: FakeHub, tmp_path: Path) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "base")
    tiny_upscaler().save_pretrained(tmp_path / "base" / "up")
    (tmp_path / "base" / "diffusion_tricks.json").write_text('{"upscaler": "up", "steps": 1}')
    hub.add(NAME, tmp_path / "base")
    model = load(NAME)
    assert model.defaults.steps == 1
    assert "up/unet/diffusion_pytorch_model.safetensors" in hub.served
    (result,) = make(Recipe(prompt="a", size=(64, 64), upscale_steps=1, seed=0), model=model)
    assert result.image.size == (64, 64)
    assert result.recipe.upscaler == []  # it is of the model's own commit


def test_a_refiner_within_a_model_comes_with_it(hub: FakeHub, tmp_path: Path) -> None:
    base, fine = tmp_path / "base", tmp_path / "base" / "fine"
    for kind, place in (("if", base), ("ddpm", fine)):
        pipe: Any = tiny_pipeline(kind)
        pipe.register_modules(scheduler=DDPMScheduler())
        pipe.save_pretrained(place)
    (base / "diffusion_tricks.json").write_text('{"refiner": "fine"}')
    (fine / "diffusion_tricks.json").write_text('{"below": 300}')
    hub.add(NAME, base)
    refiner = load(NAME).refiner
    assert refiner is not None
    assert (refiner.model.name, refiner.below) == (f"{NAME}/fine", 300)
    assert "fine/unet/diffusion_pytorch_model.safetensors" in hub.served


# What else is loaded by name, as it was when a picture was made.

UP, NET = "owner/up", "owner/net"
LARGE = ["--size", 64, "--steps", 1, "--upscale-steps", 1, "--seed", 1, "--json"]


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of latents, two upscalers and two ControlNets for it, and a picture."""
    folder = tmp_path_factory.mktemp("latent")
    pipes: dict[str, Any] = {"sd": tiny_pipeline("sd"), "x4": tiny_pipeline("x4"), "other-x4": tiny_pipeline("x4", 1)}
    pipes |= {"net": tiny_controlnet("sd"), "other-net": tiny_controlnet("sd", 3)}
    for name, pipe in pipes.items():
        pipe.save_pretrained(folder / name)
    Image.linear_gradient("L").save(folder / "drawing.png")
    return {name: folder / name for name in [*pipes, "drawing.png"]}


def told(*line: object) -> Any:
    """What a command says of its one picture."""
    outcome = run(*line)
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_the_upscaler_of_a_picture_is_that_of_its_record(
    latent: dict[str, Path], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.add(UP, latent["x4"])
    line = ("generate", "a", "-m", latent["sd"], "--upscaler", UP, *LARGE)
    made = told(*line, "-o", "a.png")
    assert made["recipe"]["upscaler"] == read_record("a.png")["recipe"]["upscaler"] == [f"{UP}@{FIRST}"]
    hub.add(UP, latent["other-x4"], SECOND)
    again = told("rerun", "a.png", "-m", latent["sd"], "-o", "b.png", "--json")
    assert again["stages"][1]["revision"] == FIRST
    assert again["recipe"] == made["recipe"]
    assert pixels("b.png") == pixels("a.png")
    newest = told(*line, "-o", "c.png")
    assert (newest["stages"][1]["revision"], newest["recipe"]["upscaler"]) == (SECOND, [f"{UP}@{SECOND}"])
    assert pixels("c.png") != pixels("a.png")
    assert (
        told("rerun", "a.png", "-m", latent["sd"], "--upscaler", UP, "-o", "d.png", "--json")["recipe"]
        == (newest["recipe"])
    )
    assert pixels("d.png") == pixels("c.png")


def test_an_upscaler_that_the_model_names_itself_is_recorded(
    latent: dict[str, Path], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = Path(shutil.copytree(latent["sd"], tmp_path / "base"))
    (base / "diffusion_tricks.json").write_text(json.dumps({"upscaler": UP}))
    hub.add(NAME, base)
    hub.add(UP, latent["x4"])
    made = told("generate", "a", "-m", NAME, *LARGE, "-o", "a.png")
    assert (made["recipe"]["model"], made["recipe"]["upscaler"]) == (f"{NAME}@{FIRST}", [f"{UP}@{FIRST}"])
    hub.add(NAME, latent["sd"], SECOND)  # which names none
    hub.add(UP, latent["other-x4"], SECOND)
    again = told("rerun", "a.png", "-o", "b.png", "--json")
    assert again["recipe"] == made["recipe"]
    assert pixels("b.png") == pixels("a.png")
    small = told("generate", "a", "-m", f"{NAME}@{FIRST}", "--size", 32, "--steps", 1, "-o", "c.png", "--json")
    assert "upscaler" not in small["recipe"]  # none was used


def test_each_stage_that_the_hub_had_is_recorded_where_it_stands(
    saved: Path, latent: dict[str, Path], hub: FakeHub, tmp_path: Path
) -> None:
    tiny_upscaler().save_pretrained(tmp_path / "middle")
    hub.add(UP, latent["x4"], FIRST, ("v1",))
    middle, size = str(tmp_path / "middle"), (256, 256)
    recipe = Recipe(model=str(saved), prompt="a", size=size, steps=1, upscale_steps=1, seed=0)
    for said, kept in (
        ([middle, f"{UP}@v1"], [middle, f"{UP}@{FIRST}"]),
        ([middle, f"{UP}@v1", "further"], [middle, f"{UP}@{FIRST}", "further"]),
    ):
        model = load(str(saved), upscaler=said[:2])
        run = begin(model, Sampling(prompt="a", size=size, steps=1, upscale_steps=1))
        assert settings(recipe.model_copy(update={"upscaler": said}), run)["upscaler"] == kept
    assert settings(recipe, run)["upscaler"] == []  # nothing could stand for the one in the middle
    (result,) = make(recipe.model_copy(update={"upscaler": [middle, f"{UP}@v1"]}), device="cpu")
    assert result.recipe.upscaler == [middle, f"{UP}@{FIRST}"]
    (again,) = make(result.recipe, model=load(str(saved), upscaler=result.recipe.upscaler))
    assert again.image.tobytes() == result.image.tobytes()


def test_what_is_no_upscaler_at_the_hub_costs_no_download(latent: dict[str, Path], hub: FakeHub) -> None:
    hub.add(UP, latent["sd"])
    line = ("make", "-p", "a", "-m", latent["sd"], "-o", "never.png", *LARGE[:-1])
    refused(run(*line, "--upscaler", UP), f"'{UP}' is of StableDiffusionPipeline and no upscaler: expected IFSuper")
    refused(run(*line, "--upscaler", "owner/gone"), "the hub shows no model 'owner/gone': check the name")
    assert not [name for name in hub.served if name.endswith(".safetensors")]


def test_the_controlnet_of_a_picture_is_that_of_its_record(
    latent: dict[str, Path], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(latent["drawing.png"], "drawing.png")
    hub.add(NET, latent["net"])
    chain = ("controlnet", "drawing.png", "--network", NET, "--scale", 2)
    line = ("make", "-m", latent["sd"], "-p", "a", "--steps", 2, "--seed", 1, "--json")
    made = told(*line, "-o", "a.png", *chain)
    (entry, guidance) = made["recipe"]["tricks"]
    assert entry == {"trick": "controlnet", "image": "drawing.png", "network": f"{NET}@{FIRST}", "scale": 2.0}
    assert (guidance["trick"], read_record("a.png")["recipe"]["tricks"][0]) == ("guidance", entry)
    hub.add(NET, latent["other-net"], SECOND)
    again = told("rerun", "a.png", "-m", latent["sd"], "-o", "b.png", "--json")
    assert again["recipe"] == made["recipe"]
    assert pixels("b.png") == pixels("a.png")
    newest = told(*line, "-o", "c.png", *chain)
    assert newest["recipe"]["tricks"][0]["network"] == f"{NET}@{SECOND}"
    assert pixels("c.png") != pixels("a.png")


def test_the_controlnet_of_a_strip_is_recorded_and_the_strip_stays_one(
    latent: dict[str, Path], hub: FakeHub, tmp_path: Path
) -> None:
    hub.add(NET, latent["net"])
    drawing = str(latent["drawing.png"])
    entries = [
        TrickEntry(trick="sdedit", image=drawing, sweep=True),
        TrickEntry(trick="controlnet", image=drawing, network=NET),
        TrickEntry(trick="controlnet", image=drawing, network=str(latent["other-net"])),
    ]  # fmt: skip
    recipe = Recipe(model=str(latent["sd"]), prompt="a", steps=4, seed=0, tricks=entries)
    (result,) = make(recipe, device="cpu")
    assert result.facts["variants"] > 1
    assert result.recipe.tricks[:3] == [
        entries[0], TrickEntry(trick="controlnet", image=drawing, network=f"{NET}@{FIRST}"), entries[2]
    ]  # fmt: skip


def test_settings_are_had_without_weights(saved: Path, hub: FakeHub) -> None:
    hub.add(NAME, saved)
    folder = settings_folder(NAME)
    assert json.loads((folder / "unet" / "config.json").read_text())["sample_size"] == 16
    assert sorted(hub.served) == [name for name in READ if not name.endswith(".safetensors")]
    assert folder_here(Path(NAME)) == folder


# What is refused before its weights are downloaded.


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, r"wants to run code of its own \(_class_name\)"),
        ({"unet": ["my_unet", "MyUNet"]}, r"wants to run code of its own \(unet\)"),
        ({"trust_remote_code": True}, r"wants to run code of its own \(trust_remote_code in model_index.json\)"),
    ],
)
def test_a_model_that_brings_code_costs_no_download(
    saved: Path, hub: FakeHub, tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    bad = Path(shutil.copytree(saved, tmp_path / "bad"))
    change(bad / "model_index.json", **damage)
    for name in ("pipeline.py", "my_unet.py", "unet/my_unet.py"):
        (bad / name).write_text("raise SystemExit('this code was run')")
    hub.add(NAME, bad)
    with pytest.raises(ModelError, match=message):
        load(NAME)
    assert not [name for name in hub.served if name.endswith((".py", ".safetensors"))]


def test_a_model_that_no_family_serves_costs_no_download(saved: Path, hub: FakeHub, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(saved, tmp_path / "bad"))
    change(bad / "model_index.json", _class_name="IFImg2ImgPipeline")
    hub.add(NAME, bad)
    with pytest.raises(ModelError, match=r"IFImg2ImgPipeline is not a pipeline this .*: .* needs a picture"):
        load(NAME)
    assert "unet/config.json" in hub.served
    assert not [name for name in hub.served if name.endswith(".safetensors")]


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"])
def test_a_model_of_pickles_costs_no_download(saved: Path, hub: FakeHub, tmp_path: Path, pickle: str) -> None:
    bad = Path(shutil.copytree(saved, tmp_path / "bad"))
    (bad / "text_encoder" / "model.safetensors").rename(bad / "text_encoder" / pickle)
    hub.add(NAME, bad)
    with pytest.raises(ModelError, match=rf"{NAME}: expected weights as \.safetensors; .*found text_encoder/{pickle},"):
        load(NAME)
    assert not [name for name in hub.served if name.endswith((".bin", ".pt", ".safetensors"))]


def test_a_model_that_is_no_pipeline_says_so(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "dream.safetensors").write_bytes(b"")
    hub.add(NAME, tmp_path / "empty")
    with pytest.raises(ModelError, match=r"owner/name is not a diffusers pipeline: it has no model_index\.json; a c"):
        load(NAME)


# Failures between here and there: a sentence, exit code 3, no traceback.


def refused(outcome: Outcome, message: str) -> None:
    assert outcome.code == 3
    assert outcome.out == ""
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert message in line


def generate(name: str) -> Outcome:
    return run("make", "-p", "a", "-m", name, "-o", "never.png")


@pytest.mark.parametrize(
    ("token", "then"),
    [("", "then log in with `hf auth login`, or set HF_TOKEN"), ("hf_of_mine", "then use a token of the account that")],
)
def test_a_gated_model(saved: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str, then: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.add(NAME, saved).refuses = (403, "GatedRepo")
    said = f"{NAME}@{FIRST} asks to accept its terms first: do so on the page of {NAME} at the hub, {then}"
    refused(generate(NAME), said)


def test_a_model_that_the_hub_does_not_show(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "the hub shows no model 'owner/gone': check the name; if it is a private one, log in with `hf auth login`, or"
    )
    refused(generate("owner/gone"), said)
    monkeypatch.setenv("HF_TOKEN", "hf_of_mine")
    refused(generate("owner/gone"), "if it is a private one, use a token that has access")


def test_a_revision_that_is_not_there(saved: Path, hub: FakeHub) -> None:
    hub.add(NAME, saved)
    load(NAME)
    refused(generate(f"{NAME}@v9"), "owner/name has no revision 'v9'; expected one of its branches, tags or commits")


@pytest.mark.parametrize(
    ("status", "then"),
    [(401, "check the token"), (403, "check the token"), (429, "try again later"), (503, "try again")],
)
def test_a_hub_that_refuses_its_list(hub: FakeHub, status: int, then: str) -> None:
    hub.repositories[NAME] = Repository({"main": FIRST}, {FIRST: Path()}, unlisted=status)
    refused(generate(NAME), f"owner/name is not on this machine; the hub answered {status}: {then}")


def test_a_hub_that_refuses_its_files(saved: Path, hub: FakeHub) -> None:
    hub.add(NAME, saved).refuses = (403, "Refused")
    refused(generate(NAME), f"owner/name@{FIRST} is not on this machine; the hub answered 403: check the token")


def test_a_hub_that_cannot_be_reached(saved: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()
    refused(generate(NAME), "owner/name is not on this machine; the hub cannot be reached (ConnectError: ")
    laid_out(cache, NAME, saved)
    assert load(NAME).revision == FIRST


def test_a_disk_that_is_full(saved: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    hub.add(NAME, saved)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    refused(generate(NAME), "OSError: [Errno 28] No space left on device")


def test_mistakes_in_the_program_keep_their_traceback(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> str:
        raise TypeError("an argument too many")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", wrong)
    with pytest.raises(TypeError, match="too many"):
        fetched(HubName(NAME))


# Progress.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_never_on_stdout(
    saved: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add(NAME, saved)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fetched(HubName(NAME))
    assert re.search(r"downloading owner/name, \d\.\d MB\n", terminal.getvalue())
    assert "100%" in terminal.getvalue()
    assert "config.json" not in terminal.getvalue()
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_to_nothing_but_a_terminal(
    saved: Path, hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add(NAME, saved)
    fetched(HubName(NAME))
    assert hub.served
    assert capfd.readouterr() == ("", "")


def test_remarks_of_the_hub_and_its_library_are_not_shown(saved: Path, hub: FakeHub) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    library = logging.getLogger("huggingface_hub")
    library.addHandler(handler)
    try:
        hub.add(NAME, saved)
        fetched(HubName(NAME))
    finally:
        library.removeHandler(handler)
    assert (said, len(hub.served)) == ([], len(READ))


def test_progress_can_be_turned_off(saved: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.add(NAME, saved)
    hub.add("owner/other", saved)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    huggingface_hub.utils.disable_progress_bars()
    try:
        fetched(HubName(NAME))
    finally:
        huggingface_hub.utils.enable_progress_bars()
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "")  # put back after --quiet has set it
    made = run("make", "-p", "a", "-m", NAME, "--steps", 1, "-o", tmp_path / "a.png", "--quiet")
    assert (made.code, made.err) == (0, "")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # as --quiet sets it in a process of its own
    fetched(HubName("owner/other"))
    assert len(hub.served) == 2 * len(READ)
    assert terminal.getvalue() == ""


# Names.


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("owner/name", HubName("owner/name")), ("owner/name@v1", HubName("owner/name", "v1")),
        ("a-b/c.d_e@refs/pr/2", HubName("a-b/c.d_e", "refs/pr/2")),
        ("owner", None), ("a/b/c", None), ("owner/name@", None), ("./owner", None), ("/owner/name", None),
        ("owner/name@../x", None), ("owner/..", None), ("owner/name@a b", None),
    ],
)  # fmt: skip
def test_names_of_the_hub(text: str, name: HubName | None) -> None:
    assert hub_name(text) == name
    if name is not None:
        assert str(name) == text


def test_a_known_name_takes_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Host()
    made.add(Found("models", "here", lambda: Registering({"mine": f"{NAME}@v1", "here": "/srv/model"})))
    monkeypatch.setattr("diffusion_tricks.hosting.host._host", made)
    assert location_of("mine") == Path(f"{NAME}@v1")
    assert location_of("mine@v2") == Path(f"{NAME}@v2")
    with pytest.raises(UsageError, match="model 'here' is not from the hub and has no revisions; leave @v2 out"):
        location_of("here@v2")
    for name in ("mine@", "owner/name@"):
        with pytest.raises(UsageError, match=r"a branch, a tag or a commit behind the @, as in .*@main, got ''"):
            location_of(name)
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        location_of("mina@v1")


def test_a_directory_with_an_at_in_its_name_is_a_directory(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "tiny@home")
    model = load(str(tmp_path / "tiny@home"))
    assert (model.name, model.revision) == ("tiny@home", None)


def test_only_the_name_of_the_model_itself_is_pinned(tmp_path: Path) -> None:
    assert pinned("sdxl", "sdxl", FIRST) == f"sdxl@{FIRST}"
    assert pinned(f"{NAME}@v1", NAME, FIRST) == f"{NAME}@{FIRST}"
    assert pinned("emoji", NAME, FIRST) == "emoji"
    assert pinned(NAME, NAME, None) == NAME
    assert pinned(str(tmp_path), tmp_path.name, None) == str(tmp_path)


def test_every_known_model_of_the_hub_has_a_name_and_a_size() -> None:
    for entry in known_models().values():
        name = hub_name(entry.target)
        assert Path(entry.target).is_dir() or (name and f"{GIGABYTES[name.repository]} GB" in entry.summary)


# `models get`


def test_get_downloads_what_running_needs_and_no_more(hub: FakeHub, tmp_path: Path, cache: Path) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "both")
    tiny_pipeline("if").to(torch.float16).unet.save_pretrained(tmp_path / "both" / "unet", variant="fp16")
    hub.add(NAME, tmp_path / "both", refs=("main", "v1"))
    got = run("models", "get", f"{NAME}@v1", "--dtype", "float16")
    assert (got.code, Path(got.out.strip()).name) == (0, FIRST), got.err
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in hub.served
    assert "unet/diffusion_pytorch_model.safetensors" not in hub.served
    whole = run("models", "get", NAME)
    assert whole.code == 0
    assert "unet/diffusion_pytorch_model.safetensors" in hub.served
    hub.repositories.clear()
    assert run("generate", "a", "-m", NAME, "--steps", 1, "--seed", 1, "-o", tmp_path / "out.png").code == 0


def test_get_leaves_out_what_an_upscaler_borrows(hub: FakeHub, tmp_path: Path) -> None:
    tiny_pipeline("if").save_pretrained(tmp_path / "base")
    tiny_upscaler().save_pretrained(tmp_path / "up")
    shutil.copytree(tmp_path / "base" / "text_encoder", tmp_path / "up" / "text_encoder")
    change(tmp_path / "up" / "model_index.json", text_encoder=["transformers", "T5EncoderModel"])
    hub.add("DeepFloyd/IF-II-L-v1.0", tmp_path / "up")
    for name in ("if-ii", "DeepFloyd/IF-II-L-v1.0"):
        got = run("models", "get", name)
        assert (got.code, Path(got.out.strip()).name) == (0, FIRST), got.err
    assert {file for file in hub.served if file.endswith(".safetensors")} == {
        "unet/diffusion_pytorch_model.safetensors"
    }


def test_get_of_what_is_not_the_hubs_is_refused(saved: Path, hub: FakeHub) -> None:
    for name, code, told in (
        ("emoji", 2, "'emoji' is on this machine; expected a model of the hub"),
        (str(saved), 2, "is on this machine; expected a model of the hub"),
        ("owner/none", 3, "the hub shows no model 'owner/none'"),
        ("sdxk", 2, "unknown model 'sdxk'; did you mean 'sdxl'?"),
    ):
        outcome = run("models", "get", name)
        assert (outcome.code, outcome.out, told in outcome.err) == (code, "", True), outcome.err
