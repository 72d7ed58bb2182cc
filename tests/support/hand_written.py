"""Networks and tensors that look like those of a TensorRT module, where the module itself can make none.

Full TensorRT has no builder without a GPU, and TensorRT-RTX's networks take no plugins. These stand in for them;
everything else - types, the registry, the plugins - is the module's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from typing import Any

import pytest

MODULES = [
    pytest.param(name, marks=pytest.mark.skipif(util.find_spec(name) is None, reason=f"{name} is not installed"))
    for name in ("tensorrt_rtx", "tensorrt")
]


class Tensor:
    """An ITensor of a network that exists on paper only."""

    def __init__(self, trt: Any, shape: Sequence[int] | None, dtype: str = "FLOAT") -> None:
        self._trt = trt
        self._shape = shape
        self.dtype = getattr(trt.DataType, dtype)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._trt.ITensor

    @property
    def shape(self) -> Sequence[int]:
        if self._shape is None:
            raise ValueError("__len__() should return >= 0")  # as TensorRT's Dims of an unknown rank
        return self._shape


class Layer:
    """What a network's add_* returned."""

    def __init__(self, output: Any, **made_of: Any) -> None:
        self.name = "(Unnamed Layer* 0)"
        self.made_of = made_of
        self._output = output

    def get_output(self, index: int) -> Any:
        assert index == 0
        return self._output


def make_network(trt: Any, *, refuses: bool = False) -> Any:
    """Return a network of module `trt`; with `refuses`, its functions answer None, as TensorRT's may."""

    class Network:
        def __init__(self) -> None:
            self.layers: list[Layer] = []

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            return trt.INetworkDefinition

        def add_constant(self, shape: Sequence[int], weights: Any) -> Layer | None:
            assert list(shape) == [weights.size]
            return self._add(Tensor(trt, list(shape), weights.dtype.name), weights=weights)

        def add_plugin_v3(self, inputs: list[Any], shape_inputs: list[Any], plugin: Any) -> Layer | None:
            assert shape_inputs == []
            return self._add(inputs[0], inputs=inputs, plugin=plugin)

        def _add(self, output: Any, **made_of: Any) -> Layer | None:
            self.layers.append(Layer(output, **made_of))
            return None if refuses else self.layers[-1]

    Network.__module__ = trt.INetworkDefinition.__module__
    return Network()
