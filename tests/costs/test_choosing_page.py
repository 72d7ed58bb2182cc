"""docs/choosing.md and the constants of the cost model are what the measurements give."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.gpu.networks import MEASURED
from tests.support import choosing_page, fit_costs, whole_networks
from tests.support.choosing_page import PAGE, Pair, rank_correlation, worst
from tests.support.extent import whole_sweep
from tests.support.measured_networks import made_names, measured_names, path_of
from trtconv import BuildConfig
from trtconv.benchmark.variants import same_as_before, written_graph
from trtconv.costs.tables import measured_tables

(TABLE,) = measured_tables()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the measured networks are made, once."""
    return tmp_path_factory.mktemp("networks")


@whole_sweep
def test_the_constants_are_what_the_measurements_give(folder: Path) -> None:
    table = fit_costs.fitted(folder)
    assert fit_costs.COSTS.read_text() == fit_costs.as_file(table), "run: python -m tests.support.fit_costs"
    assert table["gpu"] == "NVIDIA H200"
    assert all((PAGE.parents[1] / each.split(" ")[0]).is_file() for each in table["sources"])


def test_correlation_and_worst_are_right() -> None:
    pairs = [Pair("a", 1, 10), Pair("b", 2, 20), Pair("c", 3, 25)]
    assert rank_correlation(pairs) == pytest.approx(1)
    assert rank_correlation([Pair("a", 3, 10), Pair("b", 2, 20), Pair("c", 1, 25)]) == pytest.approx(-1)
    right = [Pair("a", 10, 10), Pair("b", 21, 20)]
    assert worst([*right, Pair("far", 100, 20)]).name == "far"
    assert worst([*right, Pair("near nothing", 0.1, 20), Pair("far", 100, 20)]).name == "near nothing"


@whole_sweep
def test_predictions_order_what_was_measured(folder: Path) -> None:
    names = made_names()
    assert set(names) >= {"fns_1080x1920_fp16", "cyclegan_512_fp32", "vae_decoder_64_fp16", "gan_decoder_16_fp16"}
    found = [pair for name in names for pair in choosing_page.kinds_of(name, TABLE, folder)]
    assert rank_correlation(found) > 0.98
    whole = choosing_page.network_pairs(TABLE, folder, names)
    assert 0.8 < worst(whole).ratio < 1.2
    assert rank_correlation(whole) > 0.98
    unseen = choosing_page.without("cyclegan_512_fp16", folder)
    held_out = choosing_page.network_pairs(unseen, folder, ["cyclegan_512_fp16"])
    assert rank_correlation(held_out) == pytest.approx(1)
    assert 0.8 < worst(held_out).ratio < 1.2
    assert rank_correlation(choosing_page.h100_pairs(folder, names)) > 0.95


@pytest.mark.skipif(
    not all(path_of(name, Path()).is_file() for name in measured_names() if name not in made_names()),
    reason="TRTCONV_TEST_MODELS names no folder with the models of the page",
)
@whole_sweep
def test_the_page_says_what_the_model_predicts(folder: Path) -> None:
    page = PAGE.read_text()
    assert page == choosing_page.with_tables(page, folder), "run: python -m tests.support.choosing_page"
    assert len(re.findall(r"<!-- table \w+: begin -->\n\|", page)) == 8


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("networks_h200", "NVIDIA H200"),
        ("fused_norms_h200", "NVIDIA H200"),
        ("case_times_h200", "NVIDIA H200"),
        ("performance_h100", "NVIDIA H100 80GB HBM3"),
        ("convolution_forms_h100", "NVIDIA H100 80GB HBM3"),
        ("networks_h100", "NVIDIA H100 80GB HBM3"),
        ("rewritten_networks_h100", "NVIDIA H100 80GB HBM3"),
    ],
)
def test_each_measurement_is_of_the_gpu_that_its_name_says(name: str, gpu: str) -> None:
    text = (PAGE.parent / "measurements" / f"{name}.json").read_text()
    assert json.loads(text)
    assert set(re.findall(r"NVIDIA H\d00(?: 80GB HBM3)?", text)) == {gpu}


_RESHAPES = ("Squeeze", "Unsqueeze")  # around lines that became images since they were measured


@whole_sweep
@pytest.mark.parametrize("name", MEASURED)
def test_what_auto_makes_today_was_measured(name: str, tmp_path: Path) -> None:
    network, precision = MEASURED[name]
    path, entry = network.path(tmp_path), whole_networks.today().get(name)
    if path is None or entry is None:
        pytest.skip("it was not measured, or TRTCONV_TEST_MODELS names no folder with it")
    config, form = BuildConfig(backend="tensorrt", precision=precision), whole_networks.ours_of(entry)
    written = {ops: written_graph(path, config, ops) for ops in dict.fromkeys((form, "auto"))}
    left_out = _RESHAPES if name in whole_networks.EARLIER else ()
    nodes = Counter(op for op in written["auto"].ops_by_node.values() if op not in left_out)
    assert entry["graphs"][form]["nodes"] == dict(nodes)
    assert form == "auto" or same_as_before(written, "auto") == form
