"""Tables in Markdown of what tests/gpu/measure_networks.py measured.

python -m tests.support.network_tables NETWORKS.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.measurements import engine_of, median_us_of, same_as
from trtconv.benchmark.layer_kinds import KINDS
from trtconv.benchmark.variants import REFERENCE

# Those of `trtconv bench MODEL`, and convolutions that are written for speed.
ENGINES = (REFERENCE, "plugin", "fused", "rewritten", "auto")

Entry = Mapping[str, Any]


def tables(networks: Mapping[str, Entry]) -> Iterator[str]:
    """Yield the lines of two tables: times and errors, and the layers by kind, each a row a network and variant."""
    shown = [ops for ops in ENGINES if any(ops in entry.get("engines", {}) for entry in networks.values())]
    yield from _table(
        ["network", *(f"{ops} ms" for ops in shown), *(f"{ops} speed" for ops in shown[1:]), "error by variant"],
        [[name, *_times(entry, shown), _errors(entry)] for name, entry in networks.items()],
    )
    yield ""
    rows = [[name, ops, *_kinds(each["kinds"])] for name, entry in networks.items()
            for ops, each in entry.get("engines", {}).items() if "kinds" in each]  # fmt: skip
    yield from _table(["network", "us (layers)", *KINDS], rows)


def _times(entry: Entry, shown: Sequence[str]) -> list[str]:
    medians = {ops: median_us_of(entry, ops) for ops in shown}
    native = medians[REFERENCE]
    speeds = [f"{native / us:.2f}x" if native and (us := medians[ops]) else "" for ops in shown[1:]]
    return [*(_cell(entry, ops, us) for ops, us in medians.items()), *speeds]


def _cell(entry: Entry, ops: str, microseconds: float | None) -> str:
    if microseconds is None:
        return str(engine_of(entry, ops).get("problem", entry.get("problem", "not measured")))
    other = same_as(entry, ops)
    return f"{microseconds / 1000:.3f}" + ("" if other is None else f" (as {other})")


def _errors(entry: Entry) -> str:
    found = []
    for ops, engine in entry.get("engines", {}).items():
        errors = [error for error in engine.get("error_to_original", {}).values() if error is not None]
        texts = [error for error in errors if isinstance(error, str)]
        if errors:
            found.append(f"{ops} {texts[0] if texts else f'{max(errors):.1e}'}")
    return ", ".join(found)


def _kinds(kinds: Mapping[str, Entry]) -> list[str]:
    return [f"{kinds[kind]['microseconds']:.0f} ({kinds[kind]['count']})" if kind in kinds else "-" for kind in KINDS]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    yield from (f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    print("\n".join(tables(json.loads(Path(sys.argv[1]).read_text())["networks"])))
