"""Sizes as every report writes them."""

from __future__ import annotations


def format_size(num_bytes: int) -> str:
    """Return a size for people, in binary units."""
    size = float(num_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if round(size, 1) < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
