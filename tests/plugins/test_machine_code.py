"""What the compiler made of the kernels: it may move a load to before the wait that the source has in front of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from trtconv import plugin_library

PACKAGES = ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm")
TOOLKIT = "/usr/local/cuda/bin"
WAIT = "ACQBULK"  # cudaGridDependencySynchronize
DEVICE_MEMORY = re.compile(r"\b(LDG|STG|LDGSTS|UBLKCP|ATOMG|REDG?|ATOM|LD|ST)\.")
FIRST_WAITING = 90  # compute capability 9.0: what is older launches no kernel early


def test_no_kernel_touches_device_memory_before_it_waits() -> None:
    found = dict(kernels(machine_code()))
    if not found:
        pytest.skip("the library holds no machine code that is launched early")
    assert [name for name, instructions in found.items() if not waits_first(instructions)] == []


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        (["S2R R1, SR_TID.X", "ACQBULK", "LDG.E.128 R4, desc[UR8][R16.64]", "STG.E R4"], True),
        (["LDG.E.128.CONSTANT R4, desc[UR8][R16.64]", "ACQBULK", "STG.E.128 R4"], False),
        (["LDC R1, c[0x0][0x28]", "LDS R2, [R3]", "ACQBULK", "EXIT"], True),
        (["LDG.E R4, desc[UR8][R16.64]", "EXIT"], False),
    ],
)
def test_a_load_before_the_wait_is_seen(instructions: list[str], expected: bool) -> None:
    assert waits_first(instructions) is expected


def waits_first(instructions: list[str]) -> bool:
    for instruction in instructions:
        if DEVICE_MEMORY.search(instruction):
            return False
        if WAIT in instruction:
            return True
    return False


def kernels(listing: str) -> Iterator[tuple[str, list[str]]]:
    """Yield architecture and name of each kernel that may be launched early, and its instructions."""
    for part in re.split(r"^arch = sm_", listing, flags=re.MULTILINE)[1:]:
        architecture = int(re.match(r"\d+", part)[0])  # type: ignore[index]
        for function in part.split("Function : ")[1:] if architecture >= FIRST_WAITING else ():
            name, *lines = function.splitlines()
            found = (re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?);", line) for line in lines)
            yield f"sm_{architecture} {name}", [match[1] for match in found if match]


def machine_code() -> str:
    folders = [str(folder) for folder in tool_folders()]
    path = os.pathsep.join([*folders, os.environ["PATH"], TOOLKIT])
    tool = shutil.which("cuobjdump", path=path)
    if tool is None:
        pytest.skip("needs cuobjdump, of the CUDA toolkit")
    command = [tool, "-sass", str(plugin_library.find().path)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True).stdout


def tool_folders() -> Iterator[Path]:
    """Yield where the packages that have the disassembler keep it."""
    for package in PACKAGES:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        yield from (Path(str(file.locate())).parent for file in files if file.name in ("cuobjdump", "nvdisasm"))
