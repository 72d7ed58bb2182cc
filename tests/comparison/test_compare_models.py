"""Original against rewritten: every fetched, given and made model through `trtconv compare`'s machinery on the CPU.

And what a wrong rewrite would look like: the same comparison ends with exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import trtconv
from models.make_models import make
from tests.models.test_make_models import SMALL
from tests.passes.test_real_models import RUNS_NOWHERE, feeds_for, fetched_models, given_models
from tests.support import golden
from tests.support.command_line import run_here
from tests.support.comparison_models import write_network
from tests.support.equivalence import seeded_inputs
from tests.support.extent import part
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.shapes import parse_profiles

RealModel = tuple[str, Path, tuple[int, int]]


REAL_MODELS = [*given_models(), *fetched_models()]


@pytest.mark.parametrize("model", part(REAL_MODELS, REAL_MODELS[::2].__contains__), ids=lambda model: model[0])
def test_real_model(model: RealModel, tmp_path: Path) -> None:
    name, path, (num_instance_norms, _) = model
    if name in RUNS_NOWHERE:
        pytest.skip("nothing runs it")
    if not path.is_file():
        pytest.skip(f"{name}.onnx is not here")
    trtconv.rewrite(path, tmp_path / "rewritten.onnx", ops="plugin")
    tolerance = TOLERANCE["op" if num_instance_norms else "exact"]
    report = compare(path, tmp_path / "rewritten.onnx", feeds_for(onnx.load(path)), tolerance)
    assert report.passed, report.render()
    assert report.notes == []


@pytest.mark.parametrize("name", SMALL)
def test_made_model(name: str, tmp_path: Path) -> None:
    model = make(name, **SMALL[name])
    onnx.save(model, tmp_path / "model.onnx")
    trtconv.rewrite(tmp_path / "model.onnx", tmp_path / "rewritten.onnx", ops="plugin")
    feeds = [seeded_inputs(model, seed=seed) for seed in (0, 1)]
    report = compare(tmp_path / "model.onnx", tmp_path / "rewritten.onnx", feeds, TOLERANCE["op"])
    assert report.passed, report.render()
    assert report.warnings == []


@pytest.mark.parametrize("name", SMALL)
def test_the_command_finds_made_models_the_same_on_adversarial_inputs(name: str, tmp_path: Path) -> None:
    onnx.save(make(name, **SMALL[name]), tmp_path / "model.onnx")
    assert (
        run_here("rewrite", "model.onnx", "-o", "rewritten.onnx", "--ops", "plugin", "-q", cwd=tmp_path).exit_code == 0
    )
    options = ("--generator", "adversarial", "--tolerance", str(TOLERANCE["op"]))
    result = run_here("compare", "model.onnx", "rewritten.onnx", *options, cwd=tmp_path)
    assert result.exit_code == 0, result.stdout


# Wrong rewrites. ------------------------------------------------------------------------------------------------------


def node_of(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == op)


def reorder_pads(*order: int) -> Callable[[onnx.ModelProto], None]:
    def spoil(model: onnx.ModelProto) -> None:
        pads = next(each for each in node_of(model, "ReflectPad").attribute if each.name == "pads").ints
        pads[:] = [pads[position] for position in order]

    return spoil


def drop_epsilon(model: onnx.ModelProto) -> None:
    next(each for each in node_of(model, "InstanceNorm").attribute if each.name == "epsilon").f = 0.0


def swap_scale_and_bias(model: onnx.ModelProto) -> None:
    node = node_of(model, "InstanceNorm")
    node.input[1], node.input[2] = node.input[2], node.input[1]


def lose_the_last_channel(model: onnx.ModelProto) -> None:
    """As if the blocks of the last channel were never launched."""
    scale = next(each for each in model.graph.initializer if each.name == node_of(model, "InstanceNorm").input[1])
    values = onnx.numpy_helper.to_array(scale).copy()
    values[-1] = 0
    scale.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), scale.name))


WRONG: dict[str, tuple[Callable[[onnx.ModelProto], None], tuple[str, ...], str]] = {
    "begins and ends swapped": (reorder_pads(4, 5, 6, 7, 0, 1, 2, 3), (), "/pad"),
    "axes reversed": (reorder_pads(0, 1, 3, 2, 4, 5, 7, 6), (), "/pad"),
    "epsilon dropped": (drop_epsilon, ("--generator", "adversarial"), "/norm"),
    "scale and bias swapped": (swap_scale_and_bias, (), "/norm"),
    "last channel lost": (lose_the_last_channel, (), "/norm"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rewrite_ends_with_1_and_is_found(name: str, tmp_path: Path) -> None:
    spoil, options, node = WRONG[name]
    write_network(tmp_path / "model.onnx")
    trtconv.rewrite(tmp_path / "model.onnx", tmp_path / "rewritten.onnx", ops="plugin")
    assert run_here("compare", "model.onnx", "rewritten.onnx", *options, cwd=tmp_path).exit_code == 0
    wrong = onnx.load(tmp_path / "rewritten.onnx")
    spoil(wrong)
    onnx.save(wrong, tmp_path / "wrong.onnx")
    result = run_here("compare", "model.onnx", "wrong.onnx", "--bisect", "--json", *options, cwd=tmp_path)
    assert result.exit_code == 1, result.stdout
    assert result.document["bisection"]["node"] == node


def test_stale_shapes_of_the_reference_are_not_believed(tmp_path: Path) -> None:
    """ONNX Runtime computes pads from them, unless it is told to optimise nothing."""
    case = golden.FOLDER / "rewrite_reflect_pad" / "stale_value_info.onnxtxt"
    original, rewritten = tmp_path / "model.onnx", tmp_path / "rewritten.onnx"
    onnx.save(golden.read_case(case).model, original)
    trtconv.rewrite(original, rewritten, ops="plugin")
    profiles = parse_profiles(["x=1x2x10x12"])
    for first, second in ((original, rewritten), (rewritten, original)):
        report = trtconv.compare(first, second, trtconv.CompareConfig(profiles=profiles))
        assert report.passed, report.render()
        assert report.outputs[0].shape == (1, 2, 20, 24)
        assert (report.reference, report.candidate) == (str(first), str(second))
