"""What a model can do, from its configuration alone: no weights are loaded, and the hub is not asked.

Of a model that is not on this machine it says what is known, and how to get it. No torch until a configuration is read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.loading.checks import lacking_in
from diffusion_tricks.loading.configs import config_in
from diffusion_tricks.loading.defaults_file import vocabulary_of
from diffusion_tricks.loading.download import folder_here
from diffusion_tricks.loading.files import INDEX_FILE, components_of, missing, variant_for
from diffusion_tricks.loading.known import GIGABYTES, known_models
from diffusion_tricks.loading.location import HubName, hub_name, label_of, location_of, upscaler_of
from diffusion_tricks.loading.outlines import said_of
from diffusion_tricks.loading.refiner import below_of, refiner_folder
from diffusion_tricks.loading.stage_outlines import OutlinedStage
from diffusion_tricks.model.cascade import Link, reaches

if TYPE_CHECKING:
    from diffusion_tricks.families.shapes import Shape
    from diffusion_tricks.loading.outlines import Said


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    kind: "embedded", "directory", "file" or "hub". place: a path, or a hub name. revision: the commit that is here.
    here: whether all of it is on this machine. lacking: what of it is not. get: the command that brings it here.
    """

    kind: str
    place: str
    revision: str | None = None
    here: bool = True
    lacking: tuple[str, ...] = ()
    get: str | None = None
    gigabytes: int | None = None


@dataclass(frozen=True)
class Abilities:
    """What a model makes and takes.

    sizes: what it makes alone, and then with each upscaler behind it: its own size, the longest side (None: no limit)
    and the multiple that sides are of. space: "pixel" or "latent". scale: pixels per latent. distilled_guidance: the
    scale that is an input of the network, None is its pipeline's own; `distilled` says whether there is one. scheduler:
    a name of ours, or the class of its own. dtype: on an accelerator. prompts: "text", "classes" or "none". inpaints:
    it sees mask and picture. controlnet, lora: whether it takes them. tricks: those that work with it. upscalers: that
    may stand behind it. refiner: what answers in its place where little noise is left. notes: what people should know.
    """

    family: str
    sizes: tuple[dict[str, Any], ...]
    space: str
    channels: int
    scale: int
    steps: int
    guidance: float
    distilled: bool
    distilled_guidance: float | None
    scheduler: str
    prediction: str
    dtype: str
    prompts: str
    inpaints: bool
    controlnet: bool
    lora: bool
    tricks: tuple[str, ...]
    upscalers: tuple[str, ...]
    refiner: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """All that is known of a model before it is loaded.

    pipeline: its class in diffusers, where its configuration is known. abilities: None where that is not so,
    or where the model is refused, which `refused` explains. captions, words: what it was taught, where it says so.
    by_name: its configuration is not on this machine, and what it says is known by the model's name.
    """

    name: str
    summary: str | None
    origin: Origin
    pipeline: str | None = None
    abilities: Abilities | None = None
    refused: str | None = None
    captions: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    by_name: bool = False

    def data(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


def sheet(name: str) -> Sheet:
    """What is known of the model that is called `name`: a short name, a directory, a file, or a name of the hub.

    Raises UnknownName and UsageError for a name that stands for nothing.
    """
    location, known = location_of(name), known_models().get(name)
    summary = known.summary if known else None
    folder = folder_here(location, checked=False)
    origin = _origin(location, folder, embedded=known is not None and location.is_absolute())
    taught = vocabulary_of(folder) if folder else None
    said = abilities = refused = None
    try:
        folder_here(location)
        said = said_of(name, folder)
        abilities = _abilities(name, said) if said else None
    except ModelError as error:
        refused = str(error)
    captions = {thing: list(others) for thing, others in taught.captions.items()} if taught else {}
    words = list(taught.words) if taught else []
    pipeline, by_name = _pipeline_in(folder, said), said is not None and said.folder is None
    return Sheet(name, summary, origin, pipeline, abilities, refused, captions, words, by_name)


def _pipeline_in(folder: Path | None, said: Said | None) -> str | None:
    """The class of a pipeline, which the index of a directory says that is refused, too."""
    index = config_in(folder / INDEX_FILE) if folder else said.parts["model_index"] if said else None
    return (index or {}).get("_class_name")


def _origin(location: Path, folder: Path | None, embedded: bool) -> Origin:
    hub = None if location.exists() else hub_name(location.as_posix())
    if hub is not None:
        return _at_the_hub(hub, folder)
    if location.is_file():
        return Origin("file", str(location), here=folder is not None, lacking=() if folder else ("its settings",))
    lacking = tuple(lacking_in(location)) if (location / INDEX_FILE).is_file() else ()
    return Origin("embedded" if embedded else "directory", str(location), here=not lacking, lacking=lacking)


def _at_the_hub(hub: HubName, folder: Path | None) -> Origin:
    from diffusion_tricks.loading.hub_errors import download_command

    lacking = tuple(_lacking(folder)) if folder else ("all of it",)
    get = download_command(hub) if lacking else None
    commit = folder.name if folder else None
    return Origin("hub", hub.repository, commit, not lacking, lacking, get, GIGABYTES.get(hub.repository))


def _lacking(folder: Path) -> list[str]:
    """What of a hub's model is not on this machine, weights in whatever variant."""
    from diffusion_tricks.loading.checks import read_index
    from diffusion_tricks.loading.hub import names_in

    names, parts = names_in(folder), components_of(read_index(folder))
    return missing(names, parts, variant_for(names, parts, "float16"))


def _abilities(name: str, said: Said) -> Abilities:
    """What the configurations of a model say. Raises ModelError for a model that no family serves, or in part."""
    from diffusion_tricks.diffusion.levels import prediction_in
    from diffusion_tricks.families.lookup import described

    parts = said.parts
    row = described(said.pipeline, parts)
    shape, defaults, scheduler = row.serves.shape(parts), said.defaults, parts.get("scheduler", {})
    if defaults.refiner and said.folder and location_of(name).is_dir():
        below_of(refiner_folder(said.folder, defaults.refiner))
    chain, why = _chain(name, said, shape)
    return Abilities(
        family=row.title,
        sizes=tuple({"size": list(r.size), "most": r.most, "multiple": r.multiple} for r in reaches(chain)),
        space="pixel" if shape.scale == 1 else "latent", channels=shape.channels, scale=shape.scale,
        steps=defaults.steps, guidance=defaults.guidance,
        distilled=shape.distilled, distilled_guidance=defaults.distilled_guidance,
        scheduler=defaults.scheduler or str(scheduler.get("_class_name")), prediction=prediction_in(scheduler),
        dtype=row.dtype, prompts=said.prompts,
        inpaints=shape.inpaints, controlnet=shape.controllable, lora=said.takes_lora,
        tricks=_tricks(shape), upscalers=tuple(stage.name for stage in chain[1:]), refiner=defaults.refiner,
        notes=(*row.notes, *([why] if why else [])),
    )  # fmt: skip


def _chain(name: str, said: Said, shape: Shape) -> tuple[list[Link], str | None]:
    """The model and the stages that may stand behind it, one after another; and why they end before one is run."""
    location = location_of(name)
    own = upscaler_of(name, said.folder or location, said.defaults)
    stage = OutlinedStage(own) if own else None
    chain = [Link(label_of(name, location), shape, followed=stage is not None)]
    while stage is not None:
        try:
            _, shape, factor = stage.behind(shape.size)
        except ModelError as error:
            return chain, str(error)
        chain.append(Link(stage.name, shape, factor, followed=stage.second is not None))
        stage = stage.second
    return chain, None


def _tricks(shape: Any) -> tuple[str, ...]:
    """The registered tricks, but those that need what a model of that shape has not; they name it as `needs`."""
    entries = host().entries("trick").values()
    return tuple(e.name for e in entries if not e.notes.get("needs") or getattr(shape, e.notes["needs"], False))
