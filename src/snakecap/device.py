"""Where a job computes: chosen from what it was given."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

# How torch says it without an OutOfMemoryError: its CPU allocator; CUDA itself; cuBLAS, cuSOLVER
# and cuDNN, which take memory of their own (cuDNN 9 writes ALLOCATION).
FULL = re.compile(
    r"DefaultCPUAllocator|CUDA error: out of memory|CUDA ran out of memory"
    r"|(CUBLAS|CUSOLVER|CUDNN)_STATUS_\w*ALLOC(ATION)?_FAILED"
)
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # flags of x86 CPUs
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of <malloc.h>


class OutOfMemoryError(RuntimeError):
    """The device's memory is full; the message says which setting to lower."""


def choose(device: str, threads: int | None = None, *, deterministic: bool = False) -> torch.device:
    """The device for ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; also sets the CPU threads.

    Under torchrun each process of a machine gets a GPU of its own.

    Args:
        threads: CPU threads, of all processes of this machine together.
        deterministic: refuse operations whose sums depend on their order; for equal bits on a GPU.

    Raises:
        ValueError: a GPU was asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda") and not device.startswith("cuda:"):
        raise ValueError(f"device {device!r} is none of auto, cpu, cuda, cuda:1, ...")
    if threads is not None:
        torch.set_num_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    _keep_memory()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ValueError(_no_gpu())
        if device == "cuda" and "LOCAL_RANK" in os.environ:
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    return torch.device(device)


def _no_gpu() -> str:
    """What a job that was promised a GPU says when it sees none."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = "is not set" if given is None else f"is {given!r}"
    built = "" if torch.version.cuda else "; this torch was built without CUDA"
    return (
        f"this job asked for a GPU, but torch sees none (CUDA_VISIBLE_DEVICES {seen}{built}). "
        "To compute on the CPU: --device cpu, or `device: cpu` in config.yaml"
    )


@contextlib.contextmanager
def advice(what: str) -> Iterator[None]:
    """Turn a full memory into an `OutOfMemoryError` that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        named = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not named and not FULL.search(str(error)):
            raise
        first = str(error).strip().partition("\n")[0]
        raise OutOfMemoryError(f"memory is full: {what} ({first})") from error


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far: on a GPU there, else of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024)


def room(device: torch.device) -> int:
    """Bytes of data that this process may keep on its device: half, the rest is for computing.

    Of a GPU half of what is free; of main memory half of the machine's, or of what SLURM gave.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if given := int(os.environ.get("SLURM_MEM_PER_NODE") or 0):  # MB; 0 is all that there is
        memory = min(memory, given << 20)
    return memory // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) // 2


def precision(name: str, device: torch.device) -> str:
    """``auto`` is bfloat16 where the device multiplies it itself, else float32."""
    if name == "auto":
        return "bfloat16" if device.type == "cuda" or cpu_has_bfloat16() else "float32"
    return name


def send(value: Tensor, place: torch.device) -> Tensor:
    """The value on a device; a GPU gets it from pinned memory, without anyone waiting."""
    if place.type == "cuda" and not value.is_cuda:
        value = value.pin_memory()
    return value.to(place, non_blocking=True)


def autocast(name: str, device: torch.device) -> torch.autocast:
    """Computes a block's matrix products in a precision: float32, bfloat16 or auto."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision(name, device) == "bfloat16"
    )


@functools.cache
def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bfloat16 itself, as the kernel says.

    Others emulate it, which is why oneDNN's own answer, yes for every AVX-512 CPU, is not asked.
    """
    if not cpuinfo.is_file():
        return False
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
    return flags is not None and not BFLOAT16.isdisjoint(flags[1].split())


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
