"""What a page shows of an engine: its inputs and outputs, its profiles and its layers."""

from __future__ import annotations

from collections.abc import Sequence

from trtconv.engine import loading
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.engine.inspector_json import Layer
from trtconv.engine.live_engine import EngineTensor, read_engine
from trtconv.errors import TrtconvError
from trtconv.reports.html.page import LayerRow
from trtconv.reports.tables import Column, Table
from trtconv.shapes import format_dims


def tensor_table(tensors: Sequence[EngineTensor]) -> Table:
    """Return a row for each input and output, with the shapes of each profile as min:opt:max."""
    columns = [
        Column(""),
        Column("name", "name"),
        Column("type"),
        Column("shape"),
        Column("format"),
        Column("profiles", "text"),
    ]
    rows = []
    for tensor in tensors:
        shape = format_dims([None if dim < 0 else dim for dim in tensor.shape], "×")
        profiles = "; ".join(str(given).replace("x", "×") for given in tensor.profiles)
        rows.append((tensor.direction, tensor.name, tensor.dtype, shape, tensor.format or "", profiles))
    return Table("Inputs and outputs", columns, rows)


def layer_rows(layers: Sequence[Layer]) -> list[LayerRow]:
    """Return what the page shows of each layer."""
    return [
        LayerRow(
            layer.name,
            layer.type or "",
            layer.precision or "",
            layer.formats or "",
            layer.tactic if layer.tactic is not None and layer.tactic.strip("0x") else "",
            tuple(layer.nodes),
        )
        for layer in layers
    ]


def read_layers(plan: Plan, backend: Backend) -> tuple[list[LayerRow] | None, str]:
    """Load an engine that was built here and return its layers, or None and why they are unknown."""
    if backend.gpu is None or backend.gpu.arch != backend.arch:
        here = "there is no GPU here" if backend.gpu is None else f"the GPU here is {backend.gpu.arch}"
        return None, f"only a loaded engine tells its layers, and {here}"
    try:
        return layer_rows(read_engine(loading.load_plan(plan, backend)).information.layers), ""
    except TrtconvError as error:
        return None, f"the engine could not be loaded to read them: {error.what}"
