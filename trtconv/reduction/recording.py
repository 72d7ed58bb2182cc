"""The values that the tensors of a model have for one set of inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from trtconv.element_types import BY_ONNX
from trtconv.errors import ModelError
from trtconv.inputs.made_inputs import Arrays
from trtconv.model.onnx_session import cause_of, open_session
from trtconv.model.shape_inference import infer

MAX_BYTES = 1 << 30  # of tensors that are kept because they may be asked for


class Recording:
    """Runs a model in `folder` for the inputs `feed` as seldom as memory allows: a run keeps more than it has to."""

    def __init__(self, proto: onnx.ModelProto, folder: Path, feed: Arrays) -> None:
        self._proto = proto
        self._folder = folder
        self._feed = {name: np.asarray(values) for name, values in feed.items()}
        self._values: dict[str, Any] = dict(self._feed)
        self._num_kept_bytes = 0

    def values_of(self, names: Sequence[str], likely: Iterable[str] = ()) -> Mapping[str, Any]:
        """Return the values of tensors; the `likely` ones, the first before the others, may be asked for later.

        Raises ModelError where ONNX Runtime does not run the model.
        """
        missing = [name for name in names if name not in self._values]
        if missing:
            wanted = list(dict.fromkeys((*missing, *self._worth_keeping(likely))))
            self._values |= dict(zip(wanted, self._run(wanted), strict=True))
        return {name: self._values[name] for name in names}

    def _worth_keeping(self, likely: Iterable[str]) -> Iterable[str]:
        for name in likely:
            num_bytes = self._num_bytes.get(name)
            if name in self._values or num_bytes is None or self._num_kept_bytes + num_bytes > MAX_BYTES:
                continue
            self._num_kept_bytes += num_bytes
            yield name

    def _run(self, names: Sequence[str]) -> Sequence[Any]:
        tapped = onnx.ModelProto()
        tapped.CopyFrom(self._proto)
        del tapped.graph.output[:]
        tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        try:
            found: Sequence[Any] = open_session(tapped, self._folder).run(names, self._feed)
        except Exception as error:  # ONNX Runtime has dozens of kinds
            raise ModelError(f"its tensors cannot be recorded: {cause_of(error)}", where=", ".join(names)) from error
        return found

    @cached_property
    def _num_bytes(self) -> dict[str, int]:
        """How many bytes the tensors take whose shapes are known for these inputs."""
        sizes = {name: values.shape for name, values in self._feed.items()}
        graph = infer(self._proto, self._folder, sizes).model.graph
        found = {}
        for value in (*graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            dims = [dim.dim_value for dim in tensor.shape.dim if dim.HasField("dim_value")]
            dtype = BY_ONNX.get(tensor.elem_type)
            is_known = tensor.HasField("shape") and len(dims) == len(tensor.shape.dim)
            if is_known and dtype is not None and dtype.bits > 0:
                found[value.name] = dtype.num_bytes(math.prod(dims))
        return found
