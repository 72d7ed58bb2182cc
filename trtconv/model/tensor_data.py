"""What a tensor's data must be by its dimensions and its element type."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

from trtconv.element_types import BY_ONNX

_KNOWN_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_MAX_BYTES = (1 << 63) - 1
# The fields that hold values one by one, where they are not raw bytes; all other types are in int32_data.
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
_PACKED_BITS = (2, 4)
_PAIRS = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)  # of real and imaginary part


def problem_of_tensor(tensor: onnx.TensorProto) -> str | None:
    """Return what is wrong with the type, the dimensions or the data of a tensor, None where they fit together.

    Of data in another file only the type and the dimensions are looked at.
    """
    if tensor.data_type not in _KNOWN_TYPES:
        return f"is of element type {tensor.data_type}, which ONNX does not have"
    if any(dim < 0 for dim in tensor.dims):
        return f"has the dimensions {list(tensor.dims)}, of which none may be negative"
    if tensor.HasField("segment"):
        return "holds a segment of a tensor, which no runtime puts together"
    num_elements = math.prod(tensor.dims)
    bits = BY_ONNX[tensor.data_type].bits if tensor.data_type in BY_ONNX else 0
    if num_elements * max(bits, 8) > 8 * _MAX_BYTES:
        return f"has the dimensions {list(tensor.dims)}, whose product is beyond 64 bits"
    if tensor.data_location == TensorProto.EXTERNAL:
        return None
    if tensor.HasField("raw_data"):
        return _raw_problem(tensor, num_elements, bits)
    field = _FIELDS.get(tensor.data_type, "int32_data")
    expected = 2 * num_elements if tensor.data_type in _PAIRS else num_elements
    if bits in _PACKED_BITS:  # a number of the field is one packed byte
        expected = -(-num_elements * bits // 8)
    elif bits % 8:
        return None
    given = len(getattr(tensor, field))
    if given != expected:
        return f"has the dimensions {list(tensor.dims)} and {given} values in {field}, expected {expected}"
    return "holds text that is not UTF-8, which ONNX requires" if not all(map(_is_text, tensor.string_data)) else None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _raw_problem(tensor: onnx.TensorProto, num_elements: int, bits: int) -> str | None:
    if tensor.data_type == TensorProto.STRING:
        return "holds text as raw data, which ONNX forbids"
    given, expected = len(tensor.raw_data), -(-num_elements * bits // 8)
    if (bits % 8 == 0 or bits in _PACKED_BITS) and bits and given != expected:
        return f"has the dimensions {list(tensor.dims)} and {given} bytes of data, expected {expected}"
    return None
