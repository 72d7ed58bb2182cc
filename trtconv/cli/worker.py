"""The process that does a command's work; `trtconv.isolation` starts it."""

from __future__ import annotations

import sys

from trtconv import cli, isolation
from trtconv.cli.console import open_standard_streams


def main() -> None:
    """Run the command line that follows the numbers of the two pipes to the parent."""
    channel, native, *args = sys.argv[1:]
    sys.argv[:] = [cli.PROGRAM, *args]
    try:
        open_standard_streams()
        isolation.enter_worker(int(channel), int(native))
        cli.main(args)
    except SystemExit as end:
        isolation.tell_end(end.code if isinstance(end.code, int) else 0)
        raise
    except KeyboardInterrupt:  # before the command line could begin: the parent says so
        sys.exit(130)
