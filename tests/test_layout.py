"""The layout holds: imports go one way, foreign libraries have one door each, files stay small, README is complete."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from trtconv.cli.program import cli
from trtconv.ops import CUSTOM_OPS

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "trtconv"
MAX_LINES = 350

# The files, or all files of the packages, that may import a library; engine/backends.py alone also imports the two
# TensorRT modules by name.
DOORS = {
    "tensorrt": {"engine", "plugins"},
    "tensorrt_rtx": {"engine", "plugins"},
    "click": {"cli"},
    "polygraphy": {"comparison.runners"},
    "rich": {"displays", "reports.layout"},
    "cuda": {"gpu.device"},
    "matplotlib": {"comparison.plot", "benchmark.roofline", "benchmark.network_plot"},
    "PIL": {"inputs.images"},
    "onnxruntime": {"model.onnx_session"},
    "jinja2": {"reports.html.rendering"},
    "markupsafe": {"reports.html.rendering"},
}
# Names that only TensorRT's modules and objects have: whoever uses one depends on TensorRT, imported or not.
TENSORRT_NAMES = frozenset({"trt", "tensorrt", "tensorrt_rtx"})
_API_TEXT = """
    ILogger Builder OnnxParser OnnxParserRefitter Runtime Refitter IProfiler ITensor
    IProgressMonitor IStreamWriter PluginField PluginFieldCollection
    create_network create_builder_config create_optimization_profile add_optimization_profile build_serialized_network
    build_serialized_network_to_stream set_timing_cache create_timing_cache get_timing_cache progress_monitor
    supports_model_v2 supports_operator num_errors get_error refit_from_bytes refit_cuda_engine
    deserialize_cuda_engine engine_host_code_allowed create_execution_context create_engine_inspector
    get_engine_information num_io_tensors num_optimization_profiles get_tensor_mode get_tensor_name get_tensor_shape
    get_tensor_dtype get_tensor_location get_tensor_format_desc get_tensor_profile_shape get_tensor_profile_values
    set_input_shape set_optimization_profile_async set_tensor_address execute_async_v3 get_max_output_size
    device_memory_size get_plugin_registry load_library get_creator create_plugin add_plugin_v3
    num_layers get_layer num_inputs num_outputs get_input get_output allowed_formats plugins_to_serialize
"""
TENSORRT_API = frozenset(_API_TEXT.split())
# doctor/probe.py is a program of its own: TensorRT may crash it, and it knows nothing of the package.
USERS_OF_TENSORRT = ("engine.", "plugins.", "doctor.probe.")
# From the command down to what knows nothing of the others. A module imports from lower rows, or from its own room.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"workers"},
    {"keyword_options"},
    {"benchmark", "inspection", "doctor", "run", "reduction", "dry_running"},
    {"convert"},
    {"rewriting"},
    {"pages"},
    {"tuning"},
    {"comparison", "runner", "output_files"},
    {"preparation"},
    {"engine", "profile_checks"},
    {"passes", "precision", "plugins", "reports"},
    {"inputs"},
    {"pairs"},
    {"manifest"},
    {"costs"},
    {"model", "decisions", "config", "io_types"},
    {"ops", "gpu", "shapes", "files", "records"},
    {"parts"},
    {"units", "interrupts", "reading"},
    {"watching"},
    {"converted", "displays", "element_types", "errors", "progress", "installed", "native_output", "child_processes"},
    {"display"},
)
# What makes up a graph and its nodes, and how lists and dictionaries change: passes leave both to graph_edit.
GRAPH_PARTS = {"nodes", "inputs", "outputs", "op", "domain", "attrs"}
MUTATORS = {
    "append",
    "extend",
    "insert",
    "remove",
    "pop",
    "clear",
    "sort",
    "reverse",
    "update",
    "setdefault",
    "popitem",
}
ROOT = "__init__"  # the package itself: its public names are imported when they are first used


def module_files() -> dict[str, Path]:
    """Every file of the package by the name of its module inside the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


MODULES = module_files()


@functools.cache
def nodes_of(module: str) -> tuple[ast.AST, ...]:
    """Return every node of a module's syntax tree."""
    return tuple(ast.walk(ast.parse(MODULES[module].read_text())))


def imports(module: str) -> Iterator[str]:
    """Yield what a module imports, wherever in it, for types too; of `from a import b` both `a` and `a.b`."""
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """Return which modules a module imports, its own package aside: `from trtconv.doctor import probe` means probe."""
    names = {name.removeprefix("trtconv.") for name in imports(module) if name.startswith("trtconv.")}
    return {name for name in names if name in MODULES and not f"{module}.".startswith(f"{name}.")}


def layer_of(module: str) -> int:
    room = module.split(".")[0]
    return next(index for index, layer in enumerate(LAYERS) if room in layer)


@pytest.mark.parametrize("library", DOORS)
def test_each_foreign_library_has_its_door(library: str) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == library for name in imports(module))}
    assert {user for user in users if not any(f"{user}.".startswith(f"{door}.") for door in DOORS[library])} == set()


def changed_parts(module: str) -> Iterator[str]:
    """Yield where a module changes a part of a graph or of a node: by assignment, by del, or by a list's own method."""
    for node in nodes_of(module):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func.value]
        for each in (inner for target in targets for inner in (getattr(target, "elts", None) or [target])):
            part = each.value if isinstance(each, ast.Subscript | ast.Starred) else each
            if isinstance(part, ast.Attribute) and part.attr in GRAPH_PARTS:
                yield f"{module}, line {node.lineno}: {ast.unparse(node)}"


def test_only_graph_edit_changes_a_graph() -> None:
    passes = [module for module in MODULES if f"{module}.".startswith("passes.")]
    assert [change for module in passes if module != "passes.graph_edit" for change in changed_parts(module)] == []
    assert list(changed_parts("passes.graph_edit")), "the test sees no change at all"


def test_only_the_door_names_a_tensorrt_module() -> None:
    """importlib can import what no import statement shows. doctor.probe is a program of its own, which may crash."""
    users = {module for module in MODULES if "import_module" in MODULES[module].read_text()}
    assert users <= {"engine.backends", "__init__", "doctor.probe"}


def names_used(module: str) -> Iterator[str]:
    """Yield every name, attribute and parameter that a module uses or binds."""
    for node in nodes_of(module):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=alias):
                yield from (name.split(".")[0], alias or "")
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def test_only_the_doors_use_tensorrt() -> None:
    others = [module for module in MODULES if not f"{module}.".startswith(USERS_OF_TENSORRT)]
    used = {module: set(names_used(module)) & (TENSORRT_NAMES | TENSORRT_API) for module in others}
    assert {module: names for module, names in used.items() if names} == {}


def test_what_is_taken_for_tensorrt_is_what_its_doors_use() -> None:
    """A name that nobody uses guards nothing: it may be misspelt."""
    used = {name for module in MODULES if f"{module}.".startswith(USERS_OF_TENSORRT) for name in names_used(module)}
    assert TENSORRT_API - used == set()


def texts_of(module: str) -> Iterator[str]:
    """Yield every string of a module, parts of f-strings too, but for docstrings, which explain and decide nothing."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(node.body[0].value) for node in nodes_of(module)
                  if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    for node in nodes_of(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_ops_are_named_in_their_room_alone() -> None:
    """Reports, inspection, precision and benchmark ask the table of the ops; a pass names the op that it rewrites."""
    names = {name for op in CUSTOM_OPS.values() for name in (op.name, op.replaces, op.replaces_long)}
    whole_names = {op.form.op_type for op in CUSTOM_OPS.values()}  # such as Pad, which is part of many words
    others = [module for module in MODULES if not f"{module}.".startswith(("ops.", "passes.rewrite_"))]
    found = [
        (module, text)
        for module in others
        for text in texts_of(module)
        if text in whole_names or any(name in text for name in names)
    ]
    assert found == []


def test_element_types_have_one_table() -> None:
    """Who writes these names keeps a table of its own. In words, fp16 and bf16 are options and rows of tolerances."""
    names = {"FLOAT", "HALF", "BF16", "float16", "bfloat16"}
    others = MODULES.keys() - {"element_types"}
    assert [module for module in others if names & set(texts_of(module)) or "bfloat16" in names_used(module)] == []


def test_every_module_has_its_layer() -> None:
    rooms = {module.split(".")[0] for module in MODULES} - {ROOT}
    assert sorted(rooms) == sorted(room for layer in LAYERS for room in layer)


def test_imports_go_down() -> None:
    pairs = [(module, imported) for module in MODULES.keys() - {ROOT} for imported in own_imports(module)]
    others = [(module, imported) for module, imported in pairs if module.split(".")[0] != imported.split(".")[0]]
    assert [pair for pair in others if layer_of(pair[0]) >= layer_of(pair[1])] == []


def test_imports_have_no_cycle() -> None:
    TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()


def test_errors_know_nothing() -> None:
    assert own_imports("errors") == set()
    assert own_imports("config") == {"converted", "errors", "shapes"}


def test_files_stay_small_and_begin_with_what_they_are_for() -> None:
    lines = {module: path.read_text().splitlines() for module, path in MODULES.items()}
    assert {module: len(each) for module, each in lines.items() if len(each) > MAX_LINES} == {}
    assert [module for module, each in lines.items() if each and not ast.get_docstring(nodes_of(module)[0])] == []


def test_public_names_exist() -> None:
    import trtconv

    for name in trtconv.__all__:
        assert getattr(trtconv, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = trtconv.nonsense


@pytest.mark.parametrize(
    ("command", "page"),
    [
        *((name, "guide") for name in ("build", "rewrite", "bench", "plugins", "run")),
        ("compare", "compare"),
        ("reduce", "compare"),
        *((name, "inspect") for name in ("inspect", "doctor")),
    ],
)
def test_the_pages_know_every_option(command: str, page: str) -> None:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text()
    common = {"--quiet", "--debug", "--no-isolate", "--limit-memory", "--limit-time"}  # the guide explains them once
    options = {name for each in cli.commands[command].params for name in (*each.opts, *each.secondary_opts)}
    unknown = {name for name in options - common if name.startswith("--") and not re.search(rf"[` ]{name}\b", text)}
    assert unknown == set()


def test_readme_knows_every_command() -> None:
    readme = REPOSITORY / "README.md"
    for name in cli.commands:
        assert f"trtconv {name}" in readme.read_text(), name
