"""ONNX local functions: inline those of the model, attach and remove those of the custom ops."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.function_opsets import inline_all
from trtconv.model.walking import opset_of, plugin_op_names, walk_all, walk_nodes
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION, function_for


def without_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose custom ops stand alone: parsers before 10.7 prefer a function to a plugin of that name.

    That is `proto` itself where it has no functions of theirs.
    """
    if not any(function.domain == DOMAIN for function in proto.functions):
        return proto
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [function for function in proto.functions if function.domain != DOMAIN]
    del bare.functions[:]
    bare.functions.extend(kept)
    return bare


def inline_functions(proto: onnx.ModelProto, path: Path, inline_plugins: bool) -> onnx.ModelProto:
    """Inline the model's functions, those of the custom ops only where asked for.

    onnx's inliner refuses a choice of functions that are written in another opset than the model: so it gets all that
    are to go, and the others come back afterwards.
    """
    kept = [function for function in proto.functions if function.domain == DOMAIN and not inline_plugins]
    if len(kept) == len(proto.functions):
        return proto
    inlinable = without_functions(proto) if kept else proto
    try:
        inlined = inline_all(_with_explicit_attributes(inlinable), path)
    except ModelError:
        raise
    except Exception as error:  # of onnx: words of its sources, which tell a user nothing
        called = sorted({f"{function.domain}::{function.name}" for function in inlinable.functions})
        what = f"its local functions cannot be inlined: {', '.join(called)}"
        hint = "export the model without local functions, or run: trtconv build MODEL --debug, for onnx's own words"
        raise ModelError(what, where=str(path), hint=hint) from error
    inlined.functions.extend(kept)
    return inlined


def _with_explicit_attributes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Write the default attributes of functions to the nodes that call them: onnx's inliner forgets the defaults."""
    explicit = onnx.ModelProto()
    explicit.CopyFrom(proto)
    defaults = {(each.domain, each.name, each.overload): each.attribute_proto for each in proto.functions}
    bodies = (walk_nodes(explicit.graph), *(walk_all(function.node) for function in explicit.functions))
    for node in itertools.chain(*bodies):
        given = {attribute.name for attribute in node.attribute}
        for attribute in defaults.get((node.domain, node.op_type, node.overload), ()):
            if attribute.name not in given:
                node.attribute.add().CopyFrom(attribute)
    return explicit


def attach_functions(proto: onnx.ModelProto) -> None:
    used = plugin_op_names(proto.graph)
    if not used:
        return
    if not any(entry.domain == DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    present = {function.name for function in proto.functions if function.domain == DOMAIN}
    proto.functions.extend(function_for(CUSTOM_OPS[name], opset_of(proto)) for name in sorted(used - present))
