"""Random changes of an ONNX model's structure, after which the file still parses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.mutations import INTERESTING_FLOATS, INTERESTING_INTS, INTERESTING_TEXTS, mutate_bytes

MAX_CHANGES = 3
MAX_REPEATS = 1000
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}

Field = Any  # protobuf's types say nothing of its descriptors' attributes


def mutate_model(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Change a few fields anywhere in a model, or take parts of another one; sometimes its bytes alone."""
    if rng.random() < 0.15:
        return mutate_bytes(rng, data)
    proto, donor = onnx.ModelProto.FromString(data), onnx.ModelProto.FromString(rng.choice(donors))
    for _ in range(rng.choice((1, 1, 1, 2, MAX_CHANGES))):
        _change(rng, proto, donor)
    return bytes(proto.SerializeToString())


def _change(rng: random.Random, proto: Message, donor: Message) -> None:
    """Change one field of a model."""
    places = list(_places(proto))
    message, field = rng.choice(places)
    if rng.random() < 0.1:  # a field that the model does not have
        message = rng.choice(places)[0]
        field = rng.choice(message.DESCRIPTOR.fields)
    if field.is_repeated:
        _change_list(rng, message, field, proto, donor)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        if rng.random() < 0.5 or not _graft(rng, getattr(message, field.name), donor):
            message.ClearField(field.name)
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(rng, field, getattr(message, field.name), proto))


def _change_list(rng: random.Random, message: Message, field: Field, proto: Message, donor: Message) -> None:
    """Drop, repeat, move or change entries of a repeated field."""
    entries = getattr(message, field.name)
    is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    if not entries:
        _append(rng, entries, field, proto, donor)
        return
    index = rng.randrange(len(entries))
    match rng.randrange(7):
        case 0:
            del entries[index]
        case 1:
            entries.extend([entries[index]] * rng.choice((1, 1, 2, MAX_REPEATS if rng.random() < 0.02 else 3)))
        case 2:
            kept = list(entries)
            copies = [type(each).FromString(each.SerializeToString()) for each in kept] if is_message else kept
            rng.shuffle(copies)
            del entries[:]
            entries.extend(copies)
        case 3:
            _append(rng, entries, field, proto, donor)
        case _ if is_message:
            if not _graft(rng, entries[index], donor):
                del entries[index]
        case _:
            entries[index] = _scalar(rng, field, entries[index], proto)


def _append(rng: random.Random, entries: Any, field: Field, proto: Message, donor: Message) -> None:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        _graft(rng, entries.add(), donor)
    else:
        entries.append(_scalar(rng, field, None, proto))


def _graft(rng: random.Random, message: Message, donor: Message) -> bool:
    """Replace a message by one of its kind from the donor; say whether there is one."""
    like = [each for each in _messages(donor) if each.DESCRIPTOR is message.DESCRIPTOR]
    if like:
        message.CopyFrom(rng.choice(like))
    return bool(like)


def _scalar(rng: random.Random, field: Field, old: Any, proto: Message) -> Any:
    """Return a value that a field can hold: an extreme one, one nearby, or for text one of the model's names."""
    if field.cpp_type in _FLOATS:
        value = rng.choice(INTERESTING_FLOATS)
        return value if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE or abs(value) < 1e39 else float("inf")
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return not old
    if field.type == FieldDescriptor.TYPE_BYTES:
        return mutate_bytes(rng, old or b"")
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return rng.choice(INTERESTING_TEXTS) if rng.random() < 0.3 else rng.choice(_texts(proto))
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    low, high = _BITS[field.cpp_type]
    near = (old or 0) + rng.choice((-2, -1, 1, 2))
    value = near if rng.random() < 0.4 else rng.choice(INTERESTING_INTS)
    return min(max(value, low), high)


def _texts(proto: Message) -> list[str]:
    """Return the texts of a model: names of tensors, ops and dimensions, and where none is, one."""
    texts = []
    for message, field in _places(proto):
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type != FieldDescriptor.TYPE_BYTES:
            value = getattr(message, field.name)
            texts += list(value) if field.is_repeated else [value]
    return [text for text in texts if isinstance(text, str)] or ["x"]


def _places(proto: Message) -> Iterator[tuple[Message, Field]]:
    """Yield every field that is set, with the message that it is in."""
    for message in _messages(proto):
        for field, _ in message.ListFields():
            yield message, field


def _messages(proto: Message) -> Iterator[Message]:
    yield proto
    for field, value in proto.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                yield from _messages(each)
