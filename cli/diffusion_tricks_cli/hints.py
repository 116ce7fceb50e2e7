"""What was meant by an option or a command that there is not: a near one, or what other programs call it.

The names are those of diffusers, stable-diffusion-webui's API, CompVis' scripts, stable-diffusion.cpp, InvokeAI,
imaginAIry, dgenerate, mflux, ComfyUI's nodes and ImageMagick. No torch here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

# option as it is called elsewhere, without dashes and with - for _: what it is here
STRENGTH, GUIDANCE, STEPS, COUNT = "--strength", "--guidance", "--steps", "--count"
THE_OTHER_WAY = "--strength, which counts the other way: how much is made anew"
BOTH_SIDES = "--size, as --size 96x64"
PEERS = {
    **dict.fromkeys(("denoise", "denoising-strength", "denoise-strength"), STRENGTH),
    **dict.fromkeys(("init-image-strength", "image-strength"), THE_OTHER_WAY),
    **dict.fromkeys(("cfg", "cfg-scale", "guidance-scale", "guidance-scales", "prompt-strength"), GUIDANCE),
    **dict.fromkeys(("seeds", "random-seed", "S"), "--seed, which takes lists: --seed 1-8,20"),
    **dict.fromkeys(("num-inference-steps", "inference-steps", "ddim-steps", "sampling-steps", "num-steps"), STEPS),
    "s": "--steps, or --seed",
    **dict.fromkeys(
        ("n-iter", "n-samples", "batch-size", "batch-count", "num-images", "num-images-per-prompt", "number",
         "iterations", "repeats", "r"), COUNT,
    ),
    "n": "--count for how many, or --negative for what not",
    **dict.fromkeys(("sampler", "sampler-name", "sampler-type", "sampling-method", "A"), "--scheduler"),
    **dict.fromkeys(("plms", "ddim"), "--scheduler, as --scheduler ddim"),
    **dict.fromkeys(("width", "height", "W", "H", "w", "resolution", "output-size"), BOTH_SIDES),
    **dict.fromkeys(("negative-prompt", "neg-prompt", "uncond", "u"), "--negative"),
    **dict.fromkeys(("outdir", "out", "output-path", "output-dir", "output-file", "save-path"), "-o, or --output"),
    **dict.fromkeys(("init-image", "init-img", "image", "image-path", "input", "i", "I"),
                    "the picture itself, before the prompt: edit photo.png \"a rocket\""),
    **dict.fromkeys(("mask-image", "mask-path", "mask-img", "M"), "--mask, which also takes box:, ellipse: and more"),
    **dict.fromkeys(("ckpt", "checkpoint", "model-path", "model-id", "base-model"), "--model"),
    **dict.fromkeys(("upscale-factor", "upscale"), "--size with a model's upscaler, or --enlarge"),
    **dict.fromkeys(("font-size", "fontsize", "pointsize"), "--title-size, --author-size and --text-size"),
    **dict.fromkeys(("font-color", "fill-color", "text-color", "color"), "--title-color, --author-color and others"),
    **dict.fromkeys(("gravity", "align"), "--title-position and --author-position"),
    **dict.fromkeys(("half", "fp16", "precision"), "--dtype float16"),
    **dict.fromkeys(("lowvram", "medvram", "offload-to-cpu", "low-ram", "cpu-offload"), "--memory low"),
    **dict.fromkeys(("gpu", "cuda"), "--device cuda"),
    **dict.fromkeys(("overwrite", "f", "y"), "--force"),
    **dict.fromkeys(("eta", "clip-skip"), ""),
}  # fmt: skip
# command as it is called elsewhere: what there is here
COMMANDS = {
    **dict.fromkeys(("upscale", "enlarge", "superres"), "--size with an upscaler, or --enlarge, of the other commands"),
    **dict.fromkeys(("txt2img", "text2img", "imagine", "t2i", "create", "draw"), "generate"),
    **dict.fromkeys(("img2img", "image2image", "i2i", "sdedit", "variation"), "edit"),
    **dict.fromkeys(("fill", "erase", "inpainting"), "inpaint"),
    **dict.fromkeys(("outpainting", "extend", "uncrop", "expand"), "outpaint"),
    **dict.fromkeys(("title", "text", "overlay", "caption"), "cover"),
    **dict.fromkeys(("check", "compare", "diff"), "verify, or score"),
    **dict.fromkeys(("info", "metadata", "inspect", "identify"), "show"),
    **dict.fromkeys(("ls", "list"), "models, views and plugins"),
    "guidance": "make, with guidance as a trick behind it",
}
CUTOFF = 0.6  # of difflib, below which words are not alike


def hint(option: str, known: Iterable[str]) -> str:
    """Which of the options that are known here was meant by one that is not, as "; did you mean ...?", or nothing.

    What other programs call so goes before what is spelt alike.
    """
    known, name = list(known), option.lstrip("-").replace("_", "-")
    meant = PEERS.get(name) or PEERS.get(name.lower() if len(name) > 1 else name, "")
    if meant and _is_here(meant, known):
        return f"; here it is {meant}"
    near = nearest(option, known)
    return f"; did you mean {near!r}?" if near else ""


def _is_here(meant: str, known: Collection[str]) -> bool:
    """Whether the options that a hint names are known to the command."""
    named = [word.rstrip(",:") for word in meant.split() if word.startswith("-")]
    return not named or named[0] in known


def nearest(word: str, known: Collection[str]) -> str | None:
    """The one that is spelt most alike, and begins alike where several are; None for none that is near."""
    near = difflib.get_close_matches(word, known, n=5, cutoff=CUTOFF)
    begins = [one for one in near if one.lstrip("-")[:1] == word.lstrip("-")[:1]]
    return next(iter(begins or near), None)


def command_hint(word: str, known: Collection[str]) -> str:
    """What was meant by a command that there is not, as "; did you mean ...?", or where to look."""
    if meant := COMMANDS.get(word.lower()):
        return f"; here it is {meant}"
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else "; diffusion-tricks --help lists them"
