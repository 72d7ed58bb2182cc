"""A process and its descendants: the memory that they hold, and their common end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

# What the system cannot take back: pages of mapped files, such as libraries and weights, are left out.
_HELD = ("RssAnon:", "RssShmem:", "VmSwap:")
_RESIDENT = "VmRSS:"  # all that sandboxed kernels may tell
_CGROUP_FILES = ("memory.max", "memory.limit_in_bytes")


def members(pid: int) -> list[int]:
    """Return a process and its descendants, as far as they run."""
    found = [pid]
    for each in found:  # which grows meanwhile
        found += _children(each)
    return found


def held_bytes(pid: int) -> int:
    """Return how much memory a process and its descendants hold, swapped pages included, files' pages left out."""
    return sum(map(_held_by, members(pid)))


def kill(pid: int) -> None:
    """End a process and its descendants by force. `pid` is a child of this process that it has not waited for yet."""
    for each in members(pid):
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)


def machine_bytes() -> int:
    """Return the memory of this machine, or what the control group of this process may have where that is less."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_group_limits()])


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (task / "children").read_text().split())


def _held_by(pid: int) -> int:
    with contextlib.suppress(OSError):
        return held_in(Path(f"/proc/{pid}/status").read_text())
    return 0


def held_in(status: str) -> int:
    """Return the bytes that a process holds by its status, which has them in kB."""
    sizes = [line.split() for line in status.splitlines() if line.startswith((*_HELD, _RESIDENT))]
    held = [int(size) for name, size, *_ in sizes if name != _RESIDENT]
    return sum(held or (int(size) for _, size, *_ in sizes)) << 10


def _group_limits() -> Iterator[int]:
    """Yield the limits of the control group and of those around it, of both versions of control groups."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root = Path("/sys/fs/cgroup", controllers)
            group = root / name.lstrip("/")
            for folder in (group, *group.parents):
                for file in _CGROUP_FILES:
                    with contextlib.suppress(OSError, ValueError):  # "max" is no number
                        yield int((folder / file).read_text())
