"""`trtconv build --report` and `trtconv inspect --html`: the page is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.command_line import RTX, contents, environment, run, run_here, run_python, write_model
from tests.support.engine_files import MANIFEST, write_engine
from tests.support.html_page import read_page


def test_build_writes_engine_manifest_and_page(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    result = run("build", model, "-o", tmp_path / "m.engine", "--report", tmp_path / "page.html", *RTX)
    assert result.exit_code == 0, result.stderr
    assert sorted(contents(tmp_path)) == ["m.engine", "m.engine.json", "page.html", "static.onnx"]
    page = read_page((tmp_path / "page.html").read_bytes())
    assert page.outcomes("before") == {"/pad": "native", "/norm": "native"}
    assert {made[3] for made in page.decisions()} == {"TensorRT-RTX does not support plugins"}
    steps = [row[0] for row in page.rows() if len(row) == 3 and row[1].endswith(" s")]
    assert steps[:3] == ["starting", "reading static.onnx", "rewriting static.onnx"]
    assert steps[-1].startswith("building the engine of static.onnx in TensorRT-RTX")
    assert "page" in {line.split()[0] for line in result.stdout.splitlines()}
    assert page.data["layers"] is None


def test_json_names_the_page(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    asked = ("--ops", "plugin", "--report", tmp_path / "page.html", "--json")
    result = run_here("build", model, "--dry-run", "--backend", "tensorrt", *asked, cwd=tmp_path)
    assert result.document["page"] == str(tmp_path / "page.html")
    assert run_here("build", model, "--dry-run", "--json", cwd=tmp_path).document["page"] is None
    assert read_page((tmp_path / "page.html").read_bytes()).outcomes("after") == {"/pad": "plugin", "/norm": "plugin"}


def test_a_build_that_fails_writes_no_page(tmp_path: Path) -> None:
    model = write_model(tmp_path, "unknown_op")
    before = contents(tmp_path)
    assert run("build", model, "--report", tmp_path / "page.html", *RTX).exit_code == 3
    assert contents(tmp_path) == before


def test_a_failed_build_keeps_the_page_of_the_last(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("the last page")
    result = run_here("build", write_model(tmp_path, "wide_pad"), "--dry-run", "--report", page, cwd=tmp_path)
    assert result.exit_code == 3
    assert page.read_text() == "the last page"


@pytest.mark.parametrize(
    "command", [("build", "--dry-run", "--report"), ("build", *RTX, "--report"), ("inspect", "--html")]
)
@pytest.mark.parametrize("page", ["static.onnx", "static.onnx.data", "missing/page.html", "."])
def test_a_page_takes_no_place_of_the_model(tmp_path: Path, command: tuple[str, ...], page: str) -> None:
    model = write_model(tmp_path, "static")
    proto = onnx.load(model)
    weights = onnx.numpy_helper.from_array(np.ones(3, dtype=np.float32), "weights")
    proto.graph.initializer.append(weights)
    onnx.save(proto, model, save_as_external_data=True, location="static.onnx.data", size_threshold=0)
    before = contents(tmp_path)
    result = run_here(command[0], model, *command[1:], tmp_path / page, cwd=tmp_path)
    assert result.exit_code == 2
    assert result.error.startswith(str(tmp_path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("other", ["m.engine", "m.engine.json"])
def test_a_page_takes_no_place_of_another_output(tmp_path: Path, other: str) -> None:
    model = write_model(tmp_path, "static")
    options = ("-o", tmp_path / "m.engine", "--report", tmp_path / other, *RTX)
    result = run_here("build", model, *options, cwd=tmp_path)
    assert (result.exit_code, result.error) == (
        2, f"{tmp_path / other}: two outputs would be written to this file"
    )  # fmt: skip
    assert sorted(contents(tmp_path)) == ["static.onnx"]


def test_a_page_takes_no_place_of_the_decision_file(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    for page in ("both", "../" + tmp_path.name + "/both"):
        options = ("--dry-run", "--decisions", tmp_path / "both", "--report", page)
        result = run_here("build", model, *options, cwd=tmp_path)
        assert (result.exit_code, result.error) == (
            2, f"{tmp_path / 'both'}: two outputs would be written to this file"
        )  # fmt: skip
    assert sorted(contents(tmp_path)) == ["static.onnx"]


def test_inspect_writes_the_page_of_a_model(tmp_path: Path) -> None:
    model, path = write_model(tmp_path, "static"), tmp_path / "page.html"
    options = ("--ops", "plugin", "--keep-native", "/norm")
    result = run("inspect", model, "--html", path, *options, env=environment(COLUMNS="200"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "asked for by --keep-native /norm" in result.stdout, "the report is printed as well"
    page = read_page(path.read_bytes())
    assert page.outcomes("before") == {"/pad": "plugin", "/norm": "native"}
    assert page.outcomes("after") == {"/pad": "plugin", "/norm": "native"}
    assert ["input", "x", "float32", "1×3×8×8"] in page.rows()
    (nodes,) = [row[1] for row in page.rows() if row[0] == "nodes"]
    assert nodes == "5: 3 Constant, 1 Pad, 1 InstanceNormalization"


def test_inspect_writes_a_page_where_the_passes_stop(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert run_here("inspect", write_model(tmp_path, "wide_pad"), "--html", path, cwd=tmp_path).exit_code == 0
    page = read_page(path.read_bytes())
    assert page.data["after"] is None
    assert any(row[0] == "trtconv" and row[-1] == "/pad" for row in page.rows() if len(row) == 3)


def test_inspect_writes_the_page_of_an_engine(tmp_path: Path) -> None:
    kept = [{"node": "exp", "op": "Exp", "became": "fp32", "reason": "exponents"}]
    verified = {
        "input_sets": ["a", "b"],
        "worst_output": "y",
        "max_abs_error": 0.5,
        "relative_error": 0.25,
        "tolerance": "0.3",
    }
    engine = write_engine(tmp_path, MANIFEST | {"kept_fp32": kept, "verified": verified})
    result = run_here("inspect", engine, "--html", tmp_path / "page.html", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    page = read_page((tmp_path / "page.html").read_bytes())
    assert [(made[0], made[4]) for made in page.decisions()] == [
        ("norm1", "plugin"), ("pad1", "native"), ("exp", "fp32")
    ]  # fmt: skip
    assert ["input", "image", "float16", "[?, 3, 64, 64]", "1×3×64×64:1×3×64×64:4×3×64×64"] in page.rows()
    assert ["verified", "2 input sets, worst output y: max|error| 0.25 of max|y| (0.3 allowed)"] in page.rows()
    assert (page.data["before"], page.data["layers"]) == (None, None)
    before = contents(tmp_path)
    for name in ("model.engine", "model.engine.json"):
        assert run_here("inspect", engine, "--html", tmp_path / name, cwd=tmp_path).exit_code == 2
    assert contents(tmp_path) == before


def test_a_difference_has_no_page(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    result = run_here("inspect", model, model, "--diff", "--html", tmp_path / "page.html", cwd=tmp_path)
    assert (result.exit_code, result.hint) == (2, "name one file")
    assert sorted(contents(tmp_path)) == ["static.onnx"]


def test_commands_without_a_page_need_no_jinja() -> None:
    code = "import sys, trtconv.convert, trtconv.inspection; sys.exit('jinja2' in sys.modules)"
    assert run_python(code).exit_code == 0
