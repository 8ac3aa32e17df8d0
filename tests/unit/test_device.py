"""Where a job computes, and what it says when it cannot."""

import os

import pytest
import torch

from snakecap import device as devices

has_bfloat16 = devices.cpu_has_bfloat16  # itself: tests see another (conftest.py)
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")


def test_a_job_that_was_promised_a_gpu_says_what_it_sees_and_how_to_go_on(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(ValueError, match=r"CUDA_VISIBLE_DEVICES is '1'.*device: cpu") as error:
        devices.choose("cuda")
    assert "--device cpu" in str(error.value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES is not set"):
        devices.choose("cuda:3")


def test_auto_takes_what_there_is():
    assert devices.choose("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="none of auto, cpu"):
        devices.choose("gpu")


CPUINFO = """processor\t: {number}
model name\t: A CPU
flags\t\t: fpu avx2 avx512f avx512bw {flags}
bugs\t\t: amx_bf16_is_not_a_flag_here

"""


@pytest.mark.parametrize(
    ("flags", "able"),
    [("avx512_bf16", True), ("amx_tile amx_bf16", True), ("avx512_vnni", False), ("bf16", False)],
)
def test_auto_is_bfloat16_on_a_cpu_that_multiplies_it(tmp_path, monkeypatch, flags, able):
    file = tmp_path / "cpuinfo"
    file.write_text("".join(CPUINFO.format(number=n, flags=flags) for n in range(2)))
    assert has_bfloat16(file) is able
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: able)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert devices.precision("auto", cpu) == ("bfloat16" if able else "float32")
    assert devices.precision("auto", cuda) == "bfloat16"
    for name in ("float32", "bfloat16"):
        assert devices.precision(name, cpu) == devices.precision(name, cuda) == name


def test_a_machine_that_says_nothing_of_its_cpu_has_no_bfloat16(tmp_path):
    assert not has_bfloat16(tmp_path / "missing")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert not has_bfloat16(tmp_path / "arm")


def test_deterministic_mode_is_switched_on(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        devices.choose("cpu", deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_full_memory_says_which_setting_to_lower():
    for full in (
        lambda: torch.empty(1 << 60, dtype=torch.uint8),  # the CPU's own error
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried ...")),
    ):
        with (
            pytest.raises(devices.OutOfMemoryError, match=r"memory is full: lower batch_size \("),
            devices.advice("lower batch_size"),
        ):
            full()


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA ran out of memory outside PyTorch's allocator. If this workload uses many dynamic",
    ],
)
def test_a_library_that_gets_no_memory_says_which_setting_to_lower(said):
    """The texts of torch 2.15, cuBLAS, cuSOLVER and cuDNN 8 and 9."""
    with (
        pytest.raises(devices.OutOfMemoryError, match="lower batch_size") as error,
        devices.advice("lower batch_size"),
    ):
        raise RuntimeError(said)
    assert said.partition("\n")[0] in str(error.value)


@pytest.mark.parametrize(
    "said",
    [
        "shapes cannot be multiplied",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if ...",
    ],
)
def test_other_errors_stay_as_they_are(said):
    with pytest.raises(RuntimeError) as error, devices.advice("lower batch_size"):
        raise RuntimeError(said)
    assert str(error.value) == said
    assert not isinstance(error.value, devices.OutOfMemoryError)


def test_the_peak_is_at_least_what_is_held():
    before = devices.peak_memory(torch.device("cpu"))
    held = torch.ones(50_000_000)
    assert devices.peak_memory(torch.device("cpu")) >= max(before, held.nbytes)


def test_room_for_data_is_half_of_what_the_job_was_given(monkeypatch):
    for name in ("SLURM_MEM_PER_NODE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    cpu = torch.device("cpu")
    whole = devices.room(cpu)
    assert 2 * whole == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    assert devices.room(cpu) == 500 << 20
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert devices.room(cpu) == 250 << 20
    for all_of_it in (str(10**9), "0", ""):
        monkeypatch.setenv("SLURM_MEM_PER_NODE", all_of_it)
        assert devices.room(cpu) == whole // 2
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (10, 99))
    assert devices.room(torch.device("cuda:1")) == 5
