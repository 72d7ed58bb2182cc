"""The files of docs/measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
MEASUREMENTS = DOCS / "measurements"


def measured(name: str) -> Any:
    """Return a document of docs/measurements."""
    return json.loads((MEASUREMENTS / f"{name}.json").read_text())
