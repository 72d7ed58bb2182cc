"""Make a failing file smaller while it still fails the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

MAX_SECONDS = 30


def minimise(data: bytes, still_fails: Callable[[bytes], bool]) -> bytes:
    """Return a part of `data` that still fails: a model by its fields, anything else by its bytes."""
    until = time.monotonic() + MAX_SECONDS
    for parts in (_fewer_fields, _fewer_bytes):
        smaller: bytes | None = data
        while smaller is not None:
            data = smaller
            tries = (each for each in parts(data) if time.monotonic() < until)
            smaller = next((each for each in tries if len(each) < len(data) and still_fails(each)), None)
    return data


def _fewer_bytes(data: bytes) -> Iterator[bytes]:
    length = len(data) // 2
    while length:
        for start in range(0, len(data), length):
            yield data[:start] + data[start + length :]
        length //= 2


def _fewer_fields(data: bytes) -> Iterator[bytes]:
    """Yield the model without one of its fields or entries, those that hold the most first."""
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError:
        return
    for path in sorted(_paths(proto, ()), key=len):
        smaller = onnx.ModelProto.FromString(data)
        message: Any = smaller
        for name, index in path[:-1]:
            message = getattr(message, name) if index is None else getattr(message, name)[index]
        name, index = path[-1]
        if index is None:
            message.ClearField(name)
        else:
            del getattr(message, name)[index]
        yield bytes(smaller.SerializeToString())


def _paths(message: Message, path: tuple[tuple[str, int | None], ...]) -> Iterator[tuple[tuple[str, int | None], ...]]:
    for field, value in message.ListFields():
        is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
        entries = list(enumerate(value)) if field.is_repeated else [(None, value)]
        for index, entry in entries:
            yield (*path, (field.name, index))
            if is_message:
                yield from _paths(entry, (*path, (field.name, index)))
