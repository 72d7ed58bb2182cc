"""`trtconv compare`: what it prints, writes and refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from tests.cli.test_isolation import wait_for
from tests.support.command_line import COMMAND, OPSET_17, contents, environment, run, run_here, write_model
from tests.support.comparison_models import write_network
from tests.support.documented_json import assert_documented
from tests.support.patience import patience
from trtconv import files
from trtconv.comparison import comparing
from trtconv.installed import install_hint
from trtconv.workers import family


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The network as it is, rewritten, and with scale and bias swapped."""
    write_network(tmp_path / "good.onnx")
    write_network(tmp_path / "bad.onnx", parameters="b, s")
    assert (
        run_here("rewrite", "good.onnx", "-o", "rewritten.onnx", "--ops", "plugin", "-q", cwd=tmp_path).exit_code == 0
    )
    return tmp_path


def test_a_rewritten_model_is_the_same(folder: Path) -> None:
    before = contents(folder)
    result = run("compare", "good.onnx", "rewritten.onnx", cwd=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 sets: random 1, random 2" in result.stdout
    assert "0.0001 max|y| by default: the candidate is a model in fp32" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["same", "every", "output", "is", "within", "the", "tolerance"]
    assert contents(folder) == before


def test_a_wrong_model_ends_with_1_and_a_table(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", cwd=folder)
    assert result.exit_code == 1
    assert result.stderr == ""
    table = [line.split() for line in result.stdout.splitlines()]
    assert ["y", "DIFFERS"] in [line[:2] for line in table]
    assert ["z", "DIFFERS"] in [line[:2] for line in table]
    assert table[-1] == ["DIFFERS", "2", "of", "2", "outputs", "not", "within", "the", "tolerance"]


def test_a_narrow_terminal_still_tells_what_each_number_is(folder: Path) -> None:
    result = run("compare", "good.onnx", "rewritten.onnx", cwd=folder, env=environment(COLUMNS="40"))
    assert "max|err| 0, mean|err| 0," in result.stdout
    assert "cosine 1.0000000" in result.stdout


def test_quiet_prints_nothing_and_still_tells_by_the_exit_code(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "-q", cwd=folder)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


def test_bisect_names_the_first_tensor_that_differs(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "--bisect", cwd=folder)
    assert result.exit_code == 1
    assert "not equal  first n, of the node /norm (InstanceNormalization)" in result.stdout
    assert "before     a: max|error| 0" in result.stdout
    wrong_pads = write_network(folder / "pads.onnx", pads="0,0,3,2,0,0,1,4")
    document = run_here("compare", "good.onnx", wrong_pads, "--bisect", "--json", cwd=folder).document
    found = document["bisection"]
    assert (found["tensor"], found["node"], found["op"], found["before"]["name"]) == ("p", "/pad", "Pad", "r")
    assert found["num_compared"] == 4


def test_bisect_says_that_it_looks_at_floats_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "a", "g (int64[3] x, float[3] f) => (int64[3] y, float[3] z) { y = Add(x, x) z = Neg(f) }")
    write_model(tmp_path, "b", "g (int64[3] x, float[3] f) => (int64[3] y, float[3] z) { y = Sub(x, x) z = Neg(f) }")
    result = run_here("compare", "a.onnx", "b.onnx", "--bisect", cwd=tmp_path)
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "1 float tensor compared, none differs: the error arises after z, or in tensors of other types" in said


def test_json_is_one_document_as_documented(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "--json", "--bisect", cwd=folder)
    assert (result.exit_code, result.stderr) == (1, "")
    assert_documented({**result.document, "bisection": {**result.document["bisection"]}})
    output = result.document["outputs"][0]
    worst = output["worst"]
    assert abs(worst["expected"] - worst["got"]) == pytest.approx(output["max_abs_error"])
    assert output["relative_error"] == pytest.approx(output["max_abs_error"] / output["max_abs_reference"])


def test_json_holds_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    write_model(tmp_path, "a", "g (float[3] x) => (float[3] y) { y = Log(x) }")
    write_model(tmp_path, "b", "g (float[3] x) => (float[3] y) { y = Neg(x) }")
    result = run_here("compare", "a.onnx", "b.onnx", "--json", cwd=tmp_path)
    json.loads(result.stdout, parse_constant=pytest.fail)
    (output,) = result.document["outputs"]
    assert output["max_abs_error"] == "inf"
    assert output["worst"]["expected"] == "nan"
    assert "NaN" in output["problem"]


def test_tolerances_are_for_all_outputs_or_for_one(folder: Path) -> None:
    def passed(*options: str) -> list[bool]:
        document = run_here("compare", "good.onnx", "bad.onnx", "--json", *options, cwd=folder).document
        return [output["passed"] for output in document["outputs"]]

    assert passed("--tolerance", "100") == [True, True]
    assert passed("--atol", "100") == [True, True]
    assert passed("--atol", "y=100") == [True, False]
    assert passed("--atol", "y=100", "--tolerance", "z=100") == [True, True]
    assert passed("--atol", "100", "--atol", "z=0.1") == [True, False]
    assert passed("--rtol", "0.01") == [False, False]


def test_a_plot_is_written_whole_and_is_a_picture(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "--plot", "errors.png", cwd=folder)
    assert result.exit_code == 1
    with Image.open(folder / "errors.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert picture.height > 700, "a row for each of two outputs"
    assert not [name for name in contents(folder) if name.endswith(".part")]


def test_names_that_matplotlib_would_take_for_formulas_are_drawn(tmp_path: Path) -> None:
    for name, op in (("a$_{", "Neg"), ("b", "Abs")):
        model = onnx.parser.parse_model(f"{OPSET_17} g (float[4,4] x) => (float[4,4] y) {{ y = {op}(x) }}")
        model.graph.output[0].name = model.graph.node[0].output[0] = "y$_{^$=\x1b[31m\n\u8f93\u51fa"
        onnx.save(model, tmp_path / f"{name}.onnx")
    result = run("compare", "a$_{.onnx", "b.onnx", "--plot", "errors.png", cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (1, "")
    assert (tmp_path / "errors.png").is_file()


def test_the_file_of_a_plot_is_checked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, check = [], files.require_writable
    monkeypatch.setattr(files, "require_writable", lambda path, **inputs: [checked.append(path), check(path, **inputs)])
    config = comparing.CompareConfig(plot=folder / "errors.png")
    comparing.compare(folder / "good.onnx", folder / "bad.onnx", config)
    assert checked == [folder / "errors.png"]


def test_a_plot_must_not_overwrite_a_model(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "--plot", "good.onnx", cwd=folder)
    assert result.exit_code == 2
    assert "never overwritten" in result.error


@pytest.mark.parametrize(
    ("package", "option", "extra"),
    [("matplotlib", ("--plot", "e.png"), "plot"), ("PIL", ("--inputs", "."), "images"), ("polygraphy", (), "compare")],
)
def test_a_missing_package_is_named_before_any_work(
    folder: Path, package: str, option: tuple[str, ...], extra: str
) -> None:
    write_model(folder, "unknown", "g (float[1,2,12,16] x) => (float[1,2,12,16] y) { y = my.Foo(x) }")
    code = f"import sys; sys.modules[{package!r}] = None; from trtconv.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "compare", "unknown.onnx", "unknown.onnx", *option]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stderr.splitlines()[1] == f"hint: {install_hint(extra)}"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("good.onnx", "nothing.onnx"), "no such file"),
        (("good.onnx", "other.onnx"), "the candidate takes w, which is not an input of the reference"),
        (("good.onnx", "bad.onnx", "--atol", "q=1"), "there is no output 'q'"),
        (("good.onnx", "bad.onnx", "--atol", "x"), "got 'x', expected a number"),
        (("good.onnx", "bad.onnx", "--atol", "-1"), "got '-1', expected a number"),
        (("good.onnx", "bad.onnx", "--tolerance", "nan"), "got 'nan', expected a number"),
        (("good.onnx", "bad.onnx", "--sets", "0"), "at least one input set"),
        (("good.onnx", "bad.onnx", "--shape", "x=1x2x3"), "3 dimensions, expected 4"),
        (("good.onnx", "bad.onnx", "--inputs", "i.npz", "--sets", "3"), "are for made inputs"),
        (("good.onnx", "bad.onnx", "--plot", "errors.jpg"), "errors.jpg: got .jpg, expected .png"),
        (("good.onnx", "bad.onnx", "--image-range", "a"), "what black and white become"),
        (("brain.onnx", "brain.onnx"), "input x is of type bfloat16, for which no values can be generated"),
        (("free.onnx", "free.onnx"), "input has dynamic dimensions and no shape: x [N, 3]"),
        (("fake.engine", "good.onnx"), "is an engine, expected the ONNX model"),
    ],
)
def test_wrong_usage(folder: Path, args: tuple[str, ...], said: str) -> None:
    write_model(folder, "other", "g (float[3] w) => (float[3] y) { y = Neg(w) }")
    write_model(folder, "brain", "g (bfloat16[3] x) => (float[3] y) { y = Cast<to=1>(x) }")
    write_model(folder, "free", "g (float[N,3] x) => (float[N,3] y) { y = Neg(x) }")
    (folder / "fake.engine").write_bytes(b"ftrt" + bytes(60))
    result = run_here("compare", *args, cwd=folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.error


def test_a_model_that_onnx_runtime_does_not_run_is_a_bad_model(folder: Path) -> None:
    write_model(folder, "unknown", "g (float[3] x) => (float[3] y) { y = my.Foo(x) }")
    result = run_here("compare", "unknown.onnx", "unknown.onnx", cwd=folder)
    assert result.exit_code == 3
    assert "ONNX Runtime does not run it" in result.error
    garbage = folder / "garbage.onnx"
    garbage.write_bytes(b"garbage")
    result = run_here("compare", "good.onnx", garbage, cwd=folder)
    assert result.exit_code == 3
    assert "is not an ONNX model" in result.error


def test_a_model_rewritten_without_functions_is_told_what_it_lacks(folder: Path) -> None:
    assert (
        run_here(
            "rewrite", "good.onnx", "-o", "bare.onnx", "--ops", "plugin", "--no-functions", "-q", cwd=folder
        ).exit_code
        == 0
    )
    result = run_here("compare", "good.onnx", "bare.onnx", cwd=folder)
    assert result.exit_code == 3
    assert "--no-functions" in result.hint


def test_inputs_larger_than_memory_are_no_defect(folder: Path) -> None:
    write_model(folder, "free", "g (float[N,M] x) => (float[N,M] y) { y = Neg(x) }")
    result = run_here("compare", "free.onnx", "free.onnx", "--shape", "x=8000000x8000000", cwd=folder)
    assert result.exit_code == 2
    assert result.error == "input x 8000000x8000000 has 64000000000000 elements, of at most 2147483648"
    assert "smaller shape" in result.hint


def test_a_failure_while_it_runs_is_one_line(folder: Path) -> None:
    """ONNX Runtime's own log would stand beside it."""
    write_model(folder, "m", "g (float[1,3] x, int64[2] s) => (float[A,B] y) { y = Reshape(x, s) }")
    result = run("compare", "m.onnx", "m.onnx", "--shape", "s=[5,7]", cwd=folder)
    assert result.exit_code == 3
    assert "ONNX Runtime does not run it" in result.error


def test_an_engine_needs_a_gpu_and_says_so(folder: Path) -> None:
    (folder / "fake.engine").write_bytes(b"ftrt" + bytes(60))
    result = run("compare", "good.onnx", "fake.engine", cwd=folder, env=environment(CUDA_VISIBLE_DEVICES=""))
    assert result.exit_code == 4
    assert "TensorRT" in result.error


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """Return the processor time that the worker of a command has taken."""
    worker = family.members(process.pid)[-1]
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_works_while_onnx_runtime_computes(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        f"{OPSET_17} g (float[6000,6000] x) => (float[6000,6000] y) "
        "{ a = MatMul(x, x) b = MatMul(a, x) c = MatMul(b, x) d = MatMul(c, x) e = MatMul(d, x) y = MatMul(e, x) }"
    )
    onnx.save(model, tmp_path / "slow.onnx")
    command = [*COMMAND, "compare", "slow.onnx", "slow.onnx", "--sets", "9"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: processor_seconds(process) > 2, seconds=120)  # a second beyond the imports
    assert process.poll() is None
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - start < patience(2)
    assert process.returncode == 130
    assert "error: interrupted" in errors


def test_inputs_of_the_user(folder: Path) -> None:
    np.savez(folder / "one.npz", x=np.zeros((1, 2, 12, 16)))
    np.save(folder / "two.npy", np.ones((1, 2, 12, 16), np.float32))
    result = run_here(
        "compare", "good.onnx", "rewritten.onnx", "--inputs", "one.npz", "--inputs", "two.npy", cwd=folder
    )
    assert result.exit_code == 0, result.stderr
    assert "2 sets: one.npz, two.npy" in result.stdout
