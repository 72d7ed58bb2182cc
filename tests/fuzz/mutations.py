"""Random changes of valid files. The same generator and file always give the same change."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

MAX_BYTE_EDITS = 4
INTERESTING_INTS = (0, 1, -1, 2, 7, 255, -128, 1 << 16, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32, 1 << 62,
                    (1 << 63) - 1, -(1 << 63), 1 << 63, 1 << 200)  # fmt: skip
INTERESTING_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, -1e38, 1e308, float("inf"), float("-inf"), float("nan"))
INTERESTING_TEXTS = (
    "",
    " ",
    ".",
    "../x",
    "/",
    "a" * 300,
    "\x1b[31m",
    "\u202e",
    "\u00e9",
    "\ud7ff",
    "%s%n",
    "null",
    "1x2",
)
DEEP = 5000  # levels of nesting, more than Python's stack takes

Json = Any


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Change, insert, repeat, move or drop a few bytes, or cut the file short."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MAX_BYTE_EDITS)):
        place = rng.randrange(len(changed) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(changed) - place)
        match rng.randrange(7):
            case 0 if length:
                changed[place] ^= 1 << rng.randrange(8)
            case 1 if length:
                changed[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                changed[place:place] = rng.randbytes(length or 1)
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = changed[place : place + length] * rng.choice((1, 2, 64))
            case 5:
                target = rng.randrange(len(changed) + 1)
                part = changed[place : place + length]
                changed[target : target + len(part)] = part
            case _ if rng.random() < 0.2:
                del changed[place:]
    return bytes(changed)


def mutate_json(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Change the values, keys or nesting of a JSON document; now and then its bytes."""
    kind = rng.random()
    if kind < 0.15:
        return mutate_bytes(rng, data)
    if kind < 0.17:
        return rng.choice((b"[" * DEEP, b'{"format":' * DEEP, b"[" * DEEP + b"]" * DEEP, b"9" * DEEP))
    document = json.loads(data)
    donor = json.loads(rng.choice(donors))
    for _ in range(rng.randint(1, 3)):
        document = _with_change(rng, document, donor)
    return json.dumps(document).encode(errors="surrogatepass")


def _with_change(rng: random.Random, document: Json, donor: Json) -> Json:
    """Return a document in which one value, anywhere, is another."""
    places = list(_places(document))
    if not places or rng.random() < 0.02:
        return _value(rng, document)
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(INTERESTING_TEXTS)] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder[key:key] = [holder[key]] * rng.choice((1, 2, 100))
        case 3:
            source, name = rng.choice(list(_places(donor)) or [({"": None}, "")])
            holder[key] = copy.deepcopy(source[name])
        case _:
            holder[key] = _value(rng, holder[key])
    return document


def _places(document: Json) -> list[tuple[Any, Any]]:
    """Return every place in a document: the object or list, and the key or index in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys]
    return found


def _value(rng: random.Random, old: Json) -> Json:
    makers: tuple[Callable[[], Json], ...] = (
        lambda: None,
        lambda: rng.choice((True, False)),
        lambda: rng.choice(INTERESTING_INTS),
        lambda: rng.choice(INTERESTING_FLOATS),
        lambda: rng.choice(INTERESTING_TEXTS),
        lambda: [],
        lambda: {},
        lambda: [old],
        lambda: {rng.choice(INTERESTING_TEXTS): old},
        lambda: f"{old}{rng.choice(INTERESTING_TEXTS)}",
    )
    return rng.choice(makers)()
