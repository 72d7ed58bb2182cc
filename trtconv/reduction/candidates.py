"""What a model becomes in trtconv, for a comparison with it: an engine, or the same graph for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trtconv import convert, files
from trtconv.config import BuildConfig, Ops, Precision
from trtconv.engine import backends
from trtconv.errors import BackendError
from trtconv.gpu import driver
from trtconv.manifest import manifest_path
from trtconv.model import external_data, model_io
from trtconv.preparation import native_reason_of, prepare
from trtconv.progress import Progress
from trtconv.shapes import Profile

RunsOn = Literal["auto", "tensorrt", "onnxruntime"]
RUNTIMES: tuple[RunsOn, ...] = ("auto", "tensorrt", "onnxruntime")


@dataclass(frozen=True)
class PartFiles:
    """The files of a model, its candidate (of an engine the manifest, too) and its inputs."""

    model: Path
    candidate: Path
    inputs: Path
    manifest: Path | None

    @property
    def all(self) -> list[Path]:
        """Every file."""
        return [path for path in (self.model, self.candidate, self.inputs, self.manifest) if path is not None]


@dataclass(frozen=True)
class Candidates:
    """Makes candidates: engines of TensorRT where `is_engine`, else models in which functions stand for the plugins.

    Raises BackendError for bf16 without engines.
    """

    is_engine: bool
    ops: Ops
    precision: Precision | None
    trust_links: bool = False

    def __post_init__(self) -> None:
        if self.precision == "bf16" and not self.is_engine:
            what = "ONNX Runtime runs no network in bf16 on the CPU, and no engine is built here"
            hint = "use --precision fp16, or a machine with TensorRT and a GPU"
            raise BackendError(what, where="--precision bf16", hint=hint)

    @property
    def title(self) -> str:
        """What a report calls the candidate."""
        what = "an engine of TensorRT" if self.is_engine else "the rewritten model in ONNX Runtime"
        options = [f"--ops {self.ops}", *([f"--precision {self.precision}"] if self.precision else [])]
        return f"{what}, {' '.join(options)}"

    def files_beside(self, model: Path) -> PartFiles:
        """Return where the candidate of a model and its inputs are: beside it."""
        suffix = ".engine" if self.is_engine else ".rewritten.onnx"
        candidate, inputs = (model.with_name(model.stem + end) for end in (suffix, ".npz"))
        return PartFiles(model, candidate, inputs, manifest_path(candidate) if self.is_engine else None)

    def make(
        self,
        model_path: Path,
        output: Path,
        profiles: Sequence[Profile] = (),
        calibration: Sequence[Path] = (),
        progress: Progress | None = None,
    ) -> None:
        """Write the candidate of a model. Raises a TrtconvError as `trtconv.build` does."""
        judged_by = calibration if self.precision == "fp16" else ()
        config = BuildConfig(
            output=output, backend="tensorrt", ops=self.ops, precision=self.precision, profiles=profiles,
            calibration=judged_by, trust_links=self.trust_links,
        )  # fmt: skip
        if self.is_engine:
            convert.build(model_path, config, progress=progress)
            return
        model = model_io.load(model_path, profiles=profiles, trust_links=self.trust_links)
        proto, _ = prepare(model, config, native_reason_of(config, supports_plugins=True))
        external_data.carry_external_files(proto, model_path.parent, output.parent)
        files.write_atomically({output: model_io.to_bytes(proto, model_path)})


def has_tensorrt(runtime: RunsOn) -> bool:
    """Say whether candidates are engines. Raises BackendError where they are to be, and cannot."""
    can_build = driver.find_gpu() is not None and backends.import_backend("tensorrt") is not None
    if runtime == "tensorrt" and not can_build:
        hint = "leave --runtime out: the rewritten model then runs in ONNX Runtime"
        raise BackendError("no engine can be built here: it takes TensorRT and a GPU", where="--runtime", hint=hint)
    return can_build and runtime != "onnxruntime"
