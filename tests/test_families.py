"""Every family of models against its own pipelines, on tiny random weights that were saved and loaded as real ones are.

A new family is one row of TABLE. This is the canary for new versions of diffusers.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, Trick, TrickEntry, load_model, make, sample
from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.schedulers import scheduler_for
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.packing import unpacked
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.testing.pipelines import FAMILIES, tiny_arguments, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Inpaint, SDEdit

STEPS = 3
SCALE = 3.0  # of guidance
STRENGTH = 0.6  # of 5 steps 3 are run
PROMPTS = ["a rabbit", "a very old man with a hat", "a skull"]
SEED = 5
EMPTY = (2).to_bytes(8, "little") + b"{}"  # safetensors without a tensor
# In shares of the largest value there is:
EXACT = 0.0
BATCHED = 5e-6  # a call of several rows may round otherwise than several calls of one
HALF = 2e-2  # the same in bfloat16
ROUNDED = 1e-5  # a picture is brought to -1..1, and noise is put on it, with other roundings


@dataclass(frozen=True)
class Case:
    """What differs in testing a family.

    off, on: arguments of its own pipeline for guidance off and at SCALE, None where it has none. call: more of them.
    plain, guided: tolerances for one picture without guidance and with it. sees: it sees picture and mask beside the
    latents. img2img, inpaint: its pipelines that start from a picture, and that keep what a mask keeps; None where
    there is none that computes what we do. scheduler: for these two.
    """

    off: dict[str, Any] = field(default_factory=lambda: {"guidance_scale": 1.0})
    on: dict[str, Any] | None = field(default_factory=lambda: {"guidance_scale": SCALE})
    call: dict[str, Any] = field(default_factory=dict)
    plain: float = EXACT
    guided: float = EXACT
    sees: bool = False
    img2img: str | None = None
    inpaint: str | None = None
    scheduler: str | None = None


TRUE_OFF: dict[str, Any] = {"true_cfg_scale": 1.0}
TRUE_ON: dict[str, Any] = {"true_cfg_scale": SCALE, "negative_prompt": ""}
SD: dict[str, Any] = {"img2img": "StableDiffusionImg2ImgPipeline", "inpaint": "StableDiffusionInpaintPipeline"}
SDXL: dict[str, Any] = {"img2img": "StableDiffusionXLImg2ImgPipeline", "inpaint": "StableDiffusionXLInpaintPipeline"}
FLUX: dict[str, Any] = {"img2img": "FluxImg2ImgPipeline", "inpaint": "FluxInpaintPipeline"}
TABLE: dict[str, Case] = {
    # IFInpaintingPipeline puts back what was known one level before, we what is known at the level reached.
    "if": Case(img2img="IFImg2ImgPipeline"),
    # PNDM tries its second step twice; diffusers' pipelines do so wherever they start, we only at the beginning.
    "sd": Case(**SD, scheduler="ddim"),
    "sd-v": Case(**SD, scheduler="ddim"),
    "sd-zsnr": Case(**SD),
    "sdxl": Case(**SDXL),
    "turbo": Case(**SDXL),
    # Guidance is an input of it alone. LatentConsistencyModelImg2ImgPipeline spreads all steps over the part it runs.
    "lcm": Case(off={}, on=None),
    "sd-inpaint": Case(plain=ROUNDED, guided=ROUNDED, sees=True),
    "sdxl-inpaint": Case(plain=ROUNDED, guided=ROUNDED, sees=True),
    "sd3": Case(img2img="StableDiffusion3Img2ImgPipeline", inpaint="StableDiffusion3InpaintPipeline"),
    # FluxPipeline asks with and without a prompt in two calls, and we in one.
    "flux": Case(TRUE_OFF, TRUE_ON, {"guidance_scale": 3.5}, guided=BATCHED, **FLUX),
    "schnell": Case(TRUE_OFF, TRUE_ON, {"max_sequence_length": 256}, guided=BATCHED, **FLUX),
    # FluxFillPipeline has distilled guidance alone.
    "flux-fill": Case(off={}, on=None, plain=ROUNDED, sees=True),
    "qwen": Case(
        TRUE_OFF, {"true_cfg_scale": SCALE, "negative_prompt": " "},
        img2img="QwenImageImg2ImgPipeline", inpaint="QwenImageInpaintPipeline",
    ),
    # c + w (c - u) there, u + (w + 1) (c - u) here.
    "zimage": Case(
        {"guidance_scale": 0.0}, {"guidance_scale": SCALE - 1}, guided=BATCHED,
        img2img="ZImageImg2ImgPipeline", inpaint="ZImageInpaintPipeline",
    ),
    "pixart": Case(),  # there are no other pipelines of these two
    "sana": Case(),
}  # fmt: skip


@dataclass
class Subject:
    """A tiny model of a family, loaded from its directory, and a picture of its size with a mask."""

    kind: str
    folder: Path
    model: Model
    photo: str
    mask: str

    @property
    def case(self) -> Case:
        return TABLE[self.kind]

    @property
    def size(self) -> tuple[int, int]:
        return FAMILIES[self.kind].side, FAMILIES[self.kind].side

    def ours(self, *tricks: Trick[Any], count: int = 1, steps: int = STEPS, **more: Any) -> Step:
        """The last step of our sampling."""
        if self.case.sees and not any(isinstance(trick, Inpaint) for trick in tricks):
            tricks = (Inpaint(image=self.photo, mask=self.mask), *tricks)
        request = {"prompt": PROMPTS[:count], "seed": SEED, "size": self.size, "steps": steps, **more}
        *_, last = sample(self.model, tricks=tricks, **request)
        return last

    def theirs(self, call: dict[str, Any], count: int = 1, pipe: Any = None, output: str = "latent") -> Tensor:
        """What the own pipeline makes: latents (b c h w), or with "np" pictures (b H W 3) in 0..1."""
        pipe = self.model.pipe if pipe is None else pipe
        asked = {"num_inference_steps": STEPS, **tiny_arguments(self.kind, PROMPTS[:count]), **self.case.call, **call}
        known = inspect.signature(type(pipe).__call__).parameters
        generators = [torch.Generator().manual_seed(SEED + i) for i in range(count)]
        output = "pt" if output == "latent" and self.model.family.scale == 1 else output
        with quiet_libraries():
            made = pipe(**{k: v for k, v in asked.items() if k in known}, generator=generators, output_type=output)
        images = torch.as_tensor(made.images)
        return images if images.ndim == 4 else unpacked(images, asked["height"] // self.model.family.scale)

    def other(self, name: str | None) -> Any:
        """Another pipeline of the same parts, with the scheduler for these."""
        pipeline = getattr(diffusers, str(name))
        known = inspect.signature(pipeline.__init__).parameters
        scheduler = scheduler_for(self.model.pipe.scheduler, self.case.scheduler)
        parts = {**self.model.pipe.components, "requires_safety_checker": False, "scheduler": scheduler}
        made = pipeline(**{k: v for k, v in parts.items() if k in known})
        made.set_progress_bar_config(disable=True)
        return made


def close(found: Tensor, expected: Tensor, share: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0.0, atol=share * float(expected.abs().max()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("families")
    for name in ("image", "mask_image"):
        tiny_arguments("flux-fill")[name].save(made / f"{name}.png")
    return made


@pytest.fixture(scope="module", params=TABLE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def subject(kind: str, folder: Path) -> Subject:
    tiny_pipeline(kind).save_pretrained(folder / kind)
    model = load_model(str(folder / kind), device="cpu")
    return Subject(kind, folder / kind, model, str(folder / "image.png"), str(folder / "mask_image.png"))


@pytest.fixture
def mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines take a sample of what a VAE makes of a picture, we its mean: here they do so too."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def of(field: str) -> Any:
    """The families for which a field of their case is set."""
    return pytest.mark.parametrize("kind", [kind for kind in TABLE if getattr(TABLE[kind], field)], indirect=True)


# what the pipelines make


@pytest.mark.usefixtures("mean")
@pytest.mark.parametrize("count", [1, 3])
def test_plain_sampling_is_the_pipelines_own(subject: Subject, count: int) -> None:
    last = subject.ours(count=count)
    expected = subject.theirs(subject.case.off, count)
    close(last.x, expected, subject.case.plain if count == 1 else ROUNDED)
    assert last.rows == count
    assert expected.std() > 0.05


@pytest.mark.usefixtures("mean")
def test_plain_sampling_in_bfloat16_is_the_pipelines_own(subject: Subject) -> None:
    half = replace(subject, model=load_model(str(subject.folder), device="cpu", dtype="bfloat16"))
    expected = half.theirs(subject.case.off)
    found = half.ours().x
    assert found.dtype == expected.dtype
    close(found, expected, HALF if subject.case.plain else EXACT)
    assert not torch.equal(found.float(), subject.ours().x)


@of("on")
@pytest.mark.usefixtures("mean")
@pytest.mark.parametrize("count", [1, 3])
def test_guided_sampling_is_the_pipelines_own(subject: Subject, count: int) -> None:
    assert subject.case.on is not None
    last = subject.ours(Guidance(scale=SCALE), count=count)
    expected = subject.theirs(subject.case.on, count)
    close(last.x, expected, subject.case.guided if count == 1 else BATCHED)
    assert last.rows == 2 * count
    assert (expected - subject.theirs(subject.case.off, count)).abs().max() > 0.05


@pytest.mark.usefixtures("mean")
def test_decoded_pictures_are_the_pipelines_own(subject: Subject) -> None:
    pixels = subject.model.decode(subject.ours(count=2).x)
    expected = subject.theirs(subject.case.off, 2, output="np").permute(0, 3, 1, 2)
    close((pixels / 2 + 0.5).clamp(0, 1), expected, BATCHED)
    assert expected.std() > 0.05


@pytest.mark.parametrize("kind", [kind for kind in TABLE if not TABLE[kind].sees], indirect=True)
def test_wide_pictures_are_the_pipelines_own(subject: Subject) -> None:
    width, height = subject.size[0] + max(subject.model.family.multiple, 8), subject.size[1]
    last = subject.ours(size=(width, height))
    expected = subject.theirs({**subject.case.off, "width": width, "height": height})
    close(last.x, expected, EXACT)
    assert last.x.shape[-1] > last.x.shape[-2]


@of("img2img")
@pytest.mark.usefixtures("mean")
def test_sdedit_is_the_own_image_to_image_pipeline(subject: Subject) -> None:
    call = {**subject.case.off, "image": Image.open(subject.photo), "strength": STRENGTH, "num_inference_steps": 5}
    expected = subject.theirs(call, pipe=subject.other(subject.case.img2img))
    edit = SDEdit(image=subject.photo, strength=STRENGTH)
    last = subject.ours(edit, steps=5, scheduler=subject.case.scheduler)
    close(last.x, expected, ROUNDED)
    assert last.run.first == 2


@of("inpaint")
@pytest.mark.usefixtures("mean")
def test_inpainting_is_the_own_inpainting_pipeline(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both start from the picture. What is known has a noise of its own here, and there that of the start."""
    monkeypatch.setattr(Noise, "fork", lambda self, purpose: Noise(self.seeds))
    image, mask = Image.open(subject.photo), Image.open(subject.mask)
    call = {**subject.case.off, "image": image, "mask_image": mask, "strength": STRENGTH, "num_inference_steps": 5}
    expected = subject.theirs(call, pipe=subject.other(subject.case.inpaint))
    tricks = SDEdit(strength=STRENGTH), Inpaint(image=subject.photo, mask=subject.mask)
    close(subject.ours(*tricks, steps=5, scheduler=subject.case.scheduler).x, expected, ROUNDED)
    kept = subject.model.encode(to_tensor(image))
    close(expected[..., : kept.shape[-1] // 2], kept[..., : kept.shape[-1] // 2], ROUNDED)


# what tricks make


def test_an_anagram_of_two_equal_views_is_plain(subject: Subject) -> None:
    views = [("identity", PROMPTS[0])] * 2
    torch.testing.assert_close(subject.ours(Anagram(views=views)).x, subject.ours().x, rtol=0.0, atol=0.0)


TRICKS: dict[str, dict[str, Any]] = {
    "guidance": {"scale": SCALE},
    "clip-guidance": {"scale": SCALE},
    "sdedit": {"image": "image.png"},
    "inpaint": {"image": "image.png", "mask": "mask_image.png"},
    "anagram": {"views": [("identity", "a rabbit"), ("flip", "a duck")]},
    "hybrid": {"far": "a skull", "near": "a rabbit"},
    "overlay": {"title": "Hi"},
}


def test_every_trick_runs(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(subject.folder.parent)
    common = {"prompt": PROMPTS[0], "seed": SEED, "steps": 2, "size": subject.size}
    plain = make(Recipe(**common, guidance=1), model=subject.model)[0].image
    for name, options in TRICKS.items():
        guidance = {} if "guidance" in name else {"guidance": 1}
        asked = {**common, "prompt": None} if name in {"anagram", "hybrid"} else common
        recipe = Recipe(**asked, **guidance, tricks=[TrickEntry(trick=name, **options)])
        image = make(recipe, model=subject.model)[0].image
        assert image.size == ((16, 16) if name == "inpaint" else subject.size)
        assert image.tobytes() != plain.resize(image.size).tobytes(), name


def test_a_seed_gives_the_same_picture_at_any_batch_size(subject: Subject) -> None:
    together = subject.ours(Guidance(scale=SCALE), count=3).x
    for i in range(3):
        alone = subject.ours(Guidance(scale=SCALE), prompt=PROMPTS[i], seed=SEED + i).x
        close(together[i : i + 1], alone, BATCHED)


def test_sampling_leaves_the_pipeline_as_it_was(subject: Subject) -> None:
    pipe, network = subject.model.pipe, subject.model.family.denoiser
    parts, own, bar = dict(pipe.components), dict(vars(network)), getattr(pipe, "_progress_bar_config", {})
    scheduler = {name: str(value) for name, value in vars(pipe.scheduler).items()}
    random = torch.get_rng_state()
    subject.ours(Guidance(scale=SCALE), prompt="a prompt that is new")
    assert pipe.components == parts
    assert vars(network) == own
    assert {name: str(value) for name, value in vars(pipe.scheduler).items()} == scheduler
    assert pipe._progress_bar_config == bar
    assert torch.equal(torch.get_rng_state(), random)


# what is known without weights


def test_a_plan_needs_configurations_alone(subject: Subject, tmp_path: Path) -> None:
    bare = tmp_path / subject.kind
    for file in subject.folder.rglob("*"):
        if file.is_file():
            (bare / file.relative_to(subject.folder)).parent.mkdir(parents=True, exist_ok=True)
            empty = file.suffix == ".safetensors"
            (bare / file.relative_to(subject.folder)).write_bytes(EMPTY if empty else file.read_bytes())
    recipe = Recipe(model=str(bare), prompt="a rabbit", steps=2, seed=0, guidance=SCALE)
    planned = plan(recipe)
    assert planned.known
    assert planned.size == subject.model.family.size
    run = subject.ours(Guidance(scale=SCALE), steps=2).run
    assert planned.rows == [2] * len(run.timesteps)
    assert sum(planned.rows) == run.rows
    multiple = subject.model.family.multiple
    with pytest.raises(UsageError, match=f"size must be a multiple of {multiple} in both directions"):
        plan(recipe.model_copy(update={"size": (multiple, multiple + multiple // 2)}))


def test_the_smallest_sizes_that_pass_a_plan_are_made(subject: Subject) -> None:
    """Its pipeline may demand other multiples than its latents do, and refuse what is none of them."""
    multiple = subject.model.family.multiple
    size = multiple, 3 * multiple
    assert plan(Recipe(model=str(subject.folder), prompt="a rabbit", size=size, steps=2)).size == size
    assert subject.ours(size=size, steps=2).x.isfinite().all()
