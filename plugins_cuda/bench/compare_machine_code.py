"""Compare the machine code of two plugin libraries:  python -m plugins_cuda.bench.compare_machine_code BEFORE AFTER

Kernels are compared as a multiset of instruction streams, each with its encoding, registers and shared memory; names
and order do not count. Prints what differs, by kernel, and exits 1 if anything does. Needs cuobjdump and nvdisasm, from
NVIDIA's packages on PyPI, the PATH or /usr/local/cuda.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm")
TOOLKIT = "/usr/local/cuda/bin"
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;\s+/\* (0x[0-9a-f]+) \*/$")
ENCODING = re.compile(r"^\s+/\* (0x[0-9a-f]+) \*/$")  # of the second half: the scheduling
USAGE = re.compile(r" Function (\S+):\n\s+(.*)")
IDENTIFIER = re.compile(r"(?<=\D)(\d+)(?=[a-z])")  # of a mangled name: a length, then as many characters


class Kernel(NamedTuple):
    architecture: str
    usage: str  # registers, stack, shared memory and so on
    lines: tuple[str, ...]  # instructions and encodings

    def __str__(self) -> str:
        return f"{self.architecture}: {len(self.lines)} lines, {self.usage}"


def main(before: str, after: str) -> int:
    names: dict[Kernel, str] = {}
    counts = [count_kernels(Path(path), names) for path in (before, after)]
    gone, new = counts[0] - counts[1], counts[1] - counts[0]
    print(f"{sum(counts[0].values())} kernels before, {sum(counts[1].values())} after")
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for sign, differing in (("-", gone), ("+", new)):
        for kernel in differing.elements():
            by_name[names[kernel]].append(f"  {sign} {kernel}")
    for name, lines in sorted(by_name.items()):
        print(name, *lines, sep="\n")
    print("machine code differs" if by_name else "machine code is the same")
    return int(bool(by_name))


def count_kernels(library: Path, names: dict[Kernel, str]) -> Counter[Kernel]:
    """Count the kernels of `library` by their machine code; add to `names` what each is called."""
    usages = {
        (architecture, name): usage
        for architecture, part in by_architecture(disassemble("-res-usage", library))
        for name, usage in USAGE.findall(part)
    }
    counts: Counter[Kernel] = Counter()
    for architecture, part in by_architecture(disassemble("-sass", library)):
        for function in part.split("Function : ")[1:]:
            name, *lines = function.splitlines()
            kernel = Kernel(architecture, usages[architecture, name], tuple(instructions(lines)))
            names[kernel] = short_name(name)
            counts[kernel] += 1
    return counts


def by_architecture(listing: str) -> Iterator[tuple[str, str]]:
    """Yield each architecture, such as sm_90, and its part of what cuobjdump printed."""
    for part in re.split(r"^arch = ", listing, flags=re.MULTILINE)[1:]:
        yield part.split("\n", 1)[0], part


def instructions(lines: list[str]) -> Iterator[str]:
    """Yield each instruction with its encoding; functions that it calls lose their names."""
    for line in lines:
        if match := INSTRUCTION.match(line):
            yield re.sub(r"`\(.*\)", "`", match[1]) + " " + match[2]
        elif match := ENCODING.match(line):
            yield match[1]


def short_name(mangled: str) -> str:
    """Return the function's own name out of a mangled one: the first name that is not a namespace's."""
    for length in IDENTIFIER.finditer(mangled):
        end = length.end() + int(length[1])
        is_namespace = mangled[end].isdigit()
        if not is_namespace:
            return mangled[length.end() : end]
    return mangled


def disassemble(option: str, library: Path) -> str:
    """Return what cuobjdump prints of `library`. Raises FileNotFoundError without cuobjdump."""
    return run_cuobjdump(option, str(library))


def run_cuobjdump(*words: str, cwd: Path | None = None) -> str:
    """Return what cuobjdump prints. Raises FileNotFoundError where it is not installed."""
    path = os.pathsep.join([*tool_folders(), os.environ["PATH"], TOOLKIT])
    tool = shutil.which("cuobjdump", path=path)
    if tool is None:
        raise FileNotFoundError("cuobjdump, of the CUDA toolkit, is not installed")
    env = {**os.environ, "PATH": path}
    return subprocess.run([tool, *words], env=env, cwd=cwd, capture_output=True, text=True, check=True).stdout


def tool_folders() -> Iterator[str]:
    """Yield where the packages that have the disassembler keep it."""
    for package in PACKAGES:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        yield from (str(Path(str(file.locate())).parent) for file in files if file.name in ("cuobjdump", "nvdisasm"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
