"""Models of the hub: a revision becomes a commit once, and of that commit only settings and safetensors are fetched.

What is fetched lies in the hub's cache and is loaded as any directory is. Without a network the cache is all there is.
Every failure is a sentence that says what to do (`hub_errors`).
"""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from diffusion_tricks.errors import ModelError, OutputError, OutputFailed
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.loading.checks import check_directory, read_index
from diffusion_tricks.loading.files import (
    INDEX_FILE,
    components_of,
    missing,
    pickles_of,
    variant_for,
    wanted,
)
from diffusion_tricks.loading.hub_errors import explained, in_part, no_pipeline, raised_by_the_hub
from diffusion_tricks.loading.location import HubName

SECONDS = 10.0  # to wait for the hub's list of files
NO_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"  # read by huggingface_hub when it is imported, and here at any time
Sizes = dict[str, int | None]  # of files, in bytes


@dataclass(frozen=True)
class Need:
    """What is needed of a model.

    dtype: float32, float16 or bfloat16; the variant of the weights that is nearest is taken. without: components that
    are not needed. weights: False for the settings alone. check: is given the directory of the settings before
    weights are downloaded, to refuse it; that of an upscaler within it is not checked.
    """

    dtype: str = "float32"
    without: Sequence[str] = ()
    weights: bool = True
    check: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Remote:
    """A directory of a commit at the hub, and the one on this machine that it becomes.

    sizes: of its files in bytes, by name. head: the path of the directory within the model, with a slash behind it.
    """

    name: HubName
    folder: Path
    sizes: Sizes
    head: str = ""

    def download(self, files: list[str], shown: bool = True) -> None:
        """Downloads those of `files` that are not there; progress is `shown` on stderr, if that is a terminal."""
        from huggingface_hub import snapshot_download

        absent = [file for file in files if not (self.folder / file).is_file()]
        if not absent:
            return
        if shown:
            _say(f"downloading {self.name.repository}, {_amount(sum(self.sizes.get(file) or 0 for file in absent))}")
        patterns = [glob.escape(self.head + file) for file in absent]
        with explained_errors(self.name), progress(shown):
            snapshot_download(self.name.repository, revision=self.name.revision, allow_patterns=patterns)

    def within(self, folder: str) -> Remote:
        """A directory within this one."""
        inside = {name.removeprefix(f"{folder}/"): size for name, size in self.sizes.items()
                  if name.startswith(f"{folder}/")}  # fmt: skip
        return replace(self, folder=self.folder / folder, sizes=inside, head=f"{self.head}{folder}/")


def fetched(name: HubName, need: Need | None = None) -> tuple[Path, str]:
    """The directory of a hub's model, with all that is needed of it, and its commit.

    The hub is asked once what the revision stands for; without a network it is what the cache knows. What is not on
    this machine yet is downloaded, the settings first: a model that is refused costs no more. Raises ModelError.
    """
    from huggingface_hub import HfApi

    need = need or Need()
    try:
        with progress(shown=False):
            info = HfApi().model_info(name.repository, revision=name.revision, files_metadata=True, timeout=SECONDS)
    except raised_by_the_hub() as error:
        return _from_cache(name, need, error)
    return _from_hub(name, need, str(info.sha), {file.rfilename: file.size for file in info.siblings or ()})


def cached(name: HubName) -> Path | None:
    """The directory of a hub's model as far as it is on this machine, without asking the hub; None if it is not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name.repository, INDEX_FILE, revision=name.revision)
    return Path(found).parent if isinstance(found, str) else None


def only_here(name: HubName, file: str, patterns: Collection[str]) -> bool:
    """Whether a model is to be read from the cache alone, as the hub, asked once, cannot be reached or has none such.

    file: of it, that the cache has if it has the model. patterns: of all files that are needed. Raises ModelError where
    the cache has none.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        HfApi().model_info(name.repository, revision=name.revision, timeout=SECONDS)
    except raised_by_the_hub() as error:
        if not isinstance(try_to_load_from_cache(name.repository, file, revision=name.revision), str):
            raise ModelError(explained(error, name, patterns)) from error
        return True
    return False


def names_in(folder: Path) -> list[str]:
    """The files of a pipeline's directory, and of its components, by name."""
    files = [file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file()]
    return [file.relative_to(folder).as_posix() for file in files]


def _from_hub(name: HubName, need: Need, commit: str, sizes: Sizes) -> tuple[Path, str]:
    from huggingface_hub import hf_hub_download

    if INDEX_FILE not in sizes:
        raise ModelError(no_pipeline(name))
    exact = HubName(name.repository, commit)
    with explained_errors(exact), progress(shown=False):
        folder = Path(hf_hub_download(name.repository, INDEX_FILE, revision=commit)).parent
    _remember(name.revision or "main", commit, folder.parent.parent)
    remote = Remote(exact, folder, sizes)
    _fetch(remote, need)
    for other in _others(folder):
        if f"{other}/{INDEX_FILE}" in sizes:
            _fetch(remote.within(other), replace(need, without=(), check=None))
    return folder, commit


def _from_cache(name: HubName, need: Need, error: Exception) -> tuple[Path, str]:
    """What the cache holds of a model; `error` says why the hub cannot be asked, or has none such any more."""
    folder = cached(name)
    if folder is None:
        raise ModelError(explained(error, name)) from error
    check_directory(folder, weights=False)
    names, parts = names_in(folder), components_of(read_index(folder), need.without)
    if need.check and not missing(names, parts, None, weights=False):
        need.check(folder)
    if lacking := missing(names, parts, variant_for(names, parts, need.dtype), need.weights):
        raise ModelError(in_part(name, _lacks(names, lacking), error)) from error
    return folder, folder.name


def _lacks(names: Iterable[str], lacking: list[str]) -> str:
    found = pickles_of(names, [name.partition("/")[0] for name in lacking])
    pickles = f", found {', '.join(found)}, which may run code when read" if found else ""
    return f"{', '.join(lacking)} is missing{pickles}"


def _remember(revision: str, commit: str, home: Path) -> None:
    """Notes in the cache what a branch or tag stands for, as the hub's own downloads do; it may be read-only."""
    ref = home / "refs" / revision
    if revision != commit:
        with suppress(OSError, OutputError, OutputFailed):
            ref.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(ref, commit.encode(), force=True)


def _fetch(remote: Remote, need: Need) -> None:
    remote.download([INDEX_FILE], shown=False)
    parts = components_of(read_index(remote.folder), need.without)
    variant = variant_for(remote.sizes, parts, need.dtype)
    remote.download(wanted(remote.sizes, parts, variant, weights=False), shown=False)
    check_directory(remote.folder, weights=False)
    if need.weights and (lacking := missing(remote.sizes, parts, variant)):
        lacks = _lacks(remote.sizes, lacking)
        raise ModelError(f"{remote.name.repository}: expected weights as .safetensors; {lacks}")
    if need.check:
        need.check(remote.folder)
    if need.weights:
        remote.download(wanted(remote.sizes, parts, variant))


def _others(folder: Path) -> list[str]:
    """The upscaler and the refiner that lie within a model, where its own file of defaults names them."""
    file = folder / DEFAULTS_FILE
    try:
        said = read_object(file, ModelError) if file.is_file() else {}
    except ModelError:
        return []  # a file that is wrong is refused when it is read
    named = [said.get("upscaler"), said.get("refiner")]
    return [name for name in named if isinstance(name, str) and ".." not in PurePosixPath(name).parts]


@contextmanager
def explained_errors(name: HubName) -> Iterator[None]:
    """Turns what a call of the hub raises into ModelError, which says what to do."""
    try:
        yield
    except raised_by_the_hub() as error:
        raise ModelError(explained(error, name)) from error


@contextmanager
def progress(shown: bool) -> Iterator[None]:
    """The hub's progress bars are shown on stderr, if it is a terminal and they are not turned off; remarks are not."""
    from huggingface_hub import utils

    hidden = not (shown and bars_are_on() and sys.stderr.isatty())
    hidden = hidden and not utils.are_progress_bars_disabled()  # type: ignore[attr-defined]
    level = utils.logging.get_verbosity()
    utils.logging.set_verbosity(logging.ERROR)
    if hidden:
        utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        utils.logging.set_verbosity(level)
        if hidden:
            utils.enable_progress_bars()  # type: ignore[attr-defined]


def bars_are_on() -> bool:
    """Whether the hub's progress bars are turned on, as they are unless HF_HUB_DISABLE_PROGRESS_BARS is set."""
    from huggingface_hub import utils

    off = os.environ.get(NO_BARS, "").upper() in {"1", "ON", "YES", "TRUE"}
    return not (off or utils.are_progress_bars_disabled())  # type: ignore[attr-defined]


def _say(text: str) -> None:
    """A line on the terminal, in the place of its last one; nothing where progress bars are turned off."""
    if sys.stderr.isatty() and bars_are_on():
        sys.stderr.write(f"\r\x1b[K{text}\n")
        sys.stderr.flush()


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
