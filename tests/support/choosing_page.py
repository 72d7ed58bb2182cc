"""The tables of docs/choosing.md, what the cost model predicts beside what was measured:

TRTCONV_TEST_MODELS=... python -m tests.support.choosing_page
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.support.fit_costs import fitted
from tests.support.measured_layers import (
    MADE,
    MADE_WHOLE,
    PUBLISHED,
    engines_of,
    kernel_samples,
    measured,
    network_of,
    path_of,
)
from trtconv import records
from trtconv.benchmark import layer_kinds
from trtconv.costs import estimates, prediction, work
from trtconv.costs.estimates import Estimates, plugin_rate
from trtconv.costs.prediction import predict
from trtconv.costs.tables import CostTable, measured_tables, table_for
from trtconv.costs.work import Data, Work
from trtconv.gpu.driver import Gpu
from trtconv.model import model_io
from trtconv.passes import TRIALS
from trtconv.passes.base import PassContext
from trtconv.passes.choose_by_cost import choose_by_cost

PAGE = Path(__file__).parents[2] / "docs" / "choosing.md"
H200 = Gpu("NVIDIA H200", "sm_90", "13.0", memory_gb_per_s=4917.0)  # 2 transfers a clock of 3201 MHz, over 6144 bits
_BLOCK = re.compile(r"(<!-- table (\w+): begin -->\n).*?(<!-- table \2: end -->)", re.DOTALL)
_KINDS = {
    layer_kinds.CONVOLUTION: work.CONVOLUTION,
    layer_kinds.NORM: work.NORM,
    layer_kinds.PAD: work.PAD,
    layer_kinds.RESIZE: work.RESIZE,
    layer_kinds.ACTIVATION: work.POINTWISE,
    layer_kinds.REFORMAT: prediction.REFORMAT,
}


@dataclass(frozen=True)
class Pair:
    """Something that was predicted and measured, in microseconds."""

    name: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """How many times what was measured was predicted."""
        return self.predicted / self.measured


def rank_correlation(pairs: Sequence[Pair]) -> float:
    """Return Spearman's coefficient: 1 where both order the pairs alike."""
    ranks = [_ranks([pair.predicted for pair in pairs]), _ranks([pair.measured for pair in pairs])]
    return float(np.corrcoef(ranks)[0, 1])


def worst(pairs: Iterable[Pair]) -> Pair:
    """Return what was misjudged most."""
    return max(pairs, key=lambda pair: abs(np.log(pair.ratio)))


def _ranks(values: Sequence[float]) -> np.ndarray:
    order, ranks = np.argsort(values), np.empty(len(values))
    ranks[order] = np.arange(len(values))
    for value in set(values):  # equal values share their rank
        alike = np.array(values) == value
        ranks[alike] = ranks[alike].mean()
    return ranks


def kinds_of(name: str, table: CostTable, folder: Path) -> list[Pair]:
    """Return each kind of layer in each engine of one of MADE."""
    pairs = []
    for ops, engine in engines_of(name).items():
        network = network_of(name, ops, folder)
        layers = predict(network.works, network.data, table, network.given)
        for kind, own in _KINDS.items():
            predicted = sum(layer.microseconds for layer in layers if layer.kind == own)
            found = engine["kinds"].get(kind)
            if found and predicted:
                pairs.append(Pair(f"{name} {ops}: {kind}", predicted, found["microseconds"]))
    return pairs


def network_pairs(table: CostTable, folder: Path, names: Iterable[str]) -> list[Pair]:
    """Return whole networks as they were measured, native and with plugins, and in other forms that were, too."""
    pairs = []
    for name in names:
        times = {ops: ms * 1000 for ops, ms in measured("networks_h100")["networks"][name].items()}
        if name in MADE:
            times = {ops: each["timing"]["median_us"] for ops, each in engines_of(name).items()}
        for ops, time in times.items():
            network = network_of(name, ops, folder)
            layers = predict(network.works, network.data, table, network.given)
            pairs.append(Pair(f"{name} {ops}", sum(layer.microseconds for layer in layers), time))
    return pairs


def form_pairs(table: CostTable) -> list[Pair]:
    """Return the convolutions that were timed alone, in fp16 and fp32."""
    pairs = []
    for row in measured("convolution_forms_h100")["rows"]:
        layer = Work(row["case"], work.CONVOLUTION, ["x"], ["y"], weights=row["weights"])
        for dtype, element_bytes in (("fp16", 2), ("fp32", 4)):
            if f"{dtype}_us" in row:
                data = {name: Data(tuple(row[side]), element_bytes) for name, side in (("x", "input"), ("y", "output"))}
                predicted = Estimates(table, data).convolution(layer)
                pairs.append(Pair(f"{row['case']} {dtype}", predicted, row[f"{dtype}_us"]))
    return pairs


def kernel_pairs(table: CostTable) -> list[Pair]:
    """Return the kernels that were timed alone, ours and TensorRT's."""
    samples = [each for each in kernel_samples() if each.rate != "copy"]
    return [Pair(each.rate, table.rates[each.rate].time(each.num_bytes), each.microseconds) for each in samples]


def h200_pairs() -> list[Pair]:
    """Return the norms of the H200, of which no time is in the table: predicted by the bandwidth of its memory."""
    table = table_for(H200)
    pairs = []
    for row in measured("fused_norms_h200")["rows"]:
        layout, dtype = row["layout"].replace("-", "_").split()
        element_bytes = 2 if dtype == "fp16" else 4
        if row["variant"] == "plain":
            rate = table.rates[plugin_rate(work.NORM, layout, element_bytes)]
            num_bytes = 2.0 * np.prod(row["shape"]) * element_bytes
            pairs.append(Pair(f"{row['shape']} {row['layout']}", rate.time(num_bytes), row["microseconds"]))
    return pairs


def choices(name: str, table: CostTable, folder: Path) -> dict[str, int]:
    """Return how many groups of a network become what with --ops auto."""
    path = path_of(name, folder)
    model = model_io.load(path)
    context = PassContext(model.opset, path.parent)
    found = choose_by_cost(lambda: model_io.graph_at(model, {}), context, TRIALS, table, name in PUBLISHED)
    counts: dict[str, int] = {}
    for group in found.groups:
        choice = group.choice.split(" ")[0]
        counts[choice] = counts.get(choice, 0) + 1
    return counts


def without(name: str, folder: Path) -> CostTable:
    """Return the constants as they would be if a network had not been measured; what nothing tells is a copy."""
    table = records.from_json(CostTable, json.loads(json.dumps(fitted(folder, without=name))))
    known = measured_tables()[0].rates
    return replace(table, rates={rate: table.rates.get(rate, table.rates[estimates.COPY]) for rate in known})


def with_tables(page: str, folder: Path) -> str:
    """Return the page with each of its tables made anew."""
    (table,) = measured_tables()
    kinds = [pair for name in MADE for pair in kinds_of(name, table, folder)]
    unseen = [pair for name in MADE for pair in kinds_of(name, without(name, folder), folder)]
    networks = network_pairs(table, folder, [*MADE_WHOLE, *PUBLISHED])
    made = {
        "summary": _table(
            ["what", "number", "rank correlation", "worst misjudgement"],
            [
                _summary("kinds of layers in the engines of fns and CycleGAN", kinds),
                _summary("the same, each network predicted without its own layers", unseen),
                _summary("whole networks", networks),
                _summary("convolutions alone, in several forms", form_pairs(table)),
                _summary("kernels alone", kernel_pairs(table)),
                _summary("norms on an H200, by its bandwidth alone", h200_pairs()),
            ],
        ),
        "kinds": _table(["engine and kind", "measured us", "predicted us", "ratio"], map(_row, kinds)),
        "forms": _table(["convolution", "measured us", "predicted us", "ratio"], map(_row, form_pairs(table))),
        "networks": _table(["network", "measured us", "predicted us", "ratio"], map(_row, networks)),
        "choices": _choices(table, folder, networks),
    }
    return _BLOCK.sub(lambda found: found[1] + made[found[2]] + "\n" + found[3], page)


def _choices(table: CostTable, folder: Path, networks: Sequence[Pair]) -> str:
    times = {pair.name: pair.measured for pair in networks}
    rows = []
    for name in (*MADE_WHOLE, *PUBLISHED):
        counts = choices(name, table, folder)
        told = ", ".join(f"{count} {choice}" for choice, count in sorted(counts.items()))
        rows.append([name, told, f"{times[f'{name} native'] / times[f'{name} plugin']:.2f}x"])
    return _table(["network", "groups of nodes that become", "plugin against native, measured"], rows)


def _summary(title: str, pairs: Sequence[Pair]) -> list[str]:
    most = worst(pairs)
    return [title, str(len(pairs)), f"{rank_correlation(pairs):.3f}", f"{most.ratio:.2f} of {most.name}"]


def _row(pair: Pair) -> list[str]:
    return [pair.name, f"{pair.measured:.0f}", f"{pair.predicted:.0f}", f"{pair.ratio:.2f}"]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Write the tables anew."""
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(with_tables(PAGE.read_text(), Path(folder)))


if __name__ == "__main__":
    main()
