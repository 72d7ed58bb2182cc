"""Write docs/fuzzing.md anew: `python -m tests.fuzz.page` puts the counts of docs/measurements/fuzzing.json into it.

`python -m tests.fuzz.page COUNTS.json...` adds the counts of other runs to that file first.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from pathlib import Path

from tests.fuzz.counting import Counts, Key, load_share, merged, read_counts, write_counts
from tests.fuzz.running import PASSED, REFUSED
from tests.fuzz.targets import COMMAND

REPOSITORY = Path(__file__).parents[2]
COUNTS = REPOSITORY / "docs" / "measurements" / "fuzzing.json"
PAGE = REPOSITORY / "docs" / "fuzzing.md"
BEGIN, END = "<!-- counts: written by tests/fuzz/page.py -->", "<!-- end of counts -->"


def tables(counts: Counts) -> str:
    """Return the counts as sentences and tables in Markdown."""
    runs = Counter({(each["kind"], each["target"], each["end"]): each["runs"] for each in counts["runs"]})
    contained = {(each["kind"], each["target"], each["end"]) for each in counts["runs"] if each["end_of_command"]}
    commands = {key for key in runs if key[1].startswith(COMMAND)}
    in_children = Counter({key: number for key, number in runs.items() if key not in commands})
    native = counts.get("native", {})
    sentences = [
        f"{in_children.total():,} runs in forked children; `load` takes {load_share(runs):.0%} of the mutated models. "
        f"{counts.get('repeated', 0):,} runs ended the child that they shared with others and were repeated alone."
    ]
    if native:
        sentences.append(
            f"The plugins' host code: {native['collections']:,} field collections, {native['plugins']:,} plugins made "
            f"of them, {native['calls']:,} calls of these, {native['launcher_calls']:,} calls of the C launchers: "
            f"{native['findings']} findings."
        )
    table = _table("process ended, contained by the worker", in_children, contained)
    if not commands:
        return "\n".join([*sentences, "", *table])
    through_worker = Counter({key: runs[key] for key in commands})
    sentence = f"{through_worker.total():,} runs of the command with its worker process:"
    return "\n".join([*sentences, "", *table, "", sentence, "", *_table("", through_worker, contained)])


def _table(held: str, runs: Counter[Key], contained: set[Key]) -> list[str]:
    """Return a row for each kind and path; without `held` a table has no such column."""
    heads = ["file", "path", "success", "TrtconvError", *filter(None, [held]), "defect"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kind, target in sorted({key[:2] for key in runs}):
        ends = Counter({key[2]: number for key, number in runs.items() if key[:2] == (kind, target)})
        bad = {end: number for end, number in ends.items() if end not in (PASSED, REFUSED)}
        num_held = sum(number for end, number in bad.items() if (kind, target, end) in contained)
        cells = [ends[PASSED], ends[REFUSED], *([num_held] if held else []), sum(bad.values()) - num_held]
        rows.append(f"| {kind} | {target.removeprefix(COMMAND)} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    return rows


def page(text: str, counts: Counts) -> str:
    """Return the page with new counts."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(counts)}\n{END}{rest.partition(END)[2]}"


def main(*more: str) -> None:
    """Add the counts of other files, and write the page."""
    counts = functools.reduce(merged, map(read_counts, map(Path, more)), read_counts(COUNTS))
    if more:
        write_counts(COUNTS, counts)
    PAGE.write_text(page(PAGE.read_text(), counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
