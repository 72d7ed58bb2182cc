"""An ONNX Runtime session that several engines are compared with: it computes each input set once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def remembered(make_session: Callable[[], Any]) -> Callable[[], Any]:
    """Return what gives one session each time, which is made when it is first asked for."""
    made: list[_RememberingSession] = []

    def session() -> Any:
        if not made:
            made.append(_RememberingSession(make_session()))
        return made[0]

    return session


class _RememberingSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._known: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, output_names: Any, feed: Mapping[str, Any], *options: Any) -> Any:
        digest = hashlib.sha256(repr(output_names).encode())
        for name in sorted(feed):
            values = np.ascontiguousarray(feed[name])
            if values.dtype.kind == "O":  # text, whose bytes are addresses
                return self._session.run(output_names, feed, *options)
            digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
        key = digest.hexdigest()
        if key not in self._known:
            self._known[key] = self._session.run(output_names, feed, *options)
        return self._known[key]
