"""Run code in forks of a Python that has imported all of trtconv: that saves most of a short command's time.

Parent, worker, pipes, limits, signals and exit codes are real. What only a new Python shows, such as which modules it
imports, needs a real process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import os
import pickle
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trtconv.child_processes import TELEMETRY_SWITCH

REPOSITORY = Path(__file__).parents[2]
# Libraries that trtconv imports late.
_LATE = ("tensorrt_rtx", "onnxruntime", "PIL.Image", "polygraphy.comparator", "rich.live", "matplotlib.pyplot")
_STATUS_BYTES = 4


class WarmPython:
    """The process that is forked; it ends with this one."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.support.warm_python", str(theirs.fileno())]
            places = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
            environment = {**os.environ, "PYTHONPATH": places, TELEMETRY_SWITCH: "1"}
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), env=environment, start_new_session=True
            )

    def run(
        self,
        code: str,
        args: Sequence[str],
        cwd: Path,
        environment: dict[str, str],
        streams: Sequence[int],
        timeout: float,
    ) -> int:
        """Run Python code with these arguments and three streams; return its exit code, negative for a signal.

        Raises TimeoutError after `timeout` seconds.
        """
        request = pickle.dumps((code, list(args), str(cwd.absolute()), environment))
        self._channel.settimeout(timeout)
        socket.send_fds(self._channel, [len(request).to_bytes(_STATUS_BYTES, "little")], list(streams))
        self._channel.sendall(request)
        try:
            answer = self._channel.recv(_STATUS_BYTES)
        except TimeoutError:
            warm_python.cache_clear()  # its answer would be taken for that of the next request
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        assert answer, "the warm process ended"
        return os.waitstatus_to_exitcode(int.from_bytes(answer, "little"))

    def end(self) -> None:
        """End it."""
        self._channel.close()
        self._process.wait()


@functools.cache
def warm_python() -> WarmPython:
    """Return the one of this process, started when it is first wanted."""
    warm = WarmPython()
    atexit.register(warm.end)
    return warm


# The process that is forked. ------------------------------------------------------------------------------------------


def serve(channel: socket.socket) -> None:
    """Fork for each request until the other end is closed."""
    while True:
        size, descriptors, _, _ = socket.recv_fds(channel, _STATUS_BYTES, 3)
        if not size:
            return
        request = channel.recv(int.from_bytes(size, "little"), socket.MSG_WAITALL)
        pid = os.fork()
        if pid == 0:
            _become(*pickle.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(os.waitpid(pid, 0)[1].to_bytes(_STATUS_BYTES, "little"))


def _become(code: str, args: list[str], cwd: str, environment: dict[str, str], descriptors: Sequence[int]) -> None:
    from tests.support import forks

    forks.open_streams(descriptors)
    forks.close_all_but((0, 1, 2))
    forks.fork_workers()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = ["-c", *args]
    forks.end_with(lambda: exec(code, {"__name__": "__main__"}))


def _import_all() -> None:
    import trtconv

    for module in pkgutil.walk_packages(trtconv.__path__, "trtconv."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page of this process
    serve(socket.socket(fileno=int(sys.argv[1])))
