"""Models that are refused from their configurations, by `models show` as by a run, before any weights are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers import DDIMScheduler, SCMScheduler
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import zeros

from command_line import run
from diffusion_tricks import load_model
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.refusals import pipeline_named
from diffusion_tricks.generate.describe import sheet
from diffusion_tricks.testing import tiny_pipeline
from fake_hub import laid_out

LACKING = "KolorsPipeline needs the library sentencepiece, which is not installed; run: pip install sentencepiece"


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "sd"
    tiny_pipeline("sd").save_pretrained(folder)
    return folder


@pytest.fixture
def named(sd: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A directory whose index names another pipeline."""

    def made(pipeline: str) -> Path:
        folder = Path(shutil.copytree(sd, tmp_path / pipeline))
        changed(folder / "model_index.json", _class_name=pipeline)
        return folder

    return made


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights are read."""

    def read(*_: Any, **__: Any) -> None:
        pytest.fail("weights were read")

    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", read)


def changed(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def without(file: Path, key: str) -> None:
    said = json.loads(file.read_text())
    said.pop(key)
    file.write_text(json.dumps(said))


def refused(folder: Path, message: str) -> None:
    """`models show` and a run say the same."""
    shown = run("models", "show", folder)
    assert (shown.code, shown.err) == (0, "")
    assert f"cannot be loaded:   {message}" in shown.lines
    made = run("generate", "a rabbit", "-m", folder, "--seed", 1, "--steps", 2, "-o", folder / "out.png")
    assert made.code == 3
    assert f"Error: {message}\n" in made.err


@pytest.mark.usefixtures("unread")
def test_a_pipeline_whose_library_is_not_installed_names_it(
    named: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Standing(type):
        def __getattr__(cls, name: str) -> Any:
            raise ImportError(f"KolorsPipeline requires the sentencepiece library, asked for {name}")

    class Kolors(metaclass=Standing):
        """As diffusers has it where a library is missing, which it may not be here."""

        _backends = ("torch", "sentencepiece")

    available = diffusers.utils.import_utils.BACKENDS_MAPPING
    monkeypatch.setitem(available, "sentencepiece", (lambda: False, ""))
    monkeypatch.setattr(diffusers, "KolorsPipeline", Kolors)
    refused(named("KolorsPipeline"), LACKING)


def test_several_libraries_are_named_and_opencv_as_pip_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stands = type("SomePipeline", (), {"_backends": ["torch", "opencv", "nobody_knows"]})
    monkeypatch.setattr(diffusers, "SomePipeline", stands, raising=False)
    monkeypatch.setitem(diffusers.utils.import_utils.BACKENDS_MAPPING, "opencv", (lambda: False, ""))
    with pytest.raises(ModelError) as caught:
        pipeline_named("SomePipeline")
    assert str(caught.value) == (
        "SomePipeline needs the libraries opencv and nobody_knows, which are not installed; run: pip install "
        "opencv-python nobody-knows"
    )


@pytest.mark.usefixtures("unread")
def test_a_pipeline_that_no_family_serves_is_refused_before_its_weights_are_read(
    named: Callable[[str], Path],
) -> None:
    for pipeline in ("StableDiffusionControlNetPipeline", "StableDiffusionImg2ImgPipeline", "NobodysPipeline"):
        folder = named(pipeline)
        why = sheet(str(folder)).refused
        assert why is not None
        refused(folder, why)


@pytest.mark.usefixtures("unread")
def test_one_at_the_hub_is_refused_before_its_weights_are_read(
    named: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = named("StableDiffusionControlNetPipeline")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()  # whether they are here or not
    laid_out(tmp_path / "cache", "owner/name", folder)
    with pytest.raises(ModelError, match="its call needs a picture"):
        load_model("owner/name", device="cpu")


def test_one_in_a_single_file_is_refused_before_its_weights_are_read(
    named: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("StableDiffusionControlNetPipeline").rename(tmp_path / "dream")
    save_file({"a": zeros(1)}, tmp_path / "dream.safetensors")
    monkeypatch.setattr("diffusion_tricks.loading.load._loaded", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(ModelError, match="its call needs a picture"):
        load_model(str(tmp_path / "dream.safetensors"), device="cpu")


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("pipeline", ["SanaPipeline", "SanaSprintPipeline"])
@pytest.mark.parametrize("prediction", [{}, {"prediction_type": "trigflow"}])
def test_a_scheduler_without_noise_levels_is_refused(tmp_path: Path, pipeline: str, prediction: dict[str, str]) -> None:
    folder = tmp_path / "sprint"
    pipe = tiny_pipeline("sana")
    pipe.save_pretrained(folder)
    SCMScheduler(**prediction).save_pretrained(folder / "scheduler")
    changed(folder / "model_index.json", _class_name=pipeline, scheduler=["diffusers", "SCMScheduler"])
    refused(
        folder,
        f"{pipeline} is not a pipeline this version can open: expected a text-to-image pipeline, and its SCMScheduler "
        "keeps no noise levels that tricks could follow; take the model that it was distilled from",
    )


def test_the_same_scheduler_in_an_object_is_refused() -> None:
    pipe: Any = tiny_pipeline("sana")
    pipe.scheduler = SCMScheduler()
    with pytest.raises(ModelError, match="its SCMScheduler keeps no noise levels"):
        load_model(pipe, device="cpu")


def test_a_scheduler_of_unknown_kind_is_left_to_the_run() -> None:
    parts = {"unet": {}, "scheduler": {"_class_name": DDIMScheduler.__name__}}
    assert described("StableDiffusionPipeline", parts).title == "Stable Diffusion 1.x and 2.x"


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("part", ["scheduler", "vae", "text_encoder", "tokenizer"])
def test_a_directory_that_lacks_a_component_says_which(sd: Path, tmp_path: Path, part: str) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "less"))
    shutil.rmtree(folder / part)
    refused(folder, f"{folder} lacks {part}; expected a directory written by `save_pretrained` of a diffusers pipeline")
    assert f"on this machine:    no, {part} is missing" in run("models", "show", folder).lines
    with pytest.raises(ModelError, match=f"lacks {part}; expected a directory"):
        load_model(str(folder), device="cpu")


def test_a_hub_s_model_whose_settings_are_here_in_part_says_what_is_missing_and_no_more(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = Path(shutil.copytree(sd, tmp_path / "less"))
    shutil.rmtree(folder / "vae")
    laid_out(tmp_path / "cache", "owner/name", folder)
    told = sheet("owner/name")
    assert (told.origin.lacking, told.abilities, told.refused) == (("vae",), None, None)


def test_what_a_configuration_leaves_out_is_as_its_class_has_it(sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "less"))
    without(folder / "vae" / "config.json", "latent_channels")  # 4, which is what its class says, too
    assert load_model(str(folder), device="cpu").family.shape.channels == 4
    made = run("generate", "a rabbit", "-m", folder, "--steps", 1, "-o", tmp_path / "out.png")
    assert made.code == 0, made.err
    assert "space:              latents of 4 channels, 2x2 pixels each" in run("models", "show", folder).lines


@pytest.mark.usefixtures("unread")
def test_what_neither_a_configuration_nor_its_class_says_is_missed(sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "less"))
    without(folder / "vae" / "config.json", "latent_channels")
    changed(folder / "vae" / "config.json", _class_name="NobodysAutoencoder")
    refused(folder, f"{folder / 'vae' / 'config.json'} does not say its latent_channels, and neither does the class "
            "that it names; fetch it anew")  # fmt: skip


@pytest.mark.usefixtures("unread")
def test_an_index_that_leaves_a_component_out(sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "less"))
    without(folder / "model_index.json", "unet")
    refused(folder, f"{folder / 'model_index.json'} names no unet, which a StableDiffusionPipeline has; fetch it anew")


@pytest.mark.parametrize(
    ("part", "change", "where"),
    [
        ("unet", {"block_out_channels": [16, 16]}, ": conv_in.bias is to have the shape [16], and has [8]"),
        ("text_encoder", {"intermediate_size": 64}, ""),
    ],
)
def test_weights_that_do_not_fit_their_configuration(
    sd: Path, tmp_path: Path, part: str, change: dict[str, Any], where: str
) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "odd"))
    changed(folder / part / "config.json", **change)
    refused_by_weights = run("generate", "a", "-m", folder, "--steps", 1, "-o", tmp_path / "out.png")
    assert refused_by_weights.code == 3
    assert (
        f"Error: model '{folder}' cannot be loaded: the weights of {part} do not fit its config.json{where}; fetch "
        "both anew, from one place\n"
    ) in refused_by_weights.err
