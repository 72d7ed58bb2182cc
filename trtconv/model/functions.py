"""ONNX local functions: inline those of the model, attach and remove those of the custom ops."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import list_addresses
from trtconv.model.function_opsets import inline_all
from trtconv.model.plugin_nodes import walk_calls
from trtconv.model.walking import opset_of, walk_all, walk_nodes
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, OVERLOADS_IR_VERSION, VERSION, Call, function_for


def without_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose custom ops stand alone: parsers before 10.7 prefer a function to a plugin of that name.

    Their overloads, which only tell functions apart, go too. That is `proto` itself where it has neither.
    """
    is_ours = any(function.domain == DOMAIN for function in proto.functions)
    if not is_ours and not any(node.overload for node in walk_nodes(proto.graph) if node.domain == DOMAIN):
        return proto
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [function for function in proto.functions if function.domain != DOMAIN]
    del bare.functions[:]
    bare.functions.extend(kept)
    for node in walk_nodes(bare.graph):
        if node.domain == DOMAIN:
            node.ClearField("overload")
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
        what = f"its local functions cannot be inlined: {list_addresses(called)}"
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
    """Give the custom ops of a model their meaning in ONNX's operators: a function for each variant that it uses.

    A function of an older trtconv that a node does not fit any more is written anew; one that no node calls goes.
    """
    opset = opset_of(proto)
    calls: dict[tuple[str, str], Call] = {}
    given: dict[tuple[str, str], set[str]] = {}
    for node, call in walk_calls(proto.graph):
        overload = CUSTOM_OPS[node.op_type].overload(call)
        if node.overload != overload:
            node.overload = overload
        calls.setdefault((node.op_type, overload), call)
        given.setdefault((node.op_type, overload), set()).update(attribute.name for attribute in node.attribute)
    if not calls:
        return
    if not any(entry.domain == DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    if any(overload for _, overload in calls):
        proto.ir_version = max(proto.ir_version, OVERLOADS_IR_VERSION)
    for index in reversed(range(len(proto.functions))):
        function = proto.functions[index]
        key = (function.name, function.overload)
        if function.domain != DOMAIN:
            continue
        if key in calls and given[key] <= {*function.attribute, *(each.name for each in function.attribute_proto)}:
            del calls[key]
        else:
            del proto.functions[index]
    proto.functions.extend(function_for(CUSTOM_OPS[name], opset, calls[name, each]) for name, each in sorted(calls))
