"""What `--ops fused` makes of every model of the test folders, and whether the numbers stay the same in ONNX Runtime.

    python -m tests.support.fusion_table [--ops fused|rewritten] [--seconds 60] [--jobs 2] [PATTERN or FILE ...]

Writes a table in Markdown: of each model whose file name matches a glob (all by default), and of each file, the custom
ops with what went into them, the convolutions that have another form, what stays native, and the largest difference of
an output before and after, as a part of its largest value. Each model is looked at in a process of its own, which ONNX
Runtime may end. Models come from TRTCONV_TEST_MODELS, and from zoo/ and reports/ of TRTCONV_TEST_CASES.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from trtconv import rewrite
from trtconv.model.walking import walk_nodes
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, attributes_of
from trtconv.ops.input_map import has_phases

FOLDERS = {
    "TRTCONV_TEST_MODELS": ("*.onnx", "fixtures/*.onnx"),
    "TRTCONV_TEST_CASES": ("zoo/*/*.onnx", "reports/**/*.onnx"),
}
# The batch and the other sizes that are tried in turn where a model leaves them open: networks have smallest ones.
OPEN_SIZES = ((1, 32), (1, 64), (1, 2048), (4, 32))
Entry = dict[str, Any]


def look_at(path: Path, ops: Any) -> Entry:
    """Rewrite a model; return its custom ops, what stayed native and why, and how far the outputs are apart."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        report = rewrite(path, made, ops=ops)
        original, proto = (onnx.load(each, load_external_data=False) for each in (path, made))
        custom = [node for node in walk_nodes(proto.graph) if node.domain == DOMAIN]
        left = [each for each in (*report.decisions, *report.others) if each.became is None]
        entry: Entry = {
            "made": Counter(describe(node) for node in custom).most_common(),
            "rewritten": Counter(
                f"{each.op}: {each.reason}" for each in report.decisions if "weight_bytes_after" in each.figures
            ).most_common(),
            "native": Counter(f"{each.op}: {each.reason}" for each in left).most_common(),
            "nodes": [sum(1 for _ in walk_nodes(graph)) for graph in (original.graph, proto.graph)],
        }
        try:
            return entry | {"difference": difference(original, path, made)}
        except Exception as error:  # ONNX Runtime has many
            return entry | {"problem": str(error).splitlines()[0]}


def describe(node: onnx.NodeProto) -> str:
    """Return the name of a custom op and what it does beside, such as InstanceNorm + residual + relu + reflect pad."""
    op = CUSTOM_OPS[node.op_type]
    values = attributes_of(op, node)
    roles = op.roles(len(node.input), values) or ()
    parts = [node.op_type]
    parts += [f"{'x'.join(map(str, values['phases']))} phases"] if has_phases(values) else []
    parts += [f"{values['groups']} groups"] if values.get("groups") else []
    parts += ["residual"] if "residual" in roles else []
    parts += [values["activation"]] if values.get("activation", "none") != "none" else []
    parts += ["upsample"] if any(factor != 1 for factor in values.get("upsample", ())) else []
    is_placed = op.kind == "norm" or values.get("pad_mode", "reflect") != "reflect"
    parts += [f"{values['pad_mode']} pad"] if is_placed and any(values.get("pads", ())) else []
    parts += ["cast"] if values.get("to") else []
    return " + ".join(parts)


def difference(proto: onnx.ModelProto, path: Path, made: Path) -> float | str:
    """Return max|difference| / max|y| of the worst output on seeded inputs; "same" where all are equal bit for bit."""
    if any(node.op_type.startswith("Random") for node in walk_nodes(proto.graph)):
        return "random"
    expected, feeds = first_that_runs(path, proto)
    return max((apart(*each) for each in zip(run(made, feeds), expected, strict=True)), default=0.0) or "same"


def first_that_runs(path: Path, proto: onnx.ModelProto) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Return the outputs of a model, and its inputs: of the first of OPEN_SIZES with which it runs."""
    for sizes in OPEN_SIZES:
        feeds = make_feeds(proto, *sizes)
        try:
            return run(path, feeds), feeds
        except Exception:
            if sizes == OPEN_SIZES[-1]:
                raise
    raise AssertionError


def make_feeds(proto: onnx.ModelProto, open_batch: int, open_size: int) -> dict[str, np.ndarray]:
    """Return seeded values for every input that is no initializer."""
    random, initializers = np.random.default_rng(3), {tensor.name for tensor in proto.graph.initializer}
    made = {}
    for value in proto.graph.input:
        kind = value.type.tensor_type
        if value.name not in initializers:
            shape = [dim.dim_value or (open_size if axis else open_batch) for axis, dim in enumerate(kind.shape.dim)]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            made[value.name] = np.asarray(random.standard_normal(shape)).astype(dtype)
    return made


def run(path: Path, feeds: dict[str, np.ndarray]) -> list[Any]:
    """Run a model as it is written."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds)
    return outputs


def apart(got: Any, wanted: Any) -> float:
    """Return max|difference| / max|wanted|; infinite where shapes, types or what is not finite differ."""
    one, other = np.asarray(got), np.asarray(wanted)
    if one.shape != other.shape or one.dtype != other.dtype:
        return np.inf
    if other.dtype.kind not in "fc":
        return 0.0 if np.array_equal(one, other) else np.inf
    finite = np.isfinite(other)
    if not np.array_equal(finite, np.isfinite(one)):
        return np.inf
    largest = np.abs(other[finite]).max(initial=0).astype(np.float64)
    distance = np.abs(one[finite].astype(np.float64) - other[finite].astype(np.float64)).max(initial=0)
    return float(distance / largest) if largest else float(distance)


def models(patterns: Sequence[str]) -> Iterator[Path]:
    """Yield the files that are named, and the models of the test folders whose file name matches a pattern."""
    yield from (Path(pattern) for pattern in patterns if Path(pattern).is_file())
    for variable, globs in FOLDERS.items():
        folder = Path(os.environ[variable]) if os.environ.get(variable) else None
        for path in sorted({path for glob in globs for path in folder.glob(glob)} if folder else ()):
            if not patterns or any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
                yield path


def look_apart(path: Path, ops: str, seconds: float) -> Entry:
    """Look at a model in a process of its own."""
    command = [sys.executable, "-m", "tests.support.fusion_table", "--ops", ops, "--one", str(path)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"problem": f"not done after {seconds:.0f} s"}
    if finished.returncode:
        last = finished.stderr.strip().splitlines()[-1:] or ["nothing said"]
        return {"problem": f"status {finished.returncode}: {last[0]}"}
    entry: Entry = json.loads(finished.stdout.splitlines()[-1])
    return entry


def table(entries: Iterable[tuple[str, Entry]]) -> Iterator[str]:
    """Yield the lines of the table as the entries come, and at last the sums of all models."""
    yield "| model | nodes | custom ops | convolutions | native | largest difference |"
    yield "|---|---|---|---|---|---|"
    made: Counter[str] = Counter()
    seen = []
    for name, entry in entries:
        seen.append(entry)
        made.update(dict(entry.get("made", ())))
        nodes = " to ".join(map(str, dict.fromkeys(entry.get("nodes", ()))))
        found = entry.get("difference", entry.get("problem", ""))
        shown = found if isinstance(found, str) else f"{found:.1e}"
        cells = [_listed(entry.get(key, ())) for key in ("made", "rewritten", "native")]
        yield f"| {name} | {nodes} | {' | '.join(cells)} | {shown} |"
    yield f"| all {len(seen)} | | {_listed(made.most_common())} | | | {_worst(seen)} |"


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return "<br>".join(f"{count} {what}".replace("|", "\\|") for what, count in counts)


def _worst(entries: Sequence[Entry]) -> str:
    figures = [each["difference"] for each in entries if isinstance(each.get("difference"), float)]
    return f"{max(figures, default=0):.1e}; {sum('problem' in each for each in entries)} not compared"


def main(arguments: list[str] | None = None) -> int:
    """Print the table of the models that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fusion_table", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    parser.add_argument("--ops", choices=["plugin", "fused", "rewritten"], default="fused")
    parser.add_argument("--seconds", type=float, default=60, help="for one model; default: 60")
    parser.add_argument("--jobs", type=int, default=2, help="default: 2")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    if options.one is not None:
        print(json.dumps(look_at(options.one, options.ops)))
        return 0
    paths = list(models(options.patterns))
    if not paths:
        print(f"error: {' and '.join(FOLDERS)} name no folder with such a model", file=sys.stderr)
        return 2
    names = [path.parent.name if path.stem == "model" else path.stem for path in paths]
    with ThreadPoolExecutor(options.jobs) as pool:
        entries = pool.map(lambda path: look_apart(path, options.ops, options.seconds), paths)
        for line in table(zip(names, entries, strict=True)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
