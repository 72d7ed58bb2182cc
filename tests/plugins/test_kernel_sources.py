"""What every CUDA kernel must do and hardly any run would show: that it waits for the kernel before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "plugins_cuda"
WAIT = "waitForEarlierWork();"
TENSOR = re.compile(r"tensors\.(input|output|scale|bias)|\b(input|output)\b *[+\[]|request\(|fillRing|fillSlots")
KERNEL = re.compile(r"\bvoid (\w+)\(.*?\n\{\n(.*?)\n\}\n", re.DOTALL)  # what follows __global__: the name and the body


def find_kernels() -> dict[str, str]:
    texts = [path.read_text() for path in sorted(SOURCES.rglob("*.cu*")) if "bench" not in path.parts]
    found = [KERNEL.search(piece) for text in texts for piece in text.split("__global__ ")[1:]]
    return {kernel[1]: kernel[2] for kernel in found if kernel}


KERNELS = find_kernels()


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_waits_for_earlier_work_before_it_touches_a_tensor(name: str) -> None:
    # It is launched while the kernel before it may still be at work: common/kernel_launch.cuh.
    body = KERNELS[name]
    assert body.count(f"\n    {WAIT}\n") == body.count(WAIT) == 1, "once, and in no branch"
    before, after = body.split(WAIT)
    assert "return" not in before
    assert not TENSOR.search(before)
    assert TENSOR.search(after) or "Part const part(tensors" in after, "the pattern is of use"


def test_all_kernels_are_looked_at() -> None:
    names = {"normaliseResidentSlices", "normaliseClusteredSlices", "normaliseStreamedSlices", "sumSliceParts"}
    names |= {"normaliseSliceParts", "normaliseResidentColumns", "normaliseStreamedColumns"}
    assert set(KERNELS) == names | {"padByReflection", "padPlanesByReflection", "padVectorsByReflection"}
