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

from trtconv.element_types import BY_ONNX, BY_SHORT, ElementType
from trtconv.errors import ConfigError
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import CustomOp
from trtconv.ops.instance_norm import DEFAULT_EPSILON, INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD

Array = npt.NDArray[Any]

NORM_SHAPES = (
    (1, 64, 256, 256),
    (1, 256, 128, 128),
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
# Shapes and numbers of groups that diffusion and super-resolution networks have.
GROUPED = (((1, 128, 512, 512), 32), ((1, 512, 64, 64), 32), ((2, 320, 64, 64), 32))
_BEYOND_L2 = (8, 64, 256, 256)
# What is fused around a norm, on a tensor beyond L2 and on one of a network's body: attributes, a residual, pads.
_RELU = (("activation", "relu"),)
FUSED_NORMS: tuple[dict[str, Any], ...] = (
    {"extra": _RELU},
    {"extra": _RELU, "has_residual": True},
    {"extra": (*_RELU, ("upsample", (2,)))},
    {"extra": _RELU, "pad": 1},
    {"extra": (*_RELU, ("upsample", (2,))), "pad": 1},
)
_VECTOR_BYTES = 16

_MAX_RANDOM_VALUES = 16777213  # a prime: repeated to fill a tensor, it makes no two slices alike


@dataclass(frozen=True)
class Case:
    """One custom op, by its name, on one tensor. `pad` is what is added on each side of every spatial axis.

    `format` is one of plugins.kernels.LAYOUTS. `extra` holds the attributes that are not at their defaults, lists as
    tuples; `has_residual` says that a norm adds a tensor like its input.
    """

    op: str
    shape: tuple[int, ...]
    dtype: str
    pad: int = 0
    format: str = "linear"
    extra: tuple[tuple[str, Any], ...] = ()
    has_residual: bool = False

    @property
    def name(self) -> str:
        """The name that --filter is matched with, such as InstanceNorm/1x64x256x256/fp16/linear/residual+relu."""
        parts = [self.op, f"{self.sizes}+{self.pad}" if self.pad else self.sizes, self.dtype, self.format]
        return "/".join([*parts, self.fused] if self.fused else parts)

    @property
    def family(self) -> str:
        """What cases are reported together by, beside type and format: the op, and whether more is in it."""
        if not self.fused:
            return self.op
        return f"{self.op} {'groups' if [name for name, _ in self.extra] == ['groups'] else 'fused'}"

    @property
    def sizes(self) -> str:
        """The shape as names and tables have it."""
        return "x".join(map(str, self.shape))

    @property
    def fused(self) -> str:
        """What the op does beside, such as groups32 or residual+relu+upsample2; nothing for the op alone."""
        words = {"activation": "{}", "to": "to-{}"}
        given = {name: BY_ONNX[value].short if name == "to" else value for name, value in self.extra}
        texts = [words.get(name, f"{name}{{}}").format(_joined(value)) for name, value in given.items()]
        placed = ["pad"] if self.is_norm and self.pad else []
        return "+".join([*(["residual"] if self.has_residual else []), *texts, *placed])

    @property
    def element_type(self) -> ElementType:
        """The type of its elements."""
        return BY_SHORT[self.dtype]

    @property
    def output_type(self) -> ElementType:
        """The type of the result's elements."""
        return BY_ONNX[self.row.output_dtype(self.element_type.onnx, self.attributes) or self.element_type.onnx]

    @property
    def row(self) -> CustomOp:
        """The op's row in the table of the custom ops."""
        return CUSTOM_OPS[self.op]

    @property
    def is_norm(self) -> bool:
        """Whether the op is a norm, which has parameters, and not a pad."""
        return self.row.kind == "norm"

    @property
    def roles(self) -> tuple[str, ...]:
        """What the op's inputs are for."""
        return (*self.row.inputs, *self.row.optional_inputs[: self.has_residual])

    @property
    def tensor_inputs(self) -> tuple[str, ...]:
        """The inputs that are as large as X, as engines name them."""
        return ("x", *self.row.optional_inputs[: self.has_residual])

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes of the op, an epsilon rounded as a model and a kernel hold it."""
        given: dict[str, Any] = {name: list(value) if isinstance(value, tuple) else value for name, value in self.extra}
        given |= {"epsilon": float(np.float32(DEFAULT_EPSILON))} if self.is_norm else {}
        given |= {"pads": [self.pad] if self.is_norm else self.pads}
        return self.row.complete(given)

    @property
    def is_placed(self) -> bool:
        """Whether the result is upsampled or padded."""
        return bool(self.pad) or any(factor != 1 for factor in self.attributes["upsample"])

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
        return self.element_type.num_bytes(math.prod(self._stored_dims))

    @property
    def output_bytes(self) -> int:
        """Bytes that have to be written."""
        return self.output_type.num_bytes(math.prod(self._output_dims(self._stored_dims)))

    @property
    def num_bytes(self) -> int:
        """What memory has to move."""
        return self.row.bytes_moved(self._stored_dims, self.element_type.num_bytes(1), self.attributes, self.roles)

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


def _joined(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
    yield from _cases_with_more()


def _cases_with_more() -> Iterator[Case]:
    """Yield the cases of what is fused into the ops."""
    for format_ in ("linear", "channels_last"):
        for shape, groups in GROUPED:
            yield Case(INSTANCE_NORM.name, shape, "fp16", format=format_, extra=(("groups", groups),))
        yield Case(INSTANCE_NORM.name, _BEYOND_L2, "fp16", format=format_)  # for the next to be compared with
        for shape in (_BEYOND_L2, (1, 256, 128, 128)):
            for more in FUSED_NORMS:
                yield Case(INSTANCE_NORM.name, shape, "fp16", format=format_, **more)
        for extra in (_RELU, (("upsample", (1, 1, 2, 2)),)):
            yield Case(REFLECT_PAD.name, _BEYOND_L2, "fp16", 1, format_, extra)
    for dtype, to in (("fp32", "fp16"), ("fp16", "fp32")):
        yield Case(REFLECT_PAD.name, _BEYOND_L2, dtype, 1, extra=(("to", BY_SHORT[to].onnx),))


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
    residual: Array | None = None


def make_values(case: Case) -> Values:
    """Return seeded inputs: nothing that a wrong mean or a wrong index could hide behind."""
    num_random = min(math.prod(case.shape), _MAX_RANDOM_VALUES)
    random = _random_values(case.dtype, num_random)
    residual = np.resize(random[::-1], case.shape) if case.has_residual else None
    return Values(np.resize(random, case.shape), **make_parameters(case), residual=residual)


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
    elements = stored.view(case.output_type.dtype)
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
