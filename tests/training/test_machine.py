"""Devices and precisions are what was asked for, or an error."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from ablate.config.settings import DeviceName, Precision
from ablate.error import UserError
from ablate.training import machine
from tests.trainings import prepared


def test_threads_are_set_whatever_the_environment_says() -> None:
    machine.configure("cpu", "fp32", 1)
    assert torch.get_num_threads() == 1
    machine.configure("cpu", "fp32", None)
    assert torch.get_num_threads() == machine.physical_cores() <= (psutil.cpu_count(logical=False) or 1)
    assert 1 <= machine.physical_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_device_is_refused() -> None:
    assert machine.configure("auto", "fp32", None).type in ("cpu", "mps")
    with pytest.raises(UserError, match="device=cuda: not on this machine"):
        machine.configure("cuda", "fp32", None)
    with pytest.raises(UserError, match="precision=tf32: expected an NVIDIA GPU"):
        machine.configure("cpu", "tf32", None)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_matrix_products_are_in_the_precision_asked_for(precision: Precision, dtype: torch.dtype) -> None:
    with machine.autocast(torch.device("cpu"), precision):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="precision=fp16: expected a GPU, found cpu; take fp32, or bf16"):
        machine.configure("cpu", "fp16", None)


def test_a_device_is_called_as_people_call_it() -> None:
    assert re.fullmatch(r"cpu \(.+\)", machine.name(torch.device("cpu")))


def test_a_gpu_that_is_there_and_does_not_train_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cpu, driver = torch.device("cpu"), tmp_path / "gpus"

    def warnings(asked: DeviceName, device: torch.device) -> list[str]:
        return list(machine.warnings(asked, "fp32", device, driver))

    assert warnings("auto", cpu) == [], "no GPU"
    (driver / "0000:00:1e.0").mkdir(parents=True)
    (driver / "0000:00:1e.0" / "information").write_text("Model: \t\t Tesla T4\nIRQ:   \t\t 10\n")
    (warning,) = warnings("auto", cpu)
    assert "a GPU (Tesla T4) that PyTorch" in warning and "trains on the CPU, many times slower: " in warning
    assert warnings("cpu", cpu) == [], "it was asked for"
    assert warnings("auto", torch.device("cuda")) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert warnings("auto", cpu) == [], "it was hidden on purpose"


@pytest.mark.parametrize(
    ("architecture", "has_avx512_bf16", "has_amx", "is_warned"),
    [("x86_64", False, False, True), ("AMD64", False, False, True), ("x86_64", True, False, False),
     ("x86_64", False, True, False), ("arm64", False, False, False)],
)  # fmt: skip
def test_a_processor_that_lacks_bf16_is_warned_of(
    architecture: str, has_avx512_bf16: bool, has_amx: bool, is_warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: architecture)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    cpu = torch.device("cpu")
    assert any("precision=bf16: this pro" in each for each in machine.warnings("cpu", "bf16", cpu)) == is_warned
    assert not list(machine.warnings("cpu", "fp32", cpu)) + list(machine.warnings("cpu", "bf16", torch.device("cuda")))


def test_only_fp16_scales_its_loss(tmp_path: Path, corpus_cache: Path) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    for precision, scaled in (("bf16", False), ("fp32", False)):
        training, _ = prepared(["data=espeak_tiny", f"precision={precision}"], tmp_path)
        assert training.scaler.is_enabled() == scaled
        assert all(parameter.dtype == torch.float32 for parameter in training.model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_trains_on_a_gpu(precision: str, tmp_path: Path, corpus_cache: Path) -> None:
    from tests.trainings import trained

    (tmp_path / "cache").symlink_to(corpus_cache)
    outcome, _ = trained(["data=espeak_tiny", f"precision={precision}", "device=cuda", "epochs=1"], tmp_path)
    assert outcome.status == "finished"


_FREE_MEGABYTES = """
import ctypes, torch
from ablate.training import machine

class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_int) for name in names.split()]

if KEPT:
    machine.configure("cpu", "fp32", None)
[torch.ones(2**20) for _ in range(10)]  # of 4 MB, freed at once
libc = ctypes.CDLL(None)
libc.mallinfo.restype = Mallinfo
print(libc.mallinfo().fordblks / 1e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
def test_what_a_step_frees_is_kept_for_the_next_one() -> None:
    """By what glibc says: not every system counts the page faults that it costs to get memory anew."""

    def free_megabytes(kept: bool) -> float:
        command = [sys.executable, "-c", _FREE_MEGABYTES.replace("KEPT", str(kept))]
        return float(subprocess.run(command, check=True, capture_output=True).stdout)

    assert free_megabytes(kept=True) > 40 > free_megabytes(kept=False)
