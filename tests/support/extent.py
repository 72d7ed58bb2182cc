"""How much of a long sweep runs: a fixed part in `make test`, all of it in `make test-all`, as CI runs it.

`TRTCONV_TESTS=all` stands for the whole.
"""

from __future__ import annotations

import os

import pytest

IS_WHOLE = os.environ.get("TRTCONV_TESTS") == "all"
PART = 4  # of the examples of a property: one in so many

# Marks what the part leaves out; another test or parameter shows the same for one of each kind.
whole_sweep = pytest.mark.skipif(not IS_WHOLE, reason="left to `make test-all`")


def num_examples(whole: int) -> int:
    """Return the number of examples of a property that has `whole` of them in all."""
    return whole if IS_WHOLE else whole // PART
