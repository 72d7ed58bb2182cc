"""How trtconv starts Python processes, and ends its own.

No child imports or loads anything from the current folder.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from typing import NoReturn

# -P, which Python has since 3.11, keeps the current folder off the path; before, the first line of _ENTRY does.
_SAFE_PATH = ("-P",) if sys.version_info >= (3, 11) else ()
_ENTRY = """import sys
sys.path[:] = [place for place in sys.path if place]
if {root!r} not in sys.path: sys.path.insert(0, {root!r})
from {module} import main
main()
"""
# An empty entry in these lists means the current folder, to Python and to the dynamic linker.
_PATH_LISTS = ("PYTHONPATH", "LD_LIBRARY_PATH")
# ONNX Runtime's telemetry writes into the home folder; only a variable that is set before the import prevents it.
TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"


def module_command(module: str, *args: str) -> list[str]:
    """Return the command that runs `main()` of a module of trtconv in a new Python, with `args` as its sys.argv[1:]."""
    entry = _ENTRY.format(root=os.path.dirname(os.path.dirname(os.path.realpath(__file__))), module=module)
    return [*_python(), "-c", entry, *args]


def script_command(script: str, *args: str) -> list[str]:
    """Return the command that runs a file in a new Python."""
    return [*_python(), script, *args]


def environment() -> dict[str, str]:
    """Return the environment of a child: this process's, without the entries that mean the current folder."""
    variables = {**os.environ, "PYTHONSAFEPATH": "1"}
    variables.setdefault(TELEMETRY_SWITCH, "1")
    for name in _PATH_LISTS:
        if name in variables:
            variables[name] = os.pathsep.join(filter(None, variables[name].split(os.pathsep)))
        if not variables.get(name):
            variables.pop(name, None)
    return variables


def end(exit_code: int) -> NoReturn:
    """End this process: do what libraries want done at its end, and leave the rest to the system.

    Python would free all objects and modules first: 0.08 s for a small model, 0.4 s for one of 100,000 nodes.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, full, or without a reader: the exit code is decided
            stream.flush()
    os._exit(exit_code)


def _python() -> list[str]:
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, *_SAFE_PATH]
