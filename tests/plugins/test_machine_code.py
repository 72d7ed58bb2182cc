"""What every CUDA kernel must do and hardly any run would show: that it waits for the kernel before it.

It is launched while that one may still be at work (plugins_cuda/common/kernel_launch.cuh). The machine code is looked
at, because the compiler may move a load to before the wait.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from plugins_cuda.bench.compare_machine_code import USAGE, run_cuobjdump, short_name
from tests.support.extent import whole_sweep
from tests.support.plugin_libraries import compiled_library

FIRST_WAITING = 90  # compute capability 9.0: no kernel is launched early on older GPUs
WAIT = "ACQBULK"  # cudaGridDependencySynchronize
KERNELS = {
    *("normaliseResidentSlices", "normaliseClusteredSlices", "normaliseStreamedSlices"),
    *("sumSliceParts", "normaliseSliceParts", "sumPlaneParts", "scatterPlaneParts"),
    *("normaliseResidentColumns", "normaliseStreamedColumns"),
    *("sumColumnParts", "finishGroups", "normaliseColumnParts"),
    *("padByReflection", "padPlanesByReflection", "padVectorsByReflection"),
    *("gatherElements", "gatherPlanes", "gatherCells", "gatherCellsByTwo", "gatherToChannels", "gatherFromChannels"),
    *("gatherFromPhases", "gatherThinRows"),
    "fillPads",
}
DEVICE_MEMORY = re.compile(r"\b(LDG|STG|LDGSTS|UBLKCP|UBLKRED|UTMALDG|UTMASTG|ATOMG?|REDG?|LD|ST)\b")
BRANCH = re.compile(r"\b(?:BRA|CALL|BREAK)\b.*?(0x[0-9a-f]+)\s*$")
LAST = re.compile(r"(BRA|EXIT|RET)\b")  # not one that depends on a predicate
END = re.compile(r"\bEXIT\b")

Instructions = Mapping[int, str]  # by address


def test_each_kernel_waits_before_it_touches_device_memory_or_ends(tmp_path: Path) -> None:
    """In the smallest files of machine code that together hold each kernel, for one element type at least."""
    require_waits("".join(cuobjdump("-sass", str(cubin)) for cubin in smallest_cubins(tmp_path)))


@whole_sweep
def test_every_instance_waits_before_it_touches_device_memory_or_ends() -> None:
    require_waits(cuobjdump("-sass", str(compiled_library())))


def require_waits(listing: str) -> None:
    """Hold every kernel in what cuobjdump printed to its wait, and that each of KERNELS is among them."""
    found = dict(kernels(listing))
    architectures = {architecture for architecture, _ in found}
    if not architectures:
        pytest.skip("the library holds no machine code that is launched early")
    for architecture in architectures:
        assert {short_name(name) for each, name in found if each == architecture} == KERNELS
    assert [name for name, instructions in found.items() if not waits_first(instructions)] == []


LISTINGS = {
    "waits": (["S2R R1, SR_TID.X", "LDC R1, c[0x0][0x28]", "ACQBULK", "LDG.E R4, desc[UR8][R16.64]", "EXIT"], True),
    "loads first": (["LDG.E.128.CONSTANT R4, desc[UR8][R16.64]", "ACQBULK", "STG.E.128 R4", "EXIT"], False),
    "never waits": (["LDG.E R4, desc[UR8][R16.64]", "EXIT"], False),
    "goes to a load behind": (["@P0 BRA 0x30", "ACQBULK", "EXIT", "LDG.E R4", "BRA 0x10"], False),
    "waits before it goes back": (["BRA 0x20", "LDG.E R4", "ACQBULK", "BRA 0x10"], True),
    "waits if it likes": (["@P0 ACQBULK", "LDG.E R4", "EXIT"], False),
    "ends without a wait": (["@P0 EXIT", "ACQBULK", "LDG.E R4", "EXIT"], False),
    "shared memory": (["LDS R2, [R3]", "STS [R3], R2", "ACQBULK", "EXIT"], True),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_early_loads_are_seen(name: str) -> None:
    lines, expected = LISTINGS[name]
    assert waits_first({16 * index: line for index, line in enumerate(lines)}) is expected


def waits_first(instructions: Instructions) -> bool:
    """Return whether every way from the entry waits before it touches device memory and before it ends."""
    addresses = sorted(instructions)
    following = dict(itertools.pairwise(addresses))
    ways, seen = [addresses[0]], set()
    while ways:
        address = ways.pop()
        text = instructions[address]
        if address in seen or text == WAIT:
            continue
        if DEVICE_MEMORY.search(text) or END.search(text):
            return False
        seen.add(address)
        if target := BRANCH.search(text):
            ways.append(int(target[1], 16))
        if not LAST.match(text):
            ways.append(following[address])
    return True


def kernels(listing: str) -> Iterator[tuple[tuple[int, str], Instructions]]:
    """Yield architecture and name of each kernel that may be launched early, and its instructions."""
    for part in re.split(r"^\s+code for sm_", listing, flags=re.MULTILINE)[1:]:
        digits = re.match(r"\d+", part)
        assert digits is not None
        for function in part.split("Function : ")[1:] if int(digits[0]) >= FIRST_WAITING else ():
            name, *lines = function.splitlines()
            found = (re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line) for line in lines)
            yield (int(digits[0]), name), {int(match[1], 16): match[2] for match in found if match}


def smallest_cubins(folder: Path) -> Iterator[Path]:
    """Unpack the library into `folder`; yield, from the smallest on, each file that holds a kernel not yet seen."""
    cuobjdump("-xelf", "all", str(compiled_library()), cwd=folder)
    seen: set[tuple[str, str]] = set()
    for cubin in sorted(folder.glob("*.cubin"), key=lambda path: path.stat().st_size):
        architecture = cubin.suffixes[-2]
        held = {(architecture, short_name(name)) for name, _ in USAGE.findall(cuobjdump("-res-usage", str(cubin)))}
        if held - seen:
            yield cubin
        seen |= held


def cuobjdump(*words: str, cwd: Path | None = None) -> str:
    try:
        return run_cuobjdump(*words, cwd=cwd)
    except FileNotFoundError as error:
        pytest.skip(str(error))
