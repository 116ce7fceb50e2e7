"""LoRA weights: the same pictures as with weights merged by hand, what is refused, and where it is written down."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from command_line import run
from diffusion_tricks import Model, Recipe, load_model, make, sample
from diffusion_tricks.errors import ModelError, RecipeError, UsageError
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.model.lora import Lora, lora_from
from diffusion_tricks.recipes.paths import paths
from diffusion_tricks.recipes.reading import anchored
from diffusion_tricks.recipes.recipe import recipe_from
from diffusion_tricks.recipes.record import build_record
from diffusion_tricks.testing import tiny_pipeline

RANK = 2
HUNG = {"rtol": 0.0, "atol": 2e-5}  # B (A x) beside W x rounds otherwise than (W + B A) x
EXACT = {"rtol": 0.0, "atol": 0.0}
# where: pipeline, its network, names of layers as they are there, and as training programs write them, with their alpha
CASES: dict[str, tuple[str, str, Callable[[str], bool], bool]] = {
    "sd unet": ("sd", "unet", lambda name: name.endswith(("to_q", "to_v", "to_out.0")), False),
    "sd text": ("sd", "text_encoder", lambda name: name.endswith(("q_proj", "out_proj")), False),
    "flux": ("flux", "transformer", lambda name: name.endswith(("to_q", "to_v")), True),
    "sdxl": ("sdxl", "unet", lambda name: name.endswith("attn2.to_k"), False),
}


def drawn(network: torch.nn.Module, chosen: Callable[[str], bool], seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """A (r in) and B (out r) for every linear layer that is chosen, by its name."""
    generator = torch.Generator().manual_seed(seed)
    layers = {n: m for n, m in network.named_modules() if isinstance(m, torch.nn.Linear) and chosen(n)}
    return {
        name: (
            torch.randn(RANK, m.in_features, generator=generator),
            torch.randn(m.out_features, RANK, generator=generator),
        )
        for name, m in layers.items()
    }


def saved(file: Path, part: str, pairs: dict[str, tuple[Tensor, Tensor]], alpha: float | None = None) -> Path:
    tensors: dict[str, Tensor] = {}
    for name, (a, b) in pairs.items():
        tensors |= {f"{part}.{name}.lora_A.weight": a, f"{part}.{name}.lora_B.weight": b}
        tensors |= {} if alpha is None else {f"{part}.{name}.alpha": torch.tensor(alpha)}
    save_file(tensors, file)
    return file


def merge(network: torch.nn.Module, pairs: dict[str, tuple[Tensor, Tensor]], factor: float) -> None:
    for name, (a, b) in pairs.items():
        network.get_submodule(name).weight.data += factor * (b @ a)


def latents(model: Model) -> Tensor:
    *_, last = sample(model, prompt="a rabbit", seed=1, steps=3)
    return last.x


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the UNet of the tiny Stable Diffusion."""
    kind, part, chosen, _ = CASES["sd unet"]
    pairs = drawn(getattr(tiny_pipeline(kind), part), chosen)
    return saved(tmp_path_factory.mktemp("lora") / "style.safetensors", part, pairs)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weight", [1.0, -0.4])
def test_it_is_the_same_as_weights_merged_by_hand(case: str, weight: float, tmp_path: Path) -> None:
    kind, part, chosen, with_alpha = CASES[case]
    merged = tiny_pipeline(kind)
    pairs = drawn(getattr(merged, part), chosen)
    assert pairs
    alpha = 0.5 if with_alpha else None
    text = f"{saved(tmp_path / 'a.safetensors', part, pairs, alpha)}:{weight}"
    merge(getattr(merged, part), pairs, weight * (RANK if alpha is None else alpha) / RANK)
    made = latents(load_model(tiny_pipeline(kind), device="cpu", loras=[text]))
    torch.testing.assert_close(made, latents(load_model(merged, device="cpu")), **HUNG)
    assert (made - latents(load_model(tiny_pipeline(kind), device="cpu"))).abs().max() > 0.02


def test_the_form_of_other_training_programs_and_its_alpha(tmp_path: Path) -> None:
    merged = tiny_pipeline("sd")
    pairs = drawn(merged.unet, CASES["sd unet"][2])
    tensors: dict[str, Tensor] = {}
    for name, (a, b) in pairs.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": a, f"{key}.lora_up.weight": b, f"{key}.alpha": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "kohya.safetensors")
    merge(merged.unet, pairs, 0.7 * 1.0 / RANK)
    made = load_model(tiny_pipeline("sd"), device="cpu", loras=[f"{tmp_path / 'kohya.safetensors'}:0.7"])
    torch.testing.assert_close(latents(made), latents(load_model(merged, device="cpu")), **HUNG)


def test_several_add_up_each_with_its_weight(tmp_path: Path) -> None:
    """The second also has weights for the text encoder, which the first has not."""
    merged = tiny_pipeline("sd")
    chosen, text = CASES["sd unet"][2], CASES["sd text"][2]
    first, second = drawn(merged.unet, chosen, 1), drawn(merged.unet, chosen, 2)
    words = drawn(merged.text_encoder, text, 3)
    saved(tmp_path / "a.safetensors", "unet", first)
    both = {f"unet.{n}": pair for n, pair in second.items()} | {f"text_encoder.{n}": p for n, p in words.items()}
    save_file(
        {f"{n}.lora_{half}.weight": w for n, pair in both.items() for half, w in zip("AB", pair, strict=True)},
        tmp_path / "b.safetensors",
    )
    for network, pairs, factor in (
        (merged.unet, first, 0.5),
        (merged.unet, second, 0.3),
        (merged.text_encoder, words, 0.3),
    ):
        merge(network, pairs, factor)
    loras = [f"{tmp_path / 'a.safetensors'}:0.5", f"{tmp_path / 'b.safetensors'}:0.3"]
    made = latents(load_model(tiny_pipeline("sd"), device="cpu", loras=loras))
    torch.testing.assert_close(made, latents(load_model(merged, device="cpu")), **HUNG)


def test_weight_0_is_no_lora_and_hangs_nothing_on_the_model(file: Path) -> None:
    pipe = tiny_pipeline("sd")
    model = load_model(pipe, device="cpu", loras=[f"{file}:0"])
    assert not any("lora" in name for name, _ in pipe.unet.named_modules())
    torch.testing.assert_close(latents(model), latents(load_model(tiny_pipeline("sd"), device="cpu")), **EXACT)


def test_layers_that_the_model_lacks_are_noted(file: Path, tmp_path: Path) -> None:
    held, larger = len(load_file(file)) // 2, str(tmp_path / "larger.safetensors")
    more = load_file(file) | pieces("unet.down_blocks.0.attentions.7.proj") | pieces("unet.no_such_block.to_q")
    save_file(more, larger)
    model = load_model(tiny_pipeline("sd"), device="cpu", loras=[larger])
    found = make(Recipe(prompt="a", seed=0, steps=1, lora=[larger]), model)
    told = f"'StableDiffusionPipeline' took {held} of the {held + 2} layers of larger.safetensors"
    assert [note for note in found[0].facts["notes"] if told in note] != []
    whole = load_model(tiny_pipeline("sd"), device="cpu", loras=[str(file)])
    assert whole.memory.notes == []


def test_it_takes_the_precision_of_its_model(file: Path, tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "tiny-sd")
    model = load_model(str(tmp_path / "tiny-sd"), device="cpu", dtype="bfloat16", loras=[str(file)])
    assert {weight.dtype for weight in model.pipe.unet.parameters()} == {torch.bfloat16}
    assert latents(model).dtype == torch.bfloat16


def pieces(layer: str, width: int = 8) -> dict[str, Tensor]:
    return {f"{layer}.lora_A.weight": torch.zeros(RANK, width), f"{layer}.lora_B.weight": torch.zeros(width, RANK)}


LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
UNFIT = {
    "of FLUX": ("sd", pieces("transformer.transformer_blocks.0.attn.to_q")),
    "of a larger model": ("sd", pieces(f"unet.{LAYER}", width=320)),
    "of other layers": ("sd", pieces(f"unet.{LAYER.replace('blocks.1', 'blocks.3')}")),
    "no LoRA": ("sd", {"weight": torch.zeros(2)}),
    "no LoRA, for FLUX": ("flux", {"weight": torch.zeros(2)}),
    "of Stable Diffusion": ("flux", pieces(f"unet.{LAYER}")),
}


@pytest.mark.parametrize("case", UNFIT)
def test_weights_of_another_family_are_refused_and_the_pipeline_is_as_it_was(
    case: str, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind, tensors = UNFIT[case]
    save_file(tensors, tmp_path / "wrong.safetensors")
    pipe = tiny_pipeline(kind)
    before = [name for name, _ in pipe.components[CASES["flux" if kind == "flux" else "sd unet"][1]].named_modules()]
    loras = [str(file)] if kind == "sd" else []
    with pytest.raises(
        ModelError, match=r"wrong.safetensors holds no LoRA for '\w+'; expected one that was trained on"
    ):
        load_model(pipe, device="cpu", loras=[*loras, str(tmp_path / "wrong.safetensors")])
    network = pipe.components[CASES["flux" if kind == "flux" else "sd unet"][1]]
    assert [name for name, _ in network.named_modules()] == before
    assert capfd.readouterr().err == ""


def test_files_that_cannot_be_loaded_are_refused_before_the_model_is(file: Path, tmp_path: Path) -> None:
    def refused(kind: type[Exception], message: str, *loras: object) -> None:
        with pytest.raises(kind, match=message):
            load_model("owner/not-here", loras=[str(lora) for lora in loras])

    refused(UsageError, "there is no LoRA file .*gone.safetensors'; expected FILE or FILE:WEIGHT",
            tmp_path / "gone.safetensors")  # fmt: skip
    refused(UsageError, "there is no LoRA file .*style.safetensors:much'; expected FILE", f"{file}:much")
    refused(UsageError, "expected FILE or FILE:WEIGHT", f"{file}:nan")
    refused(UsageError, "style.safetensors is given twice; give it once, with the weights added up", file, f"{file}:2")
    (tmp_path / "a.bin").write_bytes(b"")
    refused(ModelError, "expected LoRA weights as .safetensors; other files may run code", tmp_path / "a.bin")
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    refused(ModelError, "it is a pickle", tmp_path / "a.safetensors")


def test_without_peft_it_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "peft" else found(name, *more))
    with pytest.raises(UsageError, match=r"LoRA needs the library peft.*pip install 'diffusion-tricks\[lora\]'"):
        load_model("emoji", loras=[str(file)])
    assert load_model("emoji", device="cpu").loras == ()


@pytest.mark.parametrize("kind", ["pixart", "ddpm"])
def test_pipelines_that_take_none_are_refused(kind: str, file: Path) -> None:
    with pytest.raises(ModelError, match="Pipeline' takes no LoRA: diffusers has no way to load one into"):
        load_model(tiny_pipeline(kind), device="cpu", loras=[str(file)])


@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("style.safetensors", Lora("style.safetensors", 1.0)),
        ("a/style.safetensors:0.8", Lora("a/style.safetensors", 0.8)),
        ("style.safetensors:-1", Lora("style.safetensors", -1.0)),
        ("C:\\loras\\style.safetensors", Lora("C:\\loras\\style.safetensors")),
        ("C:\\loras\\style.safetensors:.5", Lora("C:\\loras\\style.safetensors", 0.5)),
        ("a:b.safetensors:2", Lora("a:b.safetensors", 2.0)),
    ],
)
def test_a_file_and_its_weight(text: str, lora: Lora) -> None:
    assert lora_from(text) == lora
    assert lora_from(str(lora)) == lora


def test_a_recipe_keeps_it_beside_itself(tmp_path: Path) -> None:
    recipe = recipe_from({"model": "sd15", "prompt": "a", "lora": ["loras/style.safetensors:0.80"]})
    assert recipe.lora == ["loras/style.safetensors:0.8"]
    assert paths(recipe) == [Path("loras/style.safetensors")]
    assert paths(recipe, of=["argument"]) == []
    assert anchored(recipe, tmp_path, "").lora == [f"{tmp_path / 'loras/style.safetensors'}:0.8"]
    with pytest.raises(RecipeError, match="leads out of the recipe's folder"):
        anchored(recipe_from({"lora": ["../style.safetensors"]}), tmp_path, "")
    absolute = recipe_from({"lora": [f"{tmp_path}/style.safetensors:0.8"]})
    assert build_record(absolute.data(), {})["recipe"]["lora"] == ["style.safetensors:0.8"]


def test_facts_name_it_and_the_result_can_be_made_again(file: Path) -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu", loras=[f"{file}:0.8"])
    result = make(Recipe(prompt="a rabbit", steps=2, seed=1, guidance=1.0), model=model)[0]
    assert result.facts["lora"] == ["style:0.8"]
    assert result.recipe.lora == [f"{file}:0.8"]
    plain = load_model(tiny_pipeline("sd"), device="cpu")
    assert "lora" not in make(Recipe(prompt="a", steps=1, seed=1), model=plain)[0].facts
    with pytest.raises(UsageError, match="the model given lacks it; give it to load_model"):
        make(result.recipe, model=plain)


def test_a_plan_checks_the_file_and_reads_no_weights(file: Path, tmp_path: Path) -> None:
    recipe = Recipe(model="sd15", prompt="a", steps=2, seed=1, lora=[str(file)])
    assert len(plan(recipe).rows) >= 2
    with pytest.raises(UsageError, match="there is no LoRA file"):
        plan(recipe.model_copy(update={"lora": [str(tmp_path / "gone.safetensors")]}))


def test_the_command_line_takes_it_and_a_rerun_finds_it_beside_the_picture(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "tiny-sd")
    (tmp_path / "style.safetensors").write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    line: list[Any] = ["generate", "a rabbit", "-m", "tiny-sd", "--steps", "2", "--seed", "3", "--guidance", "1"]
    plain = run(*line, "-o", "plain.png")
    made = run(*line, "-o", "out.png", "--lora", "style.safetensors:0.8", "--json", "--save-recipe", "r.toml")
    assert (plain.code, made.code) == (0, 0), made.err
    assert made.json["lora"] == ["style:0.8"]
    assert made.json["recipe"]["lora"] == ["style.safetensors:0.8"]
    again = run("rerun", "out.png", "-o", "again.png")
    assert again.code == 0, again.err
    assert run("run", "r.toml", "-o", "third.png").code == 0
    pictures = [Image.open(name).tobytes() for name in ("plain.png", "out.png", "again.png", "third.png")]
    assert pictures[1] == pictures[2] == pictures[3] != pictures[0]
    wrong = run(*line, "-o", "none.png", "--lora", "gone.safetensors")
    assert wrong.code == 2
    assert "there is no LoRA file 'gone.safetensors'; expected FILE or FILE:WEIGHT" in wrong.err
