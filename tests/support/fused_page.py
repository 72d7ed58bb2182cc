"""The tables of docs/fused.md, made of the measurements that it links:  python -m tests.support.fused_page"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.support.measurements import DOCS, measured

PAGE = DOCS / "fused.md"
_BLOCK = re.compile(r"(<!-- table (\w+): begin -->\n).*?(<!-- table \2: end -->)", re.DOTALL)
_VARIANTS = ("relu", "leaky", "prelu", "silu", "elu", "tanh", "per image", "residual", "res+relu")
_GROUPED = ("groups 32", "32 + silu")
_COPY_GOAL = 0.90


def with_tables(page: str) -> str:
    """Return the page with each of its tables made anew."""
    made = {
        "placed": _placed(measured("fused_placed_norms_h100")),
        "linear": _placed(measured("fused_linear_norms_h100")),
        "copied": _copied(measured("fused_linear_norms_h100")),
        "maps": _maps(measured("fused_maps_h100"), "rows"),
        "phases": _maps(measured("phased_maps_h100"), "maps"),
        "epilogues": _epilogues(measured("fused_norms_h200")["rows"]),
        "groups": _groups(measured("fused_norms_h200")["rows"]),
        "native": _native_groups(measured("group_norms_h200")["results"]),
    }
    return _BLOCK.sub(lambda found: found[1] + made[found[2]] + "\n" + found[3], page)


def _placed(document: Mapping[str, Any]) -> str:
    before = {row["case"]: [f"{row['us']:.2f}", f"{row['over']:.2f}"] for row in document["norms_before"]}
    rows = [
        [row["case"], f"{row['us']:.2f}", f"{row['alone_us']:.2f}", f"{row['over']:.2f}",
         *before.get(row["case"], ["-", "-"])]
        for row in document["norms"]
    ]  # fmt: skip
    return _table(["case", "us", "norm alone us", "ratio", "us before", "ratio before"], rows)


def _copied(document: Mapping[str, Any]) -> str:
    """Return those of before that still go through the workspace."""
    scattered = {row["case"] for row in document["norms"]}
    rows = [
        [row["case"], f"{row['us']:.2f}", f"{row['alone_us']:.2f}", f"{row['over']:.2f}"]
        for row in document["norms_before"] if row["case"] not in scattered
    ]  # fmt: skip
    return _table(["case", "us", "norm alone us", "ratio"], rows)


def _maps(document: Mapping[str, Any], kind: str) -> str:
    before = {row["case"]: row for row in document[f"{kind}_before"]}
    rows = [
        [row["case"], f"{row['us']:.2f}", f"{row['copy_us']:.2f}", f"{row['of_copy']:.2f}",
         "met" if row["of_copy"] >= _COPY_GOAL else "missed", f"{before[row['case']]['us']:.2f}"]
        for row in document[kind]
    ]  # fmt: skip
    return _table(["case", "us", "copy us", "of copy", "goal 0.90", "us before"], rows)


def _epilogues(runs: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for name, times in _by_case(runs):
        if "relu" in times:
            # A copy moves the bytes of X twice, a residual is read once.
            alone = {each: times["plain"] + times["copy"] / 2 * ("res" in each) for each in _VARIANTS}
            ratios = [f"{times[each] / alone[each]:.2f}" for each in _VARIANTS]
            rows.append([name, f"{times['plain']:.2f}", *ratios])
    return _table(["case", "norm alone us", *_VARIANTS], rows)


def _groups(runs: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [name, *(f"{times[each]:.2f}" for each in ("copy", "plain", *_GROUPED)),
         *(f"{times['copy'] / times[each]:.2f}" for each in ("plain", _GROUPED[0]))]
        for name, times in _by_case(runs) if _GROUPED[0] in times
    ]  # fmt: skip
    titles = ["case", "copy us", "instance norm us", "32 groups us", "and SiLU us", "instance norm of copy"]
    return _table([*titles, "32 groups of copy"], rows)


def _native_groups(results: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for each in results:
        times = {who: timing["median_us"] for who, timing in each["timings"].items()}
        name = f"{'x'.join(map(str, each['shape']))} {each['format'].replace('_', '-')} {each['dtype']}"
        cells = [f"{times[who]:.2f}" for who in ("copy", "kernel", "native")]
        rows.append([name, *cells, f"{times['native'] / times['kernel']:.2f}x"])
    return _table(["case", "copy us", "32 groups us", "TensorRT us", "against TensorRT"], rows)


def _by_case(runs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    cases: dict[str, dict[str, float]] = {}
    for row in runs:
        name = f"{'x'.join(map(str, row['shape']))} {row['layout']}"
        cases.setdefault(name, {})[row["variant"]] = row["microseconds"]
    yield from cases.items()


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, *rows)).replace(
        "|\n", "|\n" + "|" + "---|" * len(titles) + "\n", 1
    )


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
