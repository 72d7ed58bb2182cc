"""What GPU tests measure: a line each for `pytest -s`, and one JSON file for all, also where they run in parallel."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

RESULTS_VARIABLE = "TRTCONV_RESULTS"


def record(entry: dict[str, Any]) -> None:
    """Print one result, and add it to the file that TRTCONV_RESULTS names."""
    print(f"\nRESULT {json.dumps(entry)}")
    target = os.environ.get(RESULTS_VARIABLE)
    if not target:
        return
    with Path(target).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        entries = [*(json.loads(text) if text else []), entry]
        file.truncate(0)
        file.write(json.dumps(entries, indent=1))
