"""What the kernel tells of a process that may end at any moment."""

from __future__ import annotations

import os
from pathlib import Path

from trtconv.workers import family

# Of /proc/PID/stat, counted from the state on, which follows the name.
_TICKS = slice(11, 13)  # in user code and in the kernel


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    return _stat(pid)[:1] not in ([], ["Z"])


def worker_seconds(pid: int) -> float:
    """Return the processor time of the descendants of a command's process that run now."""
    ticks = sum(sum(map(int, _stat(each)[_TICKS])) for each in family.members(pid)[1:])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's status from its state on, none if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
