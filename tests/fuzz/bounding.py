"""Make shape inference cheaper in a child of the fuzzer, where forks and exhausted limits take most of the time."""

from __future__ import annotations

import ctypes
from typing import Any

import onnx

from trtconv.model import shape_inference, size_growth
from trtconv.model.walking import walk_graphs

MEMORY_BYTES = 32 << 20  # until inference is given up, and tried again without values; a command's is eight times that
_SMALL_BITS = 20
_M_ARENA_MAX = -8  # glibc: threads share one arena, since a new one grows by a page a call where memory has run out
_stays_small = shape_inference.stays_small


def bound_cheaply() -> None:
    """Let shape inference in this process fork only for models that state a number beyond a million."""
    replaced: Any = shape_inference
    replaced.stays_small = states_small_numbers
    replaced._MAX_BYTES = MEMORY_BYTES
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def states_small_numbers(proto: onnx.ModelProto) -> bool:
    """Say whether shape inference hardly takes long: what the numbers become by multiplication is not looked at."""
    numbers = (number for graph in walk_graphs(proto.graph) for number in size_growth.numbers_of(graph))
    return _stays_small(proto) or all(number.bit_length() <= _SMALL_BITS for number in numbers)
