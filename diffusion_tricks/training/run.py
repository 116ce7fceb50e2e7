"""The entry points: `train` begins a training, `resume` goes on with one.

train(options_from({"steps": 500, "out": "digits"}, "class"))
resume("digits", {"steps": 1000})
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training import checkpoints, folder, replaced
from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.stream import Source
from diffusion_tricks.training.launch import accelerator_for, is_first, launch, launched
from diffusion_tricks.training.loop import Change, Trained, Training
from diffusion_tricks.training.options import LENGTHS, TrainOptions, check_looked_at, options_from
from diffusion_tricks.training.progress import Progress

Data = tuple[Source, Source | None]  # to train on, and to measure on

# what may change when a training goes on; all else is what it is
FREE = {
    *LENGTHS, "lr", "lr_schedule", "lr_final", "clip", "weight_decay", "report", "checkpoint", "keep", "sheets",
    "sheet_count", "sheet_steps", "keep_models", "scheduler",
    "guidance", "sampling_steps", "precision", "device", "channels_last", "compile",
    "workers", "min_snr", "shift", "draw", "logit_mean", "logit_std", "dropout",
    "shift_end", "shift_over", "lr_hold", "cool_down", "things", "taught", "averages",
}  # fmt: skip


def train(
    options: TrainOptions, *, force: bool = False, quiet: bool = False, data: Data | None = None,
    change: Change | None = None,
) -> Trained:  # fmt: skip
    """Trains a model into the options' directory, and says what came of it.

    force: an earlier training in the directory makes way.  quiet: no progress.  data: pictures of your own,
    in the place of the options' `data`, and those kept from training, if any.  change: is given the new network, to
    change in it what no option does, such as by hooks; the saved model has its weights, and none of the hooks.
    Raises UsageError, ModelError, OutputError, OutputFailed (disk full), NotANumber, and Interrupted after Ctrl-C.
    """
    check_looked_at(options)
    home = folder.folder_for(options)
    accelerator = None if _spawns(options, data or change) else accelerator_for(options)
    opened = data or _opened(options)  # first, so that data that cannot be had leaves no directory behind
    main = accelerator is None or accelerator.is_main_process
    with folder.begun_in(home, options, force) if main else nullcontext():
        try:
            if accelerator is not None:
                accelerator.wait_for_everyone()
            done = _gone_on(home, True, quiet, opened, change)
        except BaseException:  # a Ctrl-C, too
            if main:
                folder.abandon(home)
            raise
        if main:
            replaced.forget(home)
    return done


def resume(
    home: str | Path, changes: Mapping[str, Any] | None = None, *, quiet: bool = False, data: Data | None = None
) -> Trained:
    """Goes on with the training in a directory, from its last checkpoint, exactly as if it had never stopped.

    changes: options to go on with, such as a larger `steps`; those that would make it another training are refused.
    Raises what `train` does.
    """
    home, main = Path(home), is_first()
    with folder.taken(home, main):
        folder.hidden_found(home)
        before = folder.noted_options(home)
        folder.check_places(home)
        options = changed(before, changes or {})
        check_looked_at(options, among=changes or {})
        checkpoints.last(home)
        if main:
            folder.note_options(home, options)
        try:
            done = _gone_on(home, False, quiet, data)
        except UsageError:
            folder.note_options(home, before)
            raise
        if main:
            replaced.forget(home)
    return done


def go_on(home: Path, *, fresh: bool, quiet: bool, data: Data | None = None, change: Change | None = None) -> Trained:
    """Runs the training whose options are in the directory, from the start or from its last checkpoint, here."""
    options = folder.noted_options(home)
    accelerator = accelerator_for(options)
    accelerator.wait_for_everyone()
    progress = Progress(accelerator.is_main_process and not quiet)
    training = Training(options, home, *(data or _opened(options)), accelerator, progress, change)
    if not fresh:
        training.restore(checkpoints.last(home))
    return training.run()


def changed(options: TrainOptions, changes: Mapping[str, Any]) -> TrainOptions:
    """The options with some changed. Raises UsageError for one that would make it another training."""
    now = options.model_dump(exclude_unset=True)
    was = options.model_dump()
    fixed = sorted(key for key, value in changes.items() if key not in FREE and was.get(key) != value)
    if fixed:
        name = fixed[0].replace("_", "-")
        raise UsageError(f"--{name} cannot change when a training goes on: it was {was.get(fixed[0])!r}; leave it out")
    if any(key in changes for key in LENGTHS):
        now = {key: value for key, value in now.items() if key not in LENGTHS}
    return options_from({**now, **changes})


def _gone_on(home: Path, fresh: bool, quiet: bool, data: Data | None, change: Change | None = None) -> Trained:
    options = folder.noted_options(home)
    if _spawns(options, None if fresh else data):
        return launch({"home": str(home), "fresh": fresh, "quiet": quiet}, options.processes)
    return go_on(home, fresh=fresh, quiet=quiet, data=data, change=change)


def _spawns(options: TrainOptions, own: Data | Change | None) -> bool:
    """Whether the training runs in processes that are started for it."""
    if options.processes == 1 or launched():
        return False
    if own is not None:
        raise UsageError("what is not in the options, data or a change, stays in this process; use `processes=1`")
    return True


def _opened(options: TrainOptions) -> Data:
    asked: dict[str, Any] = {
        "size": options.size, "channels": options.channels, "seed": options.seed, "labels": options.names(),
    }  # fmt: skip
    if options.drawings is not None:
        if not Path(options.drawings).is_dir():
            raise UsageError(f"`drawings` {options.drawings}: expected a folder of drawings, and there is none")
        asked["drawings"] = Path(options.drawings)
    asked |= {"things": options.things, "taught": options.taught}
    if not options.held_out:
        return open_source(options.data, **asked), None
    learned, held = (open_source(options.data, held_out=held_out, **asked) for held_out in (False, True))
    return learned, held
