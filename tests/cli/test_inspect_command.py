"""`trtconv inspect` and `trtconv doctor` as commands: exit codes, one JSON document, colour and width."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, environment, run, write_model


def test_inspect_says_why_a_node_stays_native(tmp_path: Path) -> None:
    result = run(
        "inspect",
        write_model(tmp_path, "static"),
        "--ops=plugin",
        "--keep-native",
        "/norm",
        env=environment(COLUMNS="200"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "asked for by --keep-native /norm" in result.stdout
    assert "pads [0,0,1,2,0,0,1,2] from a Constant node" in result.stdout


def test_a_model_that_cannot_be_built_can_be_inspected(tmp_path: Path) -> None:
    result = run("inspect", write_model(tmp_path, "unknown_op"), "--json")
    assert result.exit_code == 0
    assert result.document["kind"] == "model"
    assert any("my::Foo" in problem["what"] for problem in result.document["problems"])
    assert run("inspect", write_model(tmp_path, "wide_pad")).exit_code == 0


def test_two_files_need_diff_and_diff_needs_two(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    asked = run("inspect", model, model, "--diff")
    assert asked.exit_code == 0
    assert run("inspect", model, model) == asked
    wrong = run("inspect", model, model, model)
    assert (wrong.exit_code, wrong.error) == (2, "got 3 files, expected 1")
    assert run("inspect", model, "--diff").exit_code == 2


def test_a_model_and_an_engine_have_no_difference(tmp_path: Path) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"ftrt" + bytes(60))
    result = run("inspect", write_model(tmp_path, "static"), engine, "--diff", "--json")
    assert result.exit_code == 2
    assert result.document["error"]["hint"].endswith("trtconv compare MODEL ENGINE")


def test_inspect_of_no_model(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    assert run("inspect", tmp_path / "no.onnx").exit_code == 3
    assert run("inspect", tmp_path / "gone.onnx").exit_code == 2


def test_width_and_colour_are_those_of_the_terminal(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    piped = run("inspect", model, env=environment(COLUMNS="60"))
    assert "\x1b" not in piped.stdout
    assert max(map(len, piped.stdout.splitlines())) <= 60
    assert "\x1b[" in in_terminal("inspect", str(model), TERM="xterm", NO_COLOR="")
    assert "\x1b[" not in in_terminal("inspect", str(model), TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in in_terminal("inspect", str(model), TERM="dumb", NO_COLOR="")
    assert "\x1b[" in run("inspect", model, env=environment(FORCE_COLOR="1", NO_COLOR="")).stdout
    assert "\x1b" not in run("inspect", model, env=environment(FORCE_COLOR="1", NO_COLOR="1")).stdout
    assert "\x1b" not in run("inspect", model, "--json", env=environment(FORCE_COLOR="1", NO_COLOR="")).stdout


def in_terminal(*args: str, **variables: str) -> str:
    """Run a command on a terminal and return what it shows."""
    main, terminal = pty.openpty()
    with subprocess.Popen([*COMMAND, *args], stdout=terminal, stderr=terminal, env=environment(**variables)):
        os.close(terminal)
        shown = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:  # the last writer is gone
                break
            if not chunk:
                break
            shown += chunk
    os.close(main)
    return shown.decode()


def test_doctor_ends_with_4_where_nothing_can_build(tmp_path: Path) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not here')\n")
    paths = os.pathsep.join([str(tmp_path), *environment().get("PYTHONPATH", "").split(os.pathsep)])
    result = run("doctor", env=environment(PYTHONPATH=paths))
    assert (result.exit_code, result.stderr) == (4, "")
    assert "no backend can build an engine here" in result.stdout
    assert "pip install 'tensorrt" in result.stdout
    as_json = run("doctor", "--json", env=environment(PYTHONPATH=paths))
    assert as_json.exit_code == 4
    assert not as_json.document["can_build"]


def test_doctor_ends_with_0_where_something_can() -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run("doctor", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.document["can_build"]
