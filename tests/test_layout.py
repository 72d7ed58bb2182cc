"""The layout holds: imports go one way, foreign libraries have one door each, files stay small, README is complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from trtconv.cli import cli

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "trtconv"
MAX_LINES = 350

# The files, or all files of the packages, that may import a library; engine.py alone also imports the two TensorRT
# modules by name.
DOORS = {
    "tensorrt": {"engine", "plugins"},
    "tensorrt_rtx": {"engine", "plugins"},
    "click": {"cli"},
    "polygraphy": {"comparison.runners"},
    "rich": {"progress", "reports.tables"},
    "cuda": {"gpu.device"},
    "matplotlib": {"comparison.plot", "benchmark.roofline"},
    "PIL": {"inputs.input_files"},
    "onnxruntime": {"passes.constant_values", "model.onnx_session"},
}
# From the command down to what knows nothing of the others. A file imports from its own row or a lower one.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"accuracy"},
    {"bisection"},
    {"convert", "benchmark", "inspection", "doctor"},
    {"verification"},
    {"comparison"},
    {"passes", "engine", "plugins", "model"},
    {
        "ops",
        "plugin_library",
        "config",
        "errors",
        "shapes",
        "decisions",
        "reports",
        "progress",
        "files",
        "gpu",
        "manifest",
    },
)


def module_files() -> dict[str, Path]:
    """Every file of the package by the name of its module inside the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


MODULES = module_files()


def imports(module: str) -> Iterator[str]:
    """Yield what a module imports when it runs, wherever in it; of `from a import b` both `a` and `a.b`."""
    for node in walk_running_code(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def walk_running_code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but what stands under `if TYPE_CHECKING:`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk_running_code(child)


def own_imports(module: str) -> set[str]:
    """Return which modules a module imports, its own package aside: `from trtconv.doctor import probe` means probe."""
    names = {name.removeprefix("trtconv.") for name in imports(module) if name.startswith("trtconv.")}
    return {name for name in names if name in MODULES and not f"{module}.".startswith(f"{name}.")}


def layer_of(module: str) -> int | None:
    top = module.split(".")[0]
    return next((index for index, layer in enumerate(LAYERS) if top in layer), None)


@pytest.mark.parametrize("library", DOORS)
def test_each_foreign_library_has_its_door(library: str) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == library for name in imports(module))}
    assert {user for user in users if not any(f"{user}.".startswith(f"{door}.") for door in DOORS[library])} == set()


def test_only_the_door_names_a_tensorrt_module() -> None:
    """importlib can import what no import statement shows. doctor.probe is a program of its own, which may crash."""
    users = {module for module in MODULES if "import_module" in MODULES[module].read_text()}
    assert users <= {"engine.backends", "__init__", "doctor.probe"}


def test_imports_go_down() -> None:
    for module in MODULES:
        own = layer_of(module)
        for imported in own_imports(module):
            below = layer_of(imported)
            if own is not None and below is not None:
                assert own <= below, f"{module} imports {imported}"


def test_imports_have_no_cycle() -> None:
    TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()


def test_errors_know_nothing() -> None:
    assert own_imports("errors") == set()
    assert own_imports("config") == {"errors", "shapes"}


@pytest.mark.parametrize("module", MODULES)
def test_files_stay_small(module: str) -> None:
    lines = MODULES[module].read_text().splitlines()
    assert len(lines) <= MAX_LINES
    if lines:
        assert ast.get_docstring(ast.parse("\n".join(lines))), "a file begins with what it is for"


def test_public_names_exist() -> None:
    import trtconv

    for name in trtconv.__all__:
        assert getattr(trtconv, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = trtconv.nonsense


@pytest.mark.parametrize(
    ("command", "page"),
    [
        *((name, "guide") for name in ("build", "rewrite", "bench", "plugins")),
        ("compare", "compare"),
        *((name, "inspect") for name in ("inspect", "doctor")),
    ],
)
def test_the_pages_know_every_option(command: str, page: str) -> None:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text()
    common = {"--quiet", "--debug"}  # the guide explains them once
    options = {name for each in cli.commands[command].params for name in (*each.opts, *each.secondary_opts)}
    unknown = {name for name in options - common if name.startswith("--") and not re.search(rf"[` ]{name}\b", text)}
    assert unknown == set()


def test_readme_knows_every_command() -> None:
    readme = REPOSITORY / "README.md"
    for name in cli.commands:
        assert f"trtconv {name}" in readme.read_text(), name
