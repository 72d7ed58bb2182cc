"""Compile the plugin library in two folders and compare: `python -m tests.support.reproducible_build 90`.

It takes the CMake, the nvcc and the C++ compiler that a build of the package would find.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("CMakeLists.txt", "pyproject.toml", "plugins_cuda")
LIBRARY = Path("trtconv", "lib", "libtrtconv_plugins.so")


def build(folder: Path, architectures: str) -> str:
    """Compile a copy of the sources in `folder`, and return the library's sha256."""
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    configure = ["cmake", "-S", ".", "-B", "out", f"-DTRTCONV_CUDA_ARCHITECTURES={architectures}"]
    for command in (configure, ["cmake", "--build", "out", "--parallel"]):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return hashlib.sha256((folder / LIBRARY).read_bytes()).hexdigest()


def main() -> int:
    """Build twice; return 1 where the bytes differ."""
    with tempfile.TemporaryDirectory() as text:
        folders = [Path(text, "one"), Path(text, "another", "place")]
        for folder in folders:
            folder.mkdir(parents=True)
        digests = [build(folder, sys.argv[1]) for folder in folders]
    print(*digests, sep="\n")
    print("the same bytes" if len(set(digests)) == 1 else "the bytes differ")
    return len(set(digests)) - 1


if __name__ == "__main__":
    sys.exit(main())
