"""What the network is told beside the noisy picture, and the pipeline it becomes.

Nothing is told, or a class (`plain`), a caption (`text`), or the picture in small (`upscale`).
"""

from __future__ import annotations

from pathlib import Path

from diffusion_tricks.errors import UsageError
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.training.data.crops import Crops
from diffusion_tricks.training.data.drafts import Drafts
from diffusion_tricks.training.data.stream import Source
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.task import Task, opened_pipeline


def task_for(options: TrainOptions, source: Source, folder: Path) -> Task:
    """The task of the options on the data, its weights drawn from torch's generator or those of `start_from`.

    folder: of the training; what is made once of the data (a tokenizer) is kept there.
    Raises UsageError where data or weights do not fit the task.
    """
    from diffusion_tricks.training.plain import PlainTask  # here, as both build on the names above
    from diffusion_tricks.training.text import TextTask
    from diffusion_tricks.training.upscale import UpscaleTask, opened_upscaler

    if options.start_from is not None and not Path(options.start_from).is_dir():
        raise UsageError(f"`start_from` {options.start_from}: expected the directory of a model, and there is none")
    if options.task == "upscale":
        return UpscaleTask(options, source, opened_upscaler(options.start_from) if options.start_from else None)
    start = opened_pipeline(options.start_from) if options.start_from is not None else None
    return (TextTask if options.task == "text" else PlainTask)(options, source, start, folder)


def seen(source: Source, options: TrainOptions) -> Source:
    """The pictures as the task sees them: an upscaler learns from crops. Raises UsageError where these do not fit."""
    if options.task != "upscale":
        return source
    return Crops(source, options.crop, options.factor, _drafts(options, source) if options.first_stage else None)


def _drafts(options: TrainOptions, source: Source) -> Drafts:
    """The first stage that the options name. Raises UsageError for one of another size, or that does not read."""
    assert options.first_stage is not None
    model = load_model(options.first_stage, device="cpu", dtype="float32")
    wanted, kind = f"IFPipeline for {source.size // options.factor} pixels", type(model.pipe).__name__
    found = f"{kind} for {model.pipe.unet.config.sample_size} pixels" if kind == "IFPipeline" else kind
    if found != wanted:
        raise UsageError(
            f"`first_stage` {options.first_stage}: expected an {wanted}, as pictures of {source.size} are enlarged "
            f"{options.factor} times; got {found}"
        )
    return Drafts.by(model)
