"""An earlier training, hidden in its directory while another is to replace it, until that one stands complete.

Whenever it ends, what stands tells where it was: the options go first when a training is hidden or removed, and come
last when it is brought back, so that a directory without them holds nothing of a new one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

OPTIONS = "training.json"
HIDDEN = ".replaced"
PLACE = re.compile(r"\.replaced(-[0-9]+)?")


def waiting(folder: Path) -> list[Path]:
    """Where earlier trainings are hidden in a directory, the one that was hidden last at the end."""
    return [place for place in _places(folder) if (place / OPTIONS).is_file()]


def _places(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{HIDDEN}*") if PLACE.fullmatch(path.name)]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def hide(folder: Path, names: Sequence[str]) -> None:
    """Moves a training, which is made of what goes by `names`, out of the way."""
    before = _places(folder)
    place = folder / (f"{HIDDEN}-{_number(before[-1]) + 1}" if before else HIDDEN)
    place.mkdir()
    try:
        for name in _options_first(names):
            if (folder / name).exists():
                (folder / name).rename(place / name)
    except BaseException:
        if (place / OPTIONS).exists():
            bring_back(folder, names)
        raise


def _number(place: Path) -> int:
    return int(place.name.partition("-")[2] or 1)


def bring_back(folder: Path, names: Sequence[str]) -> bool:
    """Puts the training that was hidden last in the place of what is there, and says whether there was any."""
    if (folder / OPTIONS).exists() or not waiting(folder):
        for name in _options_first(names):
            _remove(folder / name)
    if not waiting(folder):
        return False
    place = waiting(folder)[-1]
    for name in reversed(_options_first(names)):
        if (place / name).exists():
            _remove(folder / name)
            (place / name).rename(folder / name)
    shutil.rmtree(place, ignore_errors=True)
    return True


def forget(folder: Path) -> None:
    """Removes the trainings that are hidden in a directory: the one in their place stands complete."""
    for place in _places(folder):
        shutil.rmtree(place, ignore_errors=True)


def _options_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: name != OPTIONS)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
