"""The counts of fuzzing runs: as text for a terminal, and added up in JSON files.

`python -m tests.fuzz.counting SUM.json PART.json...` adds up the counts of several processes.
"""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.running import PASSED, REFUSED, Tally
from tests.fuzz.targets import LOAD

Key = tuple[str, str, str]  # kind, target, end
Counts = dict[str, Any]


def load_share(runs: Counter[tuple[str, str, str]]) -> float:
    """Return the share of the mutated models that `load` takes."""
    ends = {end: number for (_, target, end), number in runs.items() if target == LOAD}
    return ends.get(PASSED, 0) / max(sum(ends.values()), 1)


def summary(tally: Tally) -> str:
    """Return the counts as lines of text."""
    lines = []
    for kind, target in sorted({key[:2] for key in tally.runs}):
        ends = {end: number for key, number in tally.runs.items() if key[:2] == (kind, target) for end in key[2:]}
        bad = {end: number for end, number in ends.items() if end not in (PASSED, REFUSED)}
        lines.append(f"{kind}, {target}: {ends.get(PASSED, 0)} passed, {ends.get(REFUSED, 0)} refused"
                     + "".join(f", {number} x {end}" for end, number in bad.items()))  # fmt: skip
    share = f"{load_share(tally.runs):.0%} of the models pass load"
    return "\n".join(
        [
            *lines,
            f"{sum(tally.inputs.values())} inputs, {tally.num_runs} runs, {tally.repeated} of them repeated, {share}",
        ]
    )


def read_counts(path: Path) -> Counts:
    """Return the counts of a JSON file, none where there is no such file yet."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_counts(path: Path, counts: Counts) -> None:
    """Write a JSON file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(counts, indent=2) + "\n")
    part.replace(path)


def counts_of(seed: int, tally: Tally, findings: dict[Key, str | None]) -> Counts:
    """Return the counts of a run; of its findings, those without a complaint ended well as a command."""
    runs = [_as_json(key, number, findings.get(key, "") is None) for key, number in tally.runs.items()]
    return {"seeds": [seed], "inputs": dict(tally.inputs), "repeated": tally.repeated, "runs": runs}


def merged(first: Counts, second: Counts) -> Counts:
    """Return the sum of two runs' counts, and whatever else `first` holds."""
    runs: Counter[Key] = Counter()
    contained = set()
    for each in (*first.get("runs", ()), *second.get("runs", ())):
        key = each["kind"], each["target"], each["end"]
        runs[key] += each["runs"]
        if each["end_of_command"]:
            contained.add(key)
    return {
        **first,
        "seeds": sorted({*first.get("seeds", ()), *second.get("seeds", ())}),
        "inputs": dict(Counter(first.get("inputs", {})) + Counter(second.get("inputs", {}))),
        "repeated": first.get("repeated", 0) + second.get("repeated", 0),
        "runs": [_as_json(key, number, key in contained) for key, number in sorted(runs.items())],
    }


def _as_json(key: Key, number: int, is_contained: bool) -> dict[str, Any]:
    kind, target, end = key
    return {"kind": kind, "target": target, "end": end, "runs": number, "end_of_command": is_contained}


def main(total: str, *parts: str) -> None:
    """Write the sum of the counts in several files."""
    write_counts(Path(total), functools.reduce(merged, map(read_counts, map(Path, parts)), Counts()))


if __name__ == "__main__":
    main(*sys.argv[1:])
