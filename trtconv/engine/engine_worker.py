"""Build engines in a process of its own: reads a line of orders as JSON, writes a line for each that is done.

It ends when its standard input does: a process that is killed takes its workers along.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx

from trtconv import files, reading
from trtconv.config import BuildConfig
from trtconv.engine import backends, building
from trtconv.engine.backends import Backend
from trtconv.engine.network_parsing import kernels_kept
from trtconv.errors import Interrupted, TrtconvError
from trtconv.progress import NoProgress


def main() -> None:
    """Build what the first line of standard input asks for."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what native libraries print is no answer
        orders = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, name="trtconv-parent", daemon=True).start()
        with ExitStack() as until:
            for order in orders[:1]:
                with contextlib.suppress(TrtconvError):  # each order is answered with the reason
                    until.enter_context(kernels_kept(_backend(order)))
            for order in orders:
                print(json.dumps({"engine": order["engine"], "problem": _build(order)}), file=answers, flush=True)


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever written: the other end is closed
    os._exit(Interrupted.exit_code)


def _build(order: Mapping[str, Any]) -> str | None:
    """Return why an engine could not be built, None when it was."""
    model, config = Path(order["model"]), BuildConfig(backend=order["backend"])
    try:
        proto = onnx.ModelProto.FromString(reading.read_bytes(model, reading.MODEL))
        plan = building.build(proto, model, config, _backend(order), NoProgress(), [], io_format=order["io_format"])
        files.write_atomically({Path(order["engine"]): plan.data})
    except TrtconvError as error:
        return error.what
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _backend(order: Mapping[str, Any]) -> Backend:
    backend, _ = backends.select_backend(BuildConfig(backend=order["backend"]))
    return backend


if __name__ == "__main__":
    main()
