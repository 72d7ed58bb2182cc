"""What `trtconv bench --ops` times: operator, shape, type and memory format, and made inputs for each."""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from trtconv.element_types import BY_SHORT, ElementType
from trtconv.errors import ConfigError
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import AttributeValue, CustomOp
from trtconv.ops.instance_norm import DEFAULT_EPSILON, INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD

Array = npt.NDArray[Any]

NORM_SHAPES = (
    (1, 64, 256, 256),
    (1, 256, 64, 64),
    (16, 512, 32, 32),
    (1, 64, 65536),
    (1, 32, 1080, 1920),
    (8, 64, 512, 512),
    (1, 32, 128, 128, 128),
)
SMALL_NORM_SHAPES = ((64, 256, 8, 8), (1, 1024, 4, 4), (1, 2048, 1, 7))
PADS = (
    ((1, 3, 1080, 1920), 4),
    ((1, 128, 64, 64), 1),
    ((1, 64, 256, 256), 3),
    ((8, 64, 512, 512), 3),
    ((1, 256, 44100), 512),
)
_VECTOR_BYTES = 16

_MAX_RANDOM_VALUES = 16777213  # a prime: repeated to fill a tensor, it makes no two slices alike


@dataclass(frozen=True)
class Case:
    """One custom op, by its name, on one tensor. `pad` is what a pad adds on each side of every spatial axis.

    `format` is one of plugins.kernels.LAYOUTS.
    """

    op: str
    shape: tuple[int, ...]
    dtype: str
    pad: int = 0
    format: str = "linear"

    @property
    def name(self) -> str:
        """The name that --filter is matched with, such as InstanceNorm/1x64x256x256/fp16/linear."""
        sizes = "x".join(map(str, self.shape))
        return "/".join([self.op, f"{sizes}+{self.pad}" if self.pad else sizes, self.dtype, self.format])

    @property
    def element_type(self) -> ElementType:
        """The type of its elements."""
        return BY_SHORT[self.dtype]

    @property
    def row(self) -> CustomOp:
        """The op's row in the table of the custom ops."""
        return CUSTOM_OPS[self.op]

    @property
    def is_norm(self) -> bool:
        """Whether the op is a norm, which has parameters, and not a pad."""
        return self.row.kind == "norm"

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """The op's attributes, an epsilon rounded as a model and a kernel hold it."""
        return {"epsilon": float(np.float32(DEFAULT_EPSILON))} if self.is_norm else {"pads": self.pads}

    @property
    def pads(self) -> list[int]:
        """The pads in ONNX order."""
        return ([0, 0] + [self.pad] * (len(self.shape) - 2)) * 2

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return self._output_dims(self.shape)

    @property
    def input_bytes(self) -> int:
        """Bytes that have to be read at least once, those that fill up vectors of channels included."""
        return self._num_bytes(self._stored_dims)

    @property
    def output_bytes(self) -> int:
        """Bytes that have to be written."""
        return self._num_bytes(self._output_dims(self._stored_dims))

    @property
    def num_bytes(self) -> int:
        """What memory has to move."""
        return self.row.bytes_moved(self._stored_dims, self.element_type.num_bytes(1), self.attributes, self.row.inputs)

    @property
    def lanes(self) -> int:
        """How many neighbouring channels lie together; their number is rounded up to a multiple of it."""
        vector = _VECTOR_BYTES // self.element_type.num_bytes(1)
        return {"linear": 1, "channels_last": vector, "chw4": 4, "chw32": 32}[self.format]

    @property
    def tensorrt_format(self) -> str | None:
        """TensorRT's name of the format; None for the linear one."""
        depth = "D" if len(self.shape) == 5 else ""
        if self.format == "channels_last":
            return f"{depth}HWC{self.lanes if self.lanes > 4 else ''}"
        return None if self.format == "linear" else f"C{depth}HW{self.lanes}"

    @property
    def _stored_dims(self) -> tuple[int, ...]:
        """The sizes with the channels that fill up vectors."""
        return (self.shape[0], -(-self.shape[1] // self.lanes) * self.lanes, *self.shape[2:])

    def _output_dims(self, dims: Sequence[int]) -> tuple[int, ...]:
        return tuple(cast("list[int]", self.row.output_dims(dims, self.attributes)))

    def _num_bytes(self, dims: Sequence[int]) -> int:
        return self.element_type.num_bytes(math.prod(dims))


def all_cases() -> Iterator[Case]:
    """Yield every case, in the order of the report."""
    for dtype in ("fp32", "fp16", "bf16"):
        for shape in (*NORM_SHAPES, *SMALL_NORM_SHAPES):
            yield Case(INSTANCE_NORM.name, shape, dtype)
    for dtype in ("fp32", "fp16", "int8"):
        for shape, pad in PADS:
            yield Case(REFLECT_PAD.name, shape, dtype, pad)
    for shape in (*NORM_SHAPES, *SMALL_NORM_SHAPES):  # what TensorRT's convolutions in 16 bits produce
        if len(shape) > 3:
            yield Case(INSTANCE_NORM.name, shape, "fp16", 0, "channels_last")
    for dtype, format_ in (("fp32", "channels_last"), ("fp16", "channels_last"), ("int8", "chw32")):
        for shape, pad in PADS:
            if len(shape) > 3 and (dtype != "fp32" or shape[1] % 4 == 0):  # TensorRT has no HWC of 3 channels
                yield Case(REFLECT_PAD.name, shape, dtype, pad, format_)


def select_cases(patterns: Sequence[str]) -> list[Case]:
    """Return the cases that a glob of `patterns` matches, all without any. Raises ConfigError for a useless one."""
    cases = list(all_cases())
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(case.name, pattern) for case in cases):
            hint = f"names look like {cases[0].name} and {cases[-1].name}; try '*{cases[0].dtype}*'"
            raise ConfigError(f"no case matches {pattern!r}", where="--filter", hint=hint)
    return [case for case in cases if not patterns or any(fnmatch.fnmatchcase(case.name, each) for each in patterns)]


@dataclass(frozen=True)
class Values:
    """What goes into an operator; a pad has no parameters."""

    x: Array
    scale: Array | None = None
    bias: Array | None = None


def make_values(case: Case) -> Values:
    """Return seeded inputs: nothing that a wrong mean or a wrong index could hide behind."""
    num_random = min(math.prod(case.shape), _MAX_RANDOM_VALUES)
    x = np.resize(_random_values(case.dtype, num_random), case.shape)
    return Values(x, **make_parameters(case))


def make_parameters(case: Case) -> dict[str, Array]:
    """Return seeded scale and bias of a norm; a pad has none."""
    names = case.row.inputs[1:]
    values = np.random.default_rng(1).normal(size=(len(names), case.shape[1]))
    return dict(zip(names, values.astype(case.element_type.dtype), strict=True))


def pack(case: Case, values: Array) -> Array:
    """Return [N, C, D1..Dk] as it lies in memory in the case's format; what fills up the channels is zero."""
    if case.format == "linear":
        return values
    missing = -values.shape[1] % case.lanes
    filled = np.pad(values, [(0, 0), (0, missing), *[(0, 0)] * (values.ndim - 2)]) if missing else values
    block = filled.shape[1] if case.format == "channels_last" else case.lanes
    blocks = filled.reshape(filled.shape[0], -1, block, *filled.shape[2:])
    return np.ascontiguousarray(np.moveaxis(blocks, 2, -1))


def unpack(case: Case, stored: Array) -> Array:
    """Return [N, C, D1..Dk] of an output that is a row of bytes in the case's format."""
    shape = case.output_shape
    elements = stored.view(case.element_type.dtype)
    if case.format == "linear":
        return elements.reshape(shape)
    channels = -(-shape[1] // case.lanes) * case.lanes
    block = channels if case.format == "channels_last" else case.lanes
    blocks = elements.reshape(shape[0], channels // block, *shape[2:], block)
    return np.moveaxis(blocks, -1, 2).reshape(shape[0], channels, *shape[2:])[:, : shape[1]]


@functools.lru_cache(maxsize=1)
def _random_values(dtype: str, count: int) -> Array:
    rng = np.random.default_rng(0)
    if dtype == "int8":
        return rng.integers(-128, 128, count, dtype=np.int8)
    return (rng.standard_normal(count, dtype=np.float32) * 2 + 3).astype(BY_SHORT[dtype].dtype)
