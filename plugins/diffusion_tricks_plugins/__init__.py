"""The built-in tricks and views, registered as any plugin registers its own. Importing this costs no torch.

Each module names the paper of its formula, or says that there is no paper behind it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click

    from diffusion_tricks_plugins.anagram import Anagram as Anagram
    from diffusion_tricks_plugins.cache import Cache as Cache
    from diffusion_tricks_plugins.clip_guidance import ClipGuidance as ClipGuidance
    from diffusion_tricks_plugins.components import Components as Components
    from diffusion_tricks_plugins.controlnet import ControlNet as ControlNet
    from diffusion_tricks_plugins.dps import DPS as DPS
    from diffusion_tricks_plugins.exact import Exact as Exact
    from diffusion_tricks_plugins.guidance import Guidance as Guidance
    from diffusion_tricks_plugins.hybrid import Hybrid as Hybrid
    from diffusion_tricks_plugins.inpaint import Inpaint as Inpaint
    from diffusion_tricks_plugins.outpaint import Outpaint as Outpaint
    from diffusion_tricks_plugins.overlay import Overlay as Overlay
    from diffusion_tricks_plugins.panorama import Panorama as Panorama
    from diffusion_tricks_plugins.phase import Phase as Phase
    from diffusion_tricks_plugins.picture import GivenPicture as GivenPicture
    from diffusion_tricks_plugins.regions import Regions as Regions
    from diffusion_tricks_plugins.sdedit import SDEdit as SDEdit
    from diffusion_tricks_plugins.time_travel import TimeTravel as TimeTravel

# trick: (class, one line for the help)
TRICKS = {
    "sdedit": ("SDEdit", "start from a picture instead of pure noise"),
    "inpaint": ("Inpaint", "make the masked part of a picture anew, and not one pixel more"),
    "outpaint": ("Outpaint", "go on beyond a picture's edges, and change not one pixel of it"),
    "anagram": ("Anagram", "one picture that shows another thing when turned, flipped or rearranged"),
    "hybrid": ("Hybrid", "one picture that shows one thing from afar and another from near"),
    "components": ("Components", "one picture in bands, colours or places, each of which shows a thing of its own"),
    "picture": ("GivenPicture", "a given picture in the place of a prompt: picture:photo.png"),
    "phase": ("Phase", "hide a picture in what is made, by the phases of its waves"),
    "regions": ("Regions", "prompts by mask: each part of the picture shows its own thing"),
    "panorama": ("Panorama", "pictures longer than the model makes, in windows that overlap"),
    "time-travel": ("TimeTravel", "make the middle steps again from fresh noise, so that all parts agree"),
    "controlnet": ("ControlNet", "work a picture, such as a pattern, into what is made"),
    "dps": ("DPS", "a picture that fits what was measured of it: a part, a blurred or a small one"),
    "guidance": ("Guidance", "classifier-free guidance: follow the prompt more closely"),
    "clip-guidance": ("ClipGuidance", "follow the prompt as far as CLIP finds it in the picture, step by step"),
    "overlay": ("Overlay", "title, author and text on the finished picture"),
    "exact": ("Exact", "answers with known pictures in the model's place: the mathematics of a trick, exactly"),
    "cache": ("Cache", "faster: what changes little from step to step is not computed again"),
}
# trick: a command that shows it, for the end of its help
EXAMPLES = {
    "sdedit": 'make -p "a rocket" sdedit photo.png --strength 0.7 -o out.png',
    "inpaint": 'make -p "a top hat" inpaint photo.png --mask box:25%,0%,75%,40% -o out.png',
    "outpaint": 'make -p "a lake" outpaint photo.png --extend left=200,top=10% -o wide.png',
    "anagram": 'make anagram --view identity "a rabbit" --view rotate_cw "a duck" -o out.png',
    "hybrid": 'make hybrid --far "a skull" --near "a mushroom" -o out.png',
    "components": 'make components --split lab --part picture:photo.png --part "a rainbow" -o out.png',
    "picture": 'make hybrid --far picture:photo.png --near "a mushroom" -o out.png',
    "phase": 'make -p "a forest" phase photo.png --until 0.4 -o out.png',
    "regions": 'make -p "a meadow" regions --region box:50%,40%,100%,100% "a rabbit" -o out.png',
    "panorama": 'make -p "a mountain" --size 768x256 panorama --wrap -o out.png',
    "time-travel": 'make anagram "a rabbit" "a duck" time-travel --repeat 2 -o out.png',
    "controlnet": (
        'make -m sd15 -p "a village in the snow" controlnet spiral.png --network '
        "monster-labs/control_v1p_sd15_qrcode_monster --scale 1.2 -o out.png"
    ),
    "dps": 'make -p "a cat" dps small.png --reduce 4 -o out.png',
    "guidance": 'make -p "a rabbit" guidance --scale 5 --stop 0.8 -o out.png',
    "clip-guidance": 'make -p "a rabbit" clip-guidance --scale 7 -o out.png',
    "overlay": 'make -p "a castle" overlay --title "Castles" --enlarge 8 -o out.png',
    "exact": "make hybrid --far cat --near drawing exact cat.png drawing.png -o out.png",
    "cache": 'make -p "a rabbit" cache --method pyramid -o out.png',
}
NEEDS = {"controlnet": "controllable", "cache": "cacheable"}  # trick: what a model's `Shape` must have for it
SHORT = {"picture": "image"}  # trick: the option that the text is in picture:TEXT, in the place of a prompt
# view: (class, one line for the list)
VIEWS = {
    "identity": ("views.orthogonal:Identity", "as it is"),
    "flip": ("views.orthogonal:Flip", "upside down: rows in reverse"),
    "mirror": ("views.orthogonal:Mirror", "left to right: columns in reverse"),
    "rotate_cw": ("views.orthogonal:RotateCW", "a quarter turn clockwise"),
    "rotate_ccw": ("views.orthogonal:RotateCCW", "a quarter turn counter-clockwise"),
    "rotate_180": ("views.orthogonal:Rotate180", "a half turn"),
    "rotate": ("views.rotation:Rotate", "by an angle counter-clockwise, in pixel space unless by quarters; rotate:135"),
    "negate": ("views.orthogonal:Negate", "colours inverted, as on film"),
    "skew": ("views.orthogonal:Skew", "columns shifted in a slope, around the edge; skew:1.5"),
    "patches": ("views.orthogonal:Patches", "square patches shuffled; patches:8,seed=3 is an 8 x 8 grid"),
    "inner_circle": ("views.rotation:InnerCircle", "the inside of a circle turned; inner_circle:90 turns a quarter"),
    "mirror_half": ("views.orthogonal:MirrorHalf", "the right half mirrored in itself"),
    "jigsaw": ("views.pieces:Jigsaw", "interlocking pieces shuffled and turned; jigsaw:4,seed=3, or jigsaw:4x6"),
    "hinge": ("views.pieces:Hinge", "squares hinged at their corners, swung by a quarter; hinge:4 is four a side"),
    "permute": ("views.permutation:Permute", "the cells of a grid in the order of a file; permute:order.npy"),
    "scale": ("views.warps:Scale", "larger or smaller about its centre, in pixel space; scale:0.5"),
    "lens": ("views.warps:Lens", "through a lens that makes its middle larger, in pixel space; lens:2"),
    "cylinder": ("views.warps:Cylinder", "rolled into a tube, seen from the front, in pixel space; cylinder:150"),
    "cone": ("views.warps:Cone", "rolled into a cone, seen from above its tip, in pixel space; cone:270"),
    "polar": ("views.warps:Polar", "unrolled about its centre, in pixel space"),
    "orthogonal": ("views.mixing:Orthogonal", "all pixels mixed by a random orthogonal matrix; orthogonal:3"),
}
# form of a mask: (class, what stands behind the colon)
MASKS = {
    "box": ("shapes:Rectangle", "x0,y0,x1,y1 or WxH+X+Y, in pixels or percent"),
    "ellipse": ("shapes:Rectangle", "the ellipse that fills such a box"),
    "circle": ("shapes:Circle", "x,y,r"),
    "poly": ("shapes:Polygon", "x,y,x,y,x,y"),
    "color": ("colours:Colour", "a colour and how near to it, as #0f0~12"),
    "colour": ("colours:Colour", "as color"),
    "luma": ("colours:Luma", "how bright, as >70%"),
    "words": ("words:Words", "what is found in the picture"),
}
# view: one that shows what it does, where its name alone does not do
VIEW_EXAMPLES = {"rotate": "rotate:135", "permute": "permute:order.npy"}


def module_of(name: str) -> str:
    """The module of a trick."""
    return name.replace("-", "_")


_HOME = {class_name: module_of(name) for name, (class_name, _) in TRICKS.items()}
__all__ = [
    "DPS", "Anagram", "Cache", "ClipGuidance", "Components", "ControlNet", "Exact", "GivenPicture", "Guidance",
    "Hybrid", "Inpaint", "Outpaint", "Overlay", "Panorama", "Phase", "Regions", "SDEdit", "TimeTravel",
]  # fmt: skip


@hookimpl
def register_tricks(register: Callable[..., None]) -> None:
    """The tricks. Guidance is the one that is added by itself."""
    for name, (class_name, summary) in TRICKS.items():
        notes = {"example": EXAMPLES[name]} | ({"automatic": "guidance"} if name == "guidance" else {})
        notes |= {"needs": NEEDS[name]} if name in NEEDS else {}
        notes |= {"short": SHORT[name]} if name in SHORT else {}
        register(name, f"diffusion_tricks_plugins.{module_of(name)}:{class_name}", summary=summary, **notes)


@hookimpl
def register_views(register: Callable[..., None]) -> None:
    """The views of the anagram trick."""
    for name, (place, summary) in VIEWS.items():
        notes = {"example": VIEW_EXAMPLES[name]} if name in VIEW_EXAMPLES else {}
        register(name, f"diffusion_tricks_plugins.{place}", summary=summary, **notes)


@hookimpl
def register_movements(register: Callable[..., None]) -> None:
    """How a film goes through the views: each turns, shuffles or bends as it does itself."""
    for name, (place, _) in VIEWS.items():
        register(name, f"diffusion_tricks_plugins.{place}.between", view=name, summary=f"through {name}")


@hookimpl
def register_masks(register: Callable[..., None]) -> None:
    """The forms of masks that have a colon, but for those that name a file."""
    for name, (place, summary) in MASKS.items():
        register(name, f"diffusion_tricks_plugins.masks.{place}.read", summary=summary)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `mask` and `verify`."""
    from diffusion_tricks_plugins.mask_commands import mask_command, verify_command

    cli.add_command(mask_command)
    cli.add_command(verify_command)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'diffusion_tricks_plugins' has no attribute {name!r}")
    return getattr(importlib.import_module(f"diffusion_tricks_plugins.{_HOME[name]}"), name)
