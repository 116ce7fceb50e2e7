"""What a computer or its container has to give, and what a run took of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from diffusion_tricks.devices.capacity import free_memory
from diffusion_tricks.devices.choice import device_of
from diffusion_tricks.devices.container import left_in_container
from diffusion_tricks.devices.peak import peak_memory_mb
from diffusion_tricks.errors import ModelError


def test_the_free_memory_of_this_computer() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is not None
    assert 1e6 < free < 1e14
    assert free_memory(torch.device("meta")) is None


def control_groups(folder: Path, own: str, files: dict[str, int | str]) -> dict[str, Path]:
    """What Linux shows of them: the groups of this process, and files below the mount."""
    for name, value in {"own": own, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(value))
    return {"own_groups": folder / "own", "mount": folder / "cgroup"}


V2 = {"cgroup/a/b/memory.max": "max", "cgroup/a/b/memory.current": 300, "cgroup/a/memory.max": 1000,
      "cgroup/a/memory.current": 700, "cgroup/a/memory.stat": "anon 500\ninactive_file 150\nfile 200"}  # fmt: skip
V1 = {"cgroup/memory/memory.limit_in_bytes": 1000, "cgroup/memory/memory.usage_in_bytes": 400,
      "cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 20"}  # fmt: skip
HYBRID = "5:devices:/docker/c\n4:cpu,memory:/docker/c\n0::/"


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        ("0::/a/b", V2, 1000 - 700 + 150),  # the limit of the group above, less its usage; cached files are given back
        ("0::/a/b", V2 | {"cgroup/a/b/memory.max": 400}, 100),
        ("0::/a/b", V2 | {"cgroup/a/b/memory.max": 200}, 0),
        ("0::/", {"cgroup/memory.max": 900, "cgroup/memory.current": 100}, 800),  # as it is seen from within
        (HYBRID, V1, 1000 - 400 + 20),  # the group's own folder cannot be seen from within
        (HYBRID, V1 | {"cgroup/memory/docker/c/memory.limit_in_bytes": 50,
                       "cgroup/memory/docker/c/memory.usage_in_bytes": 40}, 10),
        ("0::/a/b", {"cgroup/a/b/memory.max": "max", "cgroup/a/b/memory.current": 1}, None),
        ("3:cpu:/", {}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_a_container_leaves_its_limit_less_what_is_used(
    tmp_path: Path, own: str, files: dict[str, int | str], left: int | None
) -> None:
    assert left_in_container(**control_groups(tmp_path, own, files)) == left


def test_no_control_groups_set_no_limit(tmp_path: Path) -> None:
    assert left_in_container(tmp_path / "gone", tmp_path) is None


@pytest.mark.parametrize(("left", "free"), [(None, 5000), (7000, 5000), (300, 300)])
def test_a_limit_below_the_free_memory_counts(monkeypatch: pytest.MonkeyPatch, left: int | None, free: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=5000))
    monkeypatch.setattr("diffusion_tricks.devices.capacity.left_in_container", lambda: left)
    assert free_memory(torch.device("cpu")) == free


GROWN = """
import torch
from diffusion_tricks.devices.peak import peak_memory_mb
before = peak_memory_mb(torch.device("cpu"))
block = bytearray(300_000_000)
block[::4096] = b"x" * len(block[::4096])
print(before, peak_memory_mb(torch.device("cpu")))
"""


def test_the_peak_is_that_of_the_process() -> None:
    """Of a fresh one, whatever the process that started it has had."""
    had_more = bytearray(700_000_000)
    had_more[::4096] = b"x" * len(had_more[::4096])
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before > 10
    assert 250 < after - before < 350


def test_windows_keeps_the_peak_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.Process.memory_info", lambda self: SimpleNamespace(rss=1, peak_wset=234_560_000))
    monkeypatch.setitem(sys.modules, "resource", None)  # there is none on Windows
    assert peak_memory_mb(torch.device("cpu")) == 234.6


@pytest.mark.parametrize("name", ["meta", "xpu"])
def test_a_device_that_computes_nothing_here_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=rf"device '{name}' does not compute here: .*; use `device=\"cpu\"` or auto"):
        device_of(name)
