"""The most memory that a run has used, on the device or in this process."""

from __future__ import annotations

import psutil
import torch


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
    """Bytes. psutil knows the peak on Windows; elsewhere the system counts it, in bytes on macOS and else in KiB."""
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if peak is not None:
        return int(peak)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if psutil.MACOS else 1024)
