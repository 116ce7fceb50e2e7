"""The sheet of a model, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffusion_tricks.generate.describe import Abilities, Origin, Sheet
from diffusion_tricks_cli.wording import in_flags

WIDTH = 20
KINDS = {
    "embedded": "inside this package",
    "directory": "the directory {place}",
    "file": "the file {place}",
    "hub": "the hub, {place}",
}
STAGES = ("size", "upscaled", "upscaled twice")
PREDICTED = {
    "epsilon": "noise", "v_prediction": "v, between noise and picture", "sample": "the clean picture",
    "flow_prediction": "a flow's velocity",
}  # fmt: skip
PROMPTS = {"text": "any text", "classes": "the name or number of a class", "none": "none"}


def lines_of(sheet: Sheet) -> list[str]:
    """What is known of a model, a line for each, and at the end what it was taught."""
    rows = {"model": f"{sheet.name}, {sheet.summary}" if sheet.summary else sheet.name, **_origin(sheet.origin)}
    if sheet.by_name:
        rows["known"] = "by its name; its own settings are read once they are on this machine"
    if sheet.pipeline:
        rows["pipeline"] = sheet.pipeline
    if sheet.refused:
        rows["cannot be loaded"] = in_flags(sheet.refused)
    rows |= _abilities(sheet.abilities) if sheet.abilities else {}
    notes = [f"{'note:':<{WIDTH}}{in_flags(note)}" for note in (sheet.abilities.notes if sheet.abilities else ())]
    taught = ["", "It was taught to draw:", *taught_lines(sheet.captions, sheet.words)] if sheet.captions else []
    return [f"{name + ':':<{WIDTH}}{value}" for name, value in rows.items()] + notes + taught


def taught_lines(captions: Mapping[str, Sequence[str]], words: Sequence[str]) -> list[str]:
    """A line for every thing that a model was taught, with its other names, and one for all other words."""
    rest = ["", f"beside these: {', '.join(words)}"] if words else []
    return [", ".join((thing, *others)) for thing, others in captions.items()] + rest


def _origin(origin: Origin) -> dict[str, str]:
    place = KINDS[origin.kind].format(place=origin.place)
    here = "yes"
    if not origin.here:
        size = f", {origin.gigabytes} GB" if origin.gigabytes else ""
        get = f"; `{origin.get}` brings it{size}" if origin.get else ""
        here = f"no, {', '.join(origin.lacking)} is missing{get}"
    return {"from": place + (f" at {origin.revision}" if origin.revision else ""), "on this machine": here}


def _abilities(can: Abilities) -> dict[str, str]:
    latent = can.space == "latent"
    guidance = {"guidance": f"{can.guidance:g}" + (", which is none" if can.guidance == 1 else ", by a second answer")}
    if can.distilled:
        own = "its pipeline's own" if can.distilled_guidance is None else f"{can.distilled_guidance:g}"
        guidance["distilled guidance"] = f"{own}, an input of the network"
    return {
        "family": can.family,
        **{name: _reach(**size) for name, size in zip(STAGES, can.sizes, strict=False)},
        **({"upscaler": ", then ".join(can.upscalers)} if can.upscalers else {}),
        **({"refiner": f"{can.refiner}, which answers where little noise is left"} if can.refiner else {}),
        "space": f"latents of {can.channels} channels, {can.scale}x{can.scale} pixels each" if latent else "pixels",
        "steps": str(can.steps),
        "scheduler": f"{can.scheduler}; the model predicts {PREDICTED.get(can.prediction, can.prediction)}",
        **guidance,
        "precision": f"{can.dtype} on an accelerator, float32 on the CPU",
        "prompts": PROMPTS[can.prompts],
        "tricks": ", ".join(can.tricks),
        "inpainting": "the model sees mask and picture" if can.inpaints else "what is known is put back in every step",
        "views": "flips and turns on latents, others on decoded pictures" if latent else "on its pixels",
        "ControlNet": _yes(can.controlnet),
        "LoRA": _yes(can.lora),
    }


def _reach(size: Sequence[int], most: int | None, multiple: int) -> str:
    limit = "" if most is None else f"sides up to {most}, "
    return f"{size[0]}x{size[1]}; others, {limit}in multiples of {multiple}"


def _yes(can: bool) -> str:
    return "yes" if can else "no"
