"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)
