"""Read the compiled plugin library as a file: exported symbols, GPU architectures, the CUDA compiler.

Nothing is loaded, so a library that would crash can be described. The layout of a fat binary is that of cuobjdump's
input: a header, then one entry for each architecture and kind of code.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtconv import reading
from trtconv.errors import BackendError, ConfigError

_ELF_MARK = b"\x7fELF\x02\x01"  # 64 bits, little endian
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_FATBIN_HEADER = struct.Struct("<IHHQ")
_FATBIN_MARK = 0xBA55ED50
_ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, header bytes, code bytes, ..., architecture
_PTX, _MACHINE_CODE = 1, 2
_NVCC = re.compile(rb"trtconv: compiled by nvcc (\d+\.\d+)")


@dataclass(frozen=True)
class LibraryBinary:
    """What the file tells. `machine_code` and `ptx` hold architectures as sm_90; `nvcc` is a release such as 13.0."""

    symbols: tuple[str, ...]
    machine_code: tuple[str, ...]
    ptx: tuple[str, ...]
    nvcc: str | None

    def code_for(self, arch: str) -> str | None:
        """Return what a GPU of this architecture runs: "machine code", "PTX" (compiled by the driver), or None.

        Machine code runs on its own architecture and on later ones of the same generation, PTX on all later ones.
        """
        wanted = _number(arch)
        if any(_number(has) // 10 == wanted // 10 and _number(has) <= wanted for has in self.machine_code):
            return "machine code"
        return "PTX" if any(_number(has) <= wanted for has in self.ptx) else None


def read_binary(path: Path) -> LibraryBinary:
    """Describe a shared library; raise BackendError for a file that is none, or is damaged."""
    try:
        data = reading.read_bytes(path, reading.LIBRARY)
        sections = _sections(data)
        entries = [entry for name in (".nv_fatbin", "__nv_relfatbin") for entry in _entries(sections.get(name, b""))]
        symbols = tuple(sorted(_symbols(sections.get(".dynsym", b""), sections.get(".dynstr", b""))))
    except (ConfigError, ValueError, struct.error) as error:
        raise BackendError(f"is not a shared library, or is damaged: {error}", where=str(path)) from None
    compiler = _NVCC.search(sections.get(".rodata", b""))
    return LibraryBinary(
        symbols,
        _architectures(entries, _MACHINE_CODE),
        _architectures(entries, _PTX),
        compiler[1].decode() if compiler else None,
    )


def _sections(data: bytes) -> dict[str, bytes]:
    """Return the sections of an ELF file by name; those without bytes in the file are empty."""
    if not data.startswith(_ELF_MARK):
        raise ValueError("not an ELF file of 64 bits")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [_SECTION_HEADER.unpack_from(data, table + index * size) for index in range(count)]
    if names_index >= len(headers):
        raise ValueError("it has no section names")
    names = data[headers[names_index][4] :][: headers[names_index][5]]
    no_bits = 8
    return {
        _text_at(names, name): b"" if kind == no_bits else data[offset : offset + size_in_file]
        for name, kind, _, _, offset, size_in_file, *_ in headers
    }


def _symbols(table: bytes, names: bytes) -> Iterator[str]:
    """Yield the names of the functions that a library defines for others."""
    is_function = 2
    for name, info, _, section, _, _ in _SYMBOL.iter_unpack(table):
        if section and info & 0xF == is_function:
            yield _text_at(names, name)


def _entries(section: bytes) -> Iterator[tuple[int, int]]:
    """Yield (kind, architecture) of every entry of the fat binaries in a section."""
    start = 0
    while start + _FATBIN_HEADER.size <= len(section):
        mark, _, header_bytes, num_bytes = _FATBIN_HEADER.unpack_from(section, start)
        if mark != _FATBIN_MARK:
            start += 8  # between fat binaries there may be padding
            continue
        position, end = start + header_bytes, start + header_bytes + num_bytes
        while position < end:
            kind, _, entry_header_bytes, code_bytes, arch = _ENTRY.unpack_from(section, position)
            if not entry_header_bytes:
                raise ValueError("an entry of its GPU code has no header")
            yield kind, arch
            position += entry_header_bytes + code_bytes
        start = end


def _architectures(entries: list[tuple[int, int]], wanted: int) -> tuple[str, ...]:
    return tuple(f"sm_{arch}" for arch in sorted({arch for kind, arch in entries if kind == wanted}))


def _number(arch: str) -> int:
    return int(arch.removeprefix("sm_"))


def _text_at(data: bytes, start: int) -> str:
    end = data.find(b"\0", start)
    return data[start:end].decode(errors="replace")
