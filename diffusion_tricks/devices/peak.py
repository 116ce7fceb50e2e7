"""The most memory that a run has used, on the device or in this process."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

STATUS = Path("/proc/self/status")


def forget_peak(device: torch.device) -> None:
    """Makes `peak_memory_mb` begin anew, where it can: on CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used, in MB: on CUDA what torch had of the device since `forget_peak`, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return round(_peak_of_process() / 1e6, 1)


def _peak_of_process() -> int:
    """Bytes. psutil knows the peak on Windows, Linux keeps it in a file, and macOS counts it.

    Linux' own count (`ru_maxrss`) is that of the process which started this one, where that was the larger.
    """
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if peak is not None:
        return int(peak)
    if STATUS.exists():
        return _kib_of("VmHWM", STATUS.read_text()) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if psutil.MACOS else 1024)


def _kib_of(field: str, status: str) -> int:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))
