"""The command `trtconv bench`: usage, files, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmark.test_bench_model import CONFIG
from tests.benchmark.test_bench_model import Rig as ModelRig
from tests.support.bench_fakes import LARGE, SMALL
from tests.support.command_line import Result, run, run_here, write_model
from tests.support.extent import part
from tests.support.ops_rig import Rig
from trtconv.benchmark import ops, roofline
from trtconv.benchmark.ops import OpsOptions, bench_ops
from trtconv.benchmark.ops_report import OpsReport
from trtconv.gpu.driver import find_gpu

WRONG_USAGE = {
    "nothing": ("", "nothing to time", "trtconv bench --ops"),
    "both": ("--ops model.onnx", "got both a MODEL and --ops", "trtconv bench model.onnx"),
    "layers of kernels": ("--ops --layers", "--layers: belongs to a MODEL", ""),
    "types of kernels": ("--ops --no-tf32", "--tf32: belongs to a MODEL", ""),
    "shapes of kernels": ("--ops --shape x=1", "--shape: belongs to a MODEL", ""),
    "cases of a model": ("model.onnx --filter *", "--filter: belongs to --ops", ""),
    "plot of a model of another kind": ("model.onnx --plot x.pdf", "x.pdf: got .pdf, expected .png or .svg", ""),
    "decisions of kernels": ("--ops --decisions plan.json", "--decisions: belongs to a MODEL", ""),
    "force of kernels": ("--ops --force", "--force: belongs to a MODEL", ""),
    "unknown case": ("--ops --filter Layer*", "--filter: no case matches 'Layer*'", "names look like InstanceNorm/"),
    "no processes": ("--ops --jobs 0", "--jobs: need at least one process", ""),
    "plot of another kind": ("--ops --plot x.pdf", "x.pdf: got .pdf, expected .png or .svg", ""),
    "two files in one": ("--ops --out x.svg --plot ./x.svg", "--out x.svg: is also the file of --plot", ""),
    "folder that is not there": ("--ops --out no/x.json", "no/x.json: the folder does not exist", "mkdir -p"),
    "model that is not there": ("model.onnx", "model.onnx: no such file", ""),
}


@pytest.mark.parametrize("case", WRONG_USAGE)
def test_wrong_usage_ends_with_2_before_any_work(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, error, hint = WRONG_USAGE[case]
    rig = Rig(monkeypatch)
    result = run_here("bench", *arguments.split(), cwd=tmp_path)
    assert result.exit_code == 2
    assert error in result.error
    assert not hint or hint in result.hint
    assert rig.device.launched == []


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")
@pytest.mark.parametrize("arguments", [["--ops"], ["static.onnx"]])
def test_without_a_gpu_it_ends_with_4_and_a_hint(arguments: list[str], tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    result = run("bench", *arguments, "--json", cwd=tmp_path)
    assert result.exit_code == 4
    assert result.document["error"]["hint"]
    assert result.document["error"]["exit_code"] == 4


def test_without_matplotlib_no_work_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run_here("bench", "--ops", "--plot", "x.svg", cwd=tmp_path)
    assert (result.exit_code, result.hint) == (4, "run: pip install 'matplotlib>=3.7'")
    assert rig.device.launched == []


def bench(tmp_path: Path, *arguments: str) -> Result:
    return run_here("bench", "--ops", *arguments, cwd=tmp_path)


def test_table_json_and_files_tell_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Rig(monkeypatch)
    table = bench(tmp_path, "--engines")
    assert table.exit_code == 0
    assert "InstanceNorm fp32 linear" in table.stdout
    result = bench(tmp_path, "--engines", "--json", "--out", "bench.json", "--plot", "plot.svg")
    assert result.exit_code == 0
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written == result.document
    assert OpsReport.from_json(written).render().splitlines()[:3] == table.stdout.splitlines()[:3]
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "plot.svg"]


def test_a_wrong_kernel_ends_with_1_and_is_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Rig(monkeypatch).library.spoil = lambda y: y.__setitem__(..., 0)
    result = bench(tmp_path, "--filter", SMALL.name)
    assert result.exit_code == 1
    assert "WRONG" in result.stdout
    assert bench(tmp_path, "--filter", SMALL.name, "--json").document["results"][0]["status"] == "wrong"


def test_an_interrupt_ends_with_130_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ops, "host_microseconds", interrupt)
    left: list[int] = []

    def leave(exit_code: int) -> None:
        left.append(exit_code)
        raise SystemExit(exit_code)

    monkeypatch.setattr("trtconv.cli.leave", leave)
    result = bench(tmp_path, "--out", "bench.json", "--plot", "plot.png")
    assert result.exit_code == 130
    assert result.error == "interrupted"
    assert list(tmp_path.iterdir()) == []
    assert rig.device.allocated == {}


def test_a_model_is_timed_with_the_options_of_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = ModelRig(monkeypatch, tmp_path)
    shape = str(CONFIG.profiles[0]["x"])
    arguments = ["--shape", f"x={shape}", "--opt-level", "2", "--no-tf32", "--plot", "x.svg", "--out", "out.json"]
    result = run_here("bench", "model.onnx", *arguments, cwd=tmp_path)
    assert result.exit_code == 0
    assert "1.50x" in result.stdout
    assert [(config.opt_level, config.tf32, config.profiles) for config in rig.built] == [
        (2, False, tuple(CONFIG.profiles))
    ] * 3
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["speedups"] == pytest.approx({"plugin": 1.5, "fused": 2})
    assert written["engines"]["native"]["kinds"], "a plot shows what layers do"
    assert (tmp_path / "x.svg").read_bytes().startswith(b"<?xml")
    rig.spoil["fused"] = 1.0
    assert run_here("bench", "model.onnx", *arguments, cwd=tmp_path).exit_code == 1
    forced = run_here("bench", "model.onnx", *arguments, "--force", cwd=tmp_path)
    assert forced.exit_code == 1
    assert "timed all the same" in " ".join(forced.stdout.split())


@pytest.mark.parametrize("suffix", part(roofline.SUFFIXES, {".svg"}.__contains__))
def test_the_plot_shows_every_case(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Rig(monkeypatch)
    report = bench_ops(OpsOptions(engines=True))
    drawn = roofline.draw(report, suffix)
    assert drawn == roofline.draw(report, suffix), "the same figures give the same file"
    assert drawn.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    points: list[np.ndarray] = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda self, x, y, *_, **__: points.append(np.array([x, y])) or [])
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *_, **__: None)
    roofline.draw(report, suffix)
    found = {(x, round(y, 6)) for each in points for x, y in each.T}
    for variant in ("kernel", "copy", "native"):
        for result in report.results:
            assert (result.case.num_bytes, round(result.gigabytes_per_second(variant) or 0, 6)) in found
    assert LARGE.num_bytes in {x for x, _ in found}
