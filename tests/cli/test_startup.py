"""What a command imports before it works: each module makes every user wait, and most commands need few of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.cli.test_isolation import COMMANDS
from tests.support.command_line import COMMAND, environment, run_command, run_python, write_model

# Runs in every Python that starts, and writes at its end where each module came from.
SITECUSTOMIZE = """
import atexit, os, sys

def tell():
    kind = "worker" if any("trtconv.cli.worker" in word for word in sys.orig_argv) else "parent"
    places = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    with open(os.path.join(FOLDER, kind), "w") as file:
        file.writelines(f"{name}\\t{place}\\n" for name, place in places.items())

class Kept:
    def __del__(self, open=open, place=os.path.join(FOLDER, "freed")):
        open(place, "a").write("freed")

kept = Kept()
atexit.register(tell)
"""
# What the parent imports before it starts the worker, and what while that starts.
FIRST = {
    "trtconv",
    "trtconv.child_processes",
    "trtconv.cli",
    "trtconv.cli.console",
    "trtconv.display",
    "trtconv.errors",
    "trtconv.interrupts",
    "trtconv.workers",
    "trtconv.workers.parent",
    "trtconv.workers.worker",
}
PARENT = FIRST | {
    "trtconv.progress",
    "trtconv.reports",
    "trtconv.reports.text",
    "trtconv.units",
    "trtconv.workers.family",
    "trtconv.workers.limits",
    "trtconv.workers.watch",
}
_SLOW = {"asyncio", "dataclasses", "importlib.metadata", "inspect", "logging", "multiprocessing"}  # of Python's own
# Rooms and libraries of other commands, and of options that were not given.
_UNASKED = {
    *(f"trtconv.{room}" for room in ("benchmark", "comparison", "doctor", "inputs", "precision", "reduction")),
    *(f"trtconv.{room}" for room in ("pages", "reports.html", "run", "runner", "tuning")),
    *("jinja2", "markupsafe", "matplotlib", "onnxruntime", "PIL", "polygraphy", "rich"),
}
# With TensorRT-RTX, where all operators stay native.
_CHOOSING = {"trtconv.costs", *(f"trtconv.passes.{name}" for name in ("choose_by_cost", "fusing_passes", "norm_nodes"))}
_BUILDING = {"trtconv.convert", "trtconv.engine.building", "trtconv.plugins", "trtconv.reports.build_report"}
_ENGINES = {"trtconv.manifest", "trtconv.engine.loading", "trtconv.engine.live_engine", "trtconv.engine.inspector_json"}
_OF_ENGINES = {"trtconv.inspection.engine_inspection", "trtconv.inspection.engine_report"}
UNASKED = {
    "build": _UNASKED | _CHOOSING | {"trtconv.inspection", "trtconv.dry_running"},
    "dry run": _UNASKED | _CHOOSING | _BUILDING | _ENGINES | {"trtconv.inspection"},
    "rewrite": _UNASKED | _BUILDING | _ENGINES | {"trtconv.inspection", "trtconv.dry_running", "trtconv.engine"},
    "inspect": _UNASKED - {"rich"}
    | _BUILDING
    | _ENGINES
    | _OF_ENGINES
    | {"trtconv.inspection.differences", "trtconv.dry_running", "rich._emoji_codes"},
}
_HOOKS = ("_editable_", "_distutils_hack", "sitecustomize")  # of the environment that the tests run in


def imported(folder: Path, *args: str) -> dict[str, dict[str, str]]:
    """Run a command; return the place of each module by its name, for the parent and for the worker."""
    hook = folder / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(f"FOLDER = {str(hook)!r}\n{SITECUSTOMIZE}")
    variables = environment()
    variables["PYTHONPATH"] = f"{hook}:{variables['PYTHONPATH']}"
    for name in ("COLUMNS", "FORCE_COLOR"):  # with which plain lines are laid out as for a terminal
        variables.pop(name, None)
    result = run_command([*COMMAND, *args], cwd=folder, env=variables)
    assert result.exit_code == 0, result.stderr
    return {
        path.name: dict(line.rstrip("\n").split("\t") for line in path.open())
        for path in (hook / "parent", hook / "worker")
        if path.exists()
    }


def of_others(modules: dict[str, str]) -> set[str]:
    """Return the libraries that neither Python brings nor trtconv is."""
    names = {name for name, place in modules.items() if "site-packages" in place and not name.startswith(_HOOKS)}
    return {name.split(".")[0] for name in names} - {"trtconv"}


def below(modules: dict[str, str], names: set[str]) -> set[str]:
    return {module for module in modules if any(f"{module}.".startswith(f"{name}.") for name in names)}


@pytest.mark.parametrize("command", UNASKED)
def test_a_command_imports_what_it_was_asked_for(tmp_path: Path, command: str) -> None:
    write_model(tmp_path, "static")
    found = imported(tmp_path, *COMMANDS[command])
    assert below(found["parent"], {"trtconv"}) == PARENT
    assert of_others(found["parent"]) == set()
    assert "onnx" in found["worker"]
    assert below(found["worker"], UNASKED[command]) == set()


def test_the_worker_is_started_first(tmp_path: Path) -> None:
    """The user waits for what the parent imports before."""
    result = run_python("import sys, trtconv.__main__, trtconv.cli; print(*sys.modules)", cwd=tmp_path)
    modules = dict.fromkeys(result.stdout.split(), "")
    assert below(modules, {"trtconv"}) - {"trtconv.__main__"} == FIRST
    assert below(modules, _SLOW) == set()


def test_a_command_frees_nothing_that_the_system_frees_at_its_end(tmp_path: Path) -> None:
    """Python would take a fifth of a short command's time for it; what libraries want done at the end is done."""
    write_model(tmp_path, "static")
    assert imported(tmp_path, *COMMANDS["inspect"]).keys() == {"parent", "worker"}
    assert not (tmp_path / "hook" / "freed").exists()
    imported(tmp_path, *COMMANDS["inspect"], "--no-isolate")
    assert (tmp_path / "hook" / "freed").exists()


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_no_worker_is_started_to_show_the_help(tmp_path: Path, option: str) -> None:
    found = imported(tmp_path, option)
    assert found.keys() == {"parent"}
    assert of_others(found["parent"]) == {"click"}


def test_what_an_option_asks_for_is_imported(tmp_path: Path) -> None:
    """Names that no module has would guard nothing above."""
    write_model(tmp_path, "static")
    options = ("--precision", "fp16", "--report", "page.html", "--backend", "tensorrt")
    found = imported(tmp_path, *COMMANDS["dry run"], *options)["worker"]
    assert {name for names in UNASKED.values() for name in names if importlib.util.find_spec(name) is None} == set()
    late = {"trtconv.precision", "trtconv.inputs", "trtconv.pages", "trtconv.reports.html", "jinja2", "onnxruntime"}
    assert {name for name in late if below(found, {name})} == late
