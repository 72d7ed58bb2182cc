"""The table of element types: the number, the names and the size of each, as ONNX, TensorRT and people know it.

The numbers are written out, and numpy is imported when a dtype is first asked for: this module costs nothing to import.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ElementType:
    """One element type.

    `onnx` is its number in TensorProto, `name` what people read, `short` its name in options and reports on speed,
    `bits` the size of an element (0: it varies), `tensorrt_name` its name in TensorRT's DataType. `array` is the
    attribute of numpy or ml_dtypes, None for a type whose tensors trtconv neither feeds nor computes. `engine_words`
    are the other names that TensorRT's inspector gives it, in lower case, and `engine_name` is the name in reports on
    engines. `kernel` is its number in trtconv_kernels.h, for the types of which there are norms. `parsed_as` is what
    TensorRT's ONNX parser makes of it, where that is another type.
    """

    onnx: int
    name: str
    bits: int
    short: str = ""
    tensorrt_name: str | None = None
    array: str | None = None
    engine_words: tuple[str, ...] = ()
    engine_name: str = ""
    kernel: int | None = None
    parsed_as: ElementType | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", self.short or self.name)
        object.__setattr__(self, "engine_name", self.engine_name or self.name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its numpy dtype; TypeError for a type that has none here."""
        if self.array is None:
            raise TypeError(f"no numpy dtype for {self.name}")
        return _dtype(self.array)

    @property
    def in_engine(self) -> ElementType:
        """The type that a tensor of it has in an engine."""
        return self.parsed_as or self

    @property
    def is_float(self) -> bool:
        """Whether arrays of it hold floating-point numbers."""
        return self.array is not None and "float" in self.array

    def num_bytes(self, num_elements: int) -> int:
        """Return how many bytes that number of elements takes."""
        return -(-num_elements * self.bits // 8)


FLOAT32 = ElementType(1, "float32", 32, "fp32", "FLOAT", "float32", ("fp32", "float"), kernel=0)
FLOAT16 = ElementType(10, "float16", 16, "fp16", "HALF", "float16", ("fp16", "half"), kernel=1)
BFLOAT16 = ElementType(16, "bfloat16", 16, "bf16", "BF16", "bfloat16", ("bf16",), kernel=2)
INT8 = ElementType(3, "int8", 8, tensorrt_name="INT8", array="int8")
INT32 = ElementType(6, "int32", 32, tensorrt_name="INT32", array="int32")
INT64 = ElementType(7, "int64", 64, tensorrt_name="INT64", array="int64")
BOOL = ElementType(9, "bool", 8, tensorrt_name="BOOL", array="bool_")

ELEMENT_TYPES = (
    FLOAT32,
    FLOAT16,
    BFLOAT16,
    INT8,
    INT32,
    INT64,
    BOOL,
    ElementType(2, "uint8", 8, tensorrt_name="UINT8", array="uint8"),
    ElementType(11, "float64", 64, array="float64", parsed_as=FLOAT32),  # as ONNX-TensorRT's operators.md says
    ElementType(4, "uint16", 16, array="uint16"),
    ElementType(5, "int16", 16, array="int16"),
    ElementType(12, "uint32", 32, array="uint32"),
    ElementType(13, "uint64", 64, array="uint64"),
    ElementType(14, "complex64", 64, array="complex64"),
    ElementType(15, "complex128", 128, array="complex128"),
    ElementType(8, "string", 0),
    ElementType(17, "float8e4m3fn", 8, tensorrt_name="FP8", engine_words=("fp8",), engine_name="float8"),
    ElementType(18, "float8e4m3fnuz", 8),
    ElementType(19, "float8e5m2", 8),
    ElementType(20, "float8e5m2fnuz", 8),
    ElementType(24, "float8e8m0", 8, tensorrt_name="E8M0", engine_name="e8m0"),
    ElementType(23, "float4e2m1", 4, tensorrt_name="FP4", engine_words=("fp4",), engine_name="float4"),
    ElementType(22, "int4", 4, tensorrt_name="INT4"),
    ElementType(21, "uint4", 4),
    ElementType(26, "int2", 2),
    ElementType(25, "uint2", 2),
    ElementType(27, "float6e2m3", 6),
    ElementType(28, "float6e3m2", 6),
)

BY_ONNX: Mapping[int, ElementType] = {each.onnx: each for each in ELEMENT_TYPES}
BY_SHORT: Mapping[str, ElementType] = {each.short: each for each in ELEMENT_TYPES}
BY_TENSORRT: Mapping[str, ElementType] = {each.tensorrt_name: each for each in ELEMENT_TYPES if each.tensorrt_name}
# What TensorRT's inspector and its DataType write, in lower case.
BY_ENGINE_WORD: Mapping[str, ElementType] = {
    word: each for each in BY_TENSORRT.values() for word in (each.engine_name, *each.engine_words)
}


def name_of(onnx: int) -> str:
    """Return the name of an ONNX element type as people write it, float32; of one that is not known, its number."""
    found = BY_ONNX.get(onnx)
    return f"element type {onnx}" if found is None else found.name


def of_dtype(dtype: np.dtype[Any]) -> ElementType:
    """Return the element type of a numpy dtype; KeyError for one that has none."""
    return _by_dtype()[dtype]


@functools.cache
def _dtype(array: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    dtype: np.dtype[Any] = np.dtype(getattr(np, array, None) or getattr(ml_dtypes, array))
    return dtype


@functools.cache
def _by_dtype() -> dict[np.dtype[Any], ElementType]:
    return {each.dtype: each for each in ELEMENT_TYPES if each.array is not None}
