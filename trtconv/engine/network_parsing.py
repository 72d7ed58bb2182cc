"""Parse a model into TensorRT's network, or ask the parser what it thinks of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from trtconv.engine.backends import Backend
from trtconv.engine.logger import Log, create, make_logger
from trtconv.engine.parser_errors import nodes_by_problem, parse_error
from trtconv.errors import ModelError
from trtconv.files import text_path
from trtconv.model import external_data, functions, loops, walking
from trtconv.native_output import kept_off_the_streams
from trtconv.ops.custom_op import DOMAIN
from trtconv.progress import NoProgress, announce
from trtconv.watching import watched

if TYPE_CHECKING:
    from trtconv.plugins.library import PluginLibrary

MAX_CHECKED_EXTERNAL_BYTES = 2 << 30


def require_parsable(proto: onnx.ModelProto, model_path: Path, backend: Backend) -> None:
    """Parse `proto` as `build` does and build nothing. Raises ModelError for what the parser refuses."""
    parse(proto, model_path, backend, make_logger(backend.trt, None))


def parse(
    proto: onnx.ModelProto, model_path: Path, backend: Backend, logger: Log
) -> tuple[PluginLibrary | None, Any, Any, Any]:
    """Return the plugin library that the model needs, if any, the builder, its network, and the parser of that."""
    announce(f"parsing {model_path.name} in {backend.title}", is_of_model=True)
    library = _load_needed_plugins(proto, model_path, backend, logger)
    builder = _make_builder(backend, logger)
    network, parser = parse_network(backend.trt, builder, logger, backend.title, proto, model_path)
    return library, builder, network, parser


@contextlib.contextmanager
def kernels_kept(backend: Backend) -> Iterator[None]:
    """Keep TensorRT's kernels loaded while several engines are built.

    The first builder loads them, which takes seconds, and the last one that is left unloads them.
    """
    builder = _make_builder(backend, make_logger(backend.trt, None))
    yield
    del builder


def _make_builder(backend: Backend, logger: Log) -> Any:
    return create(lambda: backend.trt.Builder(logger.native), "a builder", backend, logger)


def _load_needed_plugins(
    proto: onnx.ModelProto, model_path: Path, backend: Backend, logger: Log
) -> PluginLibrary | None:
    plugin_ops = walking.plugin_op_names(proto.graph)
    if plugin_ops and not backend.supports_plugins:  # RTX's parser would end the process
        what = f"holds {', '.join(sorted(plugin_ops))} of the domain {DOMAIN}, and no functions that say what they are"
        raise ModelError(what, where=str(model_path), hint="build from the model as it was before the rewrite")
    if not plugin_ops:
        return None
    from trtconv.plugins.loading import load_plugins  # which a model without plugins does without

    return load_plugins(backend.trt, logger)


def parse_network(
    trt: Any, builder: Any, logger: Log, title: str, proto: onnx.ModelProto, model_path: Path
) -> tuple[Any, Any]:
    """Return the strongly typed network of `proto`, and its parser, which has to live as long.

    `title` is the backend's name and version. Raises ModelError for what the parser refuses.
    """
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger.native)
    given = parsable(proto)
    with text_path(model_path) as path, kept_off_the_streams() as printed:
        is_parsed = _asked(parser.parse, given, path)
    logger.hand_on(printed)
    if not is_parsed:
        raise parse_error(parser, title, given, model_path, logger.last_error())
    return network, parser


@dataclass(frozen=True)
class ModelCheck:
    """What a parser says of a model: its problems with the addresses of their nodes, and the ops that it lacks.

    It may have stopped at its first problem; the ops are looked up one by one. `is_taken` says that there is none.
    """

    is_taken: bool
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unsupported_ops: frozenset[str] = frozenset()


def check_model(backend: Backend, proto: onnx.ModelProto, model_path: Path) -> ModelCheck:
    """Ask the parser, on a network as a build makes it, whether it takes `proto`; nothing is built."""
    announce(f"checking {model_path.name} with the parser of {backend.title}", is_of_model=True)
    trt = backend.trt
    logger = make_logger(trt, None)
    builder = _make_builder(backend, logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger.native)
    bare = parsable(proto)
    with text_path(model_path) as path, kept_off_the_streams():
        is_taken = _asked(parser.supports_model_v2, bare, path)
    if is_taken:
        return ModelCheck(True)
    problems = nodes_by_problem(parser, "the parser", bare)
    ops = {str(node.op_type) for node in walking.walk_nodes(bare.graph)}
    unsupported = frozenset(op for op in ops if not parser.supports_operator(op))
    return ModelCheck(False, problems, unsupported)


def why_unchecked(proto: onnx.ModelProto, model_path: Path) -> str | None:
    """Return why only a build lets the parser see the model, which reads external tensors; None where a check may."""
    if sum(external_data.file_sizes(proto, model_path.parent).values()) <= MAX_CHECKED_EXTERNAL_BYTES:
        return None
    return "the model's external data is too large to read for a check"


def _asked(question: Callable[[bytes, str], bool], proto: onnx.ModelProto, path: str) -> bool:
    """Ask the parser in a thread of its own: where it calls the logger, its bindings would swallow Ctrl-C."""
    data = proto.SerializeToString()
    return watched(lambda: question(data, path), NoProgress(), name="trtconv-parse")


def parsable(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model as TensorRT's parser takes it: no functions for custom ops, and Loops complete."""
    return loops.completed(functions.without_functions(proto))


def set_io_format(trt: Any, network: Any, io_format: str) -> None:
    """Let all inputs and outputs lie in memory in this one of TensorRT's formats, such as "HWC8"."""
    mask = 1 << int(getattr(trt.TensorFormat, io_format))
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for tensor in (*inputs, *(network.get_output(index) for index in range(network.num_outputs))):
        tensor.allowed_formats = mask


def _network_flags(trt: Any) -> int:
    """Strongly typed networks: a flag of 10.x; 11 and RTX know nothing else and ignore it."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)
