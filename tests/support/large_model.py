"""Write a seeded model of any size, tensor by tensor.

`python -m tests.support.large_model FOLDER GIGABYTES [--inline]`

It is a chain of blocks, reflect Pad -> Conv -> InstanceNormalization -> Relu, and one MatMul. The convolutions' weights
lie in several data files; every second block has its pads, scale and bias there too.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NUM_CHANNELS = 1024
NUM_DATA_FILES = 3
PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1])
WEIGHT_SHAPE = (NUM_CHANNELS, NUM_CHANNELS, 3, 3)
WEIGHT_BYTES = 4 * NUM_CHANNELS * NUM_CHANNELS * 9


def write_large_model(folder: Path, gigabytes: float, *, inline: bool = False, side: int = 8) -> Path:
    """Write the model, of at least one block; no more than one tensor is in memory at a time.

    With `inline` all weights are in the model file itself, in the order of the wire format: messages that stand one
    behind the other are one message.
    """
    num_blocks = max(1, round(gigabytes * 1e9 / WEIGHT_BYTES))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "large.onnx"
    with contextlib.ExitStack() as stack:
        model_file = stack.enter_context(path.open("wb"))
        model_file.write(_architecture(num_blocks, side).SerializeToString())
        data_files = []
        for index in range(0 if inline else NUM_DATA_FILES):
            data_files.append(stack.enter_context((folder / f"weights_{index}.bin").open("wb")))
        for index, (name, values, is_external) in enumerate(_tensors(num_blocks)):
            tensor = numpy_helper.from_array(values, name)
            if is_external and data_files:
                _move_out(tensor, data_files[index % NUM_DATA_FILES])
            graph = onnx.GraphProto(initializer=[tensor])
            model_file.write(onnx.ModelProto(graph=graph).SerializeToString())
    return path


def _architecture(num_blocks: int, side: int) -> onnx.ModelProto:
    nodes, value = [], "x"
    for block in range(num_blocks):
        names = {name: f"{name}_{block}" for name in ("pads", "padded", "w", "c", "scale", "bias", "n", "y")}
        nodes += [
            helper.make_node("Pad", [value, names["pads"]], [names["padded"]], mode="reflect"),
            helper.make_node("Conv", [names["padded"], names["w"]], [names["c"]]),
            helper.make_node("InstanceNormalization", [names["c"], names["scale"], names["bias"]], [names["n"]]),
            helper.make_node("Relu", [names["n"]], [names["y"]]),
        ]
        value = names["y"]
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["y"]),
    ]
    shapes: dict[str, Any] = {"x": [1, NUM_CHANNELS, side, side], "y": [1, NUM_CHANNELS]}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "large", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tensors(num_blocks: int) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, values, and whether they go into a data file."""
    rng = np.random.default_rng(0)
    for block in range(num_blocks):
        yield f"w_{block}", rng.standard_normal(WEIGHT_SHAPE, dtype=np.float32) * np.float32(0.01), True
        is_external = block % 2 == 0
        yield f"pads_{block}", PADS, is_external
        yield f"scale_{block}", rng.uniform(0.5, 1.5, NUM_CHANNELS).astype(np.float32), is_external
        yield f"bias_{block}", rng.standard_normal(NUM_CHANNELS, dtype=np.float32), is_external
    yield "head", rng.standard_normal((NUM_CHANNELS, NUM_CHANNELS), dtype=np.float32), True


def _move_out(tensor: TensorProto, file: BinaryIO) -> None:
    """Append a tensor's data to a data file, and let the tensor name the place."""
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": len(tensor.raw_data)}
    file.write(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("gigabytes", type=float)
    parser.add_argument("--inline", action="store_true", help="keep the weights in the model file")
    args = parser.parse_args()
    write_large_model(args.folder, args.gigabytes, inline=args.inline)
