"""Whether a model can run at the shapes of its optimisation profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtconv.errors import ConfigError
from trtconv.model import model_io, walking
from trtconv.model.model_io import Model
from trtconv.passes.base import PassContext
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.rewrite_reflect_pad import BadPad, find_bad_pads, has_reflect_pads
from trtconv.shapes import Bound, Dims, Profile, format_dims, sizes_at

_BOUNDS: Mapping[Bound, str] = {"min": "smallest", "opt": "usual", "max": "largest"}


def require_runnable(model: Model, profiles: Sequence[Profile]) -> None:
    """Raise ConfigError for a profile with a shape at which a reflect pad reaches beyond its axis: ONNX forbids it.

    TensorRT builds such an engine, which fails at run time or pads with values that ONNX does not define.
    """
    described = {name: dims for name, dims in walking.describe_inputs(model.proto).items() if dims is not None}
    is_fixed = all(isinstance(dim, int) for dims in described.values() for dim in dims)
    if is_fixed or not has_reflect_pads(model.graph):
        return
    tried = []
    for profile in profiles:
        for bound in _BOUNDS:
            sizes = sizes_at(described, profile, bound)
            if sizes in tried:
                continue
            tried.append(sizes)
            graph = model_io.graph_at(model, sizes)
            context = PassContext(model.opset, model.path.parent)
            complete_shapes(graph, context)
            bad = find_bad_pads(graph, context)
            if bad:
                raise _refused(bad[0], described, sizes, profile, bound)


def _refused(
    bad: BadPad, described: Mapping[str, Dims], sizes: Mapping[str, Dims], profile: Profile, bound: Bound
) -> ConfigError:
    dynamic = [name for name in sizes if not all(isinstance(dim, int) for dim in described[name])]
    names = [name for name in dynamic if name in _inputs_behind(bad.site.node)] or dynamic
    shapes = [f"{name}={format_dims(sizes[name])}" for name in names]
    is_one = all(profile[name].min == profile[name].max for name in names)
    of = f"the shape {', '.join(shapes)}" if is_one else f"the {_BOUNDS[bound]} shape of {', '.join(names)}"
    hint = f"give a larger shape than {', '.join(shapes)}, or export the model with smaller pads"
    what = f"reflect pad of {bad.pad} on axis {bad.axis}, which is {bad.size} for {of}: ONNX allows at most"
    return ConfigError(f"{what} {max(bad.size - 1, 0)}", where=bad.site.address, hint=hint)


def _inputs_behind(node: gs.Node) -> set[str]:
    """Return the names of the tensors that no node writes, of those that the first input of a node depends on."""
    names: set[str] = set()
    seen: set[int] = set()
    stack = list(node.inputs[:1])
    while stack:
        tensor = stack.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if not tensor.inputs:
            names.add(tensor.name)
        stack.extend(each for writer in tensor.inputs for each in writer.inputs)
    return names
