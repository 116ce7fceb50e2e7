"""The memory that a container leaves to what runs in it: the limits of Linux's control groups, versions 1 and 2.

left = min over the group and those above it of  limit - usage + inactive file cache

What is cached of files counts as usage, and is given back when memory is short: so after weights were read, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN_GROUPS, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


def left_in_container(own_groups: Path = OWN_GROUPS, mount: Path = MOUNT) -> int | None:
    """Bytes that the control groups of this process leave to it; None where none of them has a limit."""
    lefts = [_left(folder, names) for folder, names in _groups(own_groups, mount)]
    return min((left for left in lefts if left is not None), default=None)


def _groups(own_groups: Path, mount: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The folders of the memory groups of this process, its own first; of some only the uppermost can be seen."""
    for line in _read(own_groups).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, names = (mount / "memory", V1) if controllers else (mount, V2)
        own = top / path.strip("/")
        for folder in (own, *own.parents):
            yield folder, names
            if folder == top:
                break


def _left(folder: Path, names: tuple[str, str, str]) -> int | None:
    limit, usage = (_read(folder / name).strip() for name in names[:2])
    if not limit.isdecimal() or not usage.isdecimal():  # "max", or no such group
        return None
    kinds = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    return max(0, int(limit) - int(usage) + int(kinds.get(names[2], 0)))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
