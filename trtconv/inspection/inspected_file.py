"""What a file tells by itself: its size, its fingerprint, and the header of a TensorRT engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trtconv import reading
from trtconv.engine.backends import ENGINE_MARKS, BackendKey
from trtconv.files import sha256

HEADER_BYTES = 28

_SERIALIZATION_VERSION = slice(4, 8)  # 0 is the only one whose places below are published, in trtexec
_SIZE, _VERSION = slice(16, 24), slice(24, 28)


@dataclass(frozen=True)
class FileIdentity:
    """A file as it was read."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class EngineHeader:
    """The first bytes of an engine: the backend, and as far as they tell its version and the size of the whole file."""

    backend: BackendKey
    version: str | None
    num_bytes: int | None


def identify(path: Path) -> FileIdentity:
    """Read a file for its size and sha256; raise ConfigError when it cannot be read."""
    return FileIdentity(str(path), reading.size_of(path), sha256(path))


def read_header(path: Path) -> EngineHeader | None:
    """Return the header of the engine at `path`, or None for a file that is not an engine."""
    return parse_header(reading.read_head(path, HEADER_BYTES))


def parse_header(data: bytes) -> EngineHeader | None:
    """Read the first bytes of an engine; None when they are not an engine's."""
    backend = ENGINE_MARKS.get(data[:4])
    if backend is None:
        return None
    if len(data) < HEADER_BYTES or any(data[_SERIALIZATION_VERSION]):
        return EngineHeader(backend, None, None)
    version = ".".join(map(str, data[_VERSION]))
    return EngineHeader(backend, version, int.from_bytes(data[_SIZE], "little"))
