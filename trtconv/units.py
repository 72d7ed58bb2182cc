"""Sizes and times as people write them, into bytes and seconds."""

from __future__ import annotations

import re

from trtconv.errors import ConfigError

_NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)"
_SIZE_UNITS = {
    "": 1 << 20,
    "B": 1,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_TIME_UNITS = {"": 1, "S": 1, "M": 60, "MIN": 60, "H": 3600}


def parse_size(text: str, where: str) -> int:
    """Read a size, such as `512`, `512MiB` or `2G`, into bytes; a bare number counts MiB. `where` names the option."""
    match = re.fullmatch(_NUMBER, text.strip())
    if not match or match[2].upper() not in _SIZE_UNITS:
        raise ConfigError(f"got {text!r}, expected a size such as 512MiB or 2GiB", where=where)
    return int(float(match[1]) * _SIZE_UNITS[match[2].upper()])


def parse_seconds(text: str, where: str) -> float:
    """Read a time, such as `90`, `90s`, `30m` or `2h`, into seconds. `where` names the option."""
    match = re.fullmatch(_NUMBER, text.strip())
    if not match or match[2].upper() not in _TIME_UNITS:
        raise ConfigError(f"got {text!r}, expected a time such as 90s, 30m or 2h", where=where)
    return float(match[1]) * _TIME_UNITS[match[2].upper()]


def format_seconds(seconds: float) -> str:
    """Return a time in the largest unit that it is a whole number of: `90 s`, `30 min`, `2 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
