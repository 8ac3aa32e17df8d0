"""Where a job computes: chosen from what it was given."""

from __future__ import annotations

import ctypes
import sys

import torch

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of <malloc.h>


def choose(device: str, threads: int | None = None) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda``; also sets the CPU threads.

    Raises:
        ValueError: a GPU was asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda") and not device.startswith("cuda:"):
        raise ValueError(f"device {device!r} is none of auto, cpu, cuda, cuda:1, ...")
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_memory()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ValueError("device cuda was asked for, but torch sees no GPU; use --device cpu")
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    return torch.device(device)


def precision(name: str, device: torch.device) -> str:
    """``auto`` is bfloat16 autocast on a GPU, and float32 on a CPU."""
    if name == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return name


def _keep_memory() -> None:
    """Let glibc reuse large blocks instead of giving them back to the kernel after every layer.

    Otherwise each activation is mapped, zeroed and unmapped anew: a third of the time of a
    SqueezeNet batch on a CPU (docs/log.md). Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 1 << 30)
        mallopt(TRIM_THRESHOLD, (1 << 31) - 1)
