"""The command line as such: help, the two forms of output, start-up."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.support.command_line import COMMAND, RTX, environment, run, run_python, write_model
from trtconv.cli.option_groups import GroupedCommand
from trtconv.cli.program import cli

HELP_SECONDS = 0.2


def commands(group: click.Group, title: str) -> dict[str, click.Command]:
    """Every command by the words that call it."""
    found: dict[str, click.Command] = {title: group}
    for name, command in group.commands.items():
        words = f"{title} {name}"
        found |= commands(command, words) if isinstance(command, click.Group) else {words: command}
    return found


COMMANDS = commands(cli, "trtconv")


@pytest.mark.parametrize("words", COMMANDS)
def test_help_ends_in_an_example_that_the_command_takes(words: str) -> None:
    help_text = COMMANDS[words].help
    assert help_text
    _, label, example = help_text.rpartition("Example:\n")
    assert label
    line = example.replace("\\\n", " ").strip()
    assert "\n" not in line
    if "$(" in line:  # what another program does with the output
        line = line[line.index("$(") + 2 : line.index(")")]
    program, name, *args = shlex.split(line)
    assert program == "trtconv"
    assert f"{program} {name}".startswith(words)
    cli.commands[name].make_context(name, args)  # raises where an option does not exist


@pytest.mark.parametrize("words", COMMANDS)
def test_help_fits_into_80_columns_and_breaks_no_example(words: str) -> None:
    result = run(*words.split()[1:], "--help", env=environment(COLUMNS="80"))
    assert max(map(len, result.stdout.splitlines())) <= 80
    example = (COMMANDS[words].help or "").rpartition("Example:\n")[2]
    shown = [line.strip() for line in result.stdout.splitlines()]
    assert all(line.strip() in shown for line in example.strip().splitlines()), "a line of the example was broken"


@pytest.mark.parametrize("words", [words for words in COMMANDS if isinstance(COMMANDS[words], GroupedCommand)])
def test_every_option_has_its_group(words: str) -> None:
    command = COMMANDS[words]
    assert isinstance(command, GroupedCommand)
    grouped = [name for names in command.groups.values() for name in names]
    assert len(grouped) == len(set(grouped)), "an option stands in two groups"
    assert {param.name for param in command.params if isinstance(param, click.Option)} <= set(grouped)
    text = command.get_help(click.Context(command, help_option_names=["-h", "--help"]))
    for param in command.params:
        assert not isinstance(param, click.Option) or param.opts[0] in text, param.opts
    assert "Others:" not in text


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_says_what_it_does(words: str) -> None:
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith((".", "]")), parameter.help


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_printed_on_standard_output(words: str) -> None:
    args = words.split()[1:]
    result = run(*args, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: trtconv")
    assert "..." not in result.stdout.partition("Commands:")[2], "a first line is cut off in the list of commands"
    assert run(*args, "-h").stdout == result.stdout


def test_no_command_is_wrong_usage_and_shows_the_help() -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == run("--help").stdout


def test_help_does_not_wait_for_onnx() -> None:
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([*COMMAND, "--help"], env=environment(), check=True, capture_output=True)
        after = os.times()  # processor time, which other tests on the same cores do not lengthen
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert statistics.median(seconds) < HELP_SECONDS
    code = """
import sys, trtconv, trtconv.cli
print(*(name for name in ("onnx", "numpy", "rich", "onnxruntime", "tensorrt_rtx") if name in sys.modules))
"""
    assert run_python(code).stdout.split() == []


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("trtconv, version ")


def test_the_command_works_from_anywhere(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    result = run("build", "static.onnx", *RTX, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert {"static.engine", "static.engine.json"} <= set(os.listdir(tmp_path))


def test_rewrite_prints_what_became_of_the_nodes(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    result = run("rewrite", model.name, "-o", "rewritten.onnx", "--ops", "plugin", cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "rewritten", "rewritten", "output", "next"]
    assert "-> trtconv::InstanceNorm" in lines[1]
    assert "[/norm]" in lines[1]
    assert "-> trtconv::ReflectPad" in lines[2]
    assert len({line.index(line.split()[1]) for line in lines}) == 1, "the second column is not aligned"
    assert lines[0].endswith(": 2 of 2 norms and pads become plugins")
    assert lines[-1].split(maxsplit=1)[1] == "trtconv compare static.onnx rewritten.onnx"


def test_build_says_which_backend_was_chosen_and_why(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    environment_without_gpu = environment(CUDA_VISIBLE_DEVICES="")
    result = run("build", model, env=environment_without_gpu)
    assert result.exit_code == 0, result.stderr
    assert "TensorRT-RTX" in next(line for line in result.stdout.splitlines() if line.startswith("backend"))
    assert "no CUDA device found: using TensorRT-RTX" in result.stdout
    assert "choose with --gpu-arch (sm_75, sm_80" in result.stdout
    assert "TensorRT-RTX does not support plugins" in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("plugin_library")
@pytest.mark.parametrize("command", ["build", "rewrite", "plugins"])
def test_json_is_one_document(tmp_path: Path, command: str) -> None:
    model = str(write_model(tmp_path, "static"))
    output = tmp_path / "output"
    args = {"build": [model, "-o", output, *RTX], "rewrite": [model, "-o", output], "plugins": []}[command]
    result = run(command, *args, "--json")
    assert result.stderr == ""
    keys = {"build": {"engine", "manifest", "build", "rewrite"}, "rewrite": {"model", "decisions", "num_rewritten"}}
    assert result.exit_code == 0
    assert keys.get(command, {"path", "sha256", "plugins"}) <= result.document.keys()


@pytest.mark.parametrize(
    "args",
    [["build", "no_such.onnx"], ["rewrite", "no_such.onnx", "-o", "out.onnx"], ["build", "--bogus"], ["bogus"]],
    ids=" ".join,
)
def test_json_is_one_document_in_failure_too(tmp_path: Path, args: list[str]) -> None:
    result = run(*args, "--json", cwd=tmp_path)
    error = result.document["error"]
    assert error.keys() == {"what", "where", "hint", "exit_code"}
    assert result.exit_code == error["exit_code"] == 2
    assert error["what"] in result.error


def test_verbose_names_every_node_and_shows_messages_of_tensorrt(tmp_path: Path) -> None:
    pads = " ".join(f'["/pad{i}"] t{i + 1} = Pad<mode="reflect">(t{i}, pads)' for i in range(4))
    body = f"{{ t0 = Identity(x) pads = Constant<value_ints=[0, 1, 0, 1]>() {pads} y = Identity(t4) }}"
    model = write_model(tmp_path, "pads", f"g (float[1,3] x) => (float[1,M] y) {body}")
    short, verbose = (run("build", model, *RTX, *more) for more in ([], ["-v"]))
    assert "[/pad0, /pad1, and 2 more]" in short.stdout
    assert "[/pad0, /pad1, /pad2, /pad3]" in verbose.stdout
    assert "info: " in verbose.stderr
    assert short.stderr == ""


def test_plugins_path_is_a_file_and_nothing_else() -> None:
    result = run("plugins", "--path")
    if result.exit_code:
        pytest.skip("the plugin library is not built")
    (line,) = result.stdout.splitlines()
    assert Path(line).is_file()
    assert run("plugins").stdout.splitlines()[0].split() == ["library", line]


def test_a_missing_plugin_library_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.so"
    result = run("plugins", env=environment(TRTCONV_PLUGIN_LIBRARY=str(missing)))
    assert result.exit_code == 4
    assert str(missing) in result.error
    assert "TRTCONV_PLUGIN_LIBRARY" in result.hint


def test_python_m_trtconv_is_the_command() -> None:
    script = Path(sys.executable).with_name("trtconv")
    if not script.exists():
        pytest.skip("trtconv is not installed as a command here")
    installed = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert installed.stdout == run("--help", env={**os.environ}).stdout


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    model, output = write_model(tmp_path, "static"), tmp_path / "out.onnx"
    done = run("rewrite", str(model), "-o", str(output), "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert output.exists()
    failed = run("rewrite", str(tmp_path / "none.onnx"), "-o", str(output), "--quiet")
    assert failed.exit_code == 2
    assert failed.stderr.startswith("error: ")
