"""Networks written by code are what they say, in every size, type, opset and style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from models import make_models
from models.network_builder import OpCounts

REPOSITORY = Path(__file__).resolve().parents[2]

SMALL: dict[str, dict[str, int]] = {
    "fast_neural_style": {"channels": 4, "height": 24, "width": 32},
    "cyclegan": {"channels": 4, "height": 24, "width": 32},
    "unet3d": {"channels": 4, "stages": 4, "depth": 8, "height": 16, "width": 24},
    "melgan": {"channels": 2, "frames": 12},
    "gan_decoder": {"channels": 4, "height": 2, "width": 3},
    "vae_decoder": {"channels": 8, "height": 4, "width": 3},
    "depth_net": {"channels": 2, "height": 32, "width": 48},
}
SMALL_OUTPUT_SHAPE = {
    "fast_neural_style": (1, 3, 24, 32),
    "cyclegan": (1, 3, 24, 32),
    "unet3d": (1, 2, 8, 16, 24),
    "melgan": (1, 1, 3072),
    "gan_decoder": (1, 3, 64, 96),
    "vae_decoder": (1, 3, 32, 24),
    "depth_net": (1, 1, 32, 48),
}
FULL_COUNTS = {
    "fast_neural_style": OpCounts(instance_norms=15, reflect_pads=16),
    "cyclegan": OpCounts(instance_norms=23, reflect_pads=20),
    "unet3d": OpCounts(instance_norms=22, reflect_pads=0),
    "melgan": OpCounts(instance_norms=0, reflect_pads=14),
    "gan_decoder": OpCounts(instance_norms=0, reflect_pads=0),
    "vae_decoder": OpCounts(instance_norms=25, reflect_pads=0),
    "depth_net": OpCounts(instance_norms=0, reflect_pads=9),
}
# fast_neural_style: the widely used PyTorch port; cyclegan: 11.378 M as its authors print it, and scale and bias of
# its 23 norms, which theirs do without; melgan: 4.26 M as the paper says.
PUBLISHED_PARAMETERS = {
    "fast_neural_style": 1_679_235,
    "cyclegan": 11_378_179 + 10_496,
    "melgan": 4_260_257,
}


def is_reflect_pad(node: onnx.NodeProto) -> bool:
    return node.op_type == "Pad" and any(a.name == "mode" and a.s == b"reflect" for a in node.attribute)


def make_small(network: str, **changes: int | str | bool) -> onnx.ModelProto:
    return make_models.make(network, **{**SMALL[network], **changes})  # type: ignore[arg-type]


def random_input(model: onnx.ModelProto, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return input of the kind that the network is for: pixels, an image of -1 to 1, or a normal distribution."""
    value = model.graph.input[0]
    shape = shape or tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    rng = np.random.default_rng(7)
    if model.graph.name == "fast_neural_style":
        values = rng.uniform(0, 255, shape)
    elif model.graph.name == "cyclegan":
        values = rng.uniform(-1, 1, shape)
    else:
        values = rng.standard_normal(shape)
    return values.astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return y


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {name: value for name, value in initializers(model).items() if name.rsplit(".")[-1] in PARAMETER_KINDS}


PARAMETER_KINDS = ("weight", "bias", "scale")


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_a_network_holds_as_many_norms_and_pads_as_expected(network: str) -> None:
    assert make_models.expected_counts(network) == FULL_COUNTS[network]
    counts = make_models.count_ops(make_small(network))
    assert counts == make_models.expected_counts(network, stages=SMALL[network].get("stages"))
    if network != "unet3d":
        assert counts == FULL_COUNTS[network]


@pytest.mark.parametrize(("network", "num_parameters"), PUBLISHED_PARAMETERS.items())
def test_a_network_has_the_published_size(network: str, num_parameters: int) -> None:
    parameters = weights(make_models.make(network))
    assert sum(value.size for value in parameters.values()) == num_parameters


def test_unet3d_doubles_its_channels_up_to_ten_times_the_first() -> None:
    model = make_small("unet3d", stages=6, depth=32, height=32, width=64)
    shapes = {name: value.shape for name, value in weights(model).items()}
    assert [shapes[f"/encoder{stage}/Conv.weight"][0] for stage in range(6)] == [4, 8, 16, 32, 40, 40]
    assert make_models.count_ops(model) == FULL_COUNTS["unet3d"]


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_same_arguments_same_bytes(network: str) -> None:
    content = make_small(network).SerializeToString(deterministic=True)
    assert make_small(network).SerializeToString(deterministic=True) == content
    assert make_small(network, seed=1).SerializeToString(deterministic=True) != content


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_runs_in_onnxruntime_with_sensible_numbers(network: str) -> None:
    model = make_small(network)
    x = random_input(model)
    y = run(model, x)
    assert y.dtype == np.float32
    assert y.shape == SMALL_OUTPUT_SHAPE[network]
    assert y.shape == tuple(dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim)
    assert np.isfinite(y).all()
    scale = 50 if network == "fast_neural_style" else 1  # pixels
    assert 0.05 * scale < y.std() < 3 * scale
    if network in ("cyclegan", "melgan"):
        assert np.mean(np.abs(y) > 0.95) < 0.05  # tanh is not saturated


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_fp16_agrees_with_fp32(network: str) -> None:
    model32, model16 = make_small(network), make_small(network, dtype="fp16")
    assert {str(value.dtype) for value in weights(model16).values()} == {"float16"}
    x = random_input(model16)
    y16, y32 = run(model16, x), run(model32, x.astype(np.float32))
    assert y16.dtype == np.float16
    # Weights and every activation rounded to 11 bits; the project's bound for fp16 models.
    assert np.abs(y16.astype(np.float32) - y32).max() <= 2e-2 * np.abs(y32).max()


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_activations_leave_room_in_fp16(network: str) -> None:
    model = make_small(network)
    x = random_input(model)
    outputs = [name for node in model.graph.node for name in node.output if name != model.graph.output[0].name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    activations = session.run(None, {session.get_inputs()[0].name: x})
    assert max(np.abs(value).max() for value in activations) < 6000  # a tenth of what fp16 holds


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        ("fast_neural_style", [(1, 3, 24, 32), (2, 3, 17, 9)]),
        ("cyclegan", [(1, 3, 24, 32), (2, 3, 17, 9)]),
        ("unet3d", [(1, 1, 8, 16, 24), (2, 1, 16, 8, 8)]),
        ("melgan", [(1, 80, 12), (3, 80, 5)]),
    ],
)
def test_dynamic_gives_what_static_gives(network: str, shapes: list[tuple[int, ...]]) -> None:
    axes = make_models.NETWORKS[network].axes
    dynamic = make_small(network, dynamic=True)
    assert [dim.dim_param for dim in dynamic.graph.input[0].type.tensor_type.shape.dim if dim.dim_param] == [
        "batch",
        *axes,
    ]
    for shape in shapes:
        static = make_small(network, batch=shape[0], **dict(zip(axes, shape[2:], strict=True)))
        x = random_input(static)
        assert x.shape == shape
        np.testing.assert_allclose(run(dynamic, x), run(static, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", make_models.NETWORKS)
@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 18, 21])
def test_every_opset_means_the_same(network: str, opset: int) -> None:
    reference, model = make_small(network), make_small(network, opset=opset)
    assert model.opset_import[0].version == opset
    x = random_input(reference)
    np.testing.assert_allclose(run(model, x), run(reference, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", ["fast_neural_style", "cyclegan", "melgan"])
@pytest.mark.parametrize(("style", "source"), [("initializer", None), ("constant", "Constant"), ("computed", "Cast")])
def test_pads_come_in_three_ways_with_one_meaning(network: str, style: str, source: str | None) -> None:
    model = make_small(network, pads_style=style)
    producers = {name: node for node in model.graph.node for name in node.output}
    pads = [node for node in model.graph.node if is_reflect_pad(node)]
    assert {producers[node.input[1]].op_type if source else None for node in pads} == {source}
    if source is None:  # as in exported models, pads of one width share one initializer
        assert len({node.input[1] for node in pads}) < len(pads)
        assert {node.input[1] for node in pads} <= initializers(model).keys()
    reference = make_small(network)
    x = random_input(reference)
    np.testing.assert_array_equal(run(model, x), run(reference, x))


@pytest.mark.parametrize("network", make_models.NETWORKS)
def test_weights_do_not_depend_on_how_the_network_is_written(network: str) -> None:
    reference = weights(make_small(network))
    larger = {axis: 2 * SMALL[network][axis] for axis in make_models.NETWORKS[network].axes}
    for changes in ({"opset": 9}, {"pads_style": "computed"}, {"dynamic": True}, {"batch": 3}, larger):
        changed = weights(make_small(network, **changes))
        assert changed.keys() == reference.keys()
        assert all(np.array_equal(changed[name], reference[name]) for name in reference)
    for name, value in weights(make_small(network, dtype="fp16")).items():
        np.testing.assert_array_equal(value, reference[name].astype(np.float16))


@pytest.mark.parametrize("network", ["fast_neural_style", "cyclegan", "unet3d"])
def test_no_norm_has_a_trivial_scale_or_bias(network: str) -> None:
    values = initializers(make_small(network))
    norms = [node for node in make_small(network).graph.node if node.op_type == "InstanceNormalization"]
    for node in norms:
        assert np.std(values[node.input[1]]) > 0.01
        assert np.std(values[node.input[2]]) > 0.01


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("resnet", {}, "no network 'resnet'; there are: fast_neural_style"),
        ("cyclegan", {"frames": 80}, "cyclegan has no frames"),
        ("melgan", {"height": 8, "stages": 2}, "melgan has no height and no stages"),
        ("fast_neural_style", {"height": 4}, "height and width must be 5 or more"),
        ("cyclegan", {"width": 4}, "height and width must be 5 or more"),
        ("melgan", {"frames": 3}, "frames must be 4 or more"),
        ("unet3d", {"depth": 48}, "a multiple of 32"),
        ("unet3d", {"stages": 3, "depth": 4, "height": 4, "width": 4}, "one size must be 8 or more"),
        ("unet3d", {"stages": 1}, "stages must be 2 or more"),
        ("cyclegan", {"dtype": "int8"}, "dtype must be one of fp32, fp16"),
        ("cyclegan", {"pads_style": "magic"}, "pads_style must be one of"),
        ("cyclegan", {"opset": 10, "pads_style": "computed"}, "pads_style computed needs opset 11"),
        ("cyclegan", {"opset": 8}, "opset must be 9 to"),
        ("cyclegan", {"batch": 0}, "must be 1 or more"),
    ],
)
def test_what_does_not_fit_a_network_is_an_error(network: str, changes: dict[str, int | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_models.make(network, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", ["fast_neural_style", "cyclegan", "melgan"])
def test_the_smallest_allowed_size_runs(network: str) -> None:
    smallest = {"frames": 4} if network == "melgan" else {"height": 5, "width": 5}
    model = make_small(network, **smallest)
    assert np.isfinite(run(model, random_input(model))).all()


def test_the_command_writes_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "made.onnx"
    arguments = ["cyclegan", "--channels", "4", "--height", "24", "--width", "32", "--dtype", "fp16"]
    done = subprocess.run(
        [sys.executable, "-m", "models.make_models", *arguments, "--output", str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{path}: {path.stat().st_size} bytes, 23 InstanceNormalization, 20 reflect Pad\n"
    assert path.read_bytes() == make_small("cyclegan", dtype="fp16").SerializeToString(deterministic=True)


def test_the_command_names_its_file_by_network_size_and_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_models, "DEFAULT_OUTPUT_DIR", tmp_path)
    assert make_models.main(["melgan", "--channels", "2", "--frames", "12"]) == 0
    assert make_models.main(["melgan", "--channels", "2", "--dynamic", "--dtype", "fp16"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"melgan_1x80x12_fp32.onnx", "melgan_dynamic_fp16.onnx"}


def test_the_command_tells_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_models.main(["melgan", "--frames", "3", "--output", str(tmp_path / "m.onnx")]) == 2
    assert capsys.readouterr().err == "error: frames must be 4 or more, got 3\n"
    (tmp_path / "taken").write_text("a file")
    arguments = ["melgan", "--channels", "2", "--frames", "8", "--output", str(tmp_path / "taken" / "m.onnx")]
    assert make_models.main(arguments) == 1
    assert "taken" in capsys.readouterr().err
