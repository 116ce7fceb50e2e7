"""The options of a training, for the command line and for scripts alike. No torch here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.checked import explain
from diffusion_tricks.registry.options import Share, TrickOptions, option
from diffusion_tricks.training.presets import preset

Task = Literal["denoiser", "unconditional", "class", "text", "upscale"]
Objective = Literal["epsilon", "v", "sample", "flow"]
LENGTHS = ("epochs", "steps", "minutes")
WITHOUT_SCHEDULER = {"denoiser", "upscale"}  # tasks that are sampled in one way alone
EPOCHS = 10  # where nothing says how long
# a choice, and the options that only it looks at
LOOKED_AT_WITH = {
    ("task", "denoiser"): ("sigma",),
    ("task", "unconditional"): ("below",),
    ("task", "upscale"): ("crop", "first_stage", "factor", "max_noise_level"),
    ("schedule", "linear"): ("beta_start", "beta_end"),
    ("draw", "logit-normal"): ("logit_mean", "logit_std"),
    ("optimizer", "adamw"): ("weight_decay",),
    ("lr_schedule", "inverse-sqrt"): ("lr_hold",),
    ("lr_schedule", "exponential"): ("lr_final",),
}


class TrainOptions(TrickOptions):
    """What to train, on what, how long, and how; every option stands alone, and a preset is a set of them."""

    task: Task = option("unconditional", "denoiser is one step at one noise level, upscale a second stage")
    data: str = option(
        "digits",
        "emoji (those the model inside knows), all-emoji, shapes, digits, sklearn-digits, a folder, one of MNIST's or "
        "CIFAR-10's files, a data set",
    )
    out: str | None = option(
        None, "the directory to write.  [default: TASK-DATA]", flag="output", path=True, min_length=1
    )
    size: int | None = option(None, "side of the pictures in pixels; unless given, the data's own", ge=4, le=1024)
    channels: Literal[1, 3] | None = option(None, "1 is gray, 3 is colour; unless given, the data's own")
    labels: str | None = option(None, "other names for the data's classes, in their order, as in t-shirt,trouser,coat")
    things: int | None = option(None, "of a file of drawings, only the first so many things", ge=1)
    taught: int | None = option(
        None, "of those things, the first so many are known already, and are in a third of the pictures", ge=1
    )
    drawings: str | None = option(None, "larger drawings of emoji, which data.drawings renders", path=True)
    pictures: int | None = option(
        None, "pictures that count as an epoch; unless given, all that the data has, of digits 60,000", ge=1
    )
    held_out: int = option(256, "pictures kept from training that the loss is measured on; 0 is none", ge=0)

    objective: Objective = option("v", "what the network predicts; a denoiser always predicts the clean picture")
    schedule: Literal["linear", "cosine"] = option("cosine", "of the noise; a flow needs none")
    timesteps: int = option(1000, "T, steps of the schedule", ge=1, le=100_000)
    beta_start: float = option(1e-4, "of the linear schedule", gt=0, lt=1)
    beta_end: float = option(0.02, "of the linear schedule", gt=0, lt=1)
    sigma: float = option(0.5, "of a denoiser's noise, where black is 0 and white is 1", gt=0)
    draw: Literal["uniform", "logit-normal"] = option("uniform", "how timesteps are drawn (arXiv:2403.03206)")
    logit_mean: float = option(0.0, "of logit-normal timesteps")
    logit_std: float = option(1.0, "of logit-normal timesteps", gt=0)
    shift: float = option(1.0, "draws noisy timesteps more often; 1 is not at all", gt=0)
    shift_end: float | None = option(None, "what --shift becomes, bit by bit; unless given, it stays", gt=0)
    shift_over: int = option(500_000, "pictures until --shift-end is reached", ge=1)
    error: Literal["squared", "absolute"] = option("squared", "absolute means sharp and flat pictures in one step")
    min_snr: float | None = option(None, "gamma of the min-SNR weights, 5 in arXiv:2303.09556; else all weigh 1", gt=0)
    below: int | None = option(
        None, "learn only timesteps below this one, as a refiner of another model does; no sheets are made then", ge=1
    )
    dropout: Share = option(0.1, "share of the pictures shown without their class or caption, for guidance")
    crop: int = option(64, "side of the crops of pictures that an upscaler learns from", ge=8)
    first_stage: str | None = option(
        None,
        "a model that draws three quarters of the small pictures anew, so that an upscaler learns its faults",
        path=True,
    )
    factor: int = option(4, "how many times larger an upscaler makes pictures", ge=2, le=16)
    max_noise_level: int = option(400, "the most noise on what an upscaler enlarges, a timestep", ge=0, le=999)

    width: int = option(64, "D, channels of the first level; the others have 2 D", ge=8)
    widths: str | None = option(None, "channels of every level instead, as in 16,32,64")
    levels: int | None = option(None, "unless given, as many as the side can be halved for", ge=1, le=8)
    layers: int = option(1, "residual blocks of a level", ge=1, le=8)
    seen_before: int = option(0, "pictures that the weights to start from have seen; shift and things go on", ge=0)
    start_from: str | None = option(None, "a model directory whose weights to start from", flag="from", path=True)

    epochs: int | None = option(None, f"how long; --steps or --minutes say it otherwise.  [default: {EPOCHS}]", ge=1)
    steps: int | None = option(None, "how long, in steps of the optimizer", ge=1)
    minutes: float | None = option(None, "how long, by the clock, pauses for figures included", gt=0)
    batch: int = option(64, "pictures of a step, in each process", ge=1)
    optimizer: Literal["adam", "adamw"] = option("adamw", "weights decay with adamw alone")
    lr: float = option(1e-3, "the highest learning rate", gt=0)
    lr_schedule: Literal["constant", "cosine", "exponential", "inverse-sqrt"] = option(
        "constant", "of the learning rate, over the run; inverse-sqrt needs no end"
    )
    lr_hold: int = option(5000, "steps before an inverse-sqrt schedule falls", ge=1)
    cool_down: Share = option(0.0, "last share of the run, over which the rate falls straight to 0, whatever it was")
    lr_final: float = option(0.1, "what share of --lr an exponential schedule ends at", gt=0, le=1)
    warm_up: int = option(50, "steps over which the learning rate rises", ge=0)
    weight_decay: float = option(0.01, "of adamw", ge=0)
    beta2: float = option(0.999, "of the optimizer", ge=0, lt=1)
    clip: float = option(1.0, "the largest norm of the gradient; 0 is any", ge=0)
    ema: float = option(0.999, "decay of the average of the weights, which is what is saved; 0 is none", ge=0, lt=1)
    profiles: list[Annotated[float, Field(gt=0, lt=0.28)]] = option(
        [], "averages that grow with the run instead (arXiv:2312.02696): lengths as shares of it, the saved one first"
    )
    seed: int = option(0, "of the first weights, the data's order and the noise", ge=0, lt=2**31)

    precision: Literal["auto", "float32", "bfloat16"] = option("auto", "auto is bfloat16 on a GPU, else float32")
    device: Literal["auto", "cpu"] = option("auto", "auto is a GPU where there is one")
    channels_last: bool = option(False, "lay tensors out so that a GPU is quicker")
    compile: bool = option(False, "compile the network first")
    processes: int = option(1, "start so many, one for each GPU or core; torchrun does as well", ge=1, le=64)
    workers: int | None = option(None, "threads that draw data ahead; unless given, 4 on a GPU, else none", ge=0, le=64)

    sheets: list[int] = option(
        [],
        "the epochs after which a sheet of samples is made; unless given, each (50 at most); where steps or minutes "
        "end the run before them, sheets are made at as large a share of the way",
    )
    keep_models: bool = option(False, "keep the model of every sheet, too, in the directory's `models`")
    sheet_count: int = option(40, "pictures on a sheet; 0 makes none", ge=0, le=1000)
    sheet_steps: int = option(25, "sampling steps for a sheet", ge=1)
    guidance: float | None = option(None, "of sheets and saved model; unless given, 5 for a class, 3 for text", ge=0)
    scheduler: Literal["ddim", "ddpm"] | None = option(
        None, "of sheets and saved model; unless given, the one the pipeline has: ddim, or that of a flow or of text"
    )
    sampling_steps: int = option(50, "what the saved model samples with, unless told otherwise", ge=1)
    report: int = option(50, "steps between two lines of metrics.jsonl", ge=1)
    checkpoint: int = option(1000, "steps between two checkpoints; there is one at every end", ge=1)
    averages: int | None = option(
        None, "pictures between two copies of the --profiles that are kept, to choose from afterwards", ge=1
    )
    keep: int = option(3, "checkpoints that are kept, the last ones", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _denoiser_predicts_the_picture(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("task") == "denoiser":
            return {"objective": "sample", **data}
        return data

    @model_validator(mode="after")
    def _one_length(self) -> TrainOptions:
        said = [f"`{name}`" for name in LENGTHS if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(f"how long to train is given {len(said)} times, by {' and '.join(said)}; give one")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> TrainOptions:
        if self.beta_start >= self.beta_end:
            raise ValueError(f"beta_start must be below beta_end, got {self.beta_start} and {self.beta_end}")
        if self.below is not None and self.below >= self.timesteps:
            raise ValueError(f"below must be less than the {self.timesteps} timesteps, got {self.below}")
        if self.task == "denoiser" and self.objective != "sample":
            raise ValueError(f"a denoiser predicts the clean picture, so objective {self.objective!r} is none for it")
        if self.task == "upscale" and self.objective == "flow":
            raise ValueError("an upscaler predicts epsilon, v or the sample, so objective 'flow' is none for it")
        if self.scheduler is not None and (self.objective == "flow" or self.task in WITHOUT_SCHEDULER):
            raise ValueError(
                f"scheduler {self.scheduler!r} is none for a flow, a denoiser or an upscaler; leave it out"
            )
        if self.widths is not None:
            self.channels_of_levels()
        self.names()
        return self

    @property
    def shown(self) -> int:
        """Pictures on a sheet; none of a model that knows low noise alone, and so draws nothing by itself."""
        return 0 if self.below is not None else self.sheet_count

    def names(self) -> tuple[str, ...]:
        """`labels` as a list; empty where there are none. Raises ValueError for one that is empty or stands twice."""
        names = tuple(name.strip() for name in self.labels.split(",")) if self.labels is not None else ()
        if not all(names) or len({name.lower() for name in names}) < len(names):
            raise ValueError(f"labels must be names with commas, each once, as in shirt,coat, got {self.labels!r}")
        return names

    def channels_of_levels(self) -> tuple[int, ...] | None:
        """`widths` as numbers. Raises ValueError for what is no list of multiples of 8."""
        if self.widths is None:
            return None
        try:
            widths = tuple(int(word) for word in self.widths.split(","))
        except ValueError:
            raise ValueError(f"widths must be numbers with commas, as in 16,32,64, got {self.widths!r}") from None
        if not widths or any(width < 8 or width % 8 for width in widths):
            raise ValueError(f"widths must be multiples of 8, got {self.widths}")
        return widths


def options_from(values: dict[str, object], name: str | None = None) -> TrainOptions:
    """The options of a preset with `values` in their place; a length replaces the preset's, in whatever unit.

    What of the preset only another choice than that in `values` looks at is left out.
    Raises UnknownName for an unknown preset, UsageError for options that are wrong.
    """
    base = preset(name) if name is not None else {}
    if any(values.get(key) is not None for key in LENGTHS):
        base = {key: value for key, value in base.items() if key not in LENGTHS}
    if values.get("objective") == "flow" or values.get("task") in WITHOUT_SCHEDULER:
        base.pop("scheduler", None)
    for (choice, needed), names in LOOKED_AT_WITH.items():
        if values.get(choice) not in {None, needed}:
            base = {key: value for key, value in base.items() if key not in names}
    try:
        return TrainOptions(**{**base, **values})
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def check_looked_at(options: TrainOptions, among: Collection[str] = tuple(TrainOptions.model_fields)) -> None:
    """Raises UsageError for one of the options `among` that has been given and that another choice passes over."""
    for (choice, needed), names in LOOKED_AT_WITH.items():
        chosen = getattr(options, choice)
        for name in names:
            value = getattr(options, name)
            if chosen != needed and name in among and value != TrainOptions.model_fields[name].default:
                raise UsageError(
                    f"`{name}` {value} is looked at with `{choice}` {needed} alone, and `{choice}` is {chosen}; "
                    "change that, or leave it out"
                )
