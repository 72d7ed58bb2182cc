"""Reports: one aligned line for each outcome, every node when asked, the same facts as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trtconv.decisions import Decision
from trtconv.display import printable
from trtconv.manifest import Manifest
from trtconv.progress import StepTime
from trtconv.reports import next_steps
from trtconv.reports.build_report import BuildReport
from trtconv.reports.facts import render_facts
from trtconv.reports.grouping import kind_of
from trtconv.reports.rewrite_report import RewriteReport, decision_facts
from trtconv.reports.tables import next_fact
from trtconv.reports.text import format_size

PAD, NORM = "trtconv::ReflectPad", "trtconv::InstanceNorm"


def decision_lines(decisions: list[Decision], verbose: bool, others: Sequence[Decision] = ()) -> list[str]:
    return [f"{label:<10} {printable(value)}" for label, value in decision_facts(decisions, verbose, others)]


def pads(count: int) -> list[Decision]:
    return [Decision(f"/pad{index}", "Pad(reflect)", PAD, "pads [1,1] from an attribute") for index in range(count)]


def rewrite_report(folder: Path, decisions: list[Decision], **changes: Any) -> RewriteReport:
    values = {"model": folder / "m.onnx", "opset": 17, "num_nodes": 9, "decisions": tuple(decisions)} | changes
    return RewriteReport(**values)


@pytest.fixture
def build_report(tmp_path: Path) -> BuildReport:
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"0" * 2048)
    manifest_path = tmp_path / "m.engine.json"
    rewrite = rewrite_report(tmp_path, pads(1), warnings=("it is odd",))
    steps = [StepTime("reading model.onnx", 0.23456), StepTime("building", 1.0)]
    return BuildReport(
        rewrite, engine, manifest_path, Manifest(trtconv="0.1.0"), "TensorRT 10.6 for a GPU", ("so it is",), steps
    )


def test_nodes_of_one_outcome_share_a_line() -> None:
    (line,) = decision_lines(pads(5), verbose=False)
    assert line.split(maxsplit=1) == [
        "rewritten",
        f"5 Pad(reflect) -> {PAD}: pads [1,1] from an attribute [/pad0, /pad1, and 3 more]",
    ]
    (verbose,) = decision_lines(pads(5), verbose=True)
    assert verbose.endswith("[/pad0, /pad1, /pad2, /pad3, /pad4]")
    (two,) = decision_lines(pads(2), verbose=False)
    assert two.endswith("[/pad0, /pad1]")


def test_each_outcome_and_reason_has_its_line() -> None:
    native = [Decision(f"n{index}", "Pad(reflect)", None, reason) for index, reason in enumerate(["a", "b", "a"])]
    lines = decision_lines([*pads(1), *native], verbose=False)
    assert [line.split()[:2] for line in lines] == [["rewritten", "1"], ["native", "2"], ["native", "1"]]
    assert len({line.index(line.split()[1]) for line in lines}) == 1, "the second column is not aligned"


RUN_TIME = "{} is only known at run time: it depends on {}"


def test_reasons_that_differ_in_names_share_a_line() -> None:
    natives = [
        Decision(
            f"/pad{index}", "Pad(reflect)", None, RUN_TIME.format(f"/c{index}/Cast_output_0", f"/c{index}/Elu (Elu)")
        )
        for index in range(17)
    ]
    (line,) = decision_lines(natives, verbose=False)
    assert line.split(maxsplit=1)[1].startswith("17 Pad(reflect): /c0/Cast_output_0 is only known at run time: it")
    assert line.endswith("; likewise the others [/pad0, /pad1, and 15 more]")
    assert len(decision_lines(natives, verbose=True)) == 17


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (RUN_TIME.format("p", "x"), RUN_TIME.format("pads_2", "Relu(y) (Relu)"), True),
        (RUN_TIME.format("p", "x"), "q is only known at run time", False),
        ("pads [0,0,1,1] from an initializer", "pads [0,0,2,2] from an initializer", False),
        ("float32, rank 4, epsilon 1e-05", "float16, rank 4, epsilon 1e-05", False),
        ("float32, rank 4, epsilon 1e-05", "float32, rank 4, epsilon 1e-06", False),
        ("the plugin has no kernel for float64", "the plugin has no kernel for int8", False),
        ("a/b cannot be read: no such file", "c cannot be read: no such file", True),
    ],
)
def test_what_makes_reasons_one_kind(one: str, other: str, is_same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) == is_same


def test_other_norms_are_told_instead_of_nothing(tmp_path: Path) -> None:
    others = [
        Decision("/gn", "GroupNormalization", None, "no plugin takes it"),
        Decision("/pad", PAD, PAD, "the model was rewritten before"),
    ]
    lines = decision_lines([], verbose=False, others=others)
    assert [line.split(maxsplit=1) for line in lines] == [
        ["rewritten", "nothing"],
        ["native", "1 GroupNormalization: no plugin takes it [/gn]"],
        ["plugin", f"1 {PAD}: the model was rewritten before [/pad]"],
    ]
    report = rewrite_report(tmp_path, [], others=tuple(others))
    assert report.render().splitlines()[0].endswith(": 1 norm or pad stays native, 1 plugin was in the model before")
    document = report.to_json()
    assert [entry["node"] for entry in document["others"]] == ["/gn", "/pad"]


def test_control_characters_in_a_name_are_written_out() -> None:
    odd = Decision("n\u00f6rm\n\x1b[2J", "Pad(reflect)", PAD, "so it is")
    (line,) = decision_lines([odd], verbose=True)
    assert line.endswith("[n\u00f6rm\\n\\x1b[2J]")


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "fp16"), (1, "fp16, but for 1 node that stays fp32"), (2, "fp16, but for 2 nodes that stay fp32")],
)
def test_the_precision_counts_what_stays(tmp_path: Path, count: int, said: str) -> None:
    kept = [Decision(f"exp{index}", "Exp", "fp32", "rounding") for index in range(count)]
    text = rewrite_report(tmp_path, pads(1), precision="fp16", kept_fp32=kept).render()
    assert [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith("precision")] == [said]


def test_nothing_to_rewrite_is_said() -> None:
    (line,) = decision_lines([], verbose=False)
    assert "nothing" in line


def test_a_rewrite_counts_what_it_changed(tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    output.write_bytes(b"0" * 1536)
    decisions = [*pads(2), Decision("/norm", "InstanceNormalization", None, "asked for")]
    report = rewrite_report(tmp_path, decisions, output=output)
    assert report.num_rewritten == 2
    assert report.render().splitlines()[-1].split() == ["output", str(output), "(1.5", "KiB)"]
    document = json.loads(json.dumps(report.to_json()))
    assert document["num_rewritten"] == 2
    assert document["output"] == str(output)
    assert document["decisions"][2] == {
        "node": "/norm",
        "op": "InstanceNormalization",
        "became": None,
        "reason": "asked for",
    }


def test_a_build_tells_all_it_knows_in_aligned_lines(build_report: BuildReport) -> None:
    lines = build_report.render().splitlines()
    labels = ["model", "rewritten", "warning", "backend", "note", "engine", "manifest", "time"]
    assert [line.split()[0] for line in lines] == labels
    assert len({line.index(line.split()[1]) for line in lines}) == 1, "the second column is not aligned"
    assert lines[5].endswith("(2.0 KiB)")
    assert lines[-1].split(None, 1)[1] == "1.2 s: reading 0.2, building 1.0"


def test_a_build_is_json(build_report: BuildReport) -> None:
    document = json.loads(json.dumps(build_report.to_json()))
    assert document.keys() == {
        "engine",
        "manifest",
        "seconds",
        "steps",
        "notes",
        "rewrite",
        "build",
        "tuning",
        "next_step",
    }
    assert document["steps"][0] == {"name": "reading model.onnx", "seconds": 0.235}
    assert document["seconds"] == 1.235
    assert document["rewrite"]["warnings"] == ["it is odd"]
    assert document["rewrite"]["output"] is None


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (5000 << 30, "5000.0 GiB"),
        ((1 << 20) - 1, "1.0 MiB"),
    ],
)
def test_sizes_are_for_people(num_bytes: int, text: str) -> None:
    assert format_size(num_bytes) == text


def test_a_report_fits_its_terminal(build_report: BuildReport) -> None:
    whole, narrow = build_report.render(), build_report.render(width=60)
    assert max(map(len, whole.splitlines())) > 60
    assert max(map(len, narrow.splitlines())) <= 60
    assert "".join(narrow.split()) == "".join(whole.split())
    assert "\x1b[" in build_report.render(width=60, color=True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_next_line_can_be_copied_from_a_narrow_terminal(width: int) -> None:
    command = next_steps.after_dry_run(
        ["build", "m.onnx", "--dry-run"], [f"input_{index}=1x3x256x256" for index in range(6)]
    )
    text = render_facts(next_fact(command), width, color=False)
    assert all(len(line) <= width for line in text.splitlines())
    pasted = subprocess.run(
        ["sh", "-c", f"echo {text.removeprefix('next')}"], capture_output=True, text=True, check=True
    )
    assert pasted.stdout.split() == command.split()
    assert render_facts(next_fact(command), None, color=False) == f"next       {command}"


def test_a_long_name_of_a_node_is_shortened_and_a_path_is_not() -> None:
    name, path = "/block" * 30, "/folder" * 30
    lines = render_facts([("native", f"1 Pad [{name}, /b]"), ("engine", path)], 80, color=False).splitlines()
    assert any("…" in line for line in lines)
    assert not any(line.split()[-1] in name for line in lines if line.startswith("native"))
    first = next(index for index, line in enumerate(lines) if line.startswith("engine"))
    assert "".join(line[11:] for line in lines[first:]) == path
