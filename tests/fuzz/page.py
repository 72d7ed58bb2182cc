"""Write docs/fuzzing.md anew: `python -m tests.fuzz.page` puts the counts of docs/measurements/fuzzing.json into it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.running import PASSED, REFUSED
from tests.fuzz.targets import LOAD

REPOSITORY = Path(__file__).parents[2]
COUNTS = REPOSITORY / "docs" / "measurements" / "fuzzing.json"
PAGE = REPOSITORY / "docs" / "fuzzing.md"
BEGIN, END = "<!-- counts: written by tests/fuzz/page.py -->", "<!-- end of counts -->"


def tables(counts: dict[str, Any]) -> str:
    """Return the counts as sentences and a table in Markdown."""
    runs = Counter({(each["kind"], each["target"], each["end"]): each["runs"] for each in counts["runs"]})
    contained = {(each["kind"], each["target"], each["end"]) for each in counts["runs"] if each["end_of_command"]}
    rows = ["| file | path | success | TrtconvError | process ended, contained by the worker | defect |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    for kind, target in sorted({key[:2] for key in runs}):
        ends = Counter({key[2]: number for key, number in runs.items() if key[:2] == (kind, target)})
        bad = {end: number for end, number in ends.items() if end not in (PASSED, REFUSED)}
        held = sum(number for end, number in bad.items() if (kind, target, end) in contained)
        cells = (ends[PASSED], ends[REFUSED], held, sum(bad.values()) - held)
        rows.append(f"| {kind} | {target} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    loads = Counter({end: number for (_, target, end), number in runs.items() if target == LOAD})
    share = loads[PASSED] / max(sum(loads.values()), 1)
    worker = counts.get("worker", {})
    native = counts.get("native", {})
    sentences = [
        f"{sum(counts['inputs'].values()):,} mutated files, {sum(runs.values()):,} runs in forked children; "
        f"`load` takes {share:.0%} of the mutated models."
    ]
    if worker:
        sentences.append(f"{worker['runs']:,} runs through the real worker process: {worker['defects']} defects.")
    if native:
        sentences.append(
            f"The plugins' host code: {native['collections']:,} field collections, {native['plugins']:,} plugins made "
            f"of them, {native['calls']:,} calls of these, {native['launcher_calls']:,} calls of the C launchers: "
            f"{native['findings']} findings."
        )
    return "\n".join([*sentences, "", *rows])


def page(text: str, counts: dict[str, Any]) -> str:
    """Return the page with new counts."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(counts)}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(), json.loads(COUNTS.read_text())))


if __name__ == "__main__":
    main()
