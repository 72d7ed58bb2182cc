"""How people name a node, and how a pattern names many."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def format_address(name: str | None, op: str, outputs: Iterable[str], prefix: str = "") -> str:
    """Return a node's name, else `Op(first output)`, behind the path of the branches it stands in."""
    first_output = next((output for output in outputs if output), "")
    return prefix + (name or f"{op}({first_output})")


def is_meant(address: str, pattern: str) -> bool:
    """Say whether a glob means this address; an address with brackets in it means itself too."""
    return address == pattern or fnmatchcase(address, pattern)


def list_addresses(addresses: Iterable[str], limit: int = 8) -> str:
    """Return the first addresses for a hint; `...` stands for more."""
    listed = list(addresses)
    return ", ".join([*listed[:limit], "..."] if len(listed) > limit else listed)
