"""Links of external data: followed where model caches lay them, elsewhere only for who trusts them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tests.model.test_external_data import WEIGHTS, make_external, write_model
from tests.support.command_line import RTX, run, run_here
from trtconv import BuildConfig, build, comparison, dry_run, rewrite
from trtconv.errors import ModelError
from trtconv.inspection import inspect
from trtconv.model import external_data, model_io

ATTACK = Path(os.environ.get("TRTCONV_TEST_CASES", ""), "attack")
SHA = "9f" * 32


def link(path: Path, target: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def write_linked(folder: Path, target: str | Path) -> Path:
    """Write a model whose data file is a link to `target`, where its content is put; return the model's path."""
    path = write_model(folder)
    data = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").unlink()
    link(folder / "weights.bin", target)
    real = folder / target
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(data)
    return path


# Layouts. -------------------------------------------------------------------------------------------------------------


def hub(root: Path, subfolder: str = "") -> Path:
    """Lay a model as the Hugging Face hub does; return its path."""
    blobs = root / "models--me--net" / "blobs"
    snapshot = root / "models--me--net" / "snapshots" / "0123abcd" / subfolder
    made = write_model(blobs)
    up = "../" * (2 + len(Path(subfolder).parts))
    for name, blob in (("model.onnx", SHA), ("weights.bin", SHA[::-1])):
        made.with_name(name).rename(blobs / blob)
        link(snapshot / name, f"{up}blobs/{blob}")
    return snapshot / "model.onnx"


def hub_with_a_copied_model(root: Path) -> Path:
    path = hub(root)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def store(root: Path) -> Path:
    write_model(root / "store")
    for name in ("model.onnx", "weights.bin"):
        link(root / "net" / name, root / "store" / name)
    return root / "net" / "model.onnx"


def linked_folder(root: Path) -> Path:
    write_model(root / "real")
    link(root / "net", "real")
    return root / "net" / "model.onnx"


FOLLOWED: dict[str, Callable[[Path], Path]] = {
    "hub": hub,
    "hub, in a subfolder": lambda root: hub(root, "onnx"),
    "hub, in a subfolder of a subfolder": lambda root: hub(root, "onnx/fp32"),
    "hub, the model a file": hub_with_a_copied_model,
    "a store that holds both": store,
    "inside the model's folder": lambda root: write_linked(root / "net", "data/real.bin"),
    "a folder that is a link": linked_folder,
}
REFUSED: dict[str, Callable[[Path], Path]] = {
    "beside the folder": lambda root: write_linked(root / "net", "../secret"),
    "elsewhere": lambda root: write_linked(root / "net", root / "elsewhere" / "secret"),
    "blobs without a snapshot": lambda root: write_linked(root / "net" / "rev", "../../blobs/secret"),
    "a snapshot without blobs": lambda root: write_linked(root / "snapshots" / "rev", "../../secret"),
    "the blobs of another model": lambda root: write_linked(
        root / "a" / "snapshots" / "rev", "../../../b/blobs/secret"
    ),
    "a sibling that is called alike": lambda root: write_linked(root / "net", "../net2/secret"),
}


def blobs_that_are_a_link(root: Path) -> Path:
    (root / "private").mkdir(parents=True)
    link(root / "m" / "blobs", "../private")
    return write_linked(root / "m" / "snapshots" / "rev", "../../blobs/secret")


def folder_link_on_the_way(root: Path) -> Path:
    path = write_model(root / "net", "sub/secret")
    link(root / "net" / "sub", root / "private")
    (root / "private").mkdir()
    (root / "private" / "secret").write_bytes(WEIGHTS.tobytes())
    return path


def link_by_links(root: Path) -> Path:
    path = write_linked(root / "net", root / "elsewhere" / "secret")
    (root / "net" / "weights.bin").rename(root / "net" / "first")
    link(root / "net" / "weights.bin", "first")
    return path


REFUSED |= {
    "blobs that are a link": blobs_that_are_a_link,
    "a folder on the way": folder_link_on_the_way,
    "a link to a link": link_by_links,
}


@pytest.mark.parametrize("layout", FOLLOWED)
def test_links_of_caches_and_of_the_folder_are_followed(tmp_path: Path, layout: str) -> None:
    path = FOLLOWED[layout](tmp_path)
    assert model_io.load(path).warnings == ()
    out = tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    assert rewrite(path, out).warnings == ()
    assert not (out.parent / "weights.bin").is_symlink()
    assert comparison.compare(path, out, comparison.random_inputs(path, {"x": (1, 2, 5, 6)}), 1e-6).passed


@pytest.mark.parametrize("layout", REFUSED)
def test_links_out_of_the_folder_are_refused(tmp_path: Path, layout: str) -> None:
    path = REFUSED[layout](tmp_path)
    with pytest.raises(ModelError, match=r"is a link to .*secret, outside the model's folder") as caught:
        model_io.load(path)
    assert caught.value.where == str(path)
    assert "--trust-links" in (caught.value.hint or "")
    (warning,) = model_io.load(path, trust_links=True).warnings
    assert "secret, which was trusted" in warning


# Commands and functions. ----------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A model whose data are a private file elsewhere."""
    path = write_linked(tmp_path / "net", tmp_path / "private" / "secret")
    (tmp_path / "private" / "secret").chmod(0o600)
    return path


SHAPE = ("--shape", "x=1x2x5x6")


def commands(path: Path, out: Path) -> Iterator[tuple[str | Path, ...]]:
    yield ("rewrite", path, "-o", out / "out.onnx")
    yield ("build", path, "--dry-run")
    yield ("build", path, "-o", out / "out.engine", *RTX, *SHAPE)
    yield ("inspect", path)
    yield ("compare", path, path, *SHAPE, "--bisect")
    yield ("run", path, out.parent / "x.npy")


def test_every_command_refuses_a_link_and_takes_it_where_it_is_trusted(linked: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "x.npy", np.zeros((1, 2, 5, 6), np.float32))
    for command in commands(linked, tmp_path / "out"):
        result = run_here(*command, cwd=tmp_path)
        assert (result.exit_code, "is a link to" in result.error) == (3, True), command
        assert "--trust-links" in result.hint
    assert os.listdir(tmp_path / "out") == []
    for command in commands(linked, tmp_path / "out"):
        result = run_here(*command, "--trust-links", cwd=tmp_path)
        assert result.exit_code == 0, (command, result.stderr)
        if command[0] not in ("inspect", "run"):
            assert "which was trusted (--trust-links)" in " ".join(result.stdout.split()), command
    assert (tmp_path / "out" / "weights.bin").read_bytes() == (tmp_path / "private" / "secret").read_bytes()


def test_python_asks_for_trust_as_well(linked: Path, tmp_path: Path) -> None:
    calls: dict[str, Callable[..., Any]] = {
        "rewrite": lambda **trust: rewrite(linked, tmp_path / "out.onnx", **trust),
        "dry_run": lambda **trust: dry_run(linked, BuildConfig(backend="tensorrt", **trust)),
        "inspect": lambda **trust: inspect(linked, **trust),
    }
    for call in calls.values():
        with pytest.raises(ModelError, match="is a link to"):
            call()
        call(trust_links=True)
    with pytest.raises(ModelError, match="is a link to"):
        build(linked, BuildConfig(backend="tensorrt-rtx"))


def test_no_library_is_given_a_link_that_was_not_checked(linked: Path) -> None:
    """`comparison.compare` hands a model's path to ONNX Runtime."""
    feeds = [{"x": np.zeros((1, 2, 5, 6), np.float32)}]
    with pytest.raises(ModelError, match="is a link to"):
        comparison.compare(linked, linked, feeds, 1e-6)


def test_bench_has_the_option_for_a_model_alone(tmp_path: Path) -> None:
    result = run("bench", "--ops", "--trust-links", cwd=tmp_path)
    assert (result.exit_code, result.error) == (2, "--trust-links: belongs to a MODEL")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_copy_has_the_permissions_of_its_source(tmp_path: Path, mode: int, umask: int) -> None:
    path = write_model(tmp_path / "net")
    (tmp_path / "net" / "weights.bin").chmod(mode)
    (tmp_path / "out").mkdir()
    before = os.umask(umask)
    try:
        rewrite(path, tmp_path / "out" / "model.onnx")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "weights.bin").stat().st_mode) == mode


def test_an_unfinished_copy_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "net")
    (tmp_path / "out").mkdir()
    modes = []
    original = os.fchmod

    def look(descriptor: int, mode: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        original(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", look)
    rewrite(path, tmp_path / "out" / "model.onnx")
    assert modes == [0o600]


@pytest.mark.skipif(not ATTACK.is_dir(), reason="TRTCONV_TEST_CASES names no folder with attack/")
def test_a_secret_is_not_copied_out(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    model = tmp_path / "net" / "model.onnx"
    model.write_bytes((ATTACK / "17_external_link.onnx").read_bytes())
    (tmp_path / "secret").write_bytes(b"key-----")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "net" / "weights.bin").symlink_to(tmp_path / "secret")
    (tmp_path / "out").mkdir()
    result = run("rewrite", model, "-o", tmp_path / "out" / "o.onnx", cwd=tmp_path)
    assert (result.exit_code, os.listdir(tmp_path / "out")) == (3, [])


# Every holder of a tensor. --------------------------------------------------------------------------------------------


def holders(kind: Descriptor, path: tuple[str, ...] = (), seen: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the fields that lead from a message to each TensorProto in it, each kind of message once on the way."""
    for field in kind.fields:
        inner = field.message_type
        if inner is None or inner.full_name in seen:
            continue
        if inner.full_name == onnx.TensorProto.DESCRIPTOR.full_name:
            yield (*path, field.name)
        else:
            yield from holders(inner, (*path, field.name), (*seen, inner.full_name))


def hold(message: Message, path: tuple[str, ...]) -> onnx.TensorProto:
    """Put an empty tensor into a message at a path of fields."""
    for name in path:
        value = getattr(message, name)
        message = value.add() if hasattr(value, "add") else value
        message.SetInParent()
    assert isinstance(message, onnx.TensorProto)
    return message


HOLDERS = list(holders(onnx.ModelProto.DESCRIPTOR))
NESTED = [
    ("graph", "node", "attribute", holder, *rest)
    for holder in ("g", "graphs")
    for rest in (("initializer",), ("node", "attribute", "t"), ("sparse_initializer", "indices"))
]


def test_the_holders_are_all_there() -> None:
    assert len(HOLDERS) > 20
    for expected in (("graph", "initializer"), ("training_info", "algorithm", "initializer"),
                     ("functions", "attribute_proto", "t"), ("graph", "sparse_initializer", "values")):  # fmt: skip
        assert expected in HOLDERS


@pytest.mark.parametrize("path", [*HOLDERS, *NESTED], ids=".".join)
@pytest.mark.parametrize("location", ["../weights.bin", "none.bin", "link.bin"])
def test_a_bad_place_is_found_in_every_holder(tmp_path: Path, path: tuple[str, ...], location: str) -> None:
    proto = onnx.ModelProto()
    tensor = hold(proto, path)
    tensor.name, tensor.data_type = "held", onnx.TensorProto.FLOAT
    tensor.dims[:] = [2]
    make_external(tensor, location)
    (tmp_path / "net").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    (tmp_path / "net" / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match=r"leads out|is missing|is a link to"):
        external_data.require_external_files(proto, tmp_path / "net" / "model.onnx")


@pytest.mark.parametrize("holder", ["initialization", "algorithm"])
def test_training_is_checked_in_every_command(tmp_path: Path, holder: str) -> None:
    path = write_model(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    training = proto.training_info.add()
    tensor = getattr(training, holder).initializer.add(name="t", data_type=1, dims=[2])
    make_external(tensor, "../secret")
    path.write_bytes(proto.SerializeToString())
    for command in (("build", path, "--dry-run"), ("inspect", path), ("rewrite", path, "-o", tmp_path / "o.onnx")):
        result = run_here(*command, cwd=tmp_path)
        assert (result.exit_code, "leads out of the model's folder" in result.error) == (3, True)


def test_data_of_training_are_carried_along(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net")
    proto = onnx.load(path, load_external_data=False)
    training = proto.training_info.add()
    tensor = training.initialization.initializer.add(name="t", data_type=1, dims=[2])
    make_external(tensor, "training.bin")
    (tmp_path / "net" / "training.bin").write_bytes(bytes(8))
    path.write_bytes(proto.SerializeToString())
    (tmp_path / "out").mkdir()
    rewrite(path, tmp_path / "out" / "model.onnx")
    assert (tmp_path / "out" / "training.bin").read_bytes() == bytes(8)
    feeds = [{"x": np.ones((1, 2, 5, 6), np.float32)}]
    assert comparison.compare(path, tmp_path / "out" / "model.onnx", feeds, 1e-6).passed
