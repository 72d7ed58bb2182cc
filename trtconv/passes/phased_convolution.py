"""Put a convolution that computes all phases of a position at once in the place of another:

    Conv(X)  ->  ReflectPad(Conv(X), phases, crop)

The map after it puts the phases in place; a norm or a pad that follows takes that over (fuse_phases.py). The weights
are combined in float64 and rounded once. Elements of the new kernel that a phase does not need are zero, so the two are
the same function of finite values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.decisions import REWRITTEN, Decision
from trtconv.ops.custom_op import Dim, Operand
from trtconv.ops.input_map import has_phases
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Recognised, Site
from trtconv.passes.convolutions import MAX_WEIGHTS, Convolution, Parameters, read_parameters
from trtconv.passes.fuse_activation import ACTIVATION_RULE
from trtconv.passes.fusion import is_op, read_plugin_node, title_of
from trtconv.passes.graph_edit import NewNode, dtype_of, plugin_node, replace, set_type, shape_of
from trtconv.passes.phase_forms import AxisForm, combine

NO_READER = "no custom op follows that could read its phases, and to put them in place costs a copy"
_JOINED = "BatchNormalization"
_MAX_ACTIVATIONS = 4  # one after the other, of which a plugin takes one
_MAX_PHASES = 64  # upsampling of images by 8, of volumes by 4


class PhasedForm(NamedTuple):
    """What stands for a convolution: the tensor that it reads, and the form of each axis.

    `what` says it in reports. `before` are the nodes between `x` and the convolution, which go with it; `edge_pad` is
    that of them, if any, in whose place edge pads of `x` come, by the pads of `axes`. Otherwise these are zero pads.
    """

    convolution: Convolution
    x: gs.Tensor
    axes: Sequence[AxisForm]
    what: str
    before: Sequence[Site] = ()
    edge_pad: gs.Node | None = None

    @property
    def phases(self) -> list[int]:
        """How many positions of each axis are computed at once."""
        return [axis.phases for axis in self.axes]

    @property
    def pads(self) -> list[int]:
        """The pads of `x`: all begins, then all ends."""
        return [*(axis.begin for axis in self.axes), *(axis.end for axis in self.axes)]

    @property
    def dims(self) -> list[Dim]:
        """The dimensions of the tensor that holds the phases; None for what is not known."""
        y = shape_of(self.convolution.y) or [None] * (2 + len(self.axes))
        sizes = [
            (size + axis.crop) // axis.phases if isinstance(size, int) else None
            for size, axis in zip(y[2:], self.axes, strict=True)
        ]
        return [y[0], math.prod(self.phases) * self.convolution.out_channels, *sizes]

    @property
    def map_attributes(self) -> dict[str, Any]:
        """The attributes of the map that puts the phases in place."""
        crop = [axis.crop for axis in self.axes]
        rank = 2 + len(self.axes)
        return {"pads": [0] * (2 * rank), "phases": [1, 1, *self.phases], "crop": [0, 0, *crop]}


def phases_of(name: str) -> str:
    """Return what the tensor of all phases is called whose positions the tensor `name` holds in place."""
    return f"{name}_phases"


def reads_phases(node: gs.Node) -> bool:
    """Say whether a node is a custom op that puts phases in place."""
    plugin = read_plugin_node(node)
    return plugin is not None and has_phases(plugin.attributes)


def is_read_by_plugin(y: gs.Tensor, outputs: frozenset[int], context: PassContext) -> bool:
    """Say whether a custom op alone reads a tensor, or an activation of it; `outputs` are those of graphs, by id."""
    for _ in range(_MAX_ACTIVATIONS + 1):
        readers = [reader for reader in y.outputs if not is_op(reader, "Sigmoid")]  # that of a silu goes into its Mul
        if id(y) in outputs or len(readers) != 1:
            return False
        if read_plugin_node(readers[0]) is not None:
            return True
        rule = ACTIVATION_RULE
        if not rule.accepts(readers[0]) or isinstance(rule.match(y, readers[0], context), NoMatch):
            return False
        y = readers[0].outputs[0]
    return False


def rewrite_as_phases(site: Site, form: PhasedForm, context: PassContext) -> int:
    """Put `form` in the place of the convolution at `site`, and return how many nodes became another form by it.

    Records what was done; where that cannot be, why it stays.
    """
    parameters = _why_not(form) or read_parameters(form.convolution, context)
    combined = parameters if isinstance(parameters, NoMatch) else _combine(parameters, form)
    if isinstance(combined, NoMatch):
        leave(site, combined, context)
        return 0
    assert isinstance(parameters, Parameters)
    title, told = site.node.op, [(member, _title_of(member, context)) for member in form.before]
    figures = _figures(form, parameters, combined)
    _replace(site, form, combined, context)
    context.decisions.revise(site.node, Decision(site.address, title, REWRITTEN, form.what, figures))
    num_edits = 1
    for member, member_title in told:
        became = REFLECT_PAD.title if member.node is form.edge_pad else REWRITTEN
        pads = ",".join(map(str, form.pads))
        reason = (
            f"edge pads [{pads}] before the upsampling" if member.node is form.edge_pad else f"part of {site.address}"
        )
        num_edits += context.decisions.revise(member.node, Decision(member.address, member_title, became, reason))
    return num_edits


def too_many_phases(factors: Sequence[int]) -> NoMatch | None:
    """Return why a convolution of that many phases along its axes stays, None where it need not."""
    num_phases = math.prod(factors)
    return NoMatch(f"it would have {num_phases} phases, each with its weights") if num_phases > _MAX_PHASES else None


def leave(site: Site, why: NoMatch, context: PassContext) -> None:
    """Record why a node stays as it is, unless another pass has said so."""
    if not context.decisions.has(site.node):
        context.note(site, None, why.reason)


def _why_not(form: PhasedForm) -> NoMatch | None:
    convolution, num_phases = form.convolution, math.prod(form.phases)
    kernel = math.prod(axis.kernel for axis in form.axes)
    if num_phases * convolution.out_channels * convolution.in_channels * kernel > MAX_WEIGHTS:
        return NoMatch("its weights would be too many")
    if any(reader.op == _JOINED for reader in form.convolution.y.outputs):
        return NoMatch(f"a {_JOINED} follows, which TensorRT joins with it")
    problem = REFLECT_PAD.problem([Operand(dtype_of(form.x), form.dims)], form.map_attributes)
    return NoMatch(problem) if problem else None


def _title_of(member: Site, context: PassContext) -> str:
    decision = context.decisions.last(member.node)
    return title_of(member.node) if decision is None else decision.op


def _combine(given: Parameters, form: PhasedForm) -> Parameters | NoMatch:
    dtype = given.weights.dtype
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(combine(given.weights, form.axes).astype(dtype))
    if not np.isfinite(weights.astype(np.float64)).all():
        return NoMatch(f"sums of its weights are beyond the range of {dtype.name}")
    bias = None if given.bias is None else np.tile(given.bias, math.prod(form.phases))
    return Parameters(weights, bias)


def _figures(form: PhasedForm, old: Parameters, new: Parameters) -> dict[str, Any]:
    """Return the bytes of the weights before and after and, where sizes are known, the multiply-adds of one image."""
    figures: dict[str, Any] = {
        "phases": form.phases,
        "weight_bytes_before": old.num_bytes,
        "weight_bytes_after": new.num_bytes,
    }
    convolution = form.convolution
    positions = shape_of(convolution.x if convolution.is_transposed else convolution.y) or [None]
    for name, weights, dims in (("before", old.weights, positions), ("after", new.weights, form.dims)):
        sizes = [size for size in dims[2:] if isinstance(size, int)]
        if len(sizes) == len(form.axes):
            figures[f"multiply_adds_{name}"] = int(weights.size) * math.prod(sizes)
    return figures


def _replace(site: Site, form: PhasedForm, parameters: Parameters, context: PassContext) -> None:
    convolution, opset = form.convolution, context.opset
    x, y, news = form.x, convolution.y, []
    pads = form.pads
    if form.edge_pad is not None:
        x, pads = _edge_padded(form), [0] * len(pads)
        news.append(_edge_pad(form, x, opset))
    phased = gs.Variable(phases_of(y.name), y.dtype or form.x.dtype, form.dims)
    constants = [gs.Constant(f"{y.name}_weights_of_phases", parameters.weights)]
    if parameters.bias is not None:
        constants.append(gs.Constant(f"{y.name}_bias_of_phases", parameters.bias))
    strides = [axis.stride for axis in form.axes]
    attributes = {"kernel_shape": [axis.kernel for axis in form.axes], "pads": pads, "strides": strides}
    news.append(NewNode("Conv", [x, *constants], [phased], attributes, heir_of=convolution.node))
    news.append(plugin_node(REFLECT_PAD, [phased], [y], form.map_attributes, opset))
    replace(site.graph, [*(member.node for member in form.before), convolution.node], news)
    set_type(y, dtype_of(form.x), REFLECT_PAD.output_dims(form.dims, form.map_attributes))
    placed = y.inputs[0]
    context.made[id(placed)] = placed
    context.recognised[id(placed)] = Recognised(site.address, "Conv", form.what)


def _edge_padded(form: PhasedForm) -> gs.Variable:
    dims = shape_of(form.x)
    pads = _pads_of_all_axes(form)
    padded = None if dims is None else REFLECT_PAD.output_dims(dims, {"pads": pads})
    return gs.Variable(f"{form.x.name}_edge_padded", form.x.dtype, padded)


def _edge_pad(form: PhasedForm, y: gs.Tensor, opset: int) -> NewNode:
    attributes: dict[str, Any] = {"pads": _pads_of_all_axes(form), "pad_mode": "edge"}
    return plugin_node(REFLECT_PAD, [form.x], [y], attributes, opset, heir_of=form.edge_pad)


def _pads_of_all_axes(form: PhasedForm) -> list[int]:
    half = len(form.axes)
    return [0, 0, *form.pads[:half], 0, 0, *form.pads[half:]]
