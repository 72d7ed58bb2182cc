"""The program `trtconv`, which `python -m trtconv` is too: Ctrl-C works from here on, imports included."""

from __future__ import annotations

import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

try:
    from trtconv import interrupts
except KeyboardInterrupt:  # no handler is set yet; an import that was interrupted can begin anew
    from trtconv import interrupts

    interrupts.leave()


def main() -> NoReturn:
    """Run the command line."""
    try:
        interrupts.end_at_once()
    except KeyboardInterrupt:
        interrupts.leave()
    from trtconv.cli import main

    main()


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):  # -m puts the current folder first: nothing is imported from there
        del sys.path[0]
    main()
