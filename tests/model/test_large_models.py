"""Large models: data stay on disk, protobuf's limit has a clear error, a full disk leaves nothing half-written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import trtconv
from tests.support import large_model, measure_large_model
from tests.support.command_line import contents, run, run_python
from tests.support.equivalence import run_onnxruntime
from trtconv import BuildConfig
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.model import external_data, model_io
from trtconv.model.light_copy import light_copy
from trtconv.precision.calibration import Calibration

SIDE = 4
PEAK_KIB = """
import sys, trtconv
trtconv.dry_run(sys.argv[1])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module", autouse=True)
def few_channels() -> Iterator[None]:
    """Make the written models small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_model, "NUM_CHANNELS", 8)
        patch.setattr(large_model, "WEIGHT_SHAPE", (8, 8, 3, 3))
        patch.setattr(large_model, "WEIGHT_BYTES", 4 * 8 * 8 * 9)
        yield


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model of four blocks with three data files."""
    return large_model.write_large_model(tmp_path / "in", 4 * 2304e-9, side=SIDE)


def test_the_model_that_is_measured_gives_the_same_with_and_without_data_files(tmp_path: Path, external: Path) -> None:
    inline = large_model.write_large_model(tmp_path / "inline", 4 * 2304e-9, inline=True, side=SIDE)
    assert sorted(contents(external.parent)) == ["large.onnx", *(f"weights_{index}.bin" for index in range(3))]
    assert list(contents(inline.parent)) == ["large.onnx"]
    (tmp_path / "out").mkdir()
    report = trtconv.rewrite(external, tmp_path / "out" / "large.onnx", ops="plugin")
    assert len([each for each in report.decisions if each.became]) == 8
    x = np.random.default_rng(0).standard_normal((1, 8, SIDE, SIDE)).astype(np.float32)
    results = [
        run_onnxruntime(onnx.load(path), {"x": x})[0] for path in (inline, external, tmp_path / "out" / "large.onnx")
    ]
    assert np.any(results[0])
    assert results[0].tobytes() == results[1].tobytes()
    np.testing.assert_allclose(results[2], results[0], rtol=1e-4, atol=1e-5)


def test_the_measurement_tells_time_memory_and_errors(tmp_path: Path) -> None:
    good = measure_large_model.measure("step", (measure_large_model.PYTHON, "-c", "bytearray(1 << 27)"))
    assert good.exit_code == 0
    assert good.peak_bytes > 1 << 27
    bad = measure_large_model.measure("step", (*measure_large_model.TRTCONV, "rewrite", tmp_path / "no", "-o", "x"))
    assert bad.exit_code != 0
    assert "no such file" in bad.error


def test_data_files_are_not_read_for_the_decisions(external: Path) -> None:
    """The weights are made 8 GiB large, all of them a hole in the file."""
    proto = onnx.load(external, load_external_data=False)
    weights = next(tensor for tensor in proto.graph.initializer if tensor.name == "w_0")
    num_bytes = 8 << 30
    weights.dims[:] = [8, num_bytes // (4 * 8 * 9), 3, 3]
    for entry in weights.external_data:
        entry.value = {"location": "hole.bin", "offset": "0", "length": str(num_bytes // 288 * 288)}[entry.key]
    with (external.parent / "hole.bin").open("wb") as file:
        file.truncate(num_bytes)
    external.write_bytes(proto.SerializeToString())
    peak = run_python(PEAK_KIB, external)
    assert peak.exit_code == 0, peak.stderr
    assert int(peak.stdout) < 1 << 20


@pytest.mark.parametrize("kind", ["file", "link", "older ONNX Runtime"])
def test_calibration_finds_external_pads_and_weights(
    external: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(external, load_external_data=False)
    kernel = onnx.numpy_helper.to_array(onnx.load(external).graph.initializer[0])
    if kind == "link":
        (external.parent / "weights_0.bin").rename(tmp_path / "stored.bin")
        (external.parent / "weights_0.bin").symlink_to(tmp_path / "stored.bin")
    elif kind == "older ONNX Runtime":
        monkeypatch.setattr("onnxruntime.__version__", "1.19.2")
    assert proto.graph.initializer[0].external_data[0].value == "weights_0.bin"
    feed = {"x": np.ones((1, 8, SIDE, SIDE), np.float32)}
    ranges = Calibration(proto, external.parent, ["padded_0", "c_0"], []).see(feed)
    assert ranges["padded_0"].max_abs == 1
    assert ranges["c_0"].max_abs == pytest.approx(np.abs(kernel.sum(axis=(1, 2, 3))).max(), rel=1e-4)


@pytest.mark.parametrize("call", [1, 2, 3, 4], ids=["1st data file", "2nd data file", "3rd data file", "model"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_leaves_nothing(
    external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException
) -> None:
    target, calls = tmp_path / "target", []
    target.mkdir()
    (target / "large.onnx").write_bytes(b"older")
    original = os.fsync

    def fail(file: int) -> None:
        if stat.S_ISREG(os.fstat(file).st_mode):  # what a folder answers does not matter
            calls.append(file)
        if len(calls) == call:
            raise error
        original(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((BackendError, KeyboardInterrupt)) as caught:
        trtconv.rewrite(external, target / "large.onnx", ops="plugin")
    if isinstance(caught.value, BackendError):
        assert caught.value.hint == "free some space"
    assert contents(target) == {"large.onnx": b"older"}


def test_a_conflict_at_the_last_data_file_takes_the_others_back(external: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "weights_2.bin").write_bytes(b"another")
    proto = onnx.load(external, load_external_data=False)
    with pytest.raises(ConfigError, match="a different file of this name"):
        external_data.carry_external_files(proto, external.parent, target)
    assert contents(target) == {"weights_2.bin": b"another"}


@pytest.mark.parametrize("command", [("rewrite", "-o", "out.onnx"), ("build", "--dry-run"), ("inspect",)])
def test_a_file_beyond_the_limit_of_protobuf(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)
    result = run(command[0], path, *command[1:])
    assert result.exit_code != 0
    assert "larger than 2 GiB, which no ONNX file can be" in result.error
    assert "external data" in result.hint
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_that_its_edits_make_too_large(external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(model_io, "_MAX_BYTES", external.stat().st_size)
    with pytest.raises(ModelError, match="with its edits the model is larger than 2 GiB"):
        trtconv.rewrite(external, tmp_path / "out" / "large.onnx", ops="plugin")
    assert not contents(tmp_path / "out")


def test_a_light_copy_lacks_large_data_alone() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1], producer_name: "me", metadata_props: ["k" : "v"]>
        g (bool c, float[1] x) => (float[N] y)
        <float[1] small = {1}> {
          y = If (c) <note = 3, then_branch = t () => (float[N] a) { a = Constant <value = float[1] {1}> () },
                      else_branch = e () => (float[1] b) { b = own.f (x) }>
        }
        <domain: "own", opset_import: ["" : 17]> f (x) => (z) { z = Neg (x) }""")
    values = np.ones((300, 300), np.float32)
    large = model.graph.initializer.add()
    large.CopyFrom(onnx.numpy_helper.from_array(values, "large"))
    branch = next(each.g for each in model.graph.node[0].attribute if each.name == "then_branch")
    branch.node[0].attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(values, "inner"))
    light = light_copy(model)
    assert len(light.SerializeToString()) < 2000
    large.ClearField("raw_data")
    branch.node[0].attribute[0].t.ClearField("raw_data")
    assert light == model


def test_large_weights_inside_the_model_come_through(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((1, 1, 300, 300)).astype(np.float32)
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,1,300,300] x) => (float[1,1,302,300] y) {
          pads = Constant <value_ints = [0, 0, 1, 0, 0, 0, 1, 0]> ()
          a = Add (x, w)
          y = Pad <mode = "reflect"> (a, pads)
        }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    report = trtconv.rewrite(path, tmp_path / "out.onnx", ops="plugin")
    assert [decision.became for decision in report.decisions] == ["trtconv::ReflectPad"]
    assert not report.warnings
    assert onnx.load(tmp_path / "out.onnx").graph.initializer[0].raw_data == weights.tobytes()


def test_dry_run_with_fp16_reads_external_parameters(external: Path) -> None:
    report = trtconv.dry_run(external, BuildConfig(backend="tensorrt-rtx", precision="fp16"))
    assert len(report.decisions) == 8
