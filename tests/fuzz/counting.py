"""The counts of fuzzing runs: as text for a terminal, and added up in a JSON file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.running import PASSED, REFUSED, Tally
from tests.fuzz.targets import LOAD


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
    return "\n".join([*lines, f"{sum(tally.inputs.values())} inputs, {tally.num_runs} runs, {share}"])


def add_counts(path: Path, seed: int, tally: Tally, findings: dict[tuple[str, str, str], str | None]) -> None:
    """Add the counts of a run to a JSON file, which may not exist yet."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"seeds": [], "inputs": {}, "runs": []}
    content["seeds"] = sorted({*content["seeds"], seed})
    content["inputs"] = dict(Counter(content["inputs"]) + tally.inputs)
    runs = Counter({(each["kind"], each["target"], each["end"]): each["runs"] for each in content["runs"]}) + tally.runs
    contained = {(each["kind"], each["target"], each["end"]) for each in content["runs"] if each["end_of_command"]}
    contained |= {key for key, complaint in findings.items() if complaint is None}
    content["runs"] = [
        {"kind": kind, "target": target, "end": end, "runs": number, "end_of_command": (kind, target, end) in contained}
        for (kind, target, end), number in sorted(runs.items())
    ]
    path.write_text(json.dumps(content, indent=2) + "\n")
