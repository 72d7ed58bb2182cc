"""What the nodes give that show a tensor in another shape, order or type, as steps of norm_reader.py."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.passes.graph_edit import dtype_of, given_inputs, shape_of
from trtconv.passes.moments import NotMoments
from trtconv.passes.norm_reader import Quantity, Reader, Step
from trtconv.passes.views import SPREAD, Size, aligned, reshaped


def _same(reader: Reader, node: gs.Node) -> Quantity:
    dtype = element_types.BY_ONNX.get(dtype_of(node.outputs[0]) or 0)
    if dtype is None or not dtype.is_float:
        raise NotMoments("it is cast to another kind of type")
    return reader.quantity(node.inputs[0], is_squared=True)


def _dropout(reader: Reader, node: gs.Node) -> Quantity:
    """Dropout keeps all of its data unless it is told to train."""
    given = given_inputs(node)
    mode = given[2] if len(given) > 2 else None
    is_training = None if mode is None else reader.value_of(mode)
    if mode is not None and (is_training is None or is_training.any()):
        raise NotMoments("it drops elements at random")
    return reader.quantity(node.inputs[0])


def _transpose(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    order = node.attrs.get("perm", range(len(base.view))[::-1])
    return Quantity(base.moments, [base.view[axis] for axis in order])


def _reshape(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    given = reader.sizes.read(node.inputs[1]) if len(node.inputs) > 1 else node.attrs.get("shape")
    dims = shape_of(node.outputs[0])
    inferred: list[Size] = [] if dims is None else [reader.sizes.size_of(dim) for dim in dims]
    sizes = given or inferred
    if given is not None and not node.attrs.get("allowzero"):
        copied = [index for index, size in enumerate(given) if size == 0]
        if any(index >= len(base.view) or base.view[index] == SPREAD for index in copied):
            raise NotMoments("it reshapes a tensor of unknown size")
        sizes = [base.view[index] if index in copied else size for index, size in enumerate(given)]
    if given is not None and len(inferred) == len(sizes):
        sizes = [own if size in (None, -1) else size for size, own in zip(sizes, inferred, strict=True)]
    if dims is None and given is None:
        raise NotMoments("it reshapes to a size that is known at run time only")
    return Quantity(base.moments, reshaped(base.view, sizes, reader.source.dims))


def _flatten(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    if SPREAD in base.view:
        raise NotMoments("it reshapes a tensor of unknown size")
    split = int(node.attrs.get("axis", 1))
    parts = (base.view[:split], base.view[split:])
    return Quantity(base.moments, [tuple(axis for axes in part for axis in axes) for part in parts])


def _squeeze(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    axes = reader.axes(node, len(base.view))
    if axes is None:
        dims = shape_of(node.outputs[0])
        kept = [axis for axis in base.view if axis != ()]
        if dims is None or len(dims) != len(kept):
            raise NotMoments("it drops axes that are not named")
        return Quantity(base.moments, kept)
    if any(base.view[axis] not in ((), SPREAD) for axis in axes):
        raise NotMoments("it drops an axis that is not of size 1")
    return Quantity(base.moments, [each for axis, each in enumerate(base.view) if axis not in axes])


def _unsqueeze(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    given = reader.given_axes(node)
    if given is None:
        raise NotMoments("it adds axes that are known at run time only")
    rank = len(base.view) + len(given)
    added, own = {axis % rank for axis in given}, iter(base.view)
    return Quantity(base.moments, [() if axis in added else next(own) for axis in range(rank)])


def _expand(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    sizes = reader.sizes.read(node.inputs[1])
    dims = shape_of(node.outputs[0])
    rank = len(sizes) if sizes is not None else None if dims is None else len(dims)
    if rank is None:
        raise NotMoments("it is expanded to a rank that is not known")
    view = aligned([()] * max(rank, len(base.view)), base.view)
    known = [*(sizes or []), *[None] * len(view)][: len(view)] if dims is None else dims
    spread = [SPREAD if axes == () and size != 1 else axes for axes, size in zip(view, known, strict=True)]
    return Quantity(base.moments, spread)


def _tile(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    repeats = reader.value_of(node.inputs[1])
    if repeats is None or repeats.size != len(base.view):
        raise NotMoments("it is repeated a number of times that is known at run time only")
    pairs = list(zip(base.view, repeats.reshape(-1).tolist(), strict=True))
    if any(count != 1 and axes not in ((), SPREAD) for axes, count in pairs):
        raise NotMoments("it repeats the data")
    return Quantity(base.moments, [SPREAD if count != 1 else axes for axes, count in pairs])


STEPS: Mapping[str, Step] = {
    **dict.fromkeys(("Identity", "Cast", "CastLike"), _same),
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Tile": _tile,
}
