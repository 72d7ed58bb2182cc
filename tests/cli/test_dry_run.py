"""`trtconv build --dry-run` says what the build would do, and the line that does it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import trtconv
from tests.support.command_line import RTX, contents, run_here, write_model
from trtconv import BuildConfig
from trtconv.engine import backends, network_parsing
from trtconv.gpu import driver
from trtconv.reports import next_steps

FULL = ("--backend", "tensorrt")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorRT-RTX alone."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(driver, "find_gpu", lambda: None)


@pytest.fixture
def no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither of the two."""
    monkeypatch.setattr(backends, "import_backend", lambda key: None)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which the longest path of a temporary folder stands in one line."""
    monkeypatch.setenv("COLUMNS", "1000")


def next_line(text: str) -> list[str]:
    label, command = text.splitlines()[-1].split(maxsplit=1)
    assert label == "next"
    return shlex.split(command)


@pytest.mark.usefixtures("no_gpu")
def test_it_decides_as_the_build(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    report = trtconv.dry_run(model)
    assert sorted(contents(tmp_path)) == ["static.onnx"]
    built = trtconv.build(model)
    assert report.decisions == built.rewrite.decisions
    assert report.backend == built.backend
    assert report.notes == built.notes[: len(report.notes)] != []
    assert report.parser_check == "its parser accepts the model"


@pytest.mark.parametrize("backend", [RTX, ()], ids=["asked for", "chosen"])
@pytest.mark.usefixtures("no_gpu")
def test_a_model_that_the_parser_refuses_ends_as_the_build(tmp_path: Path, backend: tuple[str, ...]) -> None:
    model = write_model(tmp_path, "unknown_op")
    dry, built = (run_here("build", model, *backend, *more, cwd=tmp_path) for more in (["--dry-run"], []))
    assert (dry.exit_code, dry.error, dry.hint) == (3, built.error, built.hint)
    assert "does not support the op Foo" in dry.error
    assert sorted(contents(tmp_path)) == ["unknown_op.onnx"]


@pytest.mark.usefixtures("no_gpu")
def test_the_last_line_is_the_build(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static").rename(tmp_path / "it's here.onnx")
    output = tmp_path / "an engine"
    result = run_here("build", "--dry-run", model, *RTX, "-o", output, cwd=tmp_path)
    assert result.stdout.splitlines()[-2].split() == ["dry", "run", "nothing", "was", "built"]
    line = next_line(result.stdout)
    assert line == ["trtconv", "build", str(model), *RTX, "-o", str(output)]
    assert not output.exists()
    assert run_here(*line[1:], cwd=tmp_path).exit_code == 0
    assert output.exists()


@pytest.mark.usefixtures("no_gpu")
def test_the_last_line_has_the_shapes_that_the_build_needs(tmp_path: Path) -> None:
    model = write_model(tmp_path, "dynamic")
    assert run_here("build", model, *RTX, cwd=tmp_path).exit_code == 2
    line = next_line(run_here("build", model, *RTX, "--dry-run", cwd=tmp_path).stdout)
    assert line[-2:] == ["--shape", "x=1x3x256x256"]
    assert run_here(*line[1:], cwd=tmp_path).exit_code == 0


def test_options_come_before_a_double_dash() -> None:
    line = next_steps.after_dry_run(["build", "--dry-run", "--", "-m.onnx"], ["x=1x3"])
    assert line == "trtconv build --shape x=1x3 -- -m.onnx"


@pytest.mark.usefixtures("no_backend")
@pytest.mark.parametrize("asked", [FULL, ()], ids=["asked for", "auto"])
def test_full_tensorrt_is_decided_for_where_it_is_not_installed(tmp_path: Path, asked: tuple[str, ...]) -> None:
    for name in ("static", "unknown_op"):  # nobody can say what the parser thinks of it
        result = run_here("build", write_model(tmp_path, name), *asked, "--dry-run", "--ops", "plugin", cwd=tmp_path)
        assert result.exit_code == 0
        told = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in result.stdout.splitlines()}
        assert told["backend"].startswith("TensorRT: not checked: the package tensorrt")
        assert told["note"] == "TensorRT builds engines on a machine with an NVIDIA GPU"
    report = trtconv.dry_run(write_model(tmp_path, "static"), ops="plugin")
    assert {decision.became for decision in report.decisions} == {"trtconv::ReflectPad", "trtconv::InstanceNorm"}


@pytest.mark.usefixtures("no_gpu")
def test_an_option_that_only_full_tensorrt_has(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    result = run_here("build", model, "--dry-run", "--ops", "plugin", cwd=tmp_path)
    assert (result.exit_code, result.error.split(":")[0]) == (2, "--ops plugin")
    assert result.hint == "--backend tensorrt shows what full TensorRT would get"
    shown = run_here("build", model, "--dry-run", "--ops", "plugin", *FULL, cwd=tmp_path)
    assert "2 of 2 norms and pads become plugins" in shown.stdout.splitlines()[0]


@pytest.mark.usefixtures("no_gpu")
def test_an_engine_that_cannot_be_verified_here(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    dry, built = (run_here("build", model, "--verify", *more, cwd=tmp_path) for more in (["--dry-run"], []))
    assert (dry.exit_code, dry.error) == (built.exit_code, built.error)
    assert dry.exit_code == 4


@pytest.mark.usefixtures("no_gpu")
def test_large_external_data_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_parsing, "MAX_CHECKED_EXTERNAL_BYTES", -1)
    report = trtconv.dry_run(write_model(tmp_path, "unknown_op"), BuildConfig(backend="tensorrt-rtx"))
    assert report.parser_check == "not checked: the model's external data is too large to read for a check"


@pytest.mark.usefixtures("no_gpu")
def test_json(tmp_path: Path) -> None:
    document = run_here("build", write_model(tmp_path, "dynamic"), "--dry-run", "--json", cwd=tmp_path).document
    assert document["backend"].startswith("TensorRT-RTX ")
    assert document["parser_check"] == "its parser accepts the model"
    assert document["missing_shapes"] == ["x=1x3x256x256"]
    assert document["next_step"].endswith("--json --shape x=1x3x256x256")
    assert any("no CUDA device found" in note for note in document["notes"])
