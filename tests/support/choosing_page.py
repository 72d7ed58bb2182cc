"""The tables of docs/choosing.md, what the cost model predicts beside what was measured:

TRTCONV_TEST_MODELS=... python -m tests.support.choosing_page
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.support import whole_networks
from tests.support.fit_costs import fitted
from tests.support.measured_layers import H100_GB_PER_S, kernel_samples
from tests.support.measured_networks import (
    AUTO,
    CASES_RUN,
    H100_RUN,
    H200_RUN,
    NATIVE,
    TUNING_RUN,
    is_short,
    made_names,
    measured,
    measured_names,
    median_us,
    network_of,
    path_of,
    profiled,
)
from tests.support.measurements import same_as
from trtconv import records
from trtconv.benchmark import layer_kinds
from trtconv.costs import estimates, prediction, work
from trtconv.costs.estimates import Estimates
from trtconv.costs.prediction import predict
from trtconv.costs.tables import CostTable, measured_tables, table_for
from trtconv.costs.work import Data, Work
from trtconv.gpu.driver import Gpu
from trtconv.model import model_io
from trtconv.passes.base import PassContext
from trtconv.passes.choose_by_cost import choose_by_cost
from trtconv.passes.fusing_passes import TRIALS

PAGE = Path(__file__).parents[2] / "docs" / "choosing.md"
H100 = Gpu("NVIDIA H100 80GB HBM3", "sm_90", "13.0", H100_GB_PER_S)
_BLOCK = re.compile(r"(<!-- table (\w+): begin -->\n).*?(<!-- table \2: end -->)", re.DOTALL)
# By what a profile calls a layer, what the model does: TensorRT copies for a Concat as for another layout.
_KINDS = {
    layer_kinds.CONVOLUTION: {work.CONVOLUTION},
    layer_kinds.NORM: {work.NORM},
    layer_kinds.PAD: {work.PAD},
    layer_kinds.RESIZE: {work.RESIZE},
    layer_kinds.ACTIVATION: {work.POINTWISE},
    layer_kinds.REFORMAT: {prediction.REFORMAT, work.MOVE},
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
    """Return each kind of layer in each engine of a network."""
    pairs = []
    for ops, profile in profiled(name).items():
        if ops in measured(H200_RUN)["networks"][name]["engines"] and not is_current(name, ops):
            continue
        network = network_of(name, ops, folder)
        layers = predict(network.works, network.data, table, network.given)
        for kind, own in _KINDS.items():
            predicted = sum(layer.microseconds for layer in layers if layer.kind in own)
            found = profile.kinds.get(kind)
            if found and predicted:
                pairs.append(Pair(f"{name} {ops}: {kind}", predicted, found))
    return pairs


def network_pairs(table: CostTable, folder: Path, names: Iterable[str]) -> list[Pair]:
    """Return whole networks as they were measured on the H200, in every form but that of auto."""
    return [
        Pair(f"{name} {ops}", _predicted(name, ops, table, folder), us)
        for name in names
        for ops in measured(H200_RUN)["networks"][name]["engines"]
        if ops != AUTO and is_current(name, ops) and (us := median_us(name, ops))
    ]


def h100_pairs(folder: Path, names: Iterable[str]) -> list[Pair]:
    """Return the networks that were measured on the H100, none of which took part in the fit."""
    times = {
        name: {ops: 1000.0 * ms for ops, ms in each.items()}
        for name, each in measured("networks_h100")["networks"].items()
    }
    for name, entry in measured(H100_RUN)["networks"].items():
        times[name] = {ops: engine["timing"]["median_us"] for ops, engine in entry["engines"].items()}
    table = table_for(H100)
    return [
        Pair(f"{name} {ops}", _predicted(name, ops, table, folder), us)
        for name in names
        for ops, us in times.get(name, {}).items()
    ]


def is_current(name: str, ops: str) -> bool:
    """Say whether a form has a graph of its own, and kernels of today."""
    is_own = same_as(measured(H200_RUN)["networks"][name], ops) is None
    return is_own and not (name in whole_networks.EARLIER and ops != NATIVE)


def _predicted(name: str, ops: str, table: CostTable, folder: Path) -> float:
    network = network_of(name, ops, folder)
    return sum(layer.microseconds for layer in predict(network.works, network.data, table, network.given))


def form_pairs(table: CostTable) -> list[Pair]:
    """Return the convolutions that were timed alone, in fp16."""
    pairs = []
    for row in measured("convolution_forms_h100")["rows"]:
        layer = Work(row["case"], work.CONVOLUTION, ["x"], ["y"], weights=row["weights"])
        data = {name: Data(tuple(row[side]), 2) for name, side in (("x", "input"), ("y", "output"))}
        pairs.append(Pair(row["case"], Estimates(table, data).convolution(layer), row["fp16_us"]))
    return pairs


def kernel_pairs(table: CostTable) -> list[Pair]:
    """Return the kernels that were timed alone, ours and TensorRT's."""
    samples = [each for each in kernel_samples() if each.rate != "copy"]
    return [Pair(each.rate, table.rates[each.rate].time(each.num_bytes), each.microseconds) for each in samples]


def choices(name: str, table: CostTable, folder: Path) -> dict[str, int]:
    """Return how many groups of a network become what with --ops auto."""
    path = path_of(name, folder)
    model = model_io.load(path)
    context = PassContext(model.opset, path.parent)
    found = choose_by_cost(lambda: model_io.graph_at(model, {}), context, TRIALS, table, is_short(name))
    return dict(Counter(group.choice.split(" ")[0] for group in found.groups))


def without(name: str, folder: Path) -> CostTable:
    """Return the constants as they would be if a network had not been measured; what nothing tells is a copy."""
    table = records.from_json(CostTable, json.loads(json.dumps(fitted(folder, without=name))))
    known = measured_tables()[0].rates
    return replace(table, rates={rate: table.rates.get(rate, table.rates[estimates.COPY]) for rate in known})


def with_tables(page: str, folder: Path) -> str:
    """Return the page with each of its tables made anew."""
    (table,) = measured_tables()
    kinds = [pair for name in made_names() for pair in kinds_of(name, table, folder)]
    apart = {name: without(name, folder) for name in made_names()}
    unseen = [pair for name in made_names() for pair in kinds_of(name, apart[name], folder)]
    networks = network_pairs(table, folder, measured_names())
    unseen_networks = [
        pair for name in measured_names() for pair in network_pairs(apart.get(name, table), folder, [name])
    ]
    others = h100_pairs(folder, measured_names())
    made = {
        "summary": _table(
            ["what", "number", "rank correlation", "worst misjudgement"],
            [
                _summary("kinds of layers in the engines of networks", kinds),
                _summary("the same, each network predicted without its own layers", unseen),
                _summary("whole networks", networks),
                _summary("the same, each predicted without its own layers", unseen_networks),
                _summary("convolutions alone, in several forms, fp16", form_pairs(table)),
                _summary("kernels alone", kernel_pairs(table)),
                _summary("whole networks on an H100, by its bandwidth alone", others),
            ],
        ),
        "kinds": _table(["engine and kind", "measured us", "predicted us", "ratio"], map(_row, kinds)),
        "forms": _table(["convolution", "measured us", "predicted us", "ratio"], map(_row, form_pairs(table))),
        "networks": _table(["network", "measured us", "predicted us", "ratio"], map(_row, networks)),
        "h100": _table(["network", "measured us", "predicted us", "ratio"], map(_row, others)),
        "auto": _auto(table, folder),
        "cases": _cases(),
        "tuning": _tuning(),
    }
    return _BLOCK.sub(lambda found: found[1] + made[found[2]] + "\n" + found[3], page)


def _auto(table: CostTable, folder: Path) -> str:
    """Return what auto chooses, and how its engine compares with native and with the best of the other forms."""
    rows = []
    for name, entry in whole_networks.today().items():
        counts = choices(name, table, folder)
        told = ", ".join(f"{count} {choice}" for choice, count in sorted(counts.items()))
        times = {ops: whole_networks.milliseconds(entry, ops) for ops in entry["engines"]}
        auto, native = times[whole_networks.ours_of(entry)], times[NATIVE]
        times.pop(AUTO)  # of today's choices, or it stands for nothing
        best = min(times, key=times.__getitem__)
        cells = [f"{native:.3f}", f"{auto:.3f}", f"{best} {times[best]:.3f}"]
        rows.append([name, told, *cells, f"{auto / times[best]:.2f}", f"{native / auto:.2f}x"])
    titles = ["network", "groups of nodes that become", "native ms", "auto ms", "best other ms"]
    return _table([*titles, "auto over best", "against native"], rows)


def _cases() -> str:
    """Return the small models that auto changed: what their engines took."""
    rows = []
    for name, entry in sorted(measured(CASES_RUN)["cases"].items()):
        if "us" in entry:
            native, auto = (entry["us"][ops] for ops in (NATIVE, AUTO))
            told = f"{native / auto:.2f}x" + (", slower" if entry["is_slower"] else "")
            rows.append([name, f"{entry['plugins']}", f"{native:.1f}", f"{auto:.1f}", told])
    return _table(["model, size, types", "plugins", "native us", "auto us", "against native"], rows)


def _tuning() -> str:
    """Return what --tune measured: each candidate by its median, in microseconds."""
    rows = []
    for name, found in measured(TUNING_RUN)["networks"].items():
        times = {each["name"]: each["median_us"] for each in found["candidates"] if each["problem"] is None}
        refused = {each["name"] for each in found["candidates"] if "max|error|" in (each["problem"] or "")}
        known = {each["name"]: each["median_us"] for each in found["candidates"]}
        cells = [_refused(known.get(ops), ops in refused) for ops in ("native", "plugin", "fused", "rewritten", "auto")]
        gain = f"{times[NATIVE] / times[found['best']]:.2f}x"
        rows.append([name, f"{found['budget_s']}", f"{found['seconds']:.0f}", *cells, found["best"], gain])
    titles = ["network", "budget s", "seconds", "native us", "plugin us", "fused us", "rewritten us", "auto us", "best"]
    return _table([*titles, "against native"], rows)


def _refused(us: float | None, is_refused: bool) -> str:
    return "-" if us is None else f"{us:.0f}, refused" if is_refused else f"{us:.0f}"


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
