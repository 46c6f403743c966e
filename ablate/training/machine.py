"""The machine a run trains on: its device, threads and number formats, set the same whatever was before."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from ablate.config.check import NO_FP16
from ablate.config.settings import DeviceName, Precision
from ablate.error import UserError

_DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder for each NVIDIA GPU that the system's driver has found
_KEPT = {-1: 2**30, -3: 2**25}  # bytes of M_TRIM_THRESHOLD and, at most, of M_MMAP_THRESHOLD, as malloc.h numbers them
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def configure(device_name: DeviceName, precision: Precision, threads: int | None) -> torch.device:
    """The device of this name, with torch set to deterministic results in this precision on so many CPU threads.

    Raises `UserError` where the device is absent or lacks the precision.
    """
    device = _device(device_name)
    _check_precision(device, precision)
    _keep_memory()
    torch.set_num_threads(threads or physical_cores())
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms(True), which imports for a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return device


def physical_cores() -> int:
    """The cores this process may use, hyper-threads not counted."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _physical_cores() or allowed)


@functools.cache
def _physical_cores() -> int | None:
    """Those of the machine, which is looked through for them; None where it does not tell."""
    return psutil.cpu_count(logical=False)


def gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them; none is touched."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = [name.strip() for name in visible.split(",")] if visible else map(str, range(count))
    return list(names)[:count]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a forward pass: 16-bit matrix products under `bf16` and `fp16`, else nothing."""
    return torch.autocast(device.type, dtype=_AUTOCAST.get(precision), enabled=precision in _AUTOCAST)


def describe(device: torch.device) -> dict[str, str | int]:
    """What a record says of the machine."""
    processor = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {"cpu": _cpu_name()}
    return {"name": socket.gethostname(), "device": device.type, "threads": torch.get_num_threads(), **processor}


def name(device: torch.device) -> str:
    """A device as people call it: `cuda (Tesla T4)`."""
    return f"{device.type} ({torch.cuda.get_device_name(device) if device.type == 'cuda' else _cpu_name()})"


def warnings(asked: DeviceName, precision: Precision, device: torch.device, driver: Path = _DRIVER) -> Iterator[str]:
    """What should not be overlooked: a GPU that is there and does not train, a precision that the processor lacks."""
    yield from _of_unused_gpus(asked, device, driver)
    if device.type == "cpu" and precision == "bf16" and not _has_bf16():
        yield (
            "precision=bf16: this processor has no instructions for it (AVX-512 bf16 or AMX), and a step takes many "
            "times as long as in fp32; take fp32"
        )


def _has_bf16() -> bool:
    """Whether the CPU multiplies in bf16, as far as torch can tell, which is on x86 alone."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _of_unused_gpus(asked: DeviceName, device: torch.device, driver: Path) -> list[str]:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "unset") in ("", "-1")
    if asked != "auto" or device.type != "cpu" or hidden or not (found := _gpus(driver)):
        return []
    return [
        f"this machine has a GPU ({', '.join(found)}) that PyTorch {torch.__version__} can't use, so that this run "
        f"trains on the CPU, many times slower: {_why_not_cuda()}; device=cpu says that this is meant"
    ]


def _keep_memory() -> None:
    """Have glibc keep what a step frees, for the next one: to get it anew from the system took a tenth of a step."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            libc = ctypes.CDLL(None)
            for parameter, size in _KEPT.items():
                libc.mallopt(parameter, size)


def _gpus(driver: Path) -> list[str]:
    """The names of the NVIDIA GPUs that the system's driver has found."""
    found = []
    for file in sorted(driver.glob("*/information")):
        lines = file.read_text(errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
        found.append((models or ["NVIDIA"])[0])
    return found


def _why_not_cuda() -> str:
    if torch.version.cuda is None:
        return "it is a build without CUDA; install the one for your system"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return "its driver may be too old, or its library missing in this container; `nvidia-smi` tells"


def _device(name: DeviceName) -> torch.device:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    if not present[name]:
        there = ", ".join(kind for kind, is_there in present.items() if is_there)
        raise UserError(f"device={name}: not on this machine, which has {there}; device=auto takes the best of them")
    return torch.device(name)


def _check_precision(device: torch.device, precision: Precision) -> None:
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise UserError(f"precision=tf32: expected an NVIDIA GPU from Ampere on, found {device.type}; take fp32")
    if precision == "fp16" and device.type == "cpu":
        raise UserError(NO_FP16)
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("precision=bf16: this GPU has no bf16; take fp16")


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
