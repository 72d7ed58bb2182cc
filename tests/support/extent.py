"""How much of a long sweep runs: a fixed part in `make test`, all of it in `make test-all`, as CI runs it.

`TRTCONV_TESTS=all` stands for the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

IS_WHOLE = os.environ.get("TRTCONV_TESTS") == "all"
EXAMPLES_PER_EXAMPLE = 4  # of the whole, for each in the part

# Marks what the part leaves out; another test or parameter shows the same for one of each kind.
whole_sweep = pytest.mark.skipif(not IS_WHOLE, reason="left to `make test-all`")


def part(values: Iterable[T], is_in_part: Callable[[T], bool]) -> list[Any]:
    """Return values for `parametrize`; those that are not in the part are left to `make test-all`."""
    return [value if is_in_part(value) else pytest.param(value, marks=whole_sweep) for value in values]


def num_examples(whole: int) -> int:
    """Return the number of examples of a property that has `whole` of them in all."""
    return whole if IS_WHOLE else whole // EXAMPLES_PER_EXAMPLE
