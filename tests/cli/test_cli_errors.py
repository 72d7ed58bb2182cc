"""Bad input ends in the documented exit code, one `error:` line, at most one `hint:` line, and no changed file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.command_line import (
    COMMAND,
    OPSET_17,
    RTX,
    contents,
    environment,
    run,
    run_command,
    run_here,
    run_python,
    write_model,
)
from trtconv.installed import install_hint

BLOCK_BACKENDS = "import sys; sys.modules['tensorrt'] = sys.modules['tensorrt_rtx'] = None"
RUN_MAIN = "from trtconv.cli import main; main(sys.argv[1:])"

# What is typed behind `trtconv build MODEL`, by the model; the exit code; what error and hint must say.
WRONG_OPTIONS = {
    "unknown option": ("static", "--bogus", 2, "--bogus", "trtconv build --help"),
    "misspelt option": ("static", "--shpe x=1", 2, "--shpe", "--help"),
    "shape without a name": ("dynamic", "--shape 1x3x8x8", 2, "'1x3x8x8'", ""),
    "wrong shape name": ("dynamic", "--shape picture=1x3x8x8", 2, "'picture'", "x [N, 3, H, W]"),
    "wrong rank": ("dynamic", "--shape x=1x3x8", 2, "3 dimensions, expected 4", ""),
    "wrong fixed dimension": ("dynamic", "--shape x=1x4x8x8", 2, "axis 1 is fixed at 3", ""),
    "min above opt": ("dynamic", "--shape x=1x3x9x8:1x3x8x8:1x3x8x8", 2, "axis 2: need min <= opt <= max", ""),
    "two shapes of three": ("dynamic", "--shape x=1x3x8x8:1x3x9x9", 2, "min:opt:max", ""),
    "two shapes in one profile": ("dynamic", "--shape x=1x3x8x8 --shape x=1x3x9x9", 2, "two shapes", "--profile"),
    "values for no shape tensor": ("static", "--shape x=[1,2,3,4]", 2, "is not a shape tensor", ""),
    "no shape": ("dynamic", "", 2, "dynamic", "--shape x=1x3x256x256"),
    "no values of a shape tensor": ("resize", "", 2, "sizes is a shape tensor", "--shape 'sizes=[1,1,1,1]:"),
    "too few values": ("resize", "--shape sizes=[1,3,8]", 2, "3 values, expected 4", ""),
    "no size": ("static", "--workspace much", 2, "'much'", ""),
    "no workspace": ("static", "--workspace 0", 2, "workspace must be positive", ""),
    "workspace beyond all limits": ("static", "--workspace 999999999999GiB", 2, "--workspace", ""),
    "level beyond 5": ("static", "--opt-level 6", 2, "level 6", ""),
    "level that is no number": ("static", "--opt-level high", 2, "--opt-level", "--help"),
    "level, which RTX ignores": ("static", "--opt-level 3", 2, "--opt-level: TensorRT-RTX", ""),
    "architecture without sm": ("static", "--gpu-arch 89", 2, "'89'", ""),
    "architecture unknown to RTX": ("static", "--gpu-arch sm_90", 2, "sm_75, sm_80, sm_86, sm_89, sm_120", ""),
    "plugins on RTX": ("static", "--ops plugin", 2, "--ops plugin: TensorRT-RTX does not support plugins", ""),
    "fused plugins on RTX": ("static", "--ops fused", 2, "--ops fused: TensorRT-RTX does not support plugins", ""),
    "kept nodes on RTX": ("static", "--keep-native *", 2, "--keep-native: TensorRT-RTX does not support plugins", ""),
    "calibration that is not there": ("static", "--precision fp16 --calibration no.npz", 2, "no such file", ""),
    "calibration that is no file of arrays": (
        ("static", "--precision fp16 --calibration static.onnx", 2, "is not an .npz file", "numpy.savez")
    ),
    "calibration of one array": (
        ("static", "--precision fp16 --calibration one.npy", 2, "--calibration one.npy: x is 3, expected 1x3x8x8", "")
    ),
    "calibration of another model": (
        ("static", "--precision fp16 --calibration other.npz", 2, "has no array for x; it holds z", "numpy.savez")
    ),
    "calibration for bf16": ("static", "--precision bf16 --calibration other.npz", 2, "bf16 has the range", ""),
    "a lean runtime left out of nothing": (
        (
            "static",
            "--exclude-lean-runtime",
            2,
            "--exclude-lean-runtime: only a version-comp",
            "add --version-compatible",
        )
    ),
    "no lean runtime on RTX": (
        ("static", "--exclude-lean-runtime --version-compatible", 2, "TensorRT-RTX belong to one release", "")
    ),
    "unknown backend": ("static", "--backend cuda", 2, "'cuda'", "--help"),
    "unknown op": ("unknown_op", "", 3, "does not support the op Foo [nodes first, Foo(b)]; ", "replace the op"),
    "too little workspace": ("static", "--workspace 1B", 4, "could not build", "--workspace"),
    "folder missing": ("static", "-o missing/static.engine", 2, "folder does not exist", "mkdir -p"),
    "output is the input": ("static", "-o static.onnx", 2, "is an input, which is never overwritten", "another output"),
    "output is a folder": ("static", "-o folder", 2, "is a folder", ""),
    "output is a device": ("static", "-o /dev/null", 2, "not a regular file", ""),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an older engine of `static`, its manifest, arrays for no input of it, and a folder."""
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", z=np.zeros(3))
    (tmp_path / "static.engine").write_bytes(b"older engine")
    (tmp_path / "static.engine.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_wrong_options(folder: Path, case: str) -> None:
    name, options, exit_code, error, hint = WRONG_OPTIONS[case]
    write_model(folder, name)
    before = contents(folder)
    backend = [] if "--backend" in options else RTX
    result = run_here("build", f"{name}.onnx", *shlex.split(options), *backend, cwd=folder)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert error in result.error
    assert not hint or hint in result.hint
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["dynamic", "resize"])
def test_the_hint_can_be_typed_as_it_is(tmp_path: Path, name: str) -> None:
    model = write_model(tmp_path, name)
    hint = run_here("build", model, *RTX, cwd=tmp_path).hint
    words = shlex.split(hint.removeprefix("add ").replace("(or min:opt:max)", "").replace(" with your values", ""))
    values = [word.replace("[1,1,1,1]", "[1,3,4,4]") for word in words]
    result = run("build", model, *RTX, *values)
    assert result.exit_code == 0, result.stderr


def bad_file(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "bad.onnx"
        make(path)
        return path

    return write


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    "no file": (lambda folder: folder / "no_such.onnx", 2, "no such file"),
    "no file, in no folder": (lambda folder: folder / "nowhere" / "no_such.onnx", 2, "no such file"),
    "a folder": (lambda folder: folder, 2, "is a folder"),
    "the current folder": (lambda folder: Path(), 2, "is a folder"),
    "empty": (bad_file(lambda path: path.write_bytes(b"")), 3, "not an ONNX model"),
    "text": (bad_file(lambda path: path.write_text("<html>Not found</html>\n")), 3, "not an ONNX model"),
    "truncated": (
        bad_file(lambda path: path.write_bytes(write_model(path.parent, "static").read_bytes()[:-40])),
        3,
        "truncated",
    ),
    "a Git LFS pointer": (
        bad_file(lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n")),
        3,
        "Git LFS pointer",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS)
@pytest.mark.parametrize("command", ["build", "rewrite"])
def test_bad_models(tmp_path: Path, command: str, case: str) -> None:
    make, exit_code, error = BAD_MODELS[case]
    model = make(tmp_path)
    before = contents(tmp_path)
    output = ["-o", tmp_path / "output"] if command == "rewrite" else RTX
    result = run_here(command, model, *output, cwd=tmp_path)
    assert result.exit_code == exit_code
    assert error in result.error
    assert contents(tmp_path) == before


def test_pads_beyond_the_dimension_name_the_node(tmp_path: Path) -> None:
    model = write_model(tmp_path, "wide_pad")
    result = run("rewrite", model, "-o", tmp_path / "out.onnx")
    assert result.exit_code == 3
    assert "/pad: reflect pad of 2 on axis 3 of size 2" in result.error
    assert os.listdir(tmp_path) == ["wide_pad.onnx"]


def test_an_error_is_one_line_whatever_the_names(tmp_path: Path) -> None:
    body = "{ y = InstanceNormalization(x, s, b) }"
    weights = "<float[2] s = {1, 2}, float[2] b = {0, 0}>"
    graph = f"g (float[1,2,8] x) => (float[1,2,8] y) {weights} {body}"
    model = onnx.parser.parse_model(f"{OPSET_17} {graph}")
    model.graph.node[0].name = "odd\nname\x1b[2J"
    onnx.save(model, tmp_path / "odd.onnx")
    result = run("build", tmp_path / "odd.onnx", "--dry-run", "--backend", "tensorrt", "--keep-native", "x\ny")
    assert result.exit_code == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error", "hint"]
    assert result.stderr.endswith("odd\\nname\\x1b[2J\n")


def test_a_pattern_that_matches_nothing_shows_what_there_is(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    result = run("rewrite", model, "-o", tmp_path / "out.onnx", "--keep-native", "/pda*")
    assert result.exit_code == 2
    assert "'/pda*'" in result.error
    assert "/pad" in result.hint
    assert os.listdir(tmp_path) == ["static.onnx"]


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [("auto", "tensorrt_rtx", "rtx"), ("tensorrt", "tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx", "rtx")],
)
def test_no_backend_says_what_to_install(tmp_path: Path, backend: str, package: str, extra: str) -> None:
    model = write_model(tmp_path, "static")
    code = f"{BLOCK_BACKENDS}; {RUN_MAIN}"
    result = run_python(code, "build", model, "--backend", backend, env=environment(CUDA_VISIBLE_DEVICES=""))
    assert result.exit_code == 4
    assert package in result.error
    assert result.hint.startswith(f"{install_hint(extra)}")
    assert " or " not in result.hint, "what was not asked for would not help"
    assert os.listdir(tmp_path) == ["static.onnx"]


def test_a_bad_model_is_told_before_a_missing_backend(tmp_path: Path) -> None:
    result = run_python(f"{BLOCK_BACKENDS}; {RUN_MAIN}", "build", tmp_path / "no_such.onnx")
    assert "no such file" in result.error


@pytest.mark.parametrize("args", [["build", "no_such.onnx"], ["build"], ["build", "static.onnx", "--opt-level", "9"]])
def test_a_traceback_is_shown_with_debug_alone(tmp_path: Path, args: list[str]) -> None:
    write_model(tmp_path, "static")
    assert "Traceback" not in run(*args, cwd=tmp_path).stderr
    shown = run(*args, "--debug", cwd=tmp_path)
    assert shown.exit_code == 2
    assert "Traceback (most recent call last)" in shown.stderr
    assert "\nerror: " in shown.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_of_trtconv_is_called_one(tmp_path: Path, debug: bool) -> None:
    model = write_model(tmp_path, "static")
    code = f"import sys, trtconv.convert; trtconv.convert.build = lambda *a, **k: 1 / 0; {RUN_MAIN}"
    result = run_python(code, "build", model, "--json", *(["--debug"] if debug else []))
    assert result.exit_code == result.document["error"]["exit_code"] == 70
    assert "ZeroDivisionError" in result.stderr
    assert "a defect of trtconv" in result.stderr
    assert ("Traceback" in result.stderr) == debug


def test_a_file_that_cannot_grow_leaves_the_older_one(folder: Path) -> None:
    write_model(folder, "static")
    limit = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash"]  # in KiB; the engine is larger
    before = contents(folder)
    result = run_command([*limit, *COMMAND, "build", "static.onnx", *RTX], cwd=folder)
    assert result.exit_code == 2
    assert "static.engine: cannot be written: File too large" in result.error
    assert contents(folder) == before


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=64k none "$1" || exit 99; shift; "$@"; code=$?; ls -A "$0" >&2; exit $code'
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*COMMAND, "build", str(model), "-o", str(disk / "static.engine"), *RTX]
    try:
        result = run_command([*private, "bash", "-c", script, str(disk), str(disk), *command])
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if result.exit_code in (1, 99):
        pytest.skip("no file system can be mounted here")
    assert result.exit_code == 4
    assert "No space left on device" in result.error
    assert "free some space" in result.hint
