"""What is told of an engine: by its file, by its manifest, by TensorRT's inspector in its two forms."""

from __future__ import annotations

import json
from pathlib import Path

import onnx.parser
import pytest

from tests.support.documented_json import assert_documented
from tests.support.engine_files import DATA, H100, MANIFEST, engine_bytes, write_engine
from tests.support.fake_engine import FakeEngine
from tests.support.inspection_cases import ENGINE_FOLDER, WIDTHS, loaded_engine_text
from trtconv.engine import loading
from trtconv.engine.inspector_json import Layer, LayerTensor, parse_engine_information, short_format, split_format
from trtconv.engine.live_engine import read_engine
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.inspection import engine_inspection, inspect
from trtconv.inspection.differences import diff
from trtconv.inspection.engine_inspection import inspect_engine
from trtconv.inspection.inspected_file import parse_header
from trtconv.plugins import library as plugin_library
from trtconv.shapes import ShapeRange

FORMS = ("inspector_10", "inspector_11")


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_inspection, "find_gpu", lambda: None)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU answers, TensorRT 10.6.0 is installed, and loading gives a fake engine."""
    text = (DATA / "inspector_10.json").read_text()
    monkeypatch.setattr(engine_inspection, "find_gpu", lambda: H100)
    monkeypatch.setattr(engine_inspection, "backend_version", lambda backend: "10.6.0")
    monkeypatch.setattr(loading, "load_engine", lambda path, trust: FakeEngine(text))


# TensorRT's inspector ---------------------------------------------------------------------------------------------


def test_both_forms_of_the_inspector_give_the_same_kind_of_layer() -> None:
    for form in FORMS:
        information = parse_engine_information((DATA / f"{form}.json").read_text())
        assert information.io_names == ["image", "y"]
        layers = {layer.name: layer for layer in information.layers}
        convolution = layers["conv1 + relu1"]
        assert (convolution.type, convolution.precision, convolution.formats) == ("CaskConvolution", "float16", "HWC8")
        assert convolution.tactic is not None
        assert convolution.tactic.startswith("sm")
        assert convolution.outputs == [LayerTensor("conv1_out", [1, 32, 64, 64], "HWC8", "float16")]
        assert layers["norm1"].formats == "HWC8 -> LINEAR"


def test_what_the_inspector_does_not_tell_is_none() -> None:
    layer = parse_engine_information((DATA / "inspector_10.json").read_text()).layers[-1]
    assert (layer.type, layer.precision, layer.formats) == ("NoOp", None, None)


def test_what_tensorrt_10_6_tells_of_a_dynamic_engine_without_a_context() -> None:
    """The text is TensorRT's own, of Conv, InstanceNorm, Relu, ReflectPad, Conv in fp16: it tells types, no formats."""
    information = parse_engine_information((DATA / "inspector_10_without_context.json").read_text())
    plugins = [layer for layer in information.layers if layer.type == "PluginV3"]
    assert [layer.name for layer in plugins] == ["norm1", "pad1"]
    assert plugins[1].outputs == [LayerTensor("Reformatted Output Tensor 0 to pad1", [-1, 16, 34, 34], None, "float16")]
    assert {(layer.precision, layer.formats) for layer in plugins} == {("float16", None)}
    assert information.io_names == ["x", "y"]
    assert len(information.layers) == 12


def test_layer_names_only() -> None:
    information = parse_engine_information((DATA / "inspector_names_only.json").read_text())
    assert information.layers == [Layer("conv1 + relu1"), Layer("norm1")]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"Layers": 3}'])
def test_text_of_no_known_form_is_an_error(text: str) -> None:
    with pytest.raises(BackendError, match="inspector"):
        parse_engine_information(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Row major linear FP32", ("LINEAR", "float32")),
        ("Row major linear BF16 format (kLINEAR)", ("LINEAR", "bfloat16")),
        ("Two wide channel vectorized row major FP16 format", ("CHW2", "float16")),
        ("Thirty-two wide channel vectorized row major Int8 format.", ("CHW32", "int8")),
        ("Thirty-two wide channel vectorized row major Int8 format with 3 spatial dimensions", ("CDHW32", "int8")),
        ("Channel major FP16 format where C % 8 == 0 and H Stride % 32 == 0", ("HWC8", "float16")),
        ("Channel major FP16 format where channel % 8 == 0 with 3 spatial dimensions", ("DHWC8", "float16")),
        ("Channel major FP32 format with 3 spatial dimensions where channel % 4 == 0", ("DHWC4", "float32")),
        ("Channel major FP32 format with 3 spatial dimensions", ("DHWC", "float32")),
        ("Channel major FP32 format", ("HWC", "float32")),
        ("Non-vectorized channel-last BF16 format", ("HWC", "bfloat16")),
        (
            "Channel major FP16 format where channel == 4 and column stride % 32 == 0",
            ("Channel major FP16 format where channel == 4 and column stride % 32 == 0", "float16"),
        ),
        ("Channel major FP16 format where channel == 4 and column stride % 32 == 0 (kHWC)", ("HWC", "float16")),
        ("Float", (None, "float32")),
        ("Half", (None, "float16")),
        ("N/A due to dynamic shapes", (None, None)),
        ("A format of the future", ("A format of the future", None)),
    ],
)
def test_formats_and_types(text: str, expected: tuple[str | None, str | None]) -> None:
    assert split_format(text) == expected
    assert short_format(text) == expected[0]


# A loaded engine --------------------------------------------------------------------------------------------------


def test_formats_are_asked_for_with_the_usual_shapes() -> None:
    fake = FakeEngine((DATA / "inspector_10.json").read_text())
    live = read_engine(fake)
    assert fake.shapes_told == {"image": (1, 3, 64, 64)}
    assert [tensor.name for tensor in live.tensors] == ["image", "sizes", "y"]
    image, sizes, y = live.tensors
    assert image.profiles == [
        ShapeRange((1, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64)),
        ShapeRange((1, 3, 64, 64), (2, 3, 64, 64), (4, 3, 64, 64)),
    ]
    assert sizes.profiles[0] == ShapeRange((1, 1), (2, 2), (8, 8), kind="values")
    assert (y.direction, y.dtype, y.format, y.profiles) == ("output", "float16", "HWC8", [])
    assert live.device_memory_bytes == 3 << 20


def test_an_engine_without_an_execution_context_still_has_layers() -> None:
    fake = FakeEngine((DATA / "inspector_10.json").read_text(), context=False)
    assert len(read_engine(fake).information.layers) == 4
    assert fake.shapes_told is None


@pytest.mark.parametrize("width", WIDTHS)
def test_a_loaded_engine_as_text(width: int) -> None:
    text = loaded_engine_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert text == (ENGINE_FOLDER / f"loaded_{width}.txt").read_text()


# The file and its manifest ----------------------------------------------------------------------------------------


def test_the_header_tells_backend_version_and_size() -> None:
    header = parse_header(engine_bytes(b"vtrt", (1, 7, 1, 116), 4711))
    assert header is not None
    assert (header.backend, header.version, header.num_bytes) == ("tensorrt-rtx", "1.7.1.116", 4711)


def test_a_header_of_an_unknown_serialization_tells_the_backend_alone() -> None:
    header = parse_header(b"ftrt\1\0\0\0" + bytes(56))
    assert header is not None
    assert (header.backend, header.version, header.num_bytes) == ("tensorrt", None, None)
    assert parse_header(b"ftrt") is not None
    assert parse_header(b"\x08\x08") is None


def test_without_a_gpu_file_and_manifest_tell_what_they_can(tmp_path: Path, without_gpu: None) -> None:
    inspection = inspect_engine(write_engine(tmp_path, MANIFEST))
    assert inspection.not_loaded_because == "no CUDA device found"
    assert inspection.layers is None
    assert inspection.version == "10.6.0.26"
    assert [(tensor.name, tensor.dtype) for tensor in inspection.tensors] == [
        ("image", "float16"),
        ("sizes", "int64"),
        ("y", "float16"),
    ]
    assert inspection.tensors[0].profiles == [ShapeRange((1, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64))]
    text = inspection.render(100)
    assert "layers, formats and memory need a loaded engine" in text
    assert "pads is only known at run time" in text
    assert "GPU sm_90 (NVIDIA H100); no GPU here" in text


def test_the_precision_is_told(tmp_path: Path, without_gpu: None) -> None:
    kept = [{"node": "exp", "op": "Exp", "became": "fp32", "reason": "rounding"}]
    content = MANIFEST | {"options": {"precision": "fp16"}, "kept_fp32": kept}
    lines = inspect_engine(write_engine(tmp_path, content)).render().splitlines()
    assert "precision  fp16, but for 1 node that stays fp32" in lines
    lines = inspect_engine(write_engine(tmp_path, MANIFEST)).render().splitlines()
    assert not any(line.startswith("precision") for line in lines)


def test_without_a_manifest_the_file_tells_what_it_can(tmp_path: Path, without_gpu: None) -> None:
    inspection = inspect_engine(write_engine(tmp_path))
    assert inspection.version == "10.6.0.26"
    assert inspection.tensors == []
    assert any("no manifest" in warning for warning in inspection.warnings)
    assert "no manifest" in inspection.render(80)


def test_a_damaged_engine_and_a_foreign_manifest_are_said(tmp_path: Path, without_gpu: None) -> None:
    content = MANIFEST | {"engine": {"sha256": "2" * 64, "bytes": 64}}
    engine = write_engine(tmp_path, content, engine_bytes(num_bytes=100))
    with pytest.raises(ModelError, match=r"does not fit its manifest \(sha256 222222222222 there") as caught:
        inspect_engine(engine)
    assert "--trust" in (caught.value.hint or "")
    inspection = inspect_engine(engine, trust=True)
    assert any("header says 100" in warning for warning in inspection.warnings)
    assert any("another engine" in warning for warning in inspection.warnings)


def test_another_version_and_gpu_do_not_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_gpu: None) -> None:
    monkeypatch.setattr(engine_inspection, "backend_version", lambda backend: "10.13.3")

    def refuse(path: Path, trust: bool) -> FakeEngine:
        raise BackendError("TensorRT 10.13.3 cannot load it")

    monkeypatch.setattr(loading, "load_engine", refuse)
    inspection = inspect_engine(write_engine(tmp_path, MANIFEST | {"gpu_arch": "sm_80", "gpu": None}))
    assert [(match.what, match.matches) for match in inspection.matches] == [("TensorRT", False), ("GPU", False)]
    assert inspection.not_loaded_because == "TensorRT 10.13.3 cannot load it"
    text = inspection.render(120)
    assert "TensorRT 10.6.0.26; 10.13.3 here: the engine does not load here" in text
    assert "GPU sm_80; sm_90 (NVIDIA H100) here" in text


def test_a_missing_plugin_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_gpu: None) -> None:
    monkeypatch.setenv(plugin_library.ENVIRONMENT_VARIABLE, str(tmp_path / "gone.so"))
    inspection = inspect_engine(write_engine(tmp_path, MANIFEST))
    assert inspection.plugins is not None
    assert not inspection.plugins.is_found
    assert "gone.so" in inspection.render(120)


def test_another_build_of_the_plugin_library_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_gpu: None
) -> None:
    other = tmp_path / "other.so"
    other.write_bytes(b"another build")
    monkeypatch.setenv(plugin_library.ENVIRONMENT_VARIABLE, str(other))
    inspection = inspect_engine(write_engine(tmp_path, MANIFEST))
    assert inspection.plugins is not None
    assert inspection.plugins.is_found
    assert "another build" in inspection.plugins.detail


@pytest.mark.parametrize("name", ["0.1.0_tensorrt", "0.1.0_rtx"])
def test_json_holds_the_manifest_as_it_is(tmp_path: Path, without_gpu: None, name: str) -> None:
    content = json.loads((DATA / "manifests" / f"{name}.json").read_text())
    document = json.loads(json.dumps(inspect_engine(write_engine(tmp_path, content), trust=True).to_json()))
    options = document["manifest"]["options"]
    assert content["options"].items() <= options.items()
    assert document["manifest"] == content | {"options": options}
    assert document["decisions"] == content["decisions"]


def test_a_manifest_of_another_make_is_no_crash(tmp_path: Path, without_gpu: None) -> None:
    for content in (
        {"profiles": [{"x": "?"}]},
        {"inputs": [{"name": "x"}]},
        {"decisions": [{"odd": 1}]},
        {"inputs": 3},
    ):
        inspection = inspect_engine(write_engine(tmp_path, {"trtconv": "9.0", **content}))
        assert any("does not have the format" in warning for warning in inspection.warnings)
        assert inspection.render(80)
        json.dumps(inspection.to_json())


@pytest.mark.parametrize("data", [b"", b"no engine", b"\x89PNG"])
def test_a_file_that_is_no_engine_is_a_model_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelError, match="not a TensorRT engine"):
        inspect_engine(write_engine(tmp_path, data=data))


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        inspect(tmp_path / "gone.engine")
    with pytest.raises(ConfigError, match="folder"):
        inspect(tmp_path)


def test_json_is_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_gpu: None) -> None:
    path = write_engine(tmp_path, MANIFEST)
    loaded = inspect_engine(path).to_json()
    assert loaded["is_loaded"]
    assert [layer["precision"] for layer in loaded["layers"]] == ["float16", "float16", "float16", None]
    assert_documented(loaded)
    monkeypatch.setattr(engine_inspection, "find_gpu", lambda: None)
    from_manifest = inspect_engine(path).to_json()
    assert not from_manifest["is_loaded"]
    assert_documented(from_manifest)
    path.with_name(path.name + ".json").unlink()
    assert_documented(inspect_engine(path).to_json())


# Two engines ------------------------------------------------------------------------------------------------------


def test_the_difference_of_two_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_gpu: None) -> None:
    path = write_engine(tmp_path, MANIFEST)
    first = inspect_engine(path)
    assert diff(first, inspect_engine(path)).changes == []
    text = (DATA / "inspector_11.json").read_text()
    monkeypatch.setattr(loading, "load_engine", lambda path, trust: FakeEngine(text))
    write_engine(tmp_path, MANIFEST | {"options": {"opt_level": 5}})
    difference = diff(first, inspect_engine(path))
    changed = {(change.section, change.item): (change.a, change.b) for change in difference.changes}
    assert changed["options", "opt_level"] == ("not set", "5")
    assert changed["layers", "number"] == ("4", "2")
    assert changed["layers", "shape_of_something"] == ("NoOp, 0x0000000000000000", None)
    assert ("nodes", "norm1") not in changed
    assert "shape_of_something" in difference.render(80)


# A real engine ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtx_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorrt_rtx")
    from trtconv import BuildConfig, build

    folder = tmp_path_factory.mktemp("rtx")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }'
    )
    onnx.save(model, folder / "model.onnx")
    from trtconv.shapes import parse_profiles

    config = BuildConfig(backend="tensorrt-rtx", gpu_arch="sm_89", profiles=parse_profiles(["x=1x4:2x4:8x4"]))
    return build(folder / "model.onnx", config).engine


def test_a_real_engine_without_a_gpu(rtx_engine: Path, without_gpu: None) -> None:
    inspection = inspect_engine(rtx_engine)
    assert inspection.backend == "tensorrt-rtx"
    assert inspection.matches[0].matches
    assert inspection.warnings == []
    assert inspection.tensors[0].profiles == [ShapeRange((1, 4), (2, 4), (8, 4))]
    assert inspection.plugins is None


def test_a_truncated_real_engine(rtx_engine: Path, tmp_path: Path, without_gpu: None) -> None:
    path = write_engine(tmp_path, data=rtx_engine.read_bytes()[:1000])
    assert any("damaged" in warning for warning in inspect_engine(path).warnings)
