"""The program `trtconv`, which `python -m trtconv` is too: Ctrl-C works from here on, imports included."""

from __future__ import annotations

import sys
from typing import NoReturn

from trtconv import interrupts


def main() -> NoReturn:
    """Run the command line."""
    interrupts.end_at_once()
    from trtconv.cli import main

    main()


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):  # -m puts the current folder first: nothing is imported from there
        del sys.path[0]
    main()
