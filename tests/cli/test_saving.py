"""Ctrl-C: a worker that does not answer is ended soon, one that writes what a search found has longer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from trtconv.workers import family, watch


@pytest.mark.parametrize(
    ("step", "seconds", "is_killed"),
    [
        ("building", 1.0, False),
        ("building", 3.0, True),
        ("writing a.engine", 3.0, False),
        ("writing a.engine", 99, True),
    ],
)
def test_what_is_written_has_time(step: str, seconds: float, is_killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(family, "kill", killed.append)
    monkeypatch.setattr(family, "held_bytes", lambda pid: 0)
    meter: Any = SimpleNamespace(step=SimpleNamespace(name=step), excess=lambda held, now: None)
    heard = watch.Heard(meter, interrupted_at=time.monotonic() - seconds)
    process: Any = SimpleNamespace(pid=7)
    watch._hold_to_limits(process, heard)
    assert killed == ([7] if is_killed else [])
