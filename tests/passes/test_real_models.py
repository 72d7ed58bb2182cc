"""Published models through the rewrite: how many nodes, nothing else changed, the same numbers.

The models come from the folder that TRTCONV_TEST_MODELS names, and those that were fetched, from models/build.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import fetch
from tests.support.equivalence import Arrays, assert_close, rewrite_file, run_onnxruntime, seeded_inputs
from trtconv.model.walking import walk_nodes

FOLDER = os.environ.get("TRTCONV_TEST_MODELS", "")
# {file: (InstanceNorm, ReflectPad)}
COUNTS = {
    "basic_pitch_nmp_op15": (0, 9),
    "fns_candy_nc16_128_op9": (0, 16),
    "litemono_tiny_decoder_op13": (0, 7),
    "onnxasr_whisper80_conv_op17": (0, 1),
    "onnxasr_whisper80_stft_op17": (0, 1),
    "silero_vad_16k_sequence_op16": (0, 1),
    "silero_vad_v6_op16_if": (0, 2),
    "wml_candy_op7": (15, 1),
    "xfeat_256x256_op17": (1, 0),
    "xfeat_480x640_fp16_op12": (1, 0),
    "fixtures/burn_instance_norm1d_op16": (1, 0),
    "fixtures/burn_instance_norm2d_op16": (1, 0),
    "fixtures/burn_opset_compliance_op22": (1, 0),
    "fixtures/burn_pad_reflect_op24": (0, 1),
    "fixtures/polygraphy_instancenorm_op12": (1, 0),
}
# ImageScaler, Crop and Affine are no ONNX ops any more; ONNX Runtime has no RandomNormal of opset 22.
RUNS_NOWHERE = {"wml_candy_op7", "fixtures/burn_opset_compliance_op22"}
CUSTOM_OPS = {"InstanceNorm": "InstanceNormalization", "ReflectPad": "Pad"}


def given_models() -> list[tuple[str, Path, tuple[int, int]]]:
    return [(name, Path(FOLDER, f"{name}.onnx"), counts) for name, counts in COUNTS.items()]


def fetched_models() -> list[tuple[str, Path, tuple[int, int]]]:
    folder = fetch.DEFAULT_OUTPUT_DIR
    return [(name, folder / f"{name}.onnx", (0, model.num_reflect_pads)) for name, model in fetch.MODELS.items()]


@pytest.fixture(params=[*given_models(), *fetched_models()], ids=lambda each: each[0])
def real_model(request: pytest.FixtureRequest) -> tuple[str, Path, tuple[int, int]]:
    name, path, counts = request.param
    if not path.is_file():
        given = (
            "TRTCONV_TEST_MODELS names no folder with it" if name in COUNTS else f"run: python -m models.fetch {name}"
        )
        pytest.skip(f"{name}.onnx is not here: {given}")
    return name, path, counts


def test_rewrite(real_model: tuple[str, Path, tuple[int, int]]) -> None:
    name, path, (num_instance_norms, num_reflect_pads) = real_model
    content = path.read_bytes()
    original = onnx.ModelProto.FromString(content)
    rewritten = rewrite_file(path)
    assert path.read_bytes() == content

    became = Counter(decision.became for decision in rewritten.decisions)
    assert became == +Counter({"trtconv::InstanceNorm": num_instance_norms, "trtconv::ReflectPad": num_reflect_pads})
    assert rewritten.num_edits == became.total()
    assert_nothing_else_changed(original, rewritten.proto)
    if name not in RUNS_NOWHERE:
        for feeds in feeds_for(original):
            expected = run_onnxruntime(original, feeds)
            assert_close(run_onnxruntime(rewritten.proto, feeds), expected, exact=not num_instance_norms)


def assert_nothing_else_changed(original: onnx.ModelProto, rewritten: onnx.ModelProto) -> None:
    custom = [node for node in walk_nodes(rewritten.graph) if node.domain == "trtconv"]
    replaced = {(node.output[0], CUSTOM_OPS[node.op_type]) for node in custom}
    assert other_nodes(rewritten.graph, replaced) == other_nodes(original.graph, replaced)
    no_longer_read = read_names(original.graph) - read_names(rewritten.graph)
    for before, after in zip(graphs(original.graph), graphs(rewritten.graph), strict=True):
        kept = [tensor for tensor in before.initializer if tensor.name not in no_longer_read]
        assert list(after.initializer) == kept
        assert (after.name, after.doc_string) == (before.name, before.doc_string)
        assert list(after.output) == list(before.output)
        assert list(after.value_info)[: len(before.value_info)] == list(before.value_info)
        weights = {tensor.name for tensor in before.initializer}
        dropped = weights if original.ir_version <= 3 else weights & no_longer_read
        assert list(after.input) == [value for value in before.input if value.name not in dropped]
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(rewritten, field) == getattr(original, field)
    assert list(rewritten.metadata_props) == list(original.metadata_props)


def other_nodes(graph: onnx.GraphProto, replaced: set[tuple[str, str]]) -> Counter[bytes]:
    """Count all nodes but those that were replaced, branches included; a branch counts as its nodes."""
    counts: Counter[bytes] = Counter()
    for node in walk_nodes(graph):
        if node.domain == "trtconv" or (node.output and (node.output[0], node.op_type) in replaced):
            continue
        alone = onnx.NodeProto()
        alone.CopyFrom(node)
        for attribute in alone.attribute:
            attribute.ClearField("g")
        counts[alone.SerializeToString(deterministic=True)] += 1
    return counts


def read_names(graph: onnx.GraphProto) -> set[str]:
    return {name for node in walk_nodes(graph) for name in node.input}


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def feeds_for(model: onnx.ModelProto) -> list[Arrays]:
    """Return seeded inputs of the sizes that the audio models demand; both sample rates where there is a choice."""
    rng = np.random.default_rng(1)
    audio = {
        "serving_default_input_2:0": rng.standard_normal((1, 43844, 1)).astype(np.float32),
        "waveforms": rng.standard_normal((1, 8000)).astype(np.float32),
        "waveforms_lens": np.array([8000], dtype=np.int64),
        "state": np.zeros((2, 1, 128), dtype=np.float32),
        "sr": np.array(16000, dtype=np.int64),
    }
    inputs = {value.name: value.type.tensor_type for value in model.graph.input}
    feeds = {name: values for name, values in audio.items() if name in inputs}
    if "input" not in inputs or len(inputs["input"].shape.dim) != 2:
        return [seeded_inputs(model, feeds)]
    feeds["input"] = rng.standard_normal((1, 576)).astype(np.float32)
    choices = [seeded_inputs(model, feeds)]
    if "sr" in feeds:
        choices.append(choices[0] | {"sr": np.array(8000, dtype=np.int64), "input": feeds["input"][:, ::2]})
    return choices
