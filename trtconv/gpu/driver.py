"""Ask the CUDA driver for the GPU at hand, without a CUDA toolkit or a Python CUDA package."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

# CUdevice_attribute
_MEMORY_CLOCK_KHZ, _MEMORY_BUS_BITS = 36, 37
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_BITS_PER_KHZ = 2 * 1e3 / 8 / 1e9  # two transfers a clock, in GB/s


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    `arch` is its compute capability as sm_90, `driver` the newest CUDA version it runs, as 13.0. `memory_gb_per_s` is
    the bandwidth of its memory, 0 where the driver does not tell.
    """

    name: str
    arch: str
    driver: str
    memory_gb_per_s: float = 0.0


def find_gpu() -> Gpu | None:
    """Return the first CUDA device, or None where there is no driver or no device."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor, version = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(256)
    if (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _COMPUTE_CAPABILITY_MINOR, device)
        or cuda.cuDriverGetVersion(ctypes.byref(version))
    ):
        return None
    driver = f"{version.value // 1000}.{version.value % 1000 // 10}"
    clock, bits = (_attribute(cuda, device, number) for number in (_MEMORY_CLOCK_KHZ, _MEMORY_BUS_BITS))
    return Gpu(name.value.decode(), f"sm_{major.value}{minor.value}", driver, clock * bits * _BITS_PER_KHZ)


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    """Return an attribute of a device, 0 where the driver does not tell."""
    value = ctypes.c_int()
    return 0 if cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device) else value.value
