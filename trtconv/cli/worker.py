"""The process that does a command's work; `trtconv.workers` starts it."""

from __future__ import annotations

import gc
import socket
import sys

from trtconv import child_processes, cli
from trtconv.cli.console import open_standard_streams
from trtconv.errors import Interrupted
from trtconv.workers import worker

# New objects before Python looks for cycles among them, of which a graph is full, and which live as long as it does:
# with the default, a tenth of the time of a large model goes into this.
_OBJECTS_BEFORE_COLLECTION = 100_000


def main() -> None:
    """Run the command line that follows the numbers of the two pipes to the parent and the temporary folder."""
    channel, native, folder, *args = sys.argv[1:]
    sys.argv[:] = [cli.PROGRAM, *args]
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    try:
        open_standard_streams()
        worker.enter_worker(socket.socket(fileno=int(channel)), int(native), folder)
        cli.main(args)
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else 0
        worker.tell_end(exit_code)
        child_processes.end(exit_code)
    except KeyboardInterrupt:  # before the command line could begin: the parent says so
        sys.exit(Interrupted.exit_code)
