"""Build a wheel from the sdist and install it, both without an index: `python -m tests.support.offline_install [89]`.

What trtconv and its build need is downloaded into dist/offline first; a machine without a network needs only that
folder. With a GPU architecture the wheel is compiled for it and stays in the folder, where pip prefers it to the sdist.
Without one it is compiled for the oldest, which lacks the kernels of later GPUs, and thrown away after the check.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.support.command_line import write_model

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "dist" / "offline"
BUILD_REQUIREMENTS = REPOSITORY / "requirements" / "build.in"
SDIST_TOOL = "build>=1.2"
OLDEST_ARCHITECTURE = "75"


def main(architecture: str | None = None) -> None:
    """Download what is needed, build and install from it alone, and run the program in a fresh environment."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for earlier in FOLDER.glob("trtconv-*"):
        earlier.unlink()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        tool, fresh, wheels = folder / "tool", folder / "fresh", folder / "wheels" if architecture is None else FOLDER
        python = make_environment(tool)
        run(python, "-m", "pip", "install", "--quiet", SDIST_TOOL)
        run(python, "-m", "build", "--sdist", "--outdir", FOLDER, REPOSITORY)
        (sdist,) = FOLDER.glob("trtconv-*.tar.gz")
        run(python, "-m", "pip", "download", "--quiet", "--dest", FOLDER, "-r", BUILD_REQUIREMENTS, *dependencies())
        offline = ("--isolated", "--no-index", "--find-links", FOLDER)
        compiled_for = f"cmake.define.TRTCONV_CUDA_ARCHITECTURES={architecture or OLDEST_ARCHITECTURE}"
        settings = ("--config-settings", compiled_for, "--no-deps", "--wheel-dir", wheels)
        run(python, "-m", "pip", "wheel", *offline, *settings, sdist)
        (wheel,) = wheels.glob("trtconv-*.whl")
        python = make_environment(fresh)
        run(python, "-m", "pip", "install", *offline, wheel)
        try_out(fresh / "bin" / "trtconv", folder)


def try_out(program: Path, folder: Path) -> None:
    """Run the installed program: it shows its version, loads the plugin library and decides about a model."""
    model = write_model(folder, "static")
    run(program, "--version", cwd=folder)
    run(program, "plugins", cwd=folder)
    run(program, "build", model, "--dry-run", "--backend", "tensorrt", cwd=folder)


def dependencies() -> list[str]:
    """Return what trtconv itself needs to run, by its metadata."""
    return [each for each in importlib.metadata.requires("trtconv") or () if "extra ==" not in each]


def make_environment(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def run(*command: str | Path, cwd: Path = REPOSITORY) -> None:
    """Run a command; end with its exit code where it fails."""
    print("$", *command, flush=True)
    if code := subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
